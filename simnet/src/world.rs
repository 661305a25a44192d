//! A world: hosts, links, topics, ledger and workload around one queue of events, run one event at a time.

use std::collections::BTreeMap;

use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::watch::Guarded;
use bombyx_protocol::io::{Command, Input, Output};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Message;
use bombyx_protocol::work::order::{JobId, ModelId, OrderId};

use crate::chain::Chain;
use crate::check::{Broken, Check};
use crate::deliver::ARRIVALS_MIN;
use crate::directory::Directory;
use crate::gossip::{Changes, Solver};
use crate::host::{Host, Runaway};
use crate::job::JobRow;
use crate::measure::{Measures, Sample};
use crate::net::{Links, Partition, Place, Regions, Uplinks};
use crate::outside::Parcel;
use crate::overlay::{FloodId, Overlay};
use crate::population::{self, NETWORK_ID, followers, hosts, model_id};
use crate::power::{Off, Power};
use crate::probe::Probe;
use crate::queue::{Key, Queue};
use crate::rng::{Draws, fold};
use crate::scenario::{self, Scenario};
use crate::workload::{Arrival, Workload};

/// The ledger and the world itself, where an event needs a host that is none.
pub(crate) const LEDGER: u32 = u32::MAX - 1;
const WORLD: u32 = u32::MAX;

/// How long after the last order has ended providers settle: longer than anyone repeats a message.
const SETTLE_AFTER: Span = Span::from_s(10);
/// How long after that clients ask for what is left.
const CLIENTS_SETTLE_AFTER: Span = Span::from_s(40);
/// How long a world goes on after that, besides the challenge time.
const END_AFTER: Span = Span::from_s(100);

/// How often all money is counted; what a single call does is checked at once.
const COUNT_EVERY: Span = Span::from_s(60);
/// How often the series are sampled.
const SAMPLE_EVERY: Span = Span::from_s(1);

/// What happens. The variants are in the order in which they happen at one instant.
pub(crate) enum Event {
    /// A host loses power.
    Crash,
    /// It has power again.
    Restart,
    /// A call is in a block, or asked of the ledger's interface.
    LedgerCall(Box<LedgerCall>),
    /// The ledger's answer arrives.
    LedgerNews(Box<LedgerEvent>),
    /// A disk commit of this life of the host is complete.
    Committed(u32),
    /// An engine has something to say.
    Engine(Box<(JobId, u64)>),
    /// A direct message arrives.
    Message(Box<Message>),
    /// A copy of a gossip message arrives at this member of its topic, after this many hops.
    Hop(FloodId, u32, u8),
    /// A message could not be delivered to this host.
    Undelivered(u32),
    /// An order is given.
    Order(Box<Arrival>),
    /// The end: both sides are told to settle.
    Settle,
    /// A machine wanted to be woken.
    Tick,
    /// A voucher is handed to a watcher.
    Guard(Box<Guarded>),
}

impl Event {
    const fn rank(&self) -> u8 {
        match self {
            Self::Crash => 0,
            Self::Restart => 1,
            Self::LedgerCall(_) => 2,
            Self::LedgerNews(_) => 3,
            Self::Committed(_) => 4,
            Self::Engine(_) => 5,
            Self::Message(_) => 6,
            Self::Hop(..) => 7,
            Self::Undelivered(_) => 8,
            Self::Order(_) => 9,
            Self::Settle => 10,
            Self::Tick => 11,
            Self::Guard(_) => 12,
        }
    }
}

/// A run that stopped because an invariant does not hold, with all that is needed to see it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant broken in run {run_id} (seed {seed}) at event {event}, {at_s} s: {broken}")]
pub struct Stopped {
    /// The run.
    pub run_id: String,
    /// Its seed.
    pub seed: u64,
    /// Which event broke it.
    pub event: u64,
    /// When, in virtual seconds.
    pub at_s: String,
    /// What broke.
    pub broken: Broken,
}

/// How far a run is, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Events so far.
    pub events: u64,
    /// Virtual time.
    pub now: Time,
    /// Orders that have ended.
    pub ended: u64,
}

