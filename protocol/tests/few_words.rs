//! What the rules against many names leave to those that have served, and what they cost the honest.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::Preferences;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{InputCount, Order};
use testbed::scene::{COIN, FAIR, MINUTE, ends, last, places, scene};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, chat, order, price};

/// A client that three sellers have served, which are 90 ms away.
fn market() -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(3) }, COIN);
    for number in 1..=3 {
        let seller = testbed.provider(3_000 + number, price(FAIR), 1_000);
        testbed.slow_us.insert(seller, 80_000);
    }
    answers(&mut testbed, client, 1_001..=1_020);
    (testbed, client)
}

fn answers(testbed: &mut Testbed, client: NodeId, ids: std::ops::RangeInclusive<u64>) {
    for id in ids {
        assert!(ends(testbed, client, id, chat("hello there", 8)), "{:?}", testbed.outcome(id).end);
    }
}

/// A name that serves until it has had so many jobs, and then asks something else.
fn turncoat(key: u32, jobs: usize, then: u64) -> Thief {
    let mut thief = Thief::of_many(key, Plan::Short(8), price(FAIR * 8 / 10));
    (thief.is_of_crowd, thief.raise) = (false, Some((jobs, price(then))));
    thief
}

/// Three hundred names of three prefixes that ask a thousand times the price.
fn crowd(testbed: &mut Testbed) -> Vec<NodeId> {
    let name = |key| Thief::of_many(key, Plan::Short(8), price(1_000 * FAIR * 19 / 20));
    let address = |key| Prefix::of_ipv4([10, 9, u8::try_from(key % 3).unwrap(), 1]);
    (0..300).map(|key| testbed.thief(name(key), Some(address(key)))).collect()
}

/// How many of so many orders one of these served, with some time between them.
fn taken(testbed: &mut Testbed, client: NodeId, orders: u64, pause_s: u64, by: &[NodeId]) -> usize {
    let is_taken = |id: &u64| {
        testbed.run(Span::from_s(pause_s), |_| false);
        let outcome = places(testbed, client, *id, order(chat("hello there", 8), COIN, MINUTE));
        last(&outcome).is_some_and(|seller| by.contains(&seller))
    };
    (1..=orders).filter(is_taken).count()
}

/// (MK-17) Three of its names have served once, bid next to nothing and begin in weeks.
#[test]
fn names_of_one_prefix_take_no_places_of_those_that_have_served_more() {
    let (mut testbed, client) = market();
    for key in 0..3 {
        let mut thief = turncoat(10_000 + key, 1, 1_000);
        thief.late_first = 1;
        testbed.thief(thief, Some(Prefix::of_ipv4([10, 8, 8, 1])));
    }
    answers(&mut testbed, client, 2_001..=2_300);
    let names = crowd(&mut testbed);
    let taken = taken(&mut testbed, client, 30, 20, &names);
    assert!(taken <= 4, "{taken} of 30");
}

/// (MK-17) Three of its names have the lowest ids of all, and have served twice. The orders are rare, so that nobody's bid is remembered.
#[test]
fn low_ids_take_no_places_of_those_that_have_served_more() {
    let (mut testbed, client) = market();
    let honest = (1_001..=1_020).filter_map(|id| last(&testbed.outcome(id)));
    let least = honest.min().unwrap();
    let low = (10_000..).map(|key| turncoat(key, 2, 1_000 * FAIR)).filter(|thief| thief.id() < least);
    let mut names: Vec<NodeId> = low
        .take(3)
        .zip(0..)
        .map(|(thief, number)| testbed.thief(thief, Some(Prefix::of_ipv4([10, 8, number, 1]))))
        .collect();
    answers(&mut testbed, client, 2_001..=2_040);
    names.extend(crowd(&mut testbed));
    let taken = taken(&mut testbed, client, 20, 700, &names);
    assert!(taken <= 3, "{taken} of 20");
}

/// (MK-20, MK-51) They have served, are near, and say that they have no time; one that asks nearly twice as much has.
#[test]
fn words_of_one_prefix_end_no_auction() {
    let (mut testbed, client) = market();
    for key in 0..7 {
        let mut thief = turncoat(10_000 + key, 1, FAIR / 2);
        thief.late_first = 1;
        testbed.thief(thief, Some(Prefix::of_ipv4([10, 8, 8, 1])));
    }
    let mut dear = Thief::new(100, Plan::Short(8), price(FAIR * 9 / 10));
    dear.raise = Some((4, price(FAIR * 19 / 10)));
    let dear = testbed.thief(dear, None);
    answers(&mut testbed, client, 2_001..=2_300);
    let taken = taken(&mut testbed, client, 40, 0, &[dear]);
    assert!(taken <= 4, "{taken} of 40");
}

