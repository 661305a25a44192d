//! What becomes of tasks in a line that moves more slowly than was foretold.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::Preferences;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::Order;
use testbed::{CALM, Testbed, chat, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// (WR-16, MK-48) A burst of twelve, each of whom was told that it begins at once.
#[test]
fn a_line_that_is_slower_than_was_foretold_makes_no_seller_a_silent_one() {
    for slower in [1, 2, 4] {
        let mut testbed = Testbed::new(1, CALM);
        testbed.slots = 1;
        let provider = testbed.provider(1, price(400_000), 10_000);
        testbed.engine_mut(provider).token_us = 10_000 * slower;
        for number in 1..=12 {
            let client = testbed.client(number, COIN);
            testbed.order(client, number, chat("count for me", 200), COIN, Span::from_s(300));
        }
        testbed.run_to_end(Span::from_s(400));
        for order in 1..=12 {
            let outcome = testbed.outcome(order);
            let busy = Failure::Refused(Refusal::Busy);
            assert!(
                outcome.failed_over.iter().all(|why| *why == busy),
                "{slower}: order {order}: {:?}",
                outcome.failed_over
            );
            assert!(outcome.end.is_some_and(|end| end.is_ok()), "{slower}: order {order}");
        }
    }
}

/// A client that a provider with one slot has served twice, and another whose answer takes the slot for twenty seconds: fifty
/// times as long as the answers before it, so that its end is foretold each second.
fn behind_a_long_answer(seed: u64) -> (Testbed, NodeId, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    testbed.slots = 1;
    let config = ClientConfig { leases: false, ..ClientConfig::for_tests(1) };
    let (client, other) = (testbed.client_with(config, COIN), testbed.client(2, COIN));
    let provider = testbed.provider(1, price(400_000), 10_000);
    for order in 1..=6 {
        let of = if order % 3 == 0 { client } else { other };
        testbed.stop_at(provider, 20);
        testbed.order(of, order, chat("count for me", 1_000), COIN, MINUTE);
        ends(&mut testbed, order);
        assert!(testbed.outcome(order).end.unwrap().is_ok());
    }
    testbed.engine_mut(provider).stops_at = None;
    testbed.engine_mut(provider).token_us = 20_000;
    testbed.order(other, 100, chat("count for me", 1_000), COIN, MINUTE);
    testbed.run(Span::from_s(3), |testbed| !testbed.outcome(100).ids.is_empty());
    (testbed, client, provider)
}

fn ends(testbed: &mut Testbed, order: u64) {
    testbed.run(Span::from_s(100), |testbed| testbed.outcome(order).end.is_some());
}

/// (MK-31, WR-23) Three orders in one line are one that was too slow; the same again is a failure, and its channel is asked back.
#[test]
fn a_task_that_still_waits_at_its_deadline_is_slowness_the_first_time_and_a_failure_the_second() {
    for times in [1, 2] {
        let (mut testbed, client, _) = behind_a_long_answer(1);
        for time in 1..=times {
            for order in 1..=3 {
                testbed.order(client, 10 * time + order, chat("count for me", 20), COIN, Span::from_s(5));
            }
            for order in 1..=3 {
                ends(&mut testbed, 10 * time + order);
                let outcome = testbed.outcome(10 * time + order);
                let why = outcome.end.unwrap().unwrap_err().0;
                assert!(matches!(why, Failure::Full { .. }), "{why}");
                assert!(outcome.failed_over.is_empty(), "it still waits: {:?}", outcome.failed_over);
            }
        }
        ends(&mut testbed, 100);
        testbed.order(client, 99, chat("count for me", 20), COIN, MINUTE);
        ends(&mut testbed, 99);
        assert!(testbed.outcome(99).end.unwrap().is_ok());
        // One of each client, and where the first was asked back, another.
        assert_eq!(u64::from(testbed.chain.opened), 1 + times, "{times} times");
    }
}

/// (MK-7, MK-31) It is asked after an equal one, and is not left alone.
#[test]
fn a_task_that_still_waits_at_its_deadline_counts_in_the_score_of_its_provider() {
    let (mut testbed, client, slow) = behind_a_long_answer(1);
    let other = testbed.provider(2, price(400_000), 10_000);
    let asking = |only: &[NodeId], deadline| {
        let preferences = Preferences { only: only.to_vec(), ..Preferences::default() };
        Order { preferences, nano_per_ms: None, ..testbed::order(chat("count for me", 20), COIN, deadline) }
    };
    for order in 11..=12 {
        testbed.place_order(client, order, asking(&[other], MINUTE));
        ends(&mut testbed, order);
    }
    testbed.place_order(client, 13, asking(&[slow], Span::from_s(5)));
    ends(&mut testbed, 13);
    assert!(testbed.outcome(13).end.unwrap().is_err());
    ends(&mut testbed, 100);
    testbed.engine_mut(slow).token_us = 10_000;
    for order in 14..=17 {
        testbed.place_order(client, order, asking(&[], MINUTE));
        ends(&mut testbed, order);
        let outcome = testbed.outcome(order);
        assert_eq!(outcome.end.unwrap().unwrap().providers, [other], "order {order}");
        let fate = outcome.bids.iter().find(|bid| bid.provider == slow).map(|bid| bid.fate);
        assert!(matches!(fate, Some(Fate::Outscored { .. })), "order {order}: {fate:?}");
    }
}
