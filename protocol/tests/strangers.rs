//! What strangers can cost a client: providers that mean to be paid for nothing, and whom it asks after they have failed it.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::Prefix;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{OrderId, Task};
use bombyx_protocol::work::price::{InputTokens, Price, Tariff, Weights};
use proptest::prelude::*;
use testbed::thief::{Plan, Thief, thieves};
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn task() -> Task {
    chat("count for me", 60)
}

/// The price at which 32 tokens with the input cost so much: the most that a thief can be gone with.
fn stepping(nano: u64) -> Price {
    Price(nano * 1_000 / u64::try_from(Weights::DEFAULT.units(input(), limits::RECEIPT_TOKENS)).unwrap())
}

/// What 32 tokens with the input cost.
fn step(price: Price) -> Nano {
    Tariff { price, weights: Weights::DEFAULT }.cost(input(), limits::RECEIPT_TOKENS).unwrap()
}

fn input() -> InputTokens {
    InputTokens::fresh(engine::input_tokens(&task()))
}

fn ceiling(price: Price) -> Nano {
    testbed::ceiling(price, &task())
}

/// A client without leases, so that each order goes to the market.
fn buyer() -> ClientConfig {
    ClientConfig { leases: false, ..ClientConfig::for_tests(1) }
}

/// What an order was billed, and by whom in the end.
fn billed(testbed: &Testbed, order: u64) -> Nano {
    match testbed.outcome(order).end.unwrap() {
        Ok(bill) | Err((_, bill)) => bill.cost,
    }
}

/// (WR-21, MK-31)
#[test]
fn six_thieves_cost_six_first_steps_of_one_order_once() {
    let plans = [
        Plan::Deaf,
        Plan::Mute,
        Plan::BillsNothing,
        Plan::Empty,
        Plan::MoneyFirst,
        Plan::Tokens(1),
        Plan::Tokens(32),
        Plan::Tokens(0),
    ];
    for plan in plans {
        let mut testbed = Testbed::new(1, CALM);
        let client = testbed.client_with(buyer(), COIN);
        let cheap = stepping(2_000);
        let robbers = thieves(&mut testbed, 6, plan, cheap);
        let honest = testbed.provider(1, price(400_000), 1_000);
        testbed.order(client, 1, task(), COIN, Span::from_s(120));
        testbed.run_to_end(Span::from_s(200));
        let useful = ceiling(price(400_000));
        let robbed = billed(&testbed, 1).saturating_minus(useful);
        assert!(robbed <= Nano(6 * step(cheap).0), "{plan:?}: {robbed}");
        if !matches!(plan, Plan::Tokens(1..)) {
            assert_eq!(robbed, Nano::ZERO, "{plan:?}: nothing was delivered");
        }
        // From now on they are known, also after a restart.
        testbed.kill(client);
        testbed.restart(client);
        for order in 2..=12 {
            testbed.order(client, order, task(), COIN, MINUTE);
            testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
            let outcome = testbed.outcome(order);
            let bill = outcome.end.unwrap().unwrap_or_else(|why| panic!("{plan:?}, {order}: {why:?}"));
            assert_eq!(bill.providers, [honest], "{plan:?}, order {order}");
            assert!(outcome.failed_over.is_empty(), "{plan:?}, order {order}");
            assert!(bill.cost <= useful, "{plan:?}, order {order}: {}", bill.cost);
        }
        assert!(robbers.iter().all(|robber| *robber != honest));
    }
}

/// (MK-31)
#[test]
fn sixty_keys_of_one_address_cost_three_steps_and_not_sixty() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client_with(buyer(), COIN);
    let cheap = stepping(2_000);
    for number in 1..=60 {
        let thief = Thief::new(100 + number, Plan::Tokens(32), cheap);
        testbed.thief(thief, Some(Prefix::of_ipv4([192, 0, 2, number])));
    }
    let mut paid = Nano::ZERO;
    for order in 1..=5 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
        paid = paid.saturating_plus(billed(&testbed, order));
    }
    assert!(paid > Nano::ZERO && paid <= Nano(3 * step(cheap).0), "{paid}");
    let Err((why, _)) = testbed.outcome(5).end.unwrap() else { panic!("nobody serves") };
    assert!(matches!(why, Failure::LeftAlone { .. }), "{why}");
    let bids = testbed.outcome(5).bids;
    assert!(!bids.is_empty() && bids.iter().all(|bid| bid.fate == Fate::FailedBefore));
    // Somebody at another address is served by at once.
    let honest = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 6, task(), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(6).end.is_some());
    assert_eq!(testbed.outcome(6).end.unwrap().unwrap().providers, [honest]);
}

