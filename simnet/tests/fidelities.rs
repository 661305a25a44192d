//! The fast fidelity against the message fidelity: what it solves at once is what hop by hop comes to, to the last byte. (`SI-5`, `SI-6`)
#![allow(clippy::unwrap_used)]

use bombyx_simnet::measures::{Floods, Hops, Traffic};
use bombyx_simnet::network::KINDS;
use bombyx_simnet::scenario::{Fidelity, Scenario};
use bombyx_simnet::world::World;

/// Everything about a run that must not depend on its fidelity.
#[derive(Debug, PartialEq)]
struct Market {
    /// Orders with their bills, the ledger, all disks.
    digest: String,
    bids: u64,
    traffic: Vec<(&'static str, Traffic)>,
    hops: Hops,
    virtual_s: u64,
}

fn run(text: &str, seed: u64, fidelity: Fidelity) -> (Market, Floods) {
    let scenario = Scenario { seed, fidelity, ..Scenario::parse("test.toml", text).unwrap() };
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let (measures, counts) = (world.measures(), world.counts());
    let market = Market {
        digest: world.market_digest(),
        bids: measures.bids,
        traffic: KINDS.map(|(kind, name)| (name, counts.traffic(kind))).to_vec(),
        hops: counts.hops,
        virtual_s: world.now().0 / 1_000_000,
    };
    assert!(measures.jobs.len() > 10 && counts.hops.first > 0, "there is something to compare");
    (market, counts.floods)
}

/// Runs both fidelities; returns how the fast one carried its floods.
fn equal(text: &str, seed: u64) -> Floods {
    let (message, carried) = run(text, seed, Fidelity::Message);
    let (fast, floods) = run(text, seed, Fidelity::Fast);
    assert_eq!(fast, message, "seed {seed}: {text}");
    assert_eq!((carried.solved, carried.carried), (0, floods.solved + floods.carried));
    floods
}

/// Few connections, so that gossip takes several hops in a small network. Keys of `network` can follow.
const BASE: &str = "nodes = 40\n[population]\nmodels = 2\n[workload]\njobs = 16\nrate_per_s = 4.0\n\
    [network]\nconnections = 4\n";

#[test]
fn a_calm_network_comes_out_equal_and_every_flood_is_solved() {
    for seed in 1..=4 {
        let floods = equal(&format!("{BASE}[market]\nleases = false\n"), seed);
        assert_eq!(floods.carried, 0);
        assert!(floods.solved >= 16);
    }
}

/// What changes between two messages but not during one is solved, too.
#[test]
fn lost_and_doubled_messages_come_out_equal() {
    for seed in 1..=2 {
        let floods = equal(&format!("{BASE}[network.faults]\ndrop = 0.08\nduplicate = 0.05\n"), seed);
        assert_eq!(floods.carried, 0);
    }
}

#[test]
fn floods_that_meet_a_crash_a_partition_or_a_free_ride_are_carried_and_all_comes_out_equal() {
    let storm = "[market]\nleases = false\n\
        [[partition]]\nfrom_s = 3.0\nuntil_s = 4.0\nregions = [\"EUS\", \"WUS\", \"UKS\", \"WEU\", \"JPE\", \"AUE\"]\n\
        [[crash]]\nat_s = 4.5\nfor_s = 1.0\nrole = \"provider\"\nshare = 0.3\n\
        [[crash]]\nat_s = 5.0\nfor_s = 0.5\nrole = \"client\"\nshare = 0.3\n\
        [[attack]]\nkind = \"free-rider\"\nshare = 0.3\nstart_s = 2.5\nstop_s = 5.5\n\
        [[attack]]\nkind = \"spammer\"\nshare = 0.3\nstart_s = 2.0\nstop_s = 6.0\n";
    let mut carried = 0;
    for seed in 1..=3 {
        let floods = equal(&format!("{BASE}{storm}"), seed);
        assert!(floods.solved > 0);
        carried += floods.carried;
    }
    assert!(carried > 0, "some floods meet a change");
}

#[test]
fn hosts_that_come_and_go_relays_and_an_eclipse_come_out_equal() {
    let world = "provider_nat_share = 0.7\nclient_nat_share = 0.7\n[market]\nleases = false\n\
        [churn]\nshare = 0.5\nsession_s = 4.0\naway_s = 1.0\n\
        [[attack]]\nkind = \"eclipse\"\nshare = 0.3\nvictims = 0.5\nstart_s = 2.5\nstop_s = 5.5\n";
    for seed in 1..=2 {
        equal(&format!("{BASE}{world}"), seed);
    }
}

/// A copy that waits for other messages has no way of its own that could be solved.
#[test]
fn where_uplinks_are_queues_every_flood_is_carried_and_all_comes_out_equal() {
    let floods = equal(&format!("{BASE}uplink_queues = true\n"), 1);
    assert!(floods.solved == 0 && floods.carried >= 4, "{floods:?}");
}

/// The comparison can fail: fewer links in every topic are another world.
#[test]
fn a_planted_difference_is_seen() {
    let planted = format!("{BASE}mesh_degree = 2\n");
    let (message, _) = run(BASE, 1, Fidelity::Message);
    let (fast, _) = run(&planted, 1, Fidelity::Fast);
    assert_ne!(fast.digest, message.digest);
    assert_ne!(fast.traffic, message.traffic);
}
