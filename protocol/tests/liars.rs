//! What liars can do to orders whose client knows nobody yet: answers of those that were not invited, false reasons, low asks, and
//! bills for nothing. Each stands beside honest sellers.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::Preferences;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{InputCount, Order};
use testbed::scene::{COIN, FAIR, MINUTE, SEEDS, ends, first_orders, scene};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, chat, price};

/// (MK-6, MK-16) An unknown crowd is asked by a sixteenth: whoever answers all the same would be alone with its price.
#[test]
fn whoever_bids_uninvited_is_not_heard() {
    let (taken, failed) =
        first_orders(3, 4, false, |number| Thief::new(number, Plan::Short(8), price(100 * FAIR)));
    assert!(taken <= 2 && failed == 0, "{taken} taken, {failed} failed");
}

/// (MK-49, MK-66) A low ask is free, and calls its owner directly: its bid is held to what is asked here.
#[test]
fn bait_that_asks_little_sells_nothing_dear() {
    for baits in [3, 8] {
        let (taken, failed) = first_orders(5, baits, true, |number| {
            let mut bait = Thief::new(number, Plan::Short(8), price(100 * FAIR));
            bait.ask = Some(price(1));
            bait
        });
        assert!(taken <= 2 && failed == 0, "{baits} baits: {taken} taken, {failed} failed");
    }
}

/// (MK-47) Each is cheaper than the only honest seller, and asked before it.
#[test]
fn those_that_refuse_a_task_for_what_it_is_end_no_order_that_another_serves() {
    for why in [Refusal::BadConversation, Refusal::OverContext(1), Refusal::WrongKind] {
        for liars in [1, 2, 4, 7] {
            for seed in 1..=SEEDS {
                let (mut testbed, client, _) =
                    scene(seed, 1, liars, |number| Thief::new(number, Plan::Refuses(why), price(FAIR / 4)));
                assert!(
                    ends(&mut testbed, client, 1, chat("hello there", 8)),
                    "seed {seed}, {liars} liars: {:?}",
                    testbed.outcome(1)
                );
            }
        }
    }
}

/// (MK-31, MK-47) Three times, as each refusal of one that never served.
#[test]
fn a_refusal_of_the_task_itself_is_held_against_a_stranger_once_another_has_served_that_task() {
    for honest in [0, 1] {
        let liar = |number| Thief::new(number, Plan::Refuses(Refusal::BadConversation), price(FAIR / 4));
        let (mut testbed, client, liars) = scene(6, honest, 3, liar);
        for order in 1..=4 {
            let preferences = Preferences { order: liars.clone(), ..Preferences::default() };
            let placed = testbed::order(chat("hello there", 8), COIN, MINUTE);
            testbed.place_order(client, order, Order { preferences, ..placed });
            testbed.run(Span::from_s(100), |testbed| testbed.outcome(order).end.is_some());
            assert_eq!(testbed.outcome(order).end.unwrap().is_ok(), honest > 0);
            // Until it is on disk.
            testbed.run(Span::from_s(1), |_| false);
            let expected = if honest > 0 && order >= 3 { liars.len() } else { 0 };
            assert_eq!(testbed.failures(client).len(), expected, "{honest} honest, order {order}");
        }
    }
}

/// (MK-47, MK-50) It is full for longer than a call waits: what the others say of the task is still no reason to give up.
#[test]
fn those_that_refuse_or_decline_end_no_order_whose_honest_seller_is_full() {
    let plans = [Plan::Refuses(Refusal::BadConversation), Plan::Declines(Refusal::BadConversation)];
    for plan in plans {
        let (mut testbed, client, _) = scene(3, 0, 3, |number| Thief::new(number, plan, price(FAIR / 4)));
        testbed.slots = 1;
        let honest = testbed.provider(1, price(FAIR), 50_000);
        let other = testbed.client(77, COIN);
        // Some twenty seconds of work.
        let preferences = Preferences { only: vec![honest], ..Preferences::default() };
        for order in 11..=14 {
            let order_of_other = testbed::order(chat("hello there", 100), COIN, MINUTE);
            let order_of_other = Order { preferences: preferences.clone(), ..order_of_other };
            testbed.place_order(other, order, order_of_other);
        }
        testbed.run(Span::from_s(3), |_| false);
        testbed.order(client, 1, chat("hello there", 8), COIN, Span::from_s(14));
        testbed.run(Span::from_s(100), |testbed| testbed.outcome(1).end.is_some());
        let end = testbed.outcome(1).end.unwrap();
        assert!(!matches!(end, Err((Failure::Refused(_), _))), "{plan:?}: {end:?}");
    }
}

