//! Liars that say why they do not bid: what they say ends, shortens and hides nothing that somebody else serves.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::Preferences;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::Order;
use testbed::scene::{COIN, FAIR, MINUTE, SEEDS, ends, first_orders, scene};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, chat, order, price};

/// A client that goes to the market with every order.
fn market() -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(5, CALM);
    let config = ClientConfig { leases: false, ..ClientConfig::for_tests(5) };
    let client = testbed.client_with(config, Nano(200 * COIN.0));
    (testbed, client)
}

fn only(provider: NodeId) -> Order {
    let preferences = Preferences { only: vec![provider], ..Preferences::default() };
    Order { preferences, ..order(chat("hello there", 8), COIN, MINUTE) }
}

/// Places an order and returns whether it is answered.
fn is_answered(testbed: &mut Testbed, client: NodeId, id: u64, order: Order) -> bool {
    testbed.place_order(client, id, order);
    testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
    let is_answered = testbed.outcome(id).end.unwrap().is_ok();
    testbed.run(Span::from_s(3), |_| false);
    is_answered
}

/// A market with liars that have served one job each, and an honest stranger that is so many microseconds farther away.
fn proven_liars(count: u8, slow_us: u64) -> (Testbed, NodeId, NodeId) {
    let (mut testbed, client) = market();
    let mut liars = Vec::new();
    for number in 0..count {
        let mut liar = Thief::new(100 + number, Plan::Declines(Refusal::BadConversation), price(FAIR));
        liar.good_jobs = 1;
        liars.push(testbed.thief(liar, Some(Prefix::of_ipv4([10, 9, number, 1]))));
    }
    let honest = testbed.provider(1, price(FAIR), 1_000);
    testbed.slow_us.insert(honest, slow_us);
    for (id, liar) in (1..).zip(&liars) {
        assert!(is_answered(&mut testbed, client, id, only(*liar)));
    }
    (testbed, client, honest)
}

/// (MK-20, MK-47)
#[test]
fn who_has_served_once_and_declines_ends_no_order_that_names_another() {
    for slow_us in [0, 30_000] {
        let (mut testbed, client, honest) = proven_liars(1, slow_us);
        for id in 10..15 {
            assert!(is_answered(&mut testbed, client, id, only(honest)), "order {id}, {slow_us} us farther");
        }
    }
}

/// (MK-20, MK-47)
#[test]
fn two_that_have_served_and_decline_end_no_call_before_a_stranger_has_bid() {
    for slow_us in [0, 1_000, 30_000] {
        let (mut testbed, client, _) = proven_liars(2, slow_us);
        for id in 10..15 {
            let placed = order(chat("hello there", 8), COIN, MINUTE);
            assert!(is_answered(&mut testbed, client, id, placed), "order {id}, {slow_us} us farther");
        }
    }
}

/// (MK-47) It has served, and the client knows nothing else of it: it has been started again as well.
#[test]
fn one_that_declines_ends_no_order_whose_only_other_seller_is_known_by_its_service() {
    let (mut testbed, client) = market();
    let honest = testbed.provider(1, price(FAIR), 1_000);
    assert!(is_answered(&mut testbed, client, 1, order(chat("hello there", 8), COIN, MINUTE)));
    let liar = Thief::new(100, Plan::Declines(Refusal::BadConversation), price(FAIR / 4));
    testbed.thief(liar, None);
    testbed.kill(client);
    testbed.restart(client);
    testbed.set_cut(honest, true);
    testbed.order(client, 2, chat("hello there", 8), COIN, MINUTE);
    testbed.run(Span::from_ms(2_500), |_| false);
    testbed.set_cut(honest, false);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    assert!(testbed.outcome(2).end.unwrap().is_ok(), "{:?}", testbed.outcome(2).end);
}

/// (MK-47) It is started again, say. One that has served declines, a stranger, or two.
#[test]
fn those_that_decline_end_no_order_whose_only_other_seller_is_away_for_a_moment() {
    for (liars, good_jobs, away_ms) in [(1, 0, 500), (1, 0, 2_000), (1, 1, 500), (1, 1, 2_000), (2, 0, 2_000)]
    {
        let (mut testbed, client) = market();
        let honest = testbed.provider(1, price(FAIR), 1_000);
        for number in 0..liars {
            let mut liar =
                Thief::new(100 + number, Plan::Declines(Refusal::BadConversation), price(FAIR / 4));
            liar.good_jobs = good_jobs;
            let liar = testbed.thief(liar, Some(Prefix::of_ipv4([10, 9, number, 1])));
            assert_eq!(is_answered(&mut testbed, client, 10 + u64::from(number), only(liar)), good_jobs > 0);
        }
        assert!(is_answered(&mut testbed, client, 1, order(chat("hello there", 8), COIN, MINUTE)));
        testbed.set_cut(honest, true);
        testbed.order(client, 2, chat("hello there", 8), COIN, MINUTE);
        testbed.run(Span::from_ms(away_ms), |_| false);
        testbed.set_cut(honest, false);
        testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
        let end = testbed.outcome(2).end.unwrap();
        assert!(end.is_ok(), "{liars} liars of {good_jobs} jobs, {away_ms} ms: {end:?}");
    }
}

