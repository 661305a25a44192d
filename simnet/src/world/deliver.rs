//! What becomes of a machine's outputs: messages go to links, records to disks, tasks to engines, calls to the ledger,
//! and the answers back.

use std::sync::Arc;

use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Event as Said, Input, Output, PeerFault, PersistId};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Message;
use bombyx_protocol::work::order::{JobId, OrderId, Task};

use crate::actors::WHOLE;
use crate::check::{Check, Pledge, Violation, blames_client};
use crate::host::Step;
use crate::kernel::Purpose;
use crate::ledger::Chain;
use crate::network::{Kind, Transit};
use crate::workload::population;
use crate::world::coordinator::{Note, PendingCall};
use crate::world::event::Event;
use crate::world::parcel::Parcel;
use crate::world::shard::{ARRIVALS_MIN, Shard};

/// How long a node tries to reach a peer before it says that it cannot: the dial deadline of the real transport.
const DIAL_DEADLINE: Span = Span::from_s(5);
/// Bytes of a voucher on its way to a watcher: account, epoch, amount, signature and challenge time.
const WATCHED_BYTES: usize = 116;

impl Shard {
    /// Carries out one output of a host's machine.
    pub(crate) fn carry_out(&mut self, host: u32, output: Output) -> Result<(), Violation> {
        match output {
            Output::Send { to, message } => self.send(host, to, message),
            Output::Broadcast { topic, gossip } => self.broadcast(host, topic, gossip),
            Output::Persist { id, record } => self.persist(host, id, record),
            Output::Count { job, task, .. } => {
                let step = self.hosts[host].engine.count(self.now, job, &task);
                self.plan(host, vec![step]);
                Ok(())
            }
            Output::Run { job, task, .. } => self.start_job(host, job, &task),
            Output::Allow { job, tokens } => {
                self.allow(host, job, tokens);
                Ok(())
            }
            Output::Cancel { job } => {
                self.cancel(host, job);
                Ok(())
            }
            Output::Ledger(call) => {
                self.call_ledger(host, call);
                Ok(())
            }
            Output::Watch(watched) => {
                self.entrust(host, watched);
                Ok(())
            }
            Output::Event(event) => {
                self.on_event(host, event);
                Ok(())
            }
            Output::Fault { peer, fault } => {
                self.accuse(host, &peer, fault);
                Ok(())
            }
            Output::Wake(_) => Ok(()),
        }
    }

    fn send(&mut self, from: u32, to: NodeId, message: Message) -> Result<(), Violation> {
        let bytes = self.weigh(|bytes| codec::encode_onto(&message, bytes));
        Check::length(bytes, false)?;
        self.counts.sent(Kind::of(&message), 1, bytes as u64);
        // Nobody is there, so nothing arrives; an honest machine names no peer that it has not heard of.
        let Some(dst) = self.environment.addresses.get(&to).copied() else { return Ok(()) };
        if !self.awake.is_up(dst) {
            self.schedule(self.now + DIAL_DEADLINE, from, from, Event::Undelivered(dst));
            return Ok(());
        }
        if let Some(parcels) = &mut self.parcels {
            parcels.push(Parcel::Direct { from, to: dst, bytes: std::mem::take(&mut self.encoded) });
            return Ok(());
        }
        match self.transit(from, dst, bytes) {
            Transit::Arrives(after) => self.arrive(from, dst, after, message),
            Transit::Twice(first, second) => {
                self.arrive(from, dst, first, message.clone());
                // The copy comes out of order, as over another path.
                self.schedule(self.now + second, dst, from, Event::Message(Box::new(message)));
            }
            Transit::Lost => {}
            Transit::Cut => self.schedule(self.now + DIAL_DEADLINE, from, from, Event::Undelivered(dst)),
        }
        Ok(())
    }

