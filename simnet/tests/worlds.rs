//! Behaviours of whole worlds: calm, lossy, cut in two, and losing power. Every run also keeps all invariants.
#![allow(clippy::unwrap_used)]

use bombyx_simnet::report::{Report, table};
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;

fn run(text: &str) -> Report {
    let scenario = Scenario::parse("test.toml", text).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    Report::of(&world, 0.0)
}

const BASE: &str = "nodes = 40\n[population]\nmodels = 3\n[workload]\njobs = 30\nrate_per_s = 4.0\n";

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
    let calm = run(BASE).summary;
    assert!(cut.failovers + cut.failed > calm.failovers + calm.failed, "the partition is felt");
    let after = |job: &&bombyx_simnet::measure::JobRow| job.at.0 >= 9_000_000;
    let late: Vec<_> = world.jobs().iter().filter(after).collect();
    assert!(!late.is_empty());
    assert!(
        late.iter().all(|job| job.outcome == bombyx_simnet::measure::Outcome::Done),
        "after it all goes well"
    );
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
    let storm = "[market]\ndeposit = \"0.006\"\nsettle_at = \"0.002\"\nchallenge_s = 30\nfollow_asks = true\n\
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

/// A commit that takes longer than a message: whoever speaks before it is written is found out by the other side.
#[test]
fn slow_disks_slow_the_market_down_and_break_nothing() {
    let slow = run(&format!("{BASE}[disk]\ncommit_ms = 400\n")).summary;
    let fast = run(BASE).summary;
    assert_eq!((slow.done, slow.false_accusations, slow.ledger.open_channels), (30, 0, 0));
    assert!(slow.whole_ms.p50 > fast.whole_ms.p50);
}

#[test]
fn money_and_time_bound_what_an_order_may_cost() {
    let dear = run(&BASE.replace("rate_per_s = 4.0", "rate_per_s = 4.0\nmax_cost = \"0.00001\"")).summary;
    assert_eq!((dear.done, dear.failed), (0, 30));
    assert!(
        dear.failures.keys().all(|why| why.contains("can cost more than the order allows")),
        "{:?}",
        dear.failures
    );
    let hasty = run(&BASE.replace("rate_per_s = 4.0", "rate_per_s = 4.0\ndeadline_s = 1.0")).summary;
    assert!(
        hasty.failed > 20 && hasty.failures.keys().any(|why| why.contains("deadline")),
        "{:?}",
        hasty.failures
    );
}

/// Half of the providers lose power for good before the close, and every client keeps their vouchers back.
#[test]
fn watchers_claim_for_providers_that_are_away_and_leave_a_stale_close_nothing() {
    let away = "[[crash]]\nat_s = 12.0\nfor_s = 9000.0\nrole = \"provider\"\nshare = 0.5\n\
                [[attack]]\nkind = \"stale-state\"\nshare = 1.0\n";
    let watchers = |count: u32| run(&format!("{BASE}[market]\nwatchers = {count}\n{away}")).summary.ledger;
    let (alone, guarded) = (watchers(0), watchers(3));
    let lost = |ledger: &bombyx_simnet::report::LedgerSummary| ledger.unsettled.parse::<f64>().unwrap();
    assert!(lost(&alone) > 0.0, "without a watcher the vouchers of the absent are worth nothing");
    assert_eq!(lost(&guarded), 0.0, "with one they are worth what they say");
    assert!(guarded.transactions.claim > alone.transactions.claim);
    assert_eq!((guarded.imbalance, guarded.open_channels), (0, 0));
}

fn summary(changes: &str) -> bombyx_simnet::report::Summary {
    run(&format!("{BASE}{changes}")).summary
}

#[test]
fn a_first_price_is_lower_than_a_second_score_while_everyone_bids_truthfully_and_random_is_dear() {
    let of = |mechanism: &str| {
        let made = summary(&format!("[market]\nleases = false\nmechanism = \"{mechanism}\"\n"));
        assert_eq!(made.ledger.imbalance, 0, "{mechanism}");
        assert_eq!(made.done, 30, "{mechanism}");
        made.paid_over_lowest.p50
    };
    let (second, first, cheapest, random) =
        (of("second-score"), of("first-price"), of("cheapest"), of("random"));
    assert!(first <= second && cheapest <= second, "{first} {cheapest} {second}");
    assert!(random > cheapest, "{random} {cheapest}");
    assert!(of("posted") > 0.0);
}

#[test]
fn attackers_break_no_invariant_and_their_gain_is_counted() {
    let attack = |kind: &str, share: f64| {
        let made = summary(&format!("[[attack]]\nkind = \"{kind}\"\nshare = {share}\n"));
        assert_eq!(made.ledger.imbalance, 0, "{kind}");
        assert_eq!(made.done + made.failed, 30, "{kind}");
        made
    };
    let calm = summary("");
    let none = attack("cartel", 0.0);
    assert_eq!((none.attacks[0].hosts, none.done), (0, 30));

    let unpaid = attack("non-paying", 1.0);
    assert!(unpaid.attacks[0].gained > 0.0, "credit is given to strangers");
    assert_eq!(unpaid.attacks[0].spent, 0.0);
    let cartel = attack("cartel", 1.0);
    assert!(cartel.price_coins.p50 > calm.price_coins.p50 * 1.2, "nobody is left to bid against it");
    let no_show = attack("false-bidder", 0.3);
    assert!(no_show.failovers > calm.failovers);
    let garbage = attack("garbage", 0.3);
    assert!(garbage.attacks[0].gained > 0.0 && garbage.attacks[0].profit_per_spent.is_none());
    let spam = attack("spammer", 0.5);
    assert!(spam.messages["call"].count > calm.messages["call"].count * 2);
    let free = attack("free-rider", 0.5);
    assert!(free.messages["call"].count < calm.messages["call"].count);
}