/// (MK-47) It was known to sell a moment ago, and nobody is there.
#[test]
fn a_decline_is_believed_in_time_where_the_only_other_seller_never_comes_back() {
    let (mut testbed, client) = market();
    let honest = testbed.provider(1, price(FAIR), 1_000);
    let liar = Thief::new(100, Plan::Declines(Refusal::BadConversation), price(FAIR / 4));
    testbed.thief(liar, None);
    assert!(is_answered(&mut testbed, client, 1, order(chat("hello there", 8), COIN, MINUTE)));
    testbed.set_cut(honest, true);
    testbed.order(client, 2, chat("hello there", 8), COIN, MINUTE);
    testbed.run(Span::from_s(8), |testbed| testbed.outcome(2).end.is_some());
    let end = testbed.outcome(2).end.unwrap();
    assert!(matches!(end, Err((Failure::Refused(Refusal::BadConversation), _))), "{end:?}");
}

/// (MK-49) A context into which the task fits, one token less than the task, and a small one.
#[test]
fn one_stranger_that_names_another_context_changes_nothing_of_an_answer_that_is_too_long() {
    for context in [1 << 40, 20_000, 64] {
        let (mut testbed, client) = market();
        (1..=3).for_each(|number| {
            testbed.provider(number, price(FAIR), 1_000);
        });
        let liar = Thief::new(100, Plan::Declines(Refusal::OverContext(context)), price(FAIR / 4));
        testbed.thief(liar, Some(Prefix::of_ipv4([10, 9, 0, 1])));
        testbed.order(client, 1, chat("hello there", 20_000), Nano(100 * COIN.0), Span::from_s(600));
        testbed.run(Span::from_s(600), |testbed| testbed.outcome(1).end.is_some());
        let outcome = testbed.outcome(1);
        assert!(outcome.ids.len() > 4_000, "{context}: {} tokens, {:?}", outcome.ids.len(), outcome.end);
    }
}

/// (MK-5, MK-31) It holds input and answer each by itself, and bid for that.
#[test]
fn a_smaller_context_that_is_refused_with_is_held_against_nobody() {
    let (mut testbed, client) = market();
    let small = Thief::new(100, Plan::Refuses(Refusal::OverContext(4_096)), price(FAIR / 4));
    let id = testbed.thief(small, None);
    testbed.context_tokens = 16_384;
    testbed.provider(2, price(FAIR), 100);
    for number in 1..=4 {
        let preferences = Preferences { order: vec![id], ..Preferences::default() };
        let placed = order(chat(&"x ".repeat(1_500), 2_040), COIN, MINUTE);
        assert!(is_answered(&mut testbed, client, number, Order { preferences, ..placed }));
    }
    assert_eq!(testbed.failures(client), [0; 0]);
}

/// (MK-5, MK-31) Or one into which input and answer do not fit by themselves.
#[test]
fn a_refusal_for_a_context_into_which_the_task_fits_is_held_against_a_stranger() {
    for context in [1 << 40, 20] {
        let (mut testbed, client) = market();
        let liar = Thief::new(100, Plan::Refuses(Refusal::OverContext(context)), price(FAIR / 4));
        let id = testbed.thief(liar, None);
        testbed.provider(2, price(FAIR), 100);
        for number in 1..=3 {
            let preferences = Preferences { order: vec![id], ..Preferences::default() };
            let placed = order(chat("hello there", 8), COIN, MINUTE);
            assert!(is_answered(&mut testbed, client, number, Order { preferences, ..placed }));
        }
        assert_eq!(testbed.failures(client), [1], "{context}");
    }
}

/// (MK-47, MK-49)
#[test]
fn those_that_decline_for_a_false_reason_end_no_order_that_others_serve() {
    for liars in [1, 2, 4] {
        let plan = Plan::Declines(Refusal::BadConversation);
        let (_, failed) = first_orders(3, liars, false, |number| Thief::new(number, plan, price(1)));
        assert_eq!(failed, 0, "{liars} liars");
    }
}

/// (MK-49)
#[test]
fn those_that_name_a_short_context_shorten_no_answer_that_others_give_whole() {
    for seed in 1..=SEEDS {
        let liar = |number| Thief::new(number, Plan::Declines(Refusal::OverContext(300)), price(1));
        let (mut testbed, client, _) = scene(seed, 3, 1, liar);
        assert!(ends(&mut testbed, client, 1, chat(&"x".repeat(260), 1_000)));
        assert_eq!(testbed.outcome(1).ids.len(), 1_000, "seed {seed}");
    }
}

/// (MK-47, MK-49) It is there when the order is called anew, and was not heard the first time.
#[test]
fn false_reasons_end_and_shorten_no_order_whose_honest_seller_misses_one_call() {
    for why in [Refusal::BadConversation, Refusal::OverContext(300)] {
        for seed in 1..=SEEDS {
            let (mut testbed, client, _) =
                scene(seed, 0, 4, |number| Thief::new(number, Plan::Declines(why), price(1)));
            let honest = testbed.provider(seed * 1_000 + 1, price(FAIR), 1_000);
            testbed.set_cut(honest, true);
            testbed.order(client, 1, chat(&"x".repeat(260), 1_000), COIN, MINUTE);
            // Calls to a sixteenth, a quarter and everybody, of 400 ms each.
            testbed.run(Span::from_ms(1_150), |_| false);
            testbed.set_cut(honest, false);
            testbed.run(Span::from_s(100), |testbed| testbed.outcome(1).end.is_some());
            let outcome = testbed.outcome(1);
            assert!(outcome.end.clone().unwrap().is_ok(), "{why:?}, seed {seed}: {:?}", outcome.end);
            assert_eq!(outcome.ids.len(), 1_000, "{why:?}, seed {seed}");
        }
    }
}