    /// Returns the length of what `encode` writes; its bytes go into the digest.
    pub(crate) fn weigh(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.encoded.clear();
        encode(&mut self.encoded);
        self.trace.said(&self.encoded);
        self.encoded.len()
    }

    fn arrive(&mut self, from: u32, dst: u32, after: Span, message: Message) {
        let latest = self.arrivals.entry((from, dst)).or_default();
        let at = (self.now + after).max(*latest + Span(1));
        *latest = at;
        // Pairs with nothing under way need no entry: memory stays in proportion to messages under way, not to all pairs.
        if self.arrivals.len() > self.arrivals_max {
            let now = self.now;
            self.arrivals.retain(|_, latest| *latest >= now);
            self.arrivals_max = self.arrivals.len() * 2 + ARRIVALS_MIN;
        }
        self.schedule(at, dst, from, Event::Message(Box::new(message)));
    }

    fn transit(&mut self, from: u32, to: u32, bytes: usize) -> Transit {
        let name = self.hosts[from].next_draw();
        let fate = self.environment.draws.bits(Purpose::Transit, &[u64::from(from), u64::from(to), name]);
        let (source, target) =
            (self.environment.locations[from as usize], self.environment.locations[to as usize]);
        let transit = self.environment.links.transit(self.now, source, target, bytes, fate);
        self.uplinks.leave(from, source, self.now, bytes, transit)
    }

    fn persist(&mut self, host: u32, id: PersistId, record: Box<Record>) -> Result<(), Violation> {
        if let Some(pledge) = Pledge::of(&record) {
            self.note(Note::Writes(pledge));
        }
        if self.hosts[host].disk.write(id, record) {
            self.commit(host);
        }
        Ok(())
    }

    fn commit(&mut self, host: u32) {
        let (disk, life) = (&self.environment.scenario.disk, self.hosts[host].life);
        let name = self.hosts[host].next_draw();
        let took_ms = self.environment.draws.lognormal(
            disk.commit_ms,
            disk.commit_sigma,
            Purpose::Commit,
            &[u64::from(host), name],
        );
        self.schedule(self.now + Span((took_ms * 1e3) as u64), host, host, Event::Committed(life));
    }

    pub(crate) fn committed(&mut self, host: u32, life: u32) -> Result<(), Violation> {
        if self.hosts[host].life != life {
            return Ok(());
        }
        let mut pledges = Vec::new();
        let (newest, again) = self.hosts[host].disk.committed(|record| pledges.extend(Pledge::of(record)));
        pledges.into_iter().for_each(|pledge| self.note(Note::Durable(pledge)));
        if again {
            self.commit(host);
        }
        match newest {
            Some(id) => self.feed(host, Input::Persisted(id)),
            None => Ok(()),
        }
    }

    /// Copies what a provider earned to its watcher. It is sent again with the next voucher, so a lost copy is no loss.
    fn entrust(&mut self, host: u32, watched: Box<WatchedVoucher>) {
        let Some(watcher) = population::watcher_of(&self.environment.scenario, host) else { return };
        if let Transit::Arrives(after) | Transit::Twice(after, _) = self.transit(host, watcher, WATCHED_BYTES)
        {
            self.schedule(self.now + after, watcher, host, Event::Watch(watched));
        }
    }

    fn start_job(&mut self, host: u32, job: JobId, task: &Task) -> Result<(), Violation> {
        let answer = match task {
            Task::Embed { .. } => 0,
            Task::Generate(generate) => self.environment.answer_tokens(generate.sampling.seed),
        };
        let target = &mut self.hosts[host];
        let steps = target.engine.run(self.now, job, task, answer);
        let (running, slots) = (target.engine.running(), target.offer().map_or(0, |offer| offer.slots));
        let overbooks = target.plan.is_some_and(|plan| plan.slots_ppm > WHOLE && plan.is_real());
        self.plan(host, steps);
        if overbooks { Ok(()) } else { Check::capacity(running, slots) }
    }

