//! What concerns everyone: the ledger, the orders, the invariants that span hosts, and the end of the run.
//!
//! The coordinator processes the notes of all shards once they have reached the same time, sorted by time, then by host, then
//! by the order in which they happened to that host. Its own events come later than anything that the shards have done.

use std::collections::BTreeMap;
use std::sync::Arc;

use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::io::{OrderNews, PeerFault};
use bombyx_protocol::time::{Span, Time};

use crate::check::{Check, Pledge, Violation};
use crate::kernel::{Key, Trace};
use crate::ledger::{Chain, Wallet};
use crate::measures::{Counts, Measures, Sample};
use crate::workload::Arrival;
use crate::world::environment::Environment;
use crate::world::event::{Event, LEDGER};

/// How long after the last order has ended providers settle: longer than anyone repeats a message.
const SETTLE_AFTER: Span = Span::from_s(10);
/// How long after that clients ask for what is left.
const CLIENTS_SETTLE_AFTER: Span = Span::from_s(40);
/// Within how long each side does so, one after the other: a hundred thousand closes in one block are nothing that
/// happens, and would need more memory than the whole run before them.
const SETTLE_WITHIN: Span = Span::from_s(20);
/// How long a world goes on after that, besides the challenge time.
const END_AFTER: Span = Span::from_s(100);

/// How often all money is counted; what a single call does is checked at once.
const COUNT_EVERY: Span = Span::from_s(60);
/// How often the series are sampled, and whether it is over is asked.
const SAMPLE_EVERY: Span = Span::from_s(1);

/// A note with the host that it concerns and the time.
pub(crate) struct LogEntry {
    pub(crate) at: Time,
    pub(crate) host: u32,
    pub(crate) note: Note,
}

/// A message from a shard to the coordinator.
pub(crate) enum Note {
    /// A client was given the order with this number, if it has power.
    Ordered { number: u32, is_up: bool },
    /// A host with this account lost power, and with it what was not on its disk.
    Crashes { wallet: Wallet, is_client: bool },
    /// Something happened to the order with this number.
    News(u32, Box<OrderNews>),
    /// A record is written to a disk.
    Writes(Pledge),
    /// A record is on a disk.
    Durable(Pledge),
    /// A host calls the ledger.
    Calls(Box<PendingCall>),
    /// It holds something against this host.
    Blames(u32),
    /// It says that an honest host broke a rule.
    Accuses(PeerFault),
    /// An invariant does not hold.
    Violation(Violation),
}

/// A call of the ledger.
pub(crate) struct PendingCall {
    /// When it is in a block, or asked of the ledger's interface.
    pub(crate) at: Time,
    /// Counts the events of the caller.
    pub(crate) id: u64,
    /// The caller's account.
    pub(crate) wallet: Wallet,
    /// Whether the caller buys.
    pub(crate) is_client: bool,
    /// The call.
    pub(crate) call: Box<LedgerCall>,
}

/// A sum over all shards at one moment.
#[derive(Default)]
pub(crate) struct Sum {
    pub(crate) trace: Trace,
    pub(crate) counts: Counts,
    /// Hosts that have power.
    pub(crate) up: u64,
}

/// The coordinator.
pub(crate) struct Coordinator {
    environment: Arc<Environment>,
    pub(crate) chain: Chain,
    pub(crate) check: Check,
    pub(crate) measures: Measures,
    /// Trace of the ledger's events.
    pub(crate) trace: Trace,
    /// Calls on their way to the ledger.
    calls: BTreeMap<Key, Box<PendingCall>>,
    /// Numbers the ledger's answers.
    answers: u64,
    next_order: Option<Arrival>,
    /// Orders that were given so far.
    ordered: usize,
    settling_since: Option<Time>,
    pub(crate) next_sample: Time,
    /// The latest of the ledger's events.
    pub(crate) now: Time,
    /// Notes from all shards since the last window.
    log: Vec<LogEntry>,
    /// Events that the coordinator causes, to be handed to the hosts' shards.
    out: Vec<(Key, Event)>,
}

/// Which invariant does not hold, and since when.
pub(crate) type ViolationAt = (Time, Violation);

impl Coordinator {
    /// Creates a coordinator at time zero, with a ledger that holds everyone's money.
    pub(crate) fn new(environment: Arc<Environment>, chain: Chain) -> Self {
        let mut coordinator = Self {
            chain,
            check: Check::new(&environment.scenario),
            measures: Measures::default(),
            trace: Trace::default(),
            calls: BTreeMap::new(),
            answers: 0,
            next_order: environment.workload.arrival(0, environment.workload.begins(), &environment.draws),
            ordered: 0,
            settling_since: None,
            next_sample: Time(0) + SAMPLE_EVERY,
            now: Time(0),
            log: Vec::new(),
            out: Vec::new(),
            environment,
        };
        for switch in &coordinator.environment.switches {
            let event = if switch.is_on { Event::Restart } else { Event::Crash };
            coordinator.out.push((event.key_of_world(switch.at, switch.host, 0), event));
        }
        coordinator.measures.expect(coordinator.environment.workload.jobs());
        coordinator.settle_when_over(Time(0));
        coordinator
    }

