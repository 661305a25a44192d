//! What a client and its providers do together when nothing goes wrong, and when one thing does.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{ModelId, Order, OrderId, Task, TaskKind};
use bombyx_protocol::work::price::Price;
use testbed::{CALM, Testbed, ceiling, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// (CH-4, WR-10)
#[test]
fn an_answer_is_streamed_paid_and_settled_to_the_nano() {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(40_000_000), 1_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);

    let outcome = testbed.outcome(1);
    let bill = outcome.end.unwrap().unwrap();
    assert_eq!(outcome.text, engine::answer(100));
    let expected = ceiling(price(40_000_000), &chat("count for me", 100));
    assert_eq!(bill.cost, expected, "alone in the auction, it is paid its own bid");
    assert_eq!(
        (bill.input_tokens, bill.output_tokens, bill.providers.as_slice()),
        (12, 100, &[provider][..])
    );
    assert_eq!(testbed.served.len(), 1);
    assert!(testbed.served[0].1.countersigned, "the client has signed that it was served");
    assert_eq!(testbed.served[0].1.cost, expected);

    testbed.command(provider, Command::Settle);
    testbed.run(MINUTE, |testbed| testbed.chain.locked() == 0);
    let payout = ProviderConfig::for_tests(1).payout.hash;
    assert_eq!(testbed.chain.balance(&payout), expected.0);
    assert_eq!(testbed.chain.balance(&ClientConfig::for_tests(1).wallet.hash), COIN.0 - expected.0);
    assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
}

#[test]
fn embeddings_arrive_complete_and_once() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    let embedder = ModelId([2; 32]);
    testbed.offer(provider, price(1_000), TaskKind::Embed, embedder);
    let task = Task::Embed { inputs: (0..10).map(|number| format!("text {number}")).collect() };
    let order = Order { model: embedder, ..testbed::order(task, COIN, MINUTE) };
    testbed.command(client, Command::Order { id: OrderId(1), order: Box::new(order) });
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(1);
    assert!(outcome.end.unwrap().is_ok());
    assert_eq!(outcome.rows.len(), 10);
    assert!(outcome.rows.values().all(|times| *times == 1));
}

/// (MO-9)
#[test]
fn vectors_of_another_width_than_the_manifest_states_are_neither_shown_nor_paid() {
    let embedder = ModelId([2; 32]);
    for (dims, is_served) in [(2, true), (3, false)] {
        let mut testbed = Testbed::new(2, CALM);
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(400_000), 1_000);
        testbed.offer(provider, price(1_000), TaskKind::Embed, embedder);
        let task = Task::Embed { inputs: vec!["one".into(), "two".into()] };
        let order = testbed::order(task, COIN, Span::from_s(20));
        let order = Order { model: embedder, dims: Some(dims), ..order };
        testbed.command(client, Command::Order { id: OrderId(1), order: Box::new(order) });
        testbed.run_to_end(MINUTE);
        let outcome = testbed.outcome(1);
        let bill = outcome.end.unwrap();
        assert_eq!((bill.is_ok(), outcome.rows.len()), (is_served, if is_served { 2 } else { 0 }));
        if let Err((why, bill)) = bill {
            assert_eq!((why, bill.cost), (Failure::FalseReceipt, Nano::ZERO));
        }
    }
}

