//! Worlds whose messages, hosts or disks fail, and one that is calm.

use bombyx_simnet::results::{Report, table};
use bombyx_simnet::scenario::{Fidelity, Scenario};
use bombyx_simnet::world::World;
use bombyx_simnet::world::fuzz::random_scenario;

use super::{BASE, run, summary};

#[test]
fn in_a_calm_network_every_order_is_answered_and_every_channel_closed() {
    let report = run(BASE);
    let summary = &report.summary;
    assert_eq!((summary.done, summary.failed, summary.lost), (30, 0, 0));
    assert_eq!(summary.false_accusations, 0);
    assert_eq!((summary.ledger.open_channels, summary.ledger.imbalance), (0, 0));
    assert_eq!(summary.ledger.transactions.refused, 0);
    assert!(summary.leased > 0 && summary.auctions > 0);
    assert!(summary.match_ms.p50 > 0.0 && summary.first_content_ms.p50 > summary.match_ms.p50);
    assert!(summary.vouchers > 0 && summary.receipts > 0);
    let shown = table(&report);
    assert!(shown.contains("every nano accounted for") && shown.contains("done 30 (100.0 %)"), "{shown}");
}

#[test]
fn a_lossy_network_still_ends_every_order_and_conserves_money() {
    let faults = "[network.faults]\ndrop = 0.08\nduplicate = 0.05\n";
    let summary = run(&format!("{BASE}{faults}")).summary;
    assert_eq!(summary.done + summary.failed, 30);
    assert!(summary.done >= 24, "most get through: {}", summary.done);
    assert_eq!((summary.false_accusations, summary.ledger.imbalance), (0, 0));
}

/// The same orders with and without a partition, which lasts from the fifth to the ninth second.
#[test]
fn a_partition_heals() {
    let cut = "[[partition]]\nfrom_s = 5.0\nuntil_s = 9.0\nregions = [\"EUS\", \"CUS\", \"SCUS\", \"WUS\", \"CAC\", \"BRS\", \"UKS\"]\n";
    let scenario = Scenario::parse("test.toml", &format!("{BASE}{cut}")).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let cut = Report::of(&world, 0.0).summary;
    let mut calm = World::new(&Scenario::parse("test.toml", BASE).unwrap());
    calm.run(|_| ()).unwrap();
    let meanwhile = |world: &World| -> u64 {
        let ordered = world.jobs().iter().filter(|job| (5_000_000..9_000_000).contains(&job.at.0));
        ordered.filter_map(|job| job.matched()).map(|span| span.0).sum()
    };
    let (felt, usual) = (meanwhile(&world), meanwhile(&calm));
    assert!(felt > usual + 100_000, "the partition is felt: {felt} us against {usual}");
    let after = |job: &&bombyx_simnet::measures::JobRow| job.at.0 >= 9_000_000;
    let late: Vec<_> = world.jobs().iter().filter(after).collect();
    assert!(!late.is_empty());
    assert!(late.iter().all(|job| job.is_done()), "after it all goes well");
    assert_eq!((cut.ledger.imbalance, cut.ledger.open_channels), (0, 0));
}

#[test]
fn hosts_that_lose_power_come_back_with_what_was_durable_and_every_channel_is_closed() {
    let crashes = "[[crash]]\nat_s = 5.0\nfor_s = 4.0\nrole = \"provider\"\nshare = 0.4\n\
                   [[crash]]\nat_s = 6.0\nfor_s = 2.0\nrole = \"client\"\nshare = 0.5\n";
    let summary = run(&format!("{BASE}{crashes}")).summary;
    assert!(summary.lost > 0, "a client that is off orders nothing");
    assert_eq!(summary.done + summary.failed + summary.lost, 30);
    assert_eq!((summary.ledger.imbalance, summary.ledger.open_channels), (0, 0));
}

/// Everything at once, over a few seeds: a broken invariant would stop the run.
#[test]
fn storms_break_no_invariant() {
    let storm = "[market]\ndeposit = \"0.006\"\nsettle_at = \"0.002\"\nchallenge_s = 30\n\
                 [network.faults]\ndrop = 0.08\nduplicate = 0.05\n\
                 [[partition]]\nfrom_s = 5.0\nuntil_s = 8.0\nregions = [\"EUS\", \"WUS\", \"UKS\", \"WEU\", \"JPE\", \"AUE\"]\n\
                 [[crash]]\nat_s = 6.0\nfor_s = 3.0\nrole = \"provider\"\nshare = 0.3\n\
                 [[crash]]\nat_s = 7.0\nfor_s = 2.0\nrole = \"client\"\nshare = 0.3\n";
    for seed in 1..=6 {
        let summary = run(&format!("seed = {seed}\n{BASE}{storm}")).summary;
        assert_eq!(summary.done + summary.failed + summary.lost, 30, "seed {seed}");
        assert_eq!((summary.false_accusations, summary.ledger.imbalance), (0, 0), "seed {seed}");
        assert_eq!(summary.ledger.open_channels, 0, "seed {seed}");
    }
}

/// A commit that takes longer than a message: a host that speaks before it is written is found out by the other side.
#[test]
fn slow_disks_slow_the_market_down_and_break_nothing() {
    let slow = run(&format!("{BASE}[disk]\ncommit_ms = 400\n")).summary;
    let fast = run(BASE).summary;
    assert_eq!((slow.done, slow.false_accusations, slow.ledger.open_channels), (30, 0, 0));
    assert!(slow.whole_ms.p50 > fast.whole_ms.p50);
}

#[test]
fn a_region_that_loses_power_and_providers_that_come_and_go_break_no_invariant() {
    let churn = "[churn]\nshare = 0.5\nsession_law = \"weibull\"\nsession_s = 6.0\naway_s = 3.0\nlate_share = 0.2\n\
                 leave_share = 0.1\nover_s = 8.0\n[[outage]]\nfrom_s = 5.0\nuntil_s = 9.0\nregions = [\"EUS\", \"WEU\", \"SEA\"]\n";
    let (calm, stormy) = (summary(""), summary(churn));
    assert_eq!(stormy.done + stormy.failed + stormy.lost, 30);
    assert!(stormy.done >= 20, "most get through: {}", stormy.done);
    assert!(stormy.failovers + stormy.failed > calm.failovers + calm.failed, "it is felt");
    assert_eq!((stormy.ledger.imbalance, stormy.false_accusations), (0, 0));
}

/// Random worlds that raised a false alarm once: on disks of 400 ms the word of an order's end waits for two commits, and a
/// provider that crashes writes what its disk held before.
#[test]
fn random_worlds_on_slow_disks_break_no_invariant() {
    for (seed, fidelity) in [
        (53, Fidelity::Message),
        (60, Fidelity::Message),
        (138, Fidelity::Message),
        (4_343, Fidelity::Message),
        (4_358, Fidelity::Message),
        (541_585_362, Fidelity::Message),
        (541_585_438, Fidelity::Message),
        (3_952_597_410, Fidelity::Message),
        (3_162_271_890, Fidelity::Message),
        (960_917_588, Fidelity::Fast),
    ] {
        let scenario = Scenario { fidelity, ..random_scenario(seed) };
        if let Err(stopped) = World::new(&scenario).run(|_| ()) {
            panic!("seed {seed}: {stopped}");
        }
    }
}
