//! A world: an environment, the hosts in it, divided among shards, and the coordinator for what concerns them all.

mod coordinator;
mod deliver;
mod directory;
mod environment;
mod event;
mod external;
pub mod fuzz;
mod gossip;
mod lookahead;
mod parcel;
mod probe;
mod shard;
mod shard_map;

use std::num::NonZeroUsize;
use std::sync::Arc;

use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::codec;

use crate::check::Violation;
use crate::host::Host;
use crate::kernel::Draws;
use crate::ledger::Chain;
use crate::measures::{Counts, JobRow, Measures};
use crate::network::Waits;
use crate::scenario::Scenario;
use crate::workload::population::{self, NETWORK_ID, hosts};
use crate::world::coordinator::{Coordinator, Sum};
use crate::world::environment::Environment;
use crate::world::probe::Probe;
use crate::world::shard::Shard;

pub use crate::world::parcel::{Inbound, Parcel};

/// A run that stopped because an invariant does not hold, with all that is needed to see it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invariant broken in run {run_id} (seed {seed}) at {at_s} s: {violation}")]
pub struct InvariantError {
    /// The run.
    pub run_id: String,
    /// Its seed.
    pub seed: u64,
    /// When, in virtual seconds.
    pub at_s: String,
    /// The invariant, and what was seen.
    pub violation: Violation,
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
    pub(crate) environment: Arc<Environment>,
    /// One for each thread. They move to other threads while a window runs, and are back in order after it.
    pub(crate) shards: Vec<Shard>,
    pub(crate) coordinator: Coordinator,
    pub(crate) now: Time,
    pub(crate) is_over: bool,
}

impl World {
    /// Creates a world at time zero, with everyone about to be switched on.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self::on_threads(scenario, NonZeroUsize::MIN)
    }

    /// Creates the same world, to be run on at most so many threads. Results are the same for any number. (`SI-9`)
    #[must_use]
    pub fn on_threads(scenario: &Scenario, threads: NonZeroUsize) -> Self {
        let draws = Draws::new(scenario.seed);
        let hosts = hosts(scenario, &draws);
        let mut chain = Chain::new(NETWORK_ID);
        let names = population::names_by_owner(&hosts);
        for host in &hosts {
            chain.fund(host.wallet, population::start_money(scenario, &names, host));
        }
        let environment = Arc::new(Environment::new(scenario, draws, &hosts, threads));
        let mut world = Self {
            shards: shards(&environment, hosts),
            coordinator: Coordinator::new(Arc::clone(&environment), chain),
            now: Time(0),
            is_over: false,
            environment,
        };
        world.post();
        world
    }

    /// Makes every provider that starts a forgetful one.
    #[cfg(test)]
    pub(crate) fn plant_a_bug(&mut self) {
        for host in self.shards.iter_mut().flat_map(|shard| shard.seated()) {
            host.planted = true;
        }
    }

    /// Measures all gossip that is published from this moment on.
    pub fn probe_gossip(&mut self, from: Time) {
        self.shards.iter_mut().for_each(|shard| shard.probe = Some(Probe::new(from)));
    }

    /// Returns the times from publication to each host that heard it, and how many hosts should have.
    #[must_use]
    pub fn probed(&self) -> (Vec<Span>, u64) {
        let probes = || self.shards.iter().filter_map(|shard| shard.probe.as_ref());
        let delays = probes().flat_map(Probe::delays).copied().collect();
        (delays, probes().map(Probe::expected).sum())
    }

    /// Returns one row for each order, in the order of arrival.
    #[must_use]
    pub fn jobs(&self) -> &[JobRow] {
        &self.coordinator.measures.jobs
    }

    /// Returns all hosts, by their numbers.
    pub(crate) fn hosts(&self) -> impl ExactSizeIterator<Item = &Host> + Clone {
        (0..self.environment.nodes.len()).map(|host| self.host(host as u32))
    }

    /// Returns the host with this number.
    pub(crate) fn host(&self, host: u32) -> &Host {
        &self.shards[self.environment.shard_map.shard(host)].hosts[host]
    }

    /// Returns what was counted of orders and hosts.
    #[must_use]
    pub const fn measures(&self) -> &Measures {
        &self.coordinator.measures
    }

    /// Returns what was counted of messages.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.sum().counts
    }

    /// Returns how long messages waited for their sender's uplink, where they do.
    #[must_use]
    pub fn waits(&self) -> Option<Waits> {
        self.shards.iter().filter_map(|shard| shard.uplinks.waits()).reduce(Waits::join)
    }

    /// Events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.sum().trace.events
    }

    /// Returns the virtual time.
    #[must_use]
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Returns the sum over all shards and the ledger.
    pub(crate) fn sum(&self) -> Sum {
        let mut sum = Sum { trace: self.coordinator.trace, ..Sum::default() };
        for shard in &self.shards {
            sum.trace = sum.trace.join(&shard.trace);
            sum.counts.add(&shard.counts);
            sum.up += shard.up;
        }
        sum
    }

    pub(crate) fn stopped(&self, (at, violation): (Time, Violation)) -> Box<InvariantError> {
        let scenario = &self.environment.scenario;
        Box::new(InvariantError {
            run_id: scenario.run_id(),
            seed: scenario.seed,
            at_s: format!("{:.6}", at.0 as f64 / 1e6),
            violation,
        })
    }

    /// Returns a hash over everything that happened and everything that is left: equal for equal
    /// runs.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let trace = self.sum().trace;
        hasher
            .update(&trace.total().to_le_bytes())
            .update(&trace.events.to_le_bytes())
            .update(&self.now.0.to_le_bytes());
        self.digest_market(&mut hasher);
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// Returns a hash over the outcome of every order, the ledger and all disks: equal in every
    /// fidelity. (`SI-6`)
    #[must_use]
    pub fn market_digest(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        self.digest_market(&mut hasher);
        hasher.finalize().to_hex()[..32].to_owned()
    }

    fn digest_market(&self, hasher: &mut blake3::Hasher) {
        self.coordinator.chain.digest(hasher);
        self.jobs().iter().for_each(|job| job.digest(hasher));
        let mut encoded = Vec::new();
        for disk in self.hosts().map(|host| &host.disk) {
            encoded.clear();
            disk.records().for_each(|record| codec::encode_onto(record, &mut encoded));
            hasher.update(&encoded).update(&disk.receipts().to_le_bytes());
        }
    }
}

/// Returns every host in its shard, at its place there.
fn shards(environment: &Arc<Environment>, hosts: Vec<Host>) -> Vec<Shard> {
    let mut crowd = vec![0; environment.shard_map.shards];
    (0u32..).zip(&hosts).for_each(|(number, _)| crowd[environment.shard_map.shard(number)] += 1);
    let mut seated: Vec<Vec<Host>> = crowd.into_iter().map(Vec::with_capacity).collect();
    for (number, host) in (0u32..).zip(hosts) {
        seated[environment.shard_map.shard(number)].push(host);
    }
    let shard = |(number, hosts)| Shard::new(Arc::clone(environment), number, hosts);
    seated.into_iter().enumerate().map(shard).collect()
}