/// (MK-31, MK-51) Twenty keys of one prefix ask a third of what three honest sellers do, who are strangers as well.
#[test]
fn one_prefix_of_cheap_liars_loses_a_new_client_one_of_its_first_twenty_orders() {
    let plans = [
        Plan::Deaf,
        Plan::Mute,
        Plan::MoneyFirst,
        Plan::BillsNothing,
        Plan::Empty,
        Plan::Tokens(9),
        Plan::Busy,
    ];
    for plan in plans {
        for (deadline_s, seed) in [(60, 1), (5, 2)] {
            let (mut testbed, client, _) = scene(seed, 3, 0, |_| unreachable!());
            for number in 1..=20 {
                let liar = Thief::new(100 + number, plan, price(FAIR / 3));
                testbed.thief(liar, Some(Prefix::of_ipv4([10, 9, 9, number])));
            }
            let (mut met, mut lost) = (0, 0);
            for order in 1..=20 {
                testbed.order(client, order, chat("hello there", 8), COIN, Span::from_s(deadline_s));
                testbed.run(Span::from_s(100), |testbed| testbed.outcome(order).end.is_some());
                let outcome = testbed.outcome(order);
                met += usize::from(!outcome.failed_over.is_empty());
                lost += usize::from(outcome.end.unwrap().is_err());
            }
            assert!(lost <= 1, "{plan:?} {deadline_s} s: {lost} of twenty lost");
            let bound = if plan == Plan::Busy { 3 } else { 1 };
            assert!(met + lost <= bound, "{plan:?} {deadline_s} s: {met} failed over");
        }
    }
}

/// (MK-15, CH-31) One stranger whose bid cannot be taken is not every bid: who failed an order once is asked again all the same.
#[test]
fn a_bid_that_nobody_can_take_ends_no_order_that_another_serves_at_the_second_try() {
    for (dear, times) in [(false, 0), (true, 2_000), (true, 1_000_000)] {
        let mut testbed = Testbed::new(11, CALM);
        let mut config = ClientConfig::for_tests(1);
        config.policy.strangers_locked_max = Nano(100_000_000);
        let client = testbed.client_with(config, COIN);
        let honest = testbed.provider(1, price(FAIR), 1_000);
        for order in 1..=3 {
            assert!(ends(&mut testbed, client, order, chat("hello there", 8)));
        }
        if dear {
            let liar = Thief::new(100, Plan::Short(8), price(times * FAIR));
            testbed.thief(liar, Some(Prefix::of_ipv4([10, 9, 1, 1])));
        }
        testbed.hang_engine(honest);
        testbed.order(client, 4, chat("hello there", 400), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| !testbed.outcome(4).failed_over.is_empty());
        testbed.engine_mut(honest).hung = false;
        testbed.run(Span::from_s(100), |testbed| testbed.outcome(4).end.is_some());
        let end = testbed.outcome(4).end.unwrap();
        assert!(end.is_ok(), "{times} times: {end:?}");
    }
}

/// What is promised to so many, by their number.
fn promised(testbed: &Testbed, client: NodeId, to: &[NodeId]) -> Nano {
    let theirs = testbed.client_at(client).channels().filter(|payer| to.contains(&payer.provider()));
    theirs.map(|payer| payer.cumulative()).sum()
}

