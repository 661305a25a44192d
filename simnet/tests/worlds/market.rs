//! What an order costs, who wins it, and what watchers save.

use super::{BASE, run, summary};

#[test]
fn money_and_time_bound_what_an_order_may_cost() {
    let dear = run(&BASE.replace("rate_per_s = 4.0", "rate_per_s = 4.0\nmax_cost = \"0.00001\"")).summary;
    assert_eq!((dear.done, dear.failed), (0, 30));
    assert!(
        dear.failures.keys().all(|why| why.contains("cost more than the order allows")),
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
    let lost = |ledger: &bombyx_simnet::results::LedgerSummary| ledger.unsettled.parse::<f64>().unwrap();
    assert!(lost(&alone) > 0.0, "without a watcher the vouchers of the absent are worth nothing");
    assert_eq!(lost(&guarded), 0.0, "with one they are worth what they say");
    assert!(guarded.transactions.claim > alone.transactions.claim);
    assert_eq!((guarded.imbalance, guarded.open_channels), (0, 0));
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