/// (MK-8, MK-33, MK-52)
#[test]
fn the_best_score_wins_and_is_paid_by_a_proven_second_within_what_won_lately() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(1) }, COIN);
    let [cheap, near, far] = [400_000, 440_000, 480_000].map(price);
    let cheap_one = testbed.provider(1, cheap, 1_000);
    let near_one = testbed.provider(2, near, 1_000);
    let far_one = testbed.provider(3, far, 1_000);
    let task = || chat("count for me", 50);
    let mut paid = Vec::new();
    for order in 1..=9 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
        let bill = testbed.outcome(order).end.unwrap().unwrap();
        paid.push((bill.providers[0], bill.cost));
    }
    let own = ceiling(cheap, &task());
    assert_eq!(paid[..7], vec![(cheap_one, own); 7], "nobody else is proven");
    assert_eq!(paid[7], (near_one, ceiling(near, &task())), "the eighth tries a stranger at its own bid");
    assert_eq!(paid[8].0, cheap_one);
    assert!(paid[8].1 > own && paid[8].1 <= ceiling(near, &task()), "{own} < {}", paid[8].1);
    let outcome = testbed.outcome(9);
    assert_eq!(outcome.bids.len(), 3);
    assert!(matches!(outcome.bids[0].fate, Fate::Won { second: Some(_) }));
    assert!(matches!(outcome.bids[1].fate, Fate::Outscored { by } if by > 0));
    // More than twice what won lately is too much, unless the order says what a bid may ask.
    testbed.kill(cheap_one);
    testbed.kill(near_one);
    let dear = testbed.provider(4, price(900_000), 1_000);
    for (order, price_max) in [(10, None), (11, Some(Price(u64::MAX)))] {
        let order_of = Order { price_max, ..testbed::order(task(), COIN, MINUTE) };
        testbed.command(client, Command::Order { id: OrderId(order), order: Box::new(order_of) });
        testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
        let outcome = testbed.outcome(order);
        let report = outcome.bids.iter().find(|bid| bid.provider == dear).unwrap();
        assert_eq!(matches!(report.fate, Fate::OverCeiling { .. }), order == 10, "{:?}", report.fate);
        testbed.kill(far_one);
    }
}

/// (MK-52, MK-64)
#[test]
fn who_sold_below_cost_and_left_does_not_close_the_market_behind_him() {
    for sellers in [2, 3] {
        let mut testbed = Testbed::new(4, CALM);
        let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(1) }, COIN);
        let dumper = testbed.provider(1, price(100_000), 1_000);
        for order in 1..=4 {
            testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
            testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
            assert!(testbed.outcome(order).end.unwrap().is_ok());
        }
        testbed.kill(dumper);
        for number in 0..sellers {
            testbed.provider(2 + number, price(400_000 + number), 1_000);
        }
        testbed.order(client, 5, chat("count for me", 20), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.outcome(5).end.is_some());
        let ended = testbed.outcome(5).end.unwrap();
        let is_dear = ended.as_ref().is_err_and(|(why, _)| matches!(why, Failure::OverCeiling { .. }));
        assert_eq!((is_dear, ended.is_ok()), (sellers < 3, sellers >= 3), "{sellers}: {ended:?}");
        // The next order may pay twice as much, as a quote says before anything is asked.
        testbed.seek(client);
        let next = testbed::order(chat("count for me", 20), COIN, MINUTE);
        let quote = testbed.client_at(client).quote(testbed.now, &next).unwrap();
        assert!(quote.price_max.is_none_or(|most| quote.price <= most), "{quote:?}");
        testbed.place_order(client, 6, next);
        testbed.run(MINUTE, |testbed| testbed.outcome(6).end.is_some());
        assert!(testbed.outcome(6).end.unwrap().is_ok());
    }
}

/// (WR-13, MK-13)
#[test]
fn a_provider_that_dies_in_the_middle_is_replaced_and_the_answer_has_no_seam() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client(1, COIN);
    let cheap = testbed.provider(1, price(400_000), 20_000);
    let dear = testbed.provider(2, price(800_000), 20_000);
    testbed.seek(client);
    testbed.order(client, 1, chat("count for me", 120), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() >= 40);
    testbed.kill(cheap);
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(1);
    let bill = outcome.end.unwrap().unwrap();
    assert_eq!(outcome.text, engine::answer(120));
    assert_eq!(outcome.failed_over, [Failure::Stalled]);
    assert_eq!(bill.providers, [cheap, dear]);
    let unbilled = 120u64.checked_sub(bill.output_tokens).expect("no token is bought twice as output");
    assert!(unbilled <= limits::RECEIPT_TOKENS, "only what the dead one signed no receipt for: {unbilled}");
}