/// Everything that exists in one run.
pub struct World {
    pub(crate) scenario: Scenario,
    pub(crate) draws: Draws,
    pub(crate) now: Time,
    pub(crate) events: u64,
    /// Folds every event's key and every message's bytes.
    pub(crate) trace: u64,
    pub(crate) queue: Queue<Event>,
    pub(crate) hosts: Vec<Host>,
    /// Where each of them is.
    pub(crate) places: Vec<Place>,
    /// Which of them have power.
    pub(crate) awake: Vec<bool>,
    /// How many have.
    pub(crate) up: u64,
    pub(crate) addresses: Directory,
    pub(crate) topics: BTreeMap<ModelId, u32>,
    pub(crate) links: Links,
    pub(crate) uplinks: Uplinks,
    /// The latest arrival between two hosts: a connection keeps the order of its messages.
    pub(crate) arrivals: BTreeMap<(u32, u32), Time>,
    pub(crate) arrivals_max: usize,
    pub(crate) overlay: Overlay,
    pub(crate) solver: Solver,
    pub(crate) changes: Changes,
    pub(crate) may_keep: bool,
    /// The topics that each host follows.
    follows: Vec<Vec<u32>>,
    /// Outputs of the machine that was fed last, and the message that was sent last: kept for their memory.
    outputs: Vec<Output>,
    pub(crate) encoded: Vec<u8>,
    pub(crate) chain: Chain,
    pub(crate) workload: Workload,
    pub(crate) check: Check,
    pub(crate) measures: Measures,
    /// Messages that another tier carries, where one does.
    pub(crate) parcels: Option<Vec<Parcel>>,
    pub(crate) probe: Option<Probe>,
    ids: u64,
    all_ordered: bool,
    settling_since: Option<Time>,
    next_sample: Time,
}

