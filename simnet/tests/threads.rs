//! One run on several threads: whatever their number, the same comes of it, to the last byte. (`SI-9`)
#![allow(clippy::unwrap_used)]

use std::num::NonZeroUsize;

use bombyx_simnet::measures::Sample;
use bombyx_simnet::results::{Report, timeline};
use bombyx_simnet::scenario::{Fidelity, SHIPPED, Scenario};
use bombyx_simnet::world::World;
use bombyx_simnet::world::fuzz::random_scenario;
use proptest::prelude::*;

/// Everything that a run says.
#[derive(Debug, PartialEq)]
struct Outcome {
    digest: String,
    market: String,
    /// Summary and all.
    report: String,
    series: Vec<Sample>,
    orders: String,
}

fn run(scenario: &Scenario, threads: usize) -> Outcome {
    let mut world = World::on_threads(scenario, NonZeroUsize::new(threads).unwrap());
    if let Err(stopped) = world.run(|_| ()) {
        panic!("{stopped}");
    }
    Outcome {
        digest: world.digest(),
        market: world.market_digest(),
        report: serde_json::to_string(&Report::of(&world, 0.0)).unwrap(),
        series: world.measures().series.clone(),
        orders: timeline::trace(&world, 1).to_string(),
    }
}

/// Runs a scenario on one thread and on others, and finds no difference.
fn is_the_same(scenario: &Scenario, threads: &[usize]) {
    let one = run(scenario, 1);
    assert!(one.series.last().is_some_and(|end| end.events > 100), "something happened");
    for threads in threads {
        assert_eq!(run(scenario, *threads), one, "{} on {threads} threads", scenario.title);
    }
}

fn small(title: &str, text: &str, fidelity: Fidelity) -> Scenario {
    let mut scenario = Scenario::parse(title, text).unwrap();
    scenario.title = format!("{title}, {fidelity:?}");
    scenario.fidelity = fidelity;
    scenario.nodes = scenario.nodes.min(40);
    scenario.workload.jobs = scenario.workload.jobs.min(12);
    scenario.population.models = scenario.population.models.min(3);
    scenario
}

#[test]
fn one_run_is_the_same_on_one_two_and_three_threads() {
    for name in ["first", "tides", "relays", "uplinks", "sybil", "eclipse"] {
        let (_, text) = SHIPPED.iter().find(|(shipped, _)| *shipped == name).unwrap();
        is_the_same(&small(name, text, Fidelity::Message), &[2, 3]);
        is_the_same(&small(name, text, Fidelity::Fast), &[2]);
    }
}

/// Everything at once: hosts that come and go, a partition, relays, queues, faults, watchers, attackers of every kind.
#[test]
fn a_stormy_run_is_the_same_on_several_threads_in_both_tiers() {
    let timed = [
        "eclipse",
        "free-rider",
        "false-bidder",
        "non-paying",
        "sniper",
        "cartel",
        "spammer",
        "stale-state",
        "ring",
    ];
    let timed =
        timed.map(|kind| format!("[[attack]]\nkind = \"{kind}\"\nshare = 0.06\nstop_s = 20.0\n")).concat();
    let lasting = ["sybil", "garbage", "substitution", "wash-trader", "shill", "odd-client"];
    let lasting = lasting.map(|kind| format!("[[attack]]\nkind = \"{kind}\"\nshare = 0.06\n")).concat();
    let names = "[[attack]]\nkind = \"thief\"\nshare = 0.2\nnames = 2\njobs_per_name = 1\nprefixes = 2\n";
    let attacks = format!("{timed}{lasting}{names}");
    let storm = format!(
        "nodes = 50\n[population]\nmodels = 2\nclients = 0.3\n[workload]\njobs = 20\nrate_per_s = 4.0\n\
        [market]\nleases = false\nwatchers = 2\n\
        [network]\nconnections = 4\nprovider_nat_share = 0.5\nclient_nat_share = 0.5\n\
        [network.faults]\ndrop = 0.02\nduplicate = 0.03\n\
        [churn]\nshare = 0.3\nsession_s = 6.0\naway_s = 2.0\n\
        [[partition]]\nfrom_s = 3.0\nuntil_s = 4.0\nregions = [\"EUS\", \"WUS\", \"UKS\", \"WEU\", \"JPE\", \"AUE\"]\n\
        [[crash]]\nat_s = 4.5\nfor_s = 1.0\nrole = \"client\"\nshare = 0.3\n{attacks}"
    );
    for fidelity in [Fidelity::Message, Fidelity::Fast] {
        let calm = Scenario { fidelity, ..Scenario::parse("storm", &storm).unwrap() };
        is_the_same(&calm, &[2, 4]);
        let mut queues = calm;
        queues.network.uplink_queues = true;
        is_the_same(&queues, &[2]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() })]

    /// Other worlds each time; a failure names the seed.
    #[test]
    fn random_worlds_are_the_same_on_one_and_on_several_threads(seed: u32, threads in 2usize..5, fast: bool) {
        let fidelity = if fast { Fidelity::Fast } else { Fidelity::Message };
        is_the_same(&Scenario { fidelity, ..random_scenario(seed.into()) }, &[threads]);
    }
}