    /// Returns when it has something to do next; the end of time where it has not.
    pub(crate) fn next_at(&self) -> Time {
        let call = self.calls.first_key_value().map(|(key, _)| key.at);
        let order = self.next_order.map(|arrival| arrival.at);
        call.into_iter().chain(order).min().unwrap_or(Time::NEVER)
    }

    /// Gives every order that comes before `until` to its client.
    pub(crate) fn deal(&mut self, until: Time) {
        while let Some(Arrival { number, at, client }) = self.next_order.filter(|next| next.at < until) {
            self.measures.ordered(client, at);
            let event = Event::Order(number);
            self.out.push((event.key_of_world(at, client, u64::from(number)), event));
            self.next_order = self.environment.workload.arrival(number + 1, at, &self.environment.draws);
        }
    }

    /// Appends a shard's log, in the order in which it was written.
    pub(crate) fn hear(&mut self, log: &mut Vec<LogEntry>) {
        self.log.append(log);
    }

    /// Processes the notes of all shards: everything that happened before `until`.
    ///
    /// # Errors
    /// The first [`Violation`].
    pub(crate) fn take(&mut self, until: Time) -> Result<(), ViolationAt> {
        let mut log = std::mem::take(&mut self.log);
        // A shard's log is in order already, but for hosts of one instant.
        log.sort_by_key(|noted| (noted.at, noted.host));
        for LogEntry { at, host, note } in log.drain(..) {
            self.pass(at)?;
            self.note(at, host, note).map_err(|violation| (at, violation))?;
        }
        self.log = log;
        self.pass(Time(until.0.saturating_sub(1)))?;
        self.check.orders.deadlines(until)
    }

    /// Removes and returns the events that the coordinator causes.
    pub(crate) fn out(&mut self) -> impl Iterator<Item = (Key, Event)> {
        self.out.drain(..)
    }

    /// Lets the ledger carry out everything up to `now`.
    fn pass(&mut self, now: Time) -> Result<(), ViolationAt> {
        while let Some(entry) = self.calls.first_entry().filter(|entry| entry.key().at <= now) {
            let (key, called) = entry.remove_entry();
            self.check.orders.deadlines(key.at)?;
            self.now = key.at;
            self.trace.begin(&key);
            self.execute(&key, *called).map_err(|violation| (key.at, violation))?;
        }
        self.check.orders.deadlines(now)
    }

    fn execute(&mut self, key: &Key, called: PendingCall) -> Result<(), Violation> {
        let back = key.at + self.environment.to_ledger();
        for (host, news) in self.chain.execute(key.at, key.src, called.wallet, *called.call) {
            self.answers += 1;
            let event = Event::LedgerNews(Box::new(news));
            self.out.push((event.key(back, host, LEDGER, self.answers), event));
        }
        Check::money_of_calls(&self.chain)
    }

    fn note(&mut self, at: Time, host: u32, note: Note) -> Result<(), Violation> {
        match note {
            Note::Ordered { number, is_up } => {
                self.ordered += 1;
                if is_up {
                    let workload = &self.environment.workload;
                    self.check.orders.ordered(number, at + workload.deadline(), workload.max_cost());
                } else {
                    self.measures.lost(number, at);
                }
                self.settle_when_over(at);
            }
            Note::Crashes { is_client: true, .. } => self.lose_orders(at, host),
            Note::Crashes { wallet, is_client: false } => {
                self.check.crashed(&wallet);
            }
            Note::News(number, news) => {
                self.check.orders.news(number, &news)?;
                let environment = &self.environment;
                self.measures.news(
                    number,
                    at,
                    *news,
                    |node| environment.addresses.get(node).copied(),
                    |host, input, output| Some(environment.price(host)?.cost(input, output)),
                );
                self.settle_when_over(at);
            }
            Note::Writes(pledge) => self.check.writes(&pledge, at, &self.chain)?,
            Note::Durable(pledge) => self.check.durable(&pledge)?,
            Note::Calls(called) => self.call(host, called)?,
            Note::Blames(other) => self.measures.blames.note(other, at),
            Note::Accuses(fault) => self.measures.accused(fault),
            Note::Violation(violation) => return Err(violation),
        }
        Ok(())
    }

    fn call(&mut self, host: u32, called: Box<PendingCall>) -> Result<(), Violation> {
        match &*called.call {
            LedgerCall::Claim { voucher, .. } | LedgerCall::Close { voucher: Some(voucher), .. } => {
                self.check.brings(voucher, called.is_client)?;
            }
            LedgerCall::Open { .. }
            | LedgerCall::TopUp { .. }
            | LedgerCall::Watch { .. }
            | LedgerCall::Unwatch { .. }
            | LedgerCall::Close { voucher: None, .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. } => {}
        }
        let key = Key { at: called.at, kind: 0, dst: LEDGER, src: host, id: called.id };
        self.calls.insert(key, called);
        Ok(())
    }