/// (WR-13, WR-14) What it bills behind its refusal would be paid beside what the next one costs, and told to nobody.
#[test]
fn a_provider_that_refused_a_task_is_paid_nothing_that_it_sends_then() {
    for seed in 1..=SEEDS {
        let liar = |number| Thief::new(number, Plan::BillsRefused(33), price(FAIR / 4));
        let (mut testbed, client, liars) = scene(seed, 2, 2, liar);
        assert!(ends(&mut testbed, client, 1, chat("hello there", 60)));
        testbed.run(MINUTE, |_| false);
        let outcome = testbed.outcome(1);
        assert!(outcome.failed_over.contains(&Failure::Refused(Refusal::Busy)), "seed {seed}");
        assert_eq!(promised(&testbed, client, &liars), Nano::ZERO, "seed {seed}");
        let all: Nano = testbed.client_at(client).channels().map(|payer| payer.cumulative()).sum();
        assert_eq!(all, outcome.end.unwrap().unwrap().cost, "seed {seed}: the bill is what is paid");
    }
}

/// (CH-19, MK-15) Whose channel is on its way has not failed to open it: the order goes elsewhere.
#[test]
fn a_provider_that_calls_a_channel_unfunded_at_once_ends_no_order() {
    for seed in 1..=SEEDS {
        let (mut testbed, client, _) =
            scene(seed, 2, 2, |number| Thief::new(number, Plan::NoMoney, price(FAIR / 4)));
        let ended = ends(&mut testbed, client, 1, chat("hello there", 60));
        let outcome = testbed.outcome(1);
        assert!(ended, "seed {seed}: {:?}", outcome.end);
        assert!(outcome.failed_over.contains(&Failure::Refused(Refusal::Unfunded)), "seed {seed}");
    }
}

/// (WR-22) To begin anew would bill the input twice: who has served has counted.
#[test]
fn a_provider_that_counts_after_it_was_paid_has_failed() {
    for seed in 1..=SEEDS {
        let liar = |number| Thief::new(number, Plan::CountsLate(33), price(FAIR / 4));
        let (mut testbed, client, _) = scene(seed, 2, 1, liar);
        let mut estimated = testbed::order(chat("hello there", 60), COIN, MINUTE);
        estimated.input = InputCount::Estimated;
        testbed.place_order(client, 1, estimated);
        testbed.run(Span::from_s(100), |testbed| testbed.outcome(1).end.is_some());
        let outcome = testbed.outcome(1);
        assert!(outcome.end.unwrap().is_ok(), "seed {seed}");
        assert!(
            matches!(outcome.failed_over[..], [Failure::FalseCount { counted: 40, .. }]),
            "seed {seed}: {:?}",
            outcome.failed_over
        );
    }
}

/// (CH-31, MK-15) Its channel is asked back, and what was to be added to it for the others is not: they go elsewhere.
#[test]
fn a_provider_that_calls_one_of_several_jobs_unpaid_ends_none_of_the_others() {
    for seed in 1..=SEEDS {
        let (mut testbed, client, _) =
            scene(seed, 2, 1, |number| Thief::new(number, Plan::Unpaid(5), price(FAIR / 4)));
        for order in 1..=5 {
            testbed.order(client, order, chat("hello there", 60), COIN, MINUTE);
        }
        testbed.run(Span::from_s(100), |testbed| (1..=5).all(|order| testbed.outcome(order).end.is_some()));
        for order in 1..=5 {
            let outcome = testbed.outcome(order);
            assert!(outcome.end.clone().unwrap().is_ok(), "seed {seed}: {outcome:?}");
        }
    }
}

/// (MK-15) An empty chunk is nothing delivered: the order waits for its next call as after any refusal.
#[test]
fn an_empty_chunk_before_each_refusal_does_not_make_an_order_call_without_end() {
    let (mut testbed, client, _) = scene(9, 0, 1, |number| Thief::new(number, Plan::EmptyBusy, price(FAIR)));
    assert!(!ends(&mut testbed, client, 1, chat("hello there", 8)));
    let awards = testbed.to_providers.get("award").copied().unwrap_or(0);
    assert!((3..=20).contains(&awards), "{awards} awards in a minute");
}