    fn allow(&mut self, host: u32, job: JobId, tokens: u32) {
        let steps = self.hosts[host].engine.allow(self.now, job, tokens);
        self.plan(host, steps);
    }

    fn cancel(&mut self, host: u32, job: JobId) {
        let steps = self.hosts[host].engine.cancel(self.now, job);
        self.plan(host, steps);
    }

    fn plan(&mut self, host: u32, steps: Vec<Step>) {
        for step in steps {
            self.schedule(step.at, host, host, Event::Engine(Box::new((step.job, step.number))));
        }
    }

    pub(crate) fn engine_step(&mut self, host: u32, job: JobId, number: u64) -> Result<(), Violation> {
        let (reports, next) = self.hosts[host].engine.step(self.now, job, number);
        self.plan(host, next);
        for report in reports {
            self.feed(host, Input::Engine { job, report })?;
        }
        Ok(())
    }

    /// Makes a call wait for the next block; a question is answered as fast as the interface is.
    fn call_ledger(&mut self, host: u32, call: Box<LedgerCall>) {
        let there = self.now + self.environment.to_ledger();
        let block = Span::from_ms(self.environment.scenario.ledger.block_ms);
        let at = if Chain::is_question(&call) { there } else { next_block(there, block) };
        let caller = &mut self.hosts[host];
        let (id, wallet, is_client) = (caller.next_id(), caller.wallet, caller.is_client());
        self.note(Note::Calls(Box::new(PendingCall { at, id, wallet, is_client, call })));
    }

    /// Records that one host says that another broke a rule.
    fn accuse(&mut self, host: u32, peer: &NodeId, fault: PeerFault) {
        let Some(accused) = self.environment.addresses.get(peer).copied() else { return };
        if self.environment.plan(host).is_none() {
            self.note(Note::Blames(accused));
        }
        if self.environment.plan(accused).is_none() && fault.is_breach() {
            self.note(Note::Accuses(fault));
        }
    }

    fn on_event(&mut self, host: u32, event: Said) {
        match event {
            Said::Order { id, news } => {
                self.note(Note::News(u32::try_from(id.0).unwrap_or(u32::MAX), Box::new(news)));
            }
            Said::Served(served) => {
                let is_honest = self.environment.plan(host).is_none();
                if let Some(client) = self.environment.addresses.get(&served.client).copied()
                    && is_honest
                    && served.refused.is_some_and(blames_client)
                {
                    self.note(Note::Blames(client));
                }
            }
            Said::Channel(_) | Said::Crowded(_) => {}
        }
    }

    /// Gives an order to a client; a client without power never receives it.
    pub(crate) fn order(&mut self, client: u32, number: u32) -> Result<(), Violation> {
        let is_up = self.hosts[client].is_up();
        self.note(Note::Ordered { number, is_up });
        if !is_up {
            return Ok(());
        }
        let environment = Arc::clone(&self.environment);
        let order = environment.workload.order(number, &self.hosts[client], &environment.draws);
        let id = OrderId(u64::from(number));
        self.feed(client, Input::Command(Command::Order { id, order: Box::new(order) }))
    }

    pub(crate) fn switch_on(&mut self, host: u32) -> Result<(), Violation> {
        self.up += u64::from(!self.hosts[host].is_up());
        let first = self.hosts[host].start(host, &self.environment.draws);
        self.feed(host, first)
    }

    pub(crate) fn crash(&mut self, host: u32) {
        self.up -= u64::from(self.hosts[host].is_up());
        self.hosts[host].crash();
        self.arm(host);
        self.uplinks.clear(host);
        let (wallet, is_client) = (self.hosts[host].wallet, self.hosts[host].is_client());
        self.note(Note::Crashes { wallet, is_client });
    }
}

fn next_block(now: Time, every: Span) -> Time {
    Time((now.0 / every.0 + 1).saturating_mul(every.0))
}