    /// Ends the orders of a client without power.
    fn lose_orders(&mut self, at: Time, host: u32) {
        let of_host = |number: &u32| self.measures.jobs[*number as usize].client == host;
        let lost: Vec<u32> = self.check.orders.numbers().filter(of_host).collect();
        for number in lost {
            self.check.orders.lost(number);
            self.measures.lost(number, at);
        }
        self.settle_when_over(at);
    }

    /// Tells everyone to close once every order has ended: providers at once, clients what is then left.
    fn settle_when_over(&mut self, now: Time) {
        let are_all_given = self.next_order.is_none() && self.ordered == self.measures.jobs.len();
        if !are_all_given || !self.check.orders.is_empty() || self.settling_since.is_some() {
            return;
        }
        self.settling_since = Some(now);
        let nodes = self.environment.scenario.nodes;
        for host in 0..nodes {
            let wait = if self.environment.is_provider(host) { SETTLE_AFTER } else { CLIENTS_SETTLE_AFTER };
            let turn = Span(SETTLE_WITHIN.0 * u64::from(host) / u64::from(nodes));
            self.out.push((Event::Settle.key_of_world(now + wait + turn, host, 0), Event::Settle));
        }
    }

    /// Orders that have ended.
    pub(crate) fn ended(&self) -> u64 {
        (self.measures.jobs.len() - self.check.orders.len()) as u64
    }

    /// Notes how things stand at the end of a virtual second. Returns whether the run is over.
    ///
    /// # Errors
    /// [`Violation`] where money is not what it was.
    pub(crate) fn sample(&mut self, sum: &Sum) -> Result<bool, ViolationAt> {
        let at = self.next_sample;
        self.measures.series.push(Sample {
            at,
            events: sum.trace.events,
            up: sum.up,
            ordered: self.measures.jobs.len() as u64,
            ended: self.ended(),
            traffic: sum.counts.all_traffic(),
            channels: self.chain.open_channels() as u64,
            locked: self.chain.locked(),
            paid_out: self.chain.paid_out(),
            fees: self.chain.fees(),
        });
        self.next_sample = at + SAMPLE_EVERY;
        if at.0.is_multiple_of(COUNT_EVERY.0) {
            self.count_money(at)?;
        }
        Ok(self.is_over(at))
    }

    /// Counts all money there is.
    ///
    /// # Errors
    /// [`Violation`] where it is not what it was.
    pub(crate) fn count_money(&self, now: Time) -> Result<(), ViolationAt> {
        Check::money(&self.chain).map_err(|violation| (now, violation))
    }

    fn is_over(&self, now: Time) -> bool {
        let Some(since) = self.settling_since else { return false };
        let settled = self.chain.open_channels() == 0 && now > since + SETTLE_AFTER + SETTLE_WITHIN;
        let challenge = Span::from_s(u64::from(self.environment.scenario.market.challenge_s));
        settled || now > since + CLIENTS_SETTLE_AFTER + challenge + END_AFTER
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use bombyx_protocol::amount::Nano;

    use super::*;
    use crate::kernel::Draws;
    use crate::scenario::Scenario;
    use crate::workload::population::{self, NETWORK_ID};

    fn coordinator() -> Coordinator {
        let scenario =
            Scenario::parse("test.toml", "nodes = 12\n[workload]\njobs = 2\n").expect("a scenario");
        let draws = Draws::new(1);
        let hosts = population::hosts(&scenario, &draws);
        let environment = Environment::new(&scenario, draws, &hosts, NonZeroUsize::MIN);
        Coordinator::new(Arc::new(environment), Chain::new(NETWORK_ID))
    }

    fn violation(at: u64, host: u32) -> LogEntry {
        let violation = Violation { invariant: "a test", detail: format!("host {host}") };
        LogEntry { at: Time(at), host, note: Note::Violation(violation) }
    }

    #[test]
    fn the_first_broken_invariant_by_time_and_host_is_named_whichever_shard_is_heard_first() {
        let shards = || [vec![violation(20, 1), violation(30, 0)], vec![violation(10, 5), violation(10, 3)]];
        let [mut one, mut other] = shards();
        let [mut again, mut first] = shards();
        let taken = |logs: [&mut Vec<LogEntry>; 2]| {
            let mut coordinator = coordinator();
            logs.into_iter().for_each(|log| coordinator.hear(log));
            coordinator.take(Time(100)).map_err(|(at, violation)| (at, violation.detail))
        };
        assert_eq!(taken([&mut one, &mut other]), Err((Time(10), "host 3".to_owned())));
        assert_eq!(taken([&mut first, &mut again]), Err((Time(10), "host 3".to_owned())));
    }

    #[test]
    fn an_order_that_is_late_is_noticed_before_what_came_after_it_and_not_before_its_time_is_over() {
        let mut coordinator = coordinator();
        coordinator.check.orders.ordered(0, Time(5_000_000), Nano(1));
        assert_eq!(coordinator.take(Time(6_000_000)), Ok(()), "a second of grace");
        coordinator.hear(&mut vec![violation(7_000_000, 1)]);
        let late = coordinator.take(Time(8_000_000)).map_err(|(at, violation)| (at, violation.invariant));
        assert_eq!(late, Err((Time(6_000_000), "every order ends by its deadline")));
    }
}
