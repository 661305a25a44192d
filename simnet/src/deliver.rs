//! What the world does with a machine's outputs: messages to links, records to disks, tasks to engines, calls to the
//! ledger, and the answers back.

use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::channel::watch::Guarded;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Event as Said, Input, OrderNews, PeerFault, PersistId};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Message;
use bombyx_protocol::work::order::{JobId, Task};

use crate::blame::blames_client;
use crate::chain::Chain;
use crate::check::{Broken, Check};
use crate::engine::Step;
use crate::measure::Kind;
use crate::net::Passage;
use crate::outside::Parcel;
use crate::population;
use crate::rng::{Purpose, fold};
use crate::world::{Event, LEDGER, World};

/// How long a node tries to reach a peer before it says that it cannot: the dial deadline of the real transport.
const DIAL_DEADLINE: Span = Span::from_s(5);
/// Pairs of hosts whose latest arrival is kept before those that are over are looked for.
pub(crate) const ARRIVALS_MIN: usize = 1_024;
/// Bytes of a voucher on its way to a watcher: account, epoch, amount, signature and challenge time.
const GUARDED_BYTES: usize = 116;

impl World {
    pub(crate) fn send(&mut self, from: u32, to: NodeId, message: Message) -> Result<(), Broken> {
        let bytes = self.weigh(|bytes| codec::encode_onto(&message, bytes));
        Check::length(bytes, false)?;
        self.measures.sent(Kind::of(&message), 1, bytes as u64);
        // Nobody is there, so nothing arrives; an honest machine names no peer that it has not heard of.
        let Some(dst) = self.addresses.get(&to).copied() else { return Ok(()) };
        if !self.awake[dst as usize] {
            self.schedule(self.now + DIAL_DEADLINE, from, from, Event::Undelivered(dst));
            return Ok(());
        }
        if let Some(parcels) = &mut self.parcels {
            parcels.push(Parcel::Direct { from, to: dst, bytes: std::mem::take(&mut self.encoded) });
            return Ok(());
        }
        match self.passage(from, dst, bytes) {
            Passage::Arrives(after) => self.arrive(from, dst, after, message),
            Passage::Twice(first, second) => {
                self.arrive(from, dst, first, message.clone());
                // The copy comes out of order, as over another path.
                self.schedule(self.now + second, dst, from, Event::Message(Box::new(message)));
            }
            Passage::Lost => {}
            Passage::Cut => self.schedule(self.now + DIAL_DEADLINE, from, from, Event::Undelivered(dst)),
        }
        Ok(())
    }