/// (MK-31)
#[test]
fn neither_a_busy_provider_nor_a_user_that_leaves_is_a_failure() {
    let mut testbed = Testbed::new(9, CALM);
    let client = testbed.client_with(buyer(), COIN);
    let busy = thieves(&mut testbed, 1, Plan::Busy, stepping(10));
    let honest = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() > 10);
    assert!(!testbed.outcome(1).failed_over.is_empty(), "the busy one came first");
    testbed.command(client, Command::Cancel(OrderId(1)));
    testbed.run(Span::from_s(20), |_| false);
    testbed.order(client, 2, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let fates: Vec<_> = testbed.outcome(2).bids.iter().map(|bid| (bid.provider, bid.fate)).collect();
    assert!(fates.iter().all(|(_, fate)| *fate != Fate::FailedBefore), "{fates:?}");
    assert!(fates.iter().any(|(bidder, _)| *bidder == busy[0]));
    assert_eq!(testbed.outcome(2).end.unwrap().unwrap().providers, [honest]);
}

/// (MK-32, MK-33)
#[test]
fn a_newcomer_is_tried_now_and_then_and_eats_once_it_has_served() {
    let mut testbed = Testbed::new(10, CALM);
    let client = testbed.client_with(buyer(), COIN);
    let old = testbed.provider(1, price(400_000), 1_000);
    for order in 1..=2 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
    }
    let new = testbed.provider(2, price(300_000), 1_000);
    let mut served = Vec::new();
    for order in 3..=16 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        served.push(testbed.outcome(order).end.unwrap().unwrap().providers[0]);
    }
    assert_eq!(served[0], old, "the proven one goes first");
    let first = served.iter().position(|provider| *provider == new).expect("it is tried");
    assert!(first <= limits::EXPLORE_EVERY as usize, "{first}");
    assert!(served[first..].iter().all(|provider| *provider == new), "it is cheaper, and known now");
}

/// (MK-31)
#[test]
fn a_single_failure_of_an_old_friend_does_not_close_the_market() {
    let mut testbed = Testbed::new(11, CALM);
    let client = testbed.client_with(buyer(), COIN);
    let provider = testbed.provider(1, price(400_000), 5_000);
    for order in 1..=4 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
    }
    testbed.order(client, 5, task(), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(5).ids.len() > 10);
    testbed.kill(provider);
    testbed.run_to_end(MINUTE);
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), bombyx_protocol::work::order::TaskKind::Generate, testbed::MODEL);
    testbed.order(client, 6, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(6).text, engine::answer(60), "nobody else bids");
}