/// (CH-31) It has served for long and holds many ceilings when it dies; strangers have their own limit still.
#[test]
fn a_provider_that_dies_after_many_good_jobs_leaves_room_for_one_that_nobody_knows() {
    let mut testbed = Testbed::new(5, CALM);
    let one = ceiling(price(800_000), &chat("count for me", 20));
    let policy = ChannelPolicy { strangers_locked_max: Nano(4 * one.0), ..ChannelPolicy::default() };
    let client = testbed.client_with(ClientConfig { policy, ..ClientConfig::for_tests(1) }, COIN);
    let known = testbed.provider(1, price(400_000), 1_000);
    let ends = |testbed: &mut Testbed, order: u64| {
        testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.outcome(order).end.is_some());
    };
    for order in 1..=150 {
        ends(&mut testbed, order);
    }
    let most = testbed.chain.locked();
    assert!(most > 8 * one.0 && most <= 3 * 64 * one.0, "{most} for {one} a job");
    testbed.provider(2, price(800_000), 1_000);
    testbed.order(client, 200, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(200).ids.len() >= 4);
    testbed.kill(known);
    testbed.run(MINUTE, |testbed| testbed.outcome(200).end.is_some());
    assert!(testbed.outcome(200).end.clone().unwrap().is_ok(), "{:?}", testbed.outcome(200));
    ends(&mut testbed, 201);
    assert!(testbed.outcome(201).end.clone().unwrap().is_ok());
}

/// (WR-1, WR-13)
#[test]
fn an_answer_of_thousands_of_tokens_survives_its_providers() {
    let mut testbed = Testbed::new(40, CALM);
    let client = testbed.client(1, COIN);
    let providers = [1, 2, 3].map(|number| testbed.provider(number, price(number * 400_000), 1_000));
    testbed.seek(client);
    testbed.order(client, 1, chat("count for me", 4_000), COIN, MINUTE);
    for (died, tokens) in [(0, 2_049), (1, 3_100)] {
        testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() >= tokens);
        testbed.kill(providers[died]);
    }
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(1);
    assert_eq!(outcome.end.unwrap().unwrap().providers, providers);
    assert_eq!(outcome.text, engine::answer(4_000));
}

/// A cut answer is never told as a whole one. (WR-1, WR-13)
#[test]
fn an_answer_too_long_to_be_continued_fails_and_says_so() {
    let mut testbed = Testbed::new(41, CALM);
    let client = testbed.client(1, COIN);
    let cheap = testbed.provider(1, price(400_000), 1_000);
    testbed.provider(2, price(800_000), 1_000);
    let task = chat("count for me", 8_000);
    let fits = task.prefix_tokens_max();
    testbed.seek(client);
    testbed.order(client, 1, task, COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() > fits);
    testbed.kill(cheap);
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(1);
    let (why, bill) = outcome.end.unwrap().unwrap_err();
    let delivered = u32::try_from(outcome.ids.len()).unwrap();
    assert_eq!(why, Failure::TooLongToResume { delivered });
    assert!(delivered < 8_000 && bill.finish.is_none());
    assert_eq!(outcome.text, engine::answer(delivered), "what came is the user's");
}

/// (MK-14)
#[test]
fn a_lease_spares_the_second_order_its_auction() {
    let mut testbed = Testbed::new(5, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let (first, second) = (testbed.outcome(1), testbed.outcome(2));
    assert!(second.bids.is_empty(), "no auction");
    let wait = |outcome: &testbed::Outcome| outcome.end.clone().unwrap().unwrap().matched.unwrap();
    assert!(wait(&second) < wait(&first).half());
    assert_eq!(testbed.chain.opened, 1, "one channel serves both");
}

#[test]
fn nobody_there_and_too_dear_are_told_apart() {
    let mut testbed = Testbed::new(6, CALM);
    let client = testbed.client(1, COIN);
    testbed.order(client, 1, chat("count for me", 20), COIN, Span::from_s(20));
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(1).end.unwrap().unwrap_err().0, Failure::NoBids);

    testbed.provider(1, price(400_000_000), 1_000);
    testbed.order(client, 2, chat("count for me", 20), Nano(1_000), MINUTE);
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(2);
    let lowest = outcome.bids[0].cost_max;
    assert_eq!(outcome.end.unwrap().unwrap_err().0, Failure::OverBudget { lowest });
}