    /// The length of what `encode` writes; its bytes go into the digest.
    pub(crate) fn weigh(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> usize {
        self.encoded.clear();
        encode(&mut self.encoded);
        self.trace = fold(self.trace, content_hash(&self.encoded));
        self.encoded.len()
    }

    fn arrive(&mut self, from: u32, dst: u32, after: Span, message: Message) {
        let latest = self.arrivals.entry((from, dst)).or_default();
        let at = (self.now + after).max(*latest + Span(1));
        *latest = at;
        // Who has nothing under way to whom needs no place: kept in proportion to what is, not to all pairs.
        if self.arrivals.len() > self.arrivals_max {
            let now = self.now;
            self.arrivals.retain(|_, latest| *latest >= now);
            self.arrivals_max = self.arrivals.len() * 2 + ARRIVALS_MIN;
        }
        self.schedule(at, dst, from, Event::Message(Box::new(message)));
    }

    fn passage(&mut self, from: u32, to: u32, bytes: usize) -> Passage {
        let name = self.hosts[from as usize].next_draw();
        let fate = self.draws.bits(Purpose::Passage, &[u64::from(from), u64::from(to), name]);
        let (source, target) = (self.places[from as usize], self.places[to as usize]);
        let passage = self.links.passage(self.now, source, target, bytes, fate);
        self.uplinks.leave(from, source, self.now, bytes, passage)
    }

    pub(crate) fn persist(&mut self, host: u32, id: PersistId, record: Box<Record>) -> Result<(), Broken> {
        self.check.writes(&record, self.now, &self.chain)?;
        if self.hosts[host as usize].disk.write(id, record) {
            self.commit(host);
        }
        Ok(())
    }

    fn commit(&mut self, host: u32) {
        let (disk, life) = (&self.scenario.disk, self.hosts[host as usize].life);
        let name = self.hosts[host as usize].next_draw();
        let took_ms = self.draws.lognormal(
            disk.commit_ms,
            disk.commit_sigma,
            Purpose::Commit,
            &[u64::from(host), name],
        );
        self.schedule(self.now + Span((took_ms * 1e3) as u64), host, host, Event::Committed(life));
    }

    pub(crate) fn committed(&mut self, host: u32, life: u32) -> Result<(), Broken> {
        if self.hosts[host as usize].life != life {
            return Ok(());
        }
        let watcher = population::guard_of(&self.scenario, host);
        let mut checked = Ok(());
        let check = &mut self.check;
        let mut vouchers = Vec::new();
        let (newest, again) = self.hosts[host as usize].disk.committed(|record| {
            let held = check.durable(record);
            if checked.is_ok() {
                checked = held;
            }
            vouchers.extend(watcher.and_then(|watcher| Some((watcher, guarded(record)?))));
        });
        checked?;
        self.hand_over(host, vouchers);
        if again {
            self.commit(host);
        }
        match newest {
            Some(id) => self.feed(host, Input::Persisted(id)),
            None => Ok(()),
        }
    }

    /// Copies what a provider earned to its watcher. It is sent again with the next voucher, so a lost copy is no loss.
    fn hand_over(&mut self, host: u32, vouchers: Vec<(u32, Guarded)>) {
        for (watcher, guarded) in vouchers {
            if let Passage::Arrives(after) | Passage::Twice(after, _) =
                self.passage(host, watcher, GUARDED_BYTES)
            {
                self.schedule(self.now + after, watcher, host, Event::Guard(Box::new(guarded)));
            }
        }
    }

    pub(crate) fn start_job(&mut self, host: u32, job: JobId, task: &Task) -> Result<(), Broken> {
        let answer = match task {
            Task::Embed { .. } => 0,
            Task::Generate(generate) => self.workload.answer_tokens(generate.sampling.seed, &self.draws),
        };
        let target = &mut self.hosts[host as usize];
        let steps = target.engine.run(self.now, job, task, answer);
        let (running, slots) = (target.engine.running(), target.offer().map_or(0, |offer| offer.slots));
        self.plan(host, steps);
        Check::capacity(running, slots)
    }

    pub(crate) fn allow(&mut self, host: u32, job: JobId, tokens: u32) {
        let steps = self.hosts[host as usize].engine.allow(self.now, job, tokens);
        self.plan(host, steps);
    }

    pub(crate) fn cancel(&mut self, host: u32, job: JobId) {
        let steps = self.hosts[host as usize].engine.cancel(self.now, job);
        self.plan(host, steps);
    }

    fn plan(&mut self, host: u32, steps: Vec<Step>) {
        for step in steps {
            self.schedule(step.at, host, host, Event::Engine(Box::new((step.job, step.number))));
        }
    }

    pub(crate) fn engine_step(&mut self, host: u32, job: JobId, number: u64) -> Result<(), Broken> {
        let (reports, next) = self.hosts[host as usize].engine.step(self.now, job, number);
        self.plan(host, next);
        for report in reports {
            self.feed(host, Input::Engine { job, report })?;
        }
        Ok(())
    }

    /// A call waits for the next block; a question is answered as fast as the interface is.
    pub(crate) fn call_ledger(&mut self, host: u32, call: Box<LedgerCall>) -> Result<(), Broken> {
        let is_client = self.hosts[host as usize].is_client();
        match &*call {
            LedgerCall::Claim { voucher, .. } | LedgerCall::Close { voucher: Some((voucher, _)), .. } => {
                self.check.brings(voucher, is_client)?;
            }
            LedgerCall::Open { .. }
            | LedgerCall::TopUp { .. }
            | LedgerCall::Watch { .. }
            | LedgerCall::Unwatch { .. }
            | LedgerCall::Close { voucher: None, .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. } => {}
        }
        let ledger = &self.scenario.ledger;
        let there = self.now + Span::from_ms(ledger.rpc_ms);
        let at =
            if Chain::is_question(&call) { there } else { next_block(there, Span::from_ms(ledger.block_ms)) };
        self.schedule(at, LEDGER, host, Event::LedgerCall(call));
        Ok(())
    }

    pub(crate) fn on_ledger(&mut self, from: u32, call: LedgerCall) -> Result<(), Broken> {
        let wallet = self.hosts[from as usize].wallet;
        let back = self.now + Span::from_ms(self.scenario.ledger.rpc_ms);
        for (host, news) in self.chain.execute(self.now, from, wallet, call) {
            self.schedule(back, host, from, Event::LedgerNews(Box::new(news)));
        }
        Check::money_of_calls(&self.chain)
    }

    /// One host says that another broke a rule.
    pub(crate) fn accuse(&mut self, host: u32, peer: &NodeId, fault: PeerFault) {
        let Some(accused) = self.addresses.get(peer).copied() else { return };
        if self.hosts[host as usize].plan.is_none() {
            self.measures.blames.note(accused, self.now);
        }
        if self.hosts[accused as usize].plan.is_none() {
            self.measures.accused(fault);
        }
    }

    pub(crate) fn on_event(&mut self, host: u32, event: Said) -> Result<(), Broken> {
        match event {
            Said::Order { id, news } => self.order_news(u32::try_from(id.0).unwrap_or(u32::MAX), news),
            Said::Served(served) => {
                let client = self.addresses.get(&served.client).copied();
                let is_honest = self.hosts[host as usize].plan.is_none();
                if let Some(client) =
                    client.filter(|_| is_honest && served.refused.is_some_and(blames_client))
                {
                    self.measures.blames.note(client, self.now);
                }
                Ok(())
            }
            Said::Channel(_) => Ok(()),
        }
    }

    fn order_news(&mut self, number: u32, news: OrderNews) -> Result<(), Broken> {
        self.check.news(number, &news)?;
        let (addresses, hosts) = (&self.addresses, &self.hosts);
        self.measures.news(
            number,
            self.now,
            news,
            |node| addresses.get(node).copied(),
            |host, input, output| hosts[host as usize].offer()?.price.cost(input, output),
        );
        self.settle_when_over();
        Ok(())
    }

    pub(crate) fn switch_on(&mut self, host: u32) -> Result<(), Broken> {
        self.up += u64::from(!self.hosts[host as usize].is_up());
        let first = self.hosts[host as usize].start(host, &self.draws);
        self.awake[host as usize] = true;
        self.feed(host, first)
    }

    pub(crate) fn crash(&mut self, host: u32) {
        self.up -= u64::from(self.hosts[host as usize].is_up());
        self.hosts[host as usize].crash();
        self.uplinks.clear(host);
        self.awake[host as usize] = false;
        let of_host = |number: &u32| self.measures.jobs[*number as usize].client == host;
        let lost: Vec<u32> = self.check.open().filter(of_host).collect();
        for number in lost {
            self.check.lost(number);
            self.measures.lost(number, self.now);
        }
        self.settle_when_over();
    }
}

/// The voucher of a record, as a watcher needs it.
fn guarded(record: &Record) -> Option<Guarded> {
    let Record::Earning(earning) = record else { return None };
    let payment = earning.payment?;
    let account = earning.terms.account().hash;
    Some(Guarded {
        voucher: Voucher { account, epoch: payment.epoch, cumulative: payment.cumulative },
        signature: payment.signature,
        challenge_s: earning.terms.challenge_s,
    })
}

fn next_block(now: Time, every: Span) -> Time {
    Time((now.0 / every.0 + 1).saturating_mul(every.0))
}

/// A number that depends on every byte of a message, so that a digest covers all that was ever sent.
pub(crate) fn content_hash(encoded: &[u8]) -> u64 {
    let (words, rest) = encoded.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut state = encoded.len() as u64;
    for word in words.iter().chain([&last]) {
        // An odd factor and a rotation lose nothing: one word changed is always another state.
        state = (state ^ u64::from_le_bytes(*word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
    fold(state, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_hash_depends_on_every_byte() {
        let bytes: Vec<u8> = (0..37).collect();
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_ne!(content_hash(&bytes), content_hash(&other), "{place}");
            assert_ne!(content_hash(&bytes), content_hash(&bytes[..place]));
        }
    }
}
