//! Random worlds in search of a broken invariant, and the way from one that broke to a small one that still does.

use crate::kernel::{Draws, Purpose};
use crate::scenario::{
    AttackKind, AttackSpec, Churn, CrashSpec, Faults, Ledger, Market, Mechanism, Network, PartitionSpec,
    Regions, RoleName, Scenario,
};
use crate::world::{InvariantError, World};

/// Smaller worlds that are tried before a shrink ends.
pub const TRIES_MAX: usize = 400;

/// Returns a small world with everything that can go wrong drawn from a seed: faults, partitions,
/// crashes, attackers, prices.
#[must_use]
pub fn random_scenario(seed: u64) -> Scenario {
    let draws = Draws::new(seed);
    let mut number = 0;
    let mut below = |n: u64| {
        number += 1;
        draws.below(n, Purpose::World, &[number])
    };
    let mut scenario = Scenario { title: format!("fuzz {seed}"), seed, ..Scenario::default() };
    scenario.nodes = 10 + below(40) as u32;
    scenario.population.clients = 0.1 + below(40) as f64 / 1e2;
    scenario.population.models = 1 + below(4) as u32;
    scenario.workload.jobs = 5 + below(30) as u32;
    scenario.workload.rate_per_s = 1.0 + below(10) as f64;
    scenario.workload.deadline_s = [5.0, 20.0, 60.0][below(3) as usize];
    scenario.market.deposit.0.0 = [2_000_000, 6_000_000, 50_000_000][below(3) as usize];
    scenario.market.settle_at.0.0 = [500_000, 2_000_000, 1_000_000_000][below(3) as usize];
    scenario.market.credit.0.0 = [0, 200_000, 5_000_000][below(3) as usize];
    scenario.market.challenge_s = [30, 60][below(2) as usize];
    scenario.market.leases = below(2) == 0;
    let come_and_go = below(4) == 0;
    scenario.churn.share = if come_and_go { 0.3 } else { 0.0 };
    scenario.churn.session_s = 8.0;
    scenario.churn.away_s = 3.0;
    scenario.market.watchers = below(3) as u32;
    scenario.disk.commit_ms = [0.5, 4.4, 80.0, 400.0][below(4) as usize];
    if below(2) == 0 {
        scenario.network.faults = Faults { drop: below(10) as f64 / 1e2, duplicate: below(10) as f64 / 1e2 };
    }
    if below(3) == 0 {
        let from_s = 3.0 + below(6) as f64;
        let regions = Regions::shipped().names.into_iter().filter(|_| below(3) == 0).collect();
        scenario.partition.push(PartitionSpec { from_s, until_s: from_s + 1.0 + below(6) as f64, regions });
    }
    for role in [RoleName::Client, RoleName::Provider] {
        if below(2) == 0 {
            let (at_s, for_s) = (2.0 + below(100) as f64 / 10.0, 0.1 + below(60) as f64 / 10.0);
            scenario.crash.push(CrashSpec { at_s, for_s, role, share: below(60) as f64 / 1e2 });
        }
    }
    if below(3) == 0 {
        let kinds = [
            AttackKind::StaleState,
            AttackKind::NonPaying,
            AttackKind::FalseBidder,
            AttackKind::FreeRider,
            AttackKind::Sybil,
            AttackKind::Eclipse,
            AttackKind::Substitution,
            AttackKind::Sniper,
            AttackKind::WashTrader,
        ];
        let kind = kinds[below(kinds.len() as u64) as usize];
        let share = below(50) as f64 / 1e2;
        scenario.attack.push(AttackSpec { victims: 0.3, ..AttackSpec::new(kind, share) });
    }
    scenario.network.uplink_queues = below(4) == 0;
    scenario
}

/// Runs one world to its end.
///
/// # Errors
/// [`InvariantError`] at the first broken invariant.
pub fn run(scenario: &Scenario) -> Result<(), Box<InvariantError>> {
    World::new(scenario).run(|_| ())
}