/// (MK-6) More of them than are remembered decline, faster than others bid, to a client that knows nobody.
#[test]
fn many_words_keep_no_stranger_out() {
    let (mut testbed, client, _) = scene(3, 0, 0, |_| unreachable!());
    for number in 1..=6 {
        let seller = testbed.provider(3_000 + number, price(FAIR), 1_000);
        testbed.slow_us.insert(seller, 80_000);
    }
    for key in 0..4_200 {
        let name = Thief::of_many(key, Plan::Declines(Refusal::Busy), price(FAIR));
        testbed.thief(name, Some(Prefix::of_ipv4([10, 9, 9, 1])));
    }
    answers(&mut testbed, client, 1..=5);
}

/// (MK-52) Eight orders of a user who waits for a bargain have ended for its price.
#[test]
fn a_limit_of_the_users_own_lifts_no_other_orders_bound() {
    let (mut testbed, client, _) = scene(3, 0, 0, |_| unreachable!());
    let mut thief = Thief::new(99, Plan::Short(8), price(FAIR));
    thief.raise = Some((10, price(200 * FAIR)));
    testbed.thief(thief, None);
    answers(&mut testbed, client, 1..=10);
    for id in 11..=20 {
        testbed.run(Span::from_s(610), |_| false);
        let price_max = (id < 20).then(|| price(FAIR / 2));
        let placed = Order { price_max, ..order(chat("hello there", 8), COIN, MINUTE) };
        let outcome = places(&mut testbed, client, id, placed);
        assert!(matches!(outcome.end, Some(Err((Failure::OverCeiling { .. }, _)))), "{:?}", outcome.end);
    }
}

/// (MK-15) Those that sell are looked up meanwhile, as a node does.
#[test]
fn a_named_seller_that_is_gone_for_good_holds_an_order_for_some_seconds_at_the_most() {
    for others in [0, 2] {
        let (mut testbed, client, _) = scene(3, 1, 0, |_| unreachable!());
        answers(&mut testbed, client, 11..=18);
        let named = last(&testbed.outcome(18)).unwrap();
        for number in 0..others {
            testbed.provider(5_000 + number, price(FAIR), 1_000);
        }
        testbed.kill(named);
        testbed.run(Span::from_s(700), |_| false);
        let preferences = Preferences { only: vec![named], ..Preferences::default() };
        let from = testbed.now;
        testbed.place_order(client, 1, Order { preferences, ..order(chat("hello there", 8), COIN, MINUTE) });
        for _ in 0..60 {
            testbed.command(client, Command::Seek(Topic::Market));
            testbed.run(Span::from_s(1), |testbed| testbed.outcome(1).end.is_some());
            if testbed.outcome(1).end.is_some() {
                break;
            }
            testbed.command(client, Command::Surveyed { alone_since: None });
        }
        let took = testbed.now.since(from);
        assert!(took < Span::from_s(15), "{others} others: {took:?}");
    }
}

/// (WR-22) A token a byte, as digits have, is three times the estimate, and two classes away.
#[test]
fn a_text_of_many_more_tokens_than_are_estimated_is_served() {
    for (honest, is_proven) in [(1, false), (1, true), (3, false), (3, true)] {
        for bytes in [700, 1_000, 1_500, 3_000] {
            let (mut testbed, client, _) = scene(3, honest, 0, |_| unreachable!());
            if is_proven {
                answers(&mut testbed, client, 11..=18);
            }
            let placed = order(chat(&"7".repeat(bytes), 8), COIN, MINUTE);
            let from = testbed.now;
            let outcome = places(&mut testbed, client, 1, Order { input: InputCount::Estimated, ..placed });
            let took = testbed.now.since(from);
            let case = format!("{bytes} bytes, {honest} sellers, proven {is_proven}: {:?}", outcome.end);
            assert!(outcome.end.unwrap().is_ok() && took < Span::from_s(10), "{case} {took:?}");
        }
    }
}

/// (CH-57) Its own ledger is dead for longer than half of the challenge; the client's is well.
#[test]
fn a_provider_that_sees_no_ledger_any_more_keeps_its_clients() {
    let mut testbed = Testbed::new(47, CALM);
    let credit = CreditLimits { per_client: Nano::ZERO, per_hour: Nano::ZERO };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, price(FAIR), 100_000);
    let client = testbed.client(1, Nano(10 * COIN.0));
    answers(&mut testbed, client, 1..=6);
    let (opened, closes) = (testbed.chain.opened, testbed.chain.closes);
    testbed.chain.blind.insert(provider);
    testbed.run(Span::from_s(90), |_| false);
    for id in 100..104 {
        testbed.order(client, id, chat("hello there", 8), COIN, Span::from_s(40));
        testbed.run(Span::from_s(45), |testbed| testbed.outcome(id).end.is_some());
        let end = testbed.outcome(id).end.unwrap();
        assert!(matches!(end, Err((Failure::Full { .. }, _))), "{end:?}");
    }
    assert_eq!(testbed.failures(client), []);
    testbed.chain.blind.remove(&provider);
    testbed.chain.tell_all_again();
    testbed.run(Span::from_s(5), |_| false);
    answers(&mut testbed, client, 200..=200);
    assert_eq!((testbed.chain.opened, testbed.chain.closes), (opened, closes), "one channel all the time");
}