impl World {
    /// A world at time zero, with everyone about to be switched on.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let draws = Draws::new(scenario.seed);
        let regions = Regions::shipped();
        let hosts = hosts(scenario, &draws);
        let mut chain = Chain::new(NETWORK_ID);
        for host in &hosts {
            chain.fund(host.wallet, population::start_money(scenario, &hosts, host));
        }
        let network = &scenario.network;
        let links = Links::new(&regions, network, partitions(scenario, &regions));
        let overlay = Overlay::new(followers(scenario, &hosts), hosts.len(), network, &draws);
        let mut follows = vec![Vec::new(); hosts.len()];
        for (topic, of) in (0u32..).zip(&overlay.topics) {
            of.members.iter().for_each(|host| follows[*host as usize].push(topic));
        }
        let keepers = || scenario.attack.iter().filter(|attack| attack.kind.keeps_gossip());
        let keep_shifts = keepers().flat_map(|ride| [Some(ride.start_s), ride.stop_s]).flatten();
        let shifts = links.shifts().chain(keep_shifts.map(scenario::at));
        let mut world = Self {
            draws,
            now: Time(0),
            events: 0,
            trace: 0,
            queue: Queue::new(),
            places: hosts.iter().map(|host| host.place).collect(),
            awake: vec![false; hosts.len()],
            addresses: Directory::new(hosts.iter().map(|host| host.node)),
            topics: (0..scenario.population.models).map(|model| (model_id(model), model)).collect(),
            changes: Changes::new(shifts),
            may_keep: keepers().next().is_some(),
            links,
            uplinks: if network.uplink_queues { Uplinks::of(hosts.len()) } else { Uplinks::default() },
            arrivals: BTreeMap::new(),
            arrivals_max: ARRIVALS_MIN,
            overlay,
            solver: Solver::default(),
            follows,
            outputs: Vec::new(),
            encoded: Vec::new(),
            chain,
            workload: Workload::new(scenario),
            check: Check::default(),
            measures: Measures::default(),
            up: 0,
            parcels: None,
            probe: None,
            ids: 0,
            all_ordered: false,
            settling_since: None,
            next_sample: Time(0) + SAMPLE_EVERY,
            hosts,
            scenario: scenario.clone(),
        };
        world.measures.expect(world.workload.jobs());
        world.schedule_power(&regions);
        world.schedule_order(0, world.workload.begins());
        world.settle_when_over();
        world
    }

    /// Runs to the end. `progress` is called now and then.
    ///
    /// # Errors
    /// [`Stopped`] at the first broken invariant.
    pub fn run(&mut self, progress: impl FnMut(Progress)) -> Result<(), Box<Stopped>> {
        self.scenario.crypto.with(|| self.run_to_the_end(progress))
    }

    fn run_to_the_end(&mut self, mut progress: impl FnMut(Progress)) -> Result<(), Box<Stopped>> {
        while self.step()? {
            if self.events.is_multiple_of(8_192) {
                progress(Progress { events: self.events, now: self.now, ended: self.ended() });
            }
            if self.is_over() {
                break;
            }
        }
        Check::money(&self.chain).map_err(|broken| self.stopped(broken))
    }

    /// One event. Whether there was one.
    pub(crate) fn step(&mut self) -> Result<bool, Box<Stopped>> {
        let Some((key, event)) = self.queue.pop() else { return Ok(false) };
        while self.next_sample <= key.at {
            self.sample();
            if self.next_sample.0.is_multiple_of(COUNT_EVERY.0) {
                Check::money(&self.chain).map_err(|broken| self.stopped(broken))?;
            }
        }
        self.now = key.at;
        self.events += 1;
        self.trace_key(&key);
        self.dispatch(key, event)
            .and_then(|()| self.check.deadlines(self.now))
            .map_err(|broken| self.stopped(broken))?;
        Ok(true)
    }

    /// From now on every provider that starts is a forgetful one.
    #[cfg(test)]
    pub(crate) fn plant_a_bug(&mut self) {
        for host in &mut self.hosts {
            host.planted = true;
        }
    }

    /// One row for each order, in the order of arrival.
    #[must_use]
    pub fn jobs(&self) -> &[JobRow] {
        &self.measures.jobs
    }

    fn ended(&self) -> u64 {
        (self.measures.jobs.len() - self.check.open_orders()) as u64
    }

    /// Notes how things stand at the end of a virtual second.
    fn sample(&mut self) {
        self.measures.series.push(Sample {
            at: self.next_sample,
            events: self.events,
            up: self.up,
            ordered: self.measures.jobs.len() as u64,
            ended: self.ended(),
            traffic: self.measures.all_traffic(),
            channels: self.chain.open_channels() as u64,
            locked: self.chain.locked(),
            paid_out: self.chain.paid_out(),
            fees: self.chain.fees(),
        });
        self.next_sample = self.next_sample + SAMPLE_EVERY;
    }

    pub(crate) fn stopped(&self, broken: Broken) -> Box<Stopped> {
        Box::new(Stopped {
            run_id: crate::report::run_id(&self.scenario),
            seed: self.scenario.seed,
            event: self.events,
            at_s: format!("{:.6}", self.now.0 as f64 / 1e6),
            broken,
        })
    }

    fn trace_key(&mut self, key: &Key) {
        let who = u64::from(key.dst) << 32 | u64::from(key.src);
        let what = key.id.rotate_left(24) ^ u64::from(key.kind) << 56 ^ key.at.0;
        self.trace = fold(fold(self.trace, what), who);
    }

    fn schedule_power(&mut self, regions: &Regions) {
        let last_order = self.workload.last_order(&self.draws);
        let times: Vec<Vec<Off>> = {
            let power = Power::new(&self.scenario, &self.draws, regions, last_order);
            let off = |(number, host): (u32, &Host)| power.off(number, host.role(), host.place.region);
            (0u32..).zip(&self.hosts).map(off).collect()
        };
        for (host, times) in (0u32..).zip(times) {
            for (from, until) in times {
                if from > Time(0) {
                    self.schedule_by_world(from, host, Event::Crash);
                }
                if until < Time(u64::MAX) {
                    self.schedule_by_world(until, host, Event::Restart);
                }
            }
        }
    }

    fn schedule_order(&mut self, number: u32, previous: Time) {
        match self.workload.arrival(number, previous, &self.draws) {
            Some(arrival) => {
                self.schedule_by_world(arrival.at, arrival.client, Event::Order(Box::new(arrival)))
            }
            None => self.all_ordered = true,
        }
    }

    fn schedule_by_world(&mut self, at: Time, dst: u32, event: Event) {
        if matches!(event, Event::Crash | Event::Restart) {
            self.follows[dst as usize].iter().for_each(|topic| self.changes.expect(*topic, at, dst));
        }
        self.ids += 1;
        self.queue.push(Key { at, kind: event.rank(), dst, src: WORLD, id: self.ids }, event);
    }

    /// Schedules an event that `src` causes.
    pub(crate) fn schedule(&mut self, at: Time, dst: u32, src: u32, event: Event) {
        let id = self.hosts[src as usize].next_id();
        self.queue.push(Key { at: at.max(self.now), kind: event.rank(), dst, src, id }, event);
    }

    /// Schedules a copy of a flood; what distinguishes it is the flood, so that it is the same in every tier.
    pub(crate) fn schedule_copy(&mut self, at: Time, dst: u32, src: u32, flood: u64, event: Event) {
        self.queue.push(Key { at, kind: event.rank(), dst, src, id: flood }, event);
    }

    fn dispatch(&mut self, key: Key, event: Event) -> Result<(), Broken> {
        let (host, from) = (key.dst, key.src);
        if matches!(event, Event::Crash | Event::Restart) {
            self.follows[host as usize].iter().for_each(|topic| self.changes.happened(*topic, key.at, host));
        }
        match event {
            Event::Crash => {
                self.crash(host);
                Ok(())
            }
            Event::Restart => self.switch_on(host),
            Event::LedgerCall(call) => self.on_ledger(from, *call),
            Event::LedgerNews(news) => self.feed(host, Input::Ledger(*news)),
            Event::Committed(life) => self.committed(host, life),
            Event::Engine(step) => self.engine_step(host, step.0, step.1),
            Event::Message(message) => {
                let from = self.hosts[from as usize].node;
                self.feed(host, Input::Received { from, message: *message })
            }
            Event::Hop(flood, member, hops) => self.hop(flood, host, member, from, hops),
            Event::Undelivered(to) => {
                let to = self.hosts[to as usize].node;
                self.feed(host, Input::Undelivered { to })
            }
            Event::Order(arrival) => self.order(*arrival),
            Event::Guard(guarded) => self.feed(host, Input::Command(Command::Guard(*guarded))),
            Event::Settle => self.feed(host, Input::Command(Command::Settle)),
            Event::Tick => match self.hosts[host as usize].ticked(self.now) {
                Ok(true) => self.feed(host, Input::Tick),
                Ok(false) => {
                    self.arm(host);
                    Ok(())
                }
                Err(runaway) => Err(run_away(host, runaway)),
            },
        }
    }

    /// Gives a host one input and carries out what its machine says.
    ///
    /// While a record of an earlier input is not durable, all that a machine may do is write more.
    pub(crate) fn feed(&mut self, host: u32, input: Input) -> Result<(), Broken> {
        let target = &mut self.hosts[host as usize];
        // Who attacks is bound by nothing.
        let must_wait =
            target.plan.is_none() && target.disk.is_behind() && !matches!(input, Input::Persisted(_));
        let mut outputs = std::mem::take(&mut self.outputs);
        target.handle(self.now, input, &mut outputs).map_err(|runaway| run_away(host, runaway))?;
        for output in outputs.drain(..) {
            Check::silence(must_wait, &output)?;
            self.carry_out(host, output)?;
        }
        self.outputs = outputs;
        self.arm(host);
        Ok(())
    }

    fn arm(&mut self, host: u32) {
        if let Some(at) = self.hosts[host as usize].arm(self.now) {
            self.schedule(at, host, host, Event::Tick);
        }
    }

    fn carry_out(&mut self, host: u32, output: Output) -> Result<(), Broken> {
        match output {
            Output::Send { to, message } => self.send(host, to, message),
            Output::Broadcast { model, gossip } => self.broadcast(host, model, gossip),
            Output::Persist { id, record } => self.persist(host, id, record),
            Output::Run { job, task, .. } => self.start_job(host, job, &task),
            Output::Allow { job, tokens } => {
                self.allow(host, job, tokens);
                Ok(())
            }
            Output::Cancel { job } => {
                self.cancel(host, job);
                Ok(())
            }
            Output::Ledger(call) => self.call_ledger(host, call),
            Output::Event(event) => self.on_event(host, event),
            Output::Fault { peer, fault } => {
                self.accuse(host, &peer, fault);
                Ok(())
            }
            Output::Wake(_) => Ok(()),
        }
    }

    fn order(&mut self, arrival: Arrival) -> Result<(), Broken> {
        self.schedule_order(arrival.number + 1, arrival.at);
        self.measures.ordered(arrival.client, self.now);
        let client = &self.hosts[arrival.client as usize];
        if !client.is_up() {
            self.measures.lost(arrival.number, self.now);
            self.settle_when_over();
            return Ok(());
        }
        let order = self.workload.order(arrival.number, client, &self.draws);
        self.check.ordered(arrival.number, self.now + order.deadline, order.max_cost);
        let id = OrderId(u64::from(arrival.number));
        self.feed(arrival.client, Input::Command(Command::Order { id, order: Box::new(order) }))
    }

    /// Once every order has ended, everyone settles: providers at once, clients what is then left.
    pub(crate) fn settle_when_over(&mut self) {
        if !self.all_ordered || self.check.open_orders() > 0 || self.settling_since.is_some() {
            return;
        }
        self.settling_since = Some(self.now);
        for host in 0..self.scenario.nodes {
            let wait =
                if self.hosts[host as usize].is_provider() { SETTLE_AFTER } else { CLIENTS_SETTLE_AFTER };
            self.schedule_by_world(self.now + wait, host, Event::Settle);
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        let Some(since) = self.settling_since else { return false };
        let settled = self.chain.open_channels() == 0 && self.now > since + SETTLE_AFTER;
        let challenge = Span::from_s(u64::from(self.scenario.market.challenge_s));
        settled || self.now > since + CLIENTS_SETTLE_AFTER + challenge + END_AFTER
    }

    /// What was counted.
    #[must_use]
    pub const fn measures(&self) -> &Measures {
        &self.measures
    }

    /// Virtual time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// A hash over everything that happened and everything that is left: equal for equal runs.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&self.trace.to_le_bytes())
            .update(&self.events.to_le_bytes())
            .update(&self.now.0.to_le_bytes());
        self.digest_market(&mut hasher);
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// A hash over the outcome of every order, the ledger and all disks: equal in every tier. (`SI-6`)
    #[must_use]
    pub fn market_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.digest_market(&mut hasher);
        hasher.finalize().to_hex()[..32].to_owned()
    }

    fn digest_market(&self, hasher: &mut blake3::Hasher) {
        self.chain.digest(hasher);
        self.measures.jobs.iter().for_each(|job| job.digest(hasher));
        let mut encoded = Vec::new();
        for disk in self.hosts.iter().map(|host| &host.disk) {
            encoded.clear();
            disk.records().for_each(|record| codec::encode_onto(record, &mut encoded));
            hasher.update(&encoded).update(&disk.receipts().to_le_bytes());
        }
    }
}

fn partitions(scenario: &Scenario, regions: &Regions) -> Vec<Partition> {
    let one = |spec: &scenario::PartitionSpec| Partition {
        from: scenario::at(spec.from_s),
        until: scenario::at(spec.until_s),
        regions: spec
            .regions
            .iter()
            .filter_map(|name| regions.find(name))
            .fold(0, |bits, region| bits | 1 << region),
    };
    scenario.partition.iter().map(one).collect()
}

fn run_away(host: u32, runaway: Runaway) -> Broken {
    let detail = match runaway {
        Runaway::Outputs => format!("host {host} never stops giving outputs"),
        Runaway::Ticks => format!("host {host} wants to be woken at one instant for ever"),
    };
    Broken { invariant: "a machine comes to rest", detail }
}