/// Makes a scenario smaller as long as `breaks` says that it still breaks, in so many tries at the most.
#[must_use]
pub fn shrink(scenario: &Scenario, tries_max: usize, mut breaks: impl FnMut(&Scenario) -> bool) -> Scenario {
    let mut smallest = scenario.clone();
    let mut tries = 0;
    loop {
        let before = smallest.clone();
        for change in changes(&before) {
            let mut candidate = smallest.clone();
            change.apply(&mut candidate);
            if candidate == smallest || candidate.check().is_err() || tries >= tries_max {
                continue;
            }
            tries += 1;
            if breaks(&candidate) {
                smallest = candidate;
            }
        }
        if smallest == before {
            return smallest;
        }
    }
}

/// One way to make a scenario smaller or plainer.
#[derive(Debug, Clone, Copy)]
enum Change {
    Partitions,
    Attack(usize),
    Crash(usize),
    Faults,
    Power,
    Network,
    Market,
    Ledger,
    Disk,
    HalfOfJobs,
    OneJobLess,
    HalfOfNodes,
    OneNodeLess,
    OneModel,
}

fn changes(scenario: &Scenario) -> Vec<Change> {
    let attacks = (0..scenario.attack.len()).rev().map(Change::Attack);
    let crashes = (0..scenario.crash.len()).rev().map(Change::Crash);
    let plain = [
        Change::Partitions,
        Change::Faults,
        Change::Power,
        Change::Network,
        Change::Market,
        Change::Ledger,
        Change::Disk,
        Change::HalfOfJobs,
        Change::HalfOfNodes,
        Change::OneModel,
        Change::OneJobLess,
        Change::OneNodeLess,
    ];
    attacks.chain(crashes).chain(plain).collect()
}

impl Change {
    fn apply(self, scenario: &mut Scenario) {
        match self {
            Self::Partitions => scenario.partition.clear(),
            Self::Attack(place) => remove(&mut scenario.attack, place),
            Self::Crash(place) => remove(&mut scenario.crash, place),
            Self::Faults => scenario.network.faults = Faults::default(),
            Self::Power => {
                scenario.churn = Churn::default();
                scenario.outage.clear();
            }
            Self::Network => scenario.network = Network::default(),
            Self::Market => {
                scenario.market = Market { mechanism: Mechanism::Reserve, ..Market::default() };
            }
            Self::Ledger => scenario.ledger = Ledger::default(),
            Self::Disk => scenario.disk = crate::scenario::Disks::default(),
            Self::HalfOfJobs => scenario.workload.jobs /= 2,
            Self::OneJobLess => scenario.workload.jobs = scenario.workload.jobs.saturating_sub(1),
            Self::HalfOfNodes => scenario.nodes /= 2,
            Self::OneNodeLess => scenario.nodes = scenario.nodes.saturating_sub(1),
            Self::OneModel => scenario.population.models = 1,
        }
    }
}

fn remove<T>(list: &mut Vec<T>, place: usize) {
    if place < list.len() {
        list.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    fn planted(scenario: &Scenario) -> Result<(), Box<InvariantError>> {
        planted_on(scenario, 1)
    }

    /// Runs a world whose providers now and then write an older voucher over a newer one.
    fn planted_on(scenario: &Scenario, threads: usize) -> Result<(), Box<InvariantError>> {
        let mut world = World::on_threads(scenario, NonZeroUsize::new(threads).expect("one at least"));
        world.plant_a_bug();
        world.run(|_| ())
    }

    #[test]
    fn random_worlds_are_possible_and_keep_every_invariant() {
        for seed in 1..=3 {
            let scenario = random_scenario(seed);
            assert_eq!(scenario.check(), Ok(()), "seed {seed}");
            run(&scenario).expect("every invariant holds");
        }
    }

    #[test]
    fn a_voucher_that_may_decrease_is_caught_within_a_few_worlds_and_shrunk() {
        let found = (1..=20).map(random_scenario).find_map(|scenario| {
            let stopped = planted(&scenario).err()?;
            Some((scenario, stopped))
        });
        let (scenario, stopped) = found.expect("twenty worlds are enough");
        assert_eq!(stopped.violation.invariant, "vouchers never decrease");
        for threads in [2, 3] {
            assert_eq!(planted_on(&scenario, threads).err().as_ref(), Some(&stopped), "on {threads} threads");
        }
        let same = |small: &Scenario| {
            planted(small).is_err_and(|error| error.violation.invariant == stopped.violation.invariant)
        };
        let small = shrink(&scenario, 60, same);
        assert!(same(&small) && small.workload.jobs < scenario.workload.jobs, "{small:?}");
    }
}
