//! Some hosts of a world with all that only they touch, around one queue of events, run one event at a time.
//!
//! A shard knows nothing that happens in another until a message arrives from there. What concerns everyone (the ledger,
//! orders, invariants that span hosts) it writes into a log, which the coordinator reads when the shards have come equally far.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use bombyx_protocol::channel::id::ChannelId;
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::time::{Span, Time};

use crate::check::{Check, Violation};
use crate::host::power::Awake;
use crate::host::{Host, Runaway};
use crate::kernel::{Key, Queue, Trace};
use crate::measures::Counts;
use crate::network::{Paths, Uplinks};
use crate::world::coordinator::{LogEntry, Note};
use crate::world::environment::Environment;
use crate::world::event::{Event, tick};
use crate::world::parcel::Parcel;
use crate::world::probe::Probe;

/// Pairs of hosts whose latest arrival is kept before those that are over are looked for.
pub(crate) const ARRIVALS_MIN: usize = 1_024;

/// The hosts of a shard, by their numbers in the world.
pub(crate) struct Hosts {
    seated: Vec<Host>,
    environment: Arc<Environment>,
}

impl Index<u32> for Hosts {
    type Output = Host;

    fn index(&self, host: u32) -> &Host {
        &self.seated[self.environment.shard_map.slot(host)]
    }
}

impl IndexMut<u32> for Hosts {
    fn index_mut(&mut self, host: u32) -> &mut Host {
        &mut self.seated[self.environment.shard_map.slot(host)]
    }
}

/// A shard.
pub(crate) struct Shard {
    pub(crate) environment: Arc<Environment>,
    number: usize,
    pub(crate) now: Time,
    /// Events from here on wait for the next window.
    until: Time,
    /// The host of the current event.
    subject: u32,
    pub(crate) trace: Trace,
    queue: Queue<Event>,
    /// When machines are to be woken.
    wakes: BTreeSet<(Time, u32)>,
    pub(crate) hosts: Hosts,
    /// Which of all hosts have power.
    pub(crate) awake: Awake,
    /// How many of its own have.
    pub(crate) up: u64,
    pub(crate) uplinks: Uplinks,
    /// The latest arrival between a host and another: a connection keeps the order of its messages.
    pub(crate) arrivals: BTreeMap<(u32, u32), Time>,
    pub(crate) arrivals_max: usize,
    /// To whom a host publishes on a topic, once it has.
    pub(crate) fans: BTreeMap<(u32, u32), Vec<u32>>,
    pub(crate) way: Paths,
    /// The message that was sent last: kept for its memory.
    pub(crate) encoded: Vec<u8>,
    pub(crate) counts: Counts,
    /// Messages that another fidelity carries, where one does.
    pub(crate) parcels: Option<Vec<Parcel>>,
    pub(crate) probe: Option<Probe>,
    /// For the coordinator, in the order in which it happened.
    log: Vec<LogEntry>,
    /// Events for each other shard.
    outbox: Vec<Vec<(Key, Event)>>,
    inbox: Vec<(Key, Event)>,
    inbox_at: Time,
}

impl Shard {
    /// Creates a shard with these hosts, all switched off.
    pub(crate) fn new(environment: Arc<Environment>, number: usize, hosts: Vec<Host>) -> Self {
        let everyone = environment.nodes.len();
        let are_queues = environment.scenario.network.uplink_queues;
        Self {
            number,
            now: Time(0),
            until: Time(0),
            subject: 0,
            trace: Trace::default(),
            queue: Queue::new(),
            wakes: BTreeSet::new(),
            hosts: Hosts { seated: hosts, environment: Arc::clone(&environment) },
            awake: Awake::nobody(everyone),
            up: 0,
            uplinks: if are_queues { Uplinks::of(everyone) } else { Uplinks::default() },
            arrivals: BTreeMap::new(),
            arrivals_max: ARRIVALS_MIN,
            fans: BTreeMap::new(),
            way: Paths::default(),
            encoded: Vec::new(),
            counts: Counts::default(),
            parcels: None,
            probe: None,
            log: Vec::new(),
            outbox: (0..environment.shard_map.shards).map(|_| Vec::new()).collect(),
            inbox: Vec::new(),
            inbox_at: Time::NEVER,
            environment,
        }
    }

    /// Returns all hosts of this shard.
    #[cfg(test)]
    pub(crate) fn seated(&mut self) -> &mut [Host] {
        &mut self.hosts.seated
    }

    /// Returns when its next event is due; the end of time where none is pending.
    pub(crate) fn next_at(&mut self) -> Time {
        let wake = self.wakes.first().map_or(Time::NEVER, |(at, _)| *at);
        self.queue.next_at().unwrap_or(Time::NEVER).min(wake).min(self.inbox_at)
    }

    /// Processes all events before `until`; after a broken invariant, only the rest of that instant.
    pub(crate) fn run(&mut self, until: Time) {
        self.until = until;
        for (key, event) in self.inbox.drain(..) {
            self.queue.push(key, event);
        }
        self.inbox_at = Time::NEVER;
        loop {
            let wake = self.wakes.first().copied().filter(|(at, _)| *at < self.until);
            // Ticks are the last of an instant.
            let until = wake.map_or(self.until, |(at, _)| at + Span(1));
            let done = if let Some((key, event)) = self.queue.pop_before(until) {
                self.begin(&key);
                self.dispatch(key, event)
            } else if let Some((at, host)) = wake {
                self.wakes.pop_first();
                self.begin(&tick(at, host));
                self.tick(host)
            } else {
                break;
            };
            self.judge(done);
        }
    }