fn plan() -> impl Strategy<Value = Plan> {
    prop_oneof![
        Just(Plan::Deaf),
        Just(Plan::Mute),
        Just(Plan::MoneyFirst),
        Just(Plan::BillsNothing),
        Just(Plan::Empty),
        Just(Plan::Short(0)),
        Just(Plan::Refuses(Refusal::OverContext(1))),
        Just(Plan::Busy),
        (1u32..60).prop_map(Plan::Tokens),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// (WR-21, MK-31, CH-31)
    #[test]
    fn whatever_strangers_do_each_costs_one_step_at_most_and_the_honest_one_is_reached(
        plans in prop::collection::vec((plan(), 1u64..10_000, 0u64..2), 0..9),
        seed in 0u64..1_000,
    ) {
        let mut testbed = Testbed::new(seed, CALM);
        let client = testbed.client_with(buyer(), COIN);
        let mut bound = Nano::ZERO;
        let mut shown = Nano::ZERO;
        for (number, (plan, asks, credit)) in (1u8..).zip(&plans) {
            let price = Price(*asks);
            let mut thief = Thief::new(100 + number, *plan, price);
            thief.credit = Nano(credit * 1_000_000);
            // The second price may raise one as far as the dearest bid.
            let dearest = step(price).max(step(self::price(800_000)));
            let tokens = if let Plan::Tokens(count) = plan { u64::from(*count) } else { 0 };
            let bought = self::price(800_000).bill(60 * u128::from(tokens)).unwrap();
            bound = bound.saturating_plus(dearest).saturating_plus(bought);
            shown = shown.max(ceiling(price));
            testbed.thief(thief, None);
        }
        let honest = testbed.provider(1, price(400_000), 1_000);
        let useful = ceiling(price(800_000)).max(shown);
        let mut lost = Nano::ZERO;
        let mut last = None;
        for order in 1..=8 {
            testbed.order(client, order, task(), COIN, Span::from_s(120));
            testbed.run(Span::from_s(130), |testbed| testbed.outcome(order).end.is_some());
            let cost = billed(&testbed, order);
            let end = testbed.outcome(order).end.unwrap();
            let served = end.as_ref().is_ok_and(|bill| bill.providers.last() == Some(&honest));
            lost = lost.saturating_plus(if served { cost.saturating_minus(useful) } else { cost });
            last = end.ok();
        }
        prop_assert!(lost <= bound, "{} of {}", lost, bound);
        // An empty answer costs nothing and ends an order all the same: a first try of such a provider may be the last one.
        let has_empty = plans.iter().any(|(plan, ..)| matches!(plan, Plan::Short(0)));
        if !has_empty {
            prop_assert_eq!(last.and_then(|bill| bill.providers.last().copied()), Some(honest));
        }
    }
}

/// (WR-13, MK-13) The first is paid nearly as much as the second asks, and the answer so far is input to the second.
#[test]
fn a_failover_costs_no_more_than_is_left_of_the_budget() {
    let mut testbed = Testbed::new(12, CALM);
    let client = testbed.client_with(ClientConfig { deposit: Nano(COIN.0 / 4), ..buyer() }, COIN);
    let most = Nano(1_000_000);
    let long = || chat(&"x".repeat(1_000), 60);
    let first = testbed.provider(1, Price(15_000), 20_000);
    testbed.order(client, 1, long(), most, MINUTE);
    testbed.run_to_end(MINUTE);
    // The other one is proven as well, and its channel holds plenty.
    testbed.set_cut(first, true);
    let second = testbed.provider(2, Price(72_000), 1_000);
    for order in 2..6 {
        testbed.order(client, order, long(), most, MINUTE);
        testbed.run_to_end(MINUTE);
        assert!(testbed.outcome(order).end.unwrap().is_ok(), "order {order}");
    }
    testbed.set_cut(first, false);
    testbed.order(client, 6, long(), most, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.order(client, 7, long(), most, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(7).ids.len() >= 50);
    assert_eq!(testbed.outcome(7).bids.iter().map(|bid| bid.provider).collect::<Vec<_>>(), [first, second]);
    testbed.kill(first);
    testbed.run_to_end(MINUTE);
    assert!(billed(&testbed, 7) <= most, "{}", billed(&testbed, 7));
    let Err((why, _)) = testbed.outcome(7).end.unwrap() else { panic!("nobody goes on within the budget") };
    assert!(matches!(why, Failure::OverBudget { .. }), "{why:?}");
}

/// (WR-16, MK-31) Its price is the lowest, its word is nearly all of the time, and to a buyer that has time that
/// weighs nothing.
#[test]
fn a_promise_of_the_whole_time_holds_an_order_for_a_part_of_it_and_only_once() {
    for deadline in [10, 60, 120].map(Span::from_s) {
        let mut testbed = Testbed::new(13, CALM);
        let client = testbed.client_with(buyer(), COIN);
        let mut sluggard = Thief::new(101, Plan::Mute, stepping(10));
        // One that cannot begin within the order's time at all is passed over. (`MK-50`)
        sluggard.start_ms = u32::try_from(deadline.as_ms()).unwrap() - 2_000;
        testbed.thief(sluggard, None);
        let honest = testbed.provider(1, price(400_000), 1_000);
        for order in 1..=3 {
            testbed.order(client, order, task(), COIN, deadline);
            testbed.run(Span::from_s(130), |testbed| testbed.outcome(order).end.is_some());
            let outcome = testbed.outcome(order);
            if order == 1 && deadline < Span::from_s(20) {
                // The usual 4 s of silence and the promise are all of its time: it is lost, and the promise known as broken.
                assert_eq!(outcome.end.unwrap().unwrap_err().0, Failure::Deadline);
                continue;
            }
            let bill =
                outcome.end.unwrap().unwrap_or_else(|why| panic!("{deadline:?}, order {order}: {why:?}"));
            assert_eq!(bill.providers.last(), Some(&honest), "{deadline:?}, order {order}");
            assert_eq!(outcome.failed_over.is_empty(), order > 1, "{deadline:?}, order {order}");
        }
    }
}