/// (`MK-13`)
#[test]
fn an_answers_limit_is_lowered_to_what_the_budget_pays_for() {
    let mut testbed = Testbed::new(16, CALM);
    let client = testbed.client(1, COIN);
    let asks = price(1_000_000);
    testbed.provider(1, asks, 1_000);
    let ends = |testbed: &mut Testbed, id, budget| {
        testbed.order(client, id, chat("count for me", 800), budget, MINUTE);
        testbed.run_to_end(MINUTE);
        testbed.outcome(id).end.unwrap().map_err(Box::new)
    };
    let part = Nano(ceiling(asks, &chat("count for me", 800)).0 / 4);
    let bill = ends(&mut testbed, 1, part).unwrap();
    assert!(bill.cost <= part, "{bill:?}");
    assert!((limits::RECEIPT_TOKENS..=200).contains(&bill.output_tokens), "{bill:?}");
    // Less than one receipt is no answer.
    let (why, bill) = *ends(&mut testbed, 2, ceiling(asks, &chat("count for me", 20))).unwrap_err();
    assert!(matches!(why, Failure::OverBudget { .. }), "{why:?}");
    assert_eq!(bill.cost, Nano::ZERO);
}

/// (CO-5)
#[test]
fn an_engine_that_hangs_costs_its_provider_the_job_and_not_the_slot() {
    let mut testbed = Testbed::new(20, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 5_000);
    testbed.hang_engine(provider);
    testbed.order(client, 1, chat("count for me", 200), COIN, MINUTE);
    testbed.run(Span::from_s(3), |_| false);
    assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 1);
    // The client is cut off: nobody cancels.
    testbed.set_cut(client, true);
    testbed.run(limits::ENGINE_WAIT, |_| false);
    assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 0);
    assert_eq!(testbed.served[0].1.refused, Some(Refusal::Engine));
}

/// (CH-20)
#[test]
fn a_channel_that_runs_dry_is_topped_up_before_it_does() {
    let mut testbed = Testbed::new(15, CALM);
    let config = ClientConfig { deposit: Nano(300_000), ..ClientConfig::for_tests(1) };
    let client = testbed.client_with(config, COIN);
    testbed.provider(1, price(1_000_000), 1_000);
    for number in 1..=6 {
        testbed.order(client, number, chat("count for me", 100), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert!(testbed.outcome(number).end.unwrap().is_ok(), "order {number}");
    }
    assert_eq!(testbed.chain.opened, 1);
}

#[test]
fn a_draining_provider_takes_nothing() {
    let mut testbed = Testbed::new(16, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 200_000);
    testbed.order(client, 1, chat("count for me", 10), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.command(provider, Command::Drain);
    testbed.order(client, 9, chat("count for me", 10), COIN, Span::from_s(20));
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(9);
    assert_eq!(outcome.failed_over, [Failure::Refused(Refusal::Leaving)], "its word was still on its way");
    assert!(outcome.end.unwrap().is_err());
}

/// Nothing is served for it any more; its end is told with the last bill, a way there and back later. (CO-5, WR-14)
#[test]
fn an_order_at_its_deadline_ends_there() {
    let mut testbed = Testbed::new(17, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 100_000);
    testbed.order(client, 1, chat("count for me", 1_000), COIN, Span::from_s(3));
    let started = testbed.now;
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    assert_eq!(testbed.outcome(1).end.unwrap().unwrap_err().0, Failure::Deadline);
    let late = testbed.now.since(started).0 - Span::from_s(3).0;
    assert!(late <= 4 * CALM.delay_us, "{late} µs");
}

#[test]
fn the_limits_of_orders_hold() {
    let mut testbed = Testbed::new(18, CALM);
    let client = testbed.client(1, COIN);
    for number in 0..=limits::ORDERS_MAX as u64 {
        testbed.order(client, number, chat("x", 1), COIN, MINUTE);
    }
    let last = testbed.outcome(limits::ORDERS_MAX as u64);
    assert!(matches!(last.end, Some(Err((Failure::Order(_), _)))));
    assert_eq!(testbed.client_at(client).orders_in_flight(), limits::ORDERS_MAX);
}