    /// Begins an event.
    pub(crate) fn begin(&mut self, key: &Key) {
        self.now = key.at;
        self.subject = key.dst;
        self.awake.pass(&self.environment.switches, key.at);
        self.trace.begin(key);
    }

    /// Ends an event. Everyone's instant with a broken invariant is finished, so that the first of them is the same
    /// in any number of shards.
    pub(crate) fn judge(&mut self, done: Result<(), Violation>) {
        if let Err(violation) = done {
            self.note(Note::Violation(violation));
            self.until = self.until.min(Time(self.now.0 + 1));
        }
    }

    /// Tells the coordinator something.
    pub(crate) fn note(&mut self, note: Note) {
        self.log.push(LogEntry { at: self.now, host: self.subject, note });
    }

    /// Returns everything that the coordinator was told since.
    pub(crate) fn log(&mut self) -> &mut Vec<LogEntry> {
        &mut self.log
    }

    /// Adds an event of one of its own hosts.
    pub(crate) fn push(&mut self, key: Key, event: Event) {
        self.queue.push(key, event);
    }

    /// Hands everything for another shard over to it.
    pub(crate) fn hand_over(&mut self, other: &mut Self) {
        let sent = &mut self.outbox[other.number];
        let first = sent.iter().map(|(key, _)| key.at).min().unwrap_or(Time::NEVER);
        other.inbox_at = other.inbox_at.min(first);
        other.inbox.append(sent);
    }

    /// Schedules an event that `src`, one of its own hosts, causes.
    pub(crate) fn schedule(&mut self, at: Time, dst: u32, src: u32, event: Event) {
        let id = self.hosts[src].next_id();
        self.post(event.key(at.max(self.now), dst, src, id), event);
    }

    /// Schedules a copy of a flood; what distinguishes it is the flood, so that it is the same in every fidelity.
    pub(crate) fn schedule_copy(&mut self, at: Time, dst: u32, src: u32, flood: u64, event: Event) {
        self.post(event.key(at, dst, src, flood), event);
    }

    fn post(&mut self, key: Key, event: Event) {
        let shard = self.environment.shard_map.shard(key.dst);
        if shard == self.number {
            self.queue.push(key, event);
        } else {
            debug_assert!(key.at >= self.until, "no message between shards is faster than they are apart");
            self.outbox[shard].push((key, event));
        }
    }

    fn dispatch(&mut self, key: Key, event: Event) -> Result<(), Violation> {
        let (host, from) = (key.dst, key.src);
        match event {
            Event::Crash => {
                self.crash(host);
                Ok(())
            }
            Event::Restart => self.switch_on(host),
            Event::LedgerNews(news) => self.feed(host, Input::Ledger(*news)),
            Event::Committed(life) => self.committed(host, life),
            Event::Engine(step) => self.engine_step(host, step.0, step.1),
            Event::Message(message) => {
                let prefix = self.environment.prefix(from);
                let from = self.environment.nodes[from as usize];
                self.feed(host, Input::Received { from, prefix, message: *message })
            }
            Event::Hop(flood, member, hops) => self.hop(&flood, host, member, from, hops),
            Event::Undelivered(to) => {
                let to = self.environment.nodes[to as usize];
                self.feed(host, Input::Undelivered { to })
            }
            Event::Order(number) => self.order(host, number),
            Event::Watch(watched) => self.feed(host, Input::Command(Command::Watch(*watched))),
            Event::Settle => self.feed(host, Input::Command(Command::Settle)),
        }
    }

    /// Gives a host one input and carries out what its machine says.
    ///
    /// While a record of an earlier input is not durable, nothing moves the money of its channel.
    pub(crate) fn feed(&mut self, host: u32, input: Input) -> Result<(), Violation> {
        let target = &mut self.hosts[host];
        // Attackers are bound by nothing.
        let must_wait =
            target.plan.is_none_or(|plan| !plan.is_real()) && !matches!(input, Input::Persisted(_));
        let behind: Vec<ChannelId> = if must_wait { target.disk.behind().collect() } else { Vec::new() };
        target.handle(self.now, input);
        while let Some(output) = self.hosts[host].poll().map_err(|runaway| run_away(host, runaway))? {
            Check::silence(&behind, &output)?;
            self.carry_out(host, output)?;
        }
        self.arm(host);
        Ok(())
    }

    fn tick(&mut self, host: u32) -> Result<(), Violation> {
        self.hosts[host].ticked(self.now).map_err(|runaway| run_away(host, runaway))?;
        self.feed(host, Input::Tick)
    }

    /// Notes when a host's machine is to be woken: what it no longer waits for wakes nobody.
    pub(crate) fn arm(&mut self, host: u32) {
        let Some((before, wanted)) = self.hosts[host].arm(self.now) else { return };
        if let Some(before) = before {
            self.wakes.remove(&(before, host));
        }
        if let Some(wanted) = wanted {
            self.wakes.insert((wanted, host));
        }
    }
}

fn run_away(host: u32, runaway: Runaway) -> Violation {
    let detail = match runaway {
        Runaway::Outputs => format!("host {host} never stops giving outputs"),
        Runaway::Ticks => format!("host {host} wants to be woken at one instant for ever"),
    };
    Violation { invariant: "a machine comes to rest", detail }
}
