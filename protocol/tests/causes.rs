//! Why an order failed is what stood in its way, also where size, budget or time are at their edge.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{Order, Task, TaskKind};
use bombyx_protocol::work::preferences::Preferences;
use bombyx_protocol::work::price::Price;
use testbed::thief::{Plan, Thief};
use testbed::{CALM, MODEL, Testbed, ceiling, chat, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn asks() -> Price {
    price(400_000)
}

fn embed(texts: usize) -> Task {
    Task::Embed { inputs: vec!["silk".into(); texts] }
}

fn tasks() -> Vec<Task> {
    vec![chat("x", 1), chat("x", 31), chat("count for me", 100), embed(1), embed(200)]
}

/// How well a client knows the market when its order comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Market {
    Empty,
    Unknown,
    Sought,
    Leased,
}

/// A client, and an idle seller of what the task asks for, if there is one.
fn market(market: Market, task: &Task) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client(1, Nano(10 * COIN.0));
    if market != Market::Empty {
        let provider = testbed.provider(1, asks(), 10_000);
        testbed.offer(provider, asks(), task.kind(), MODEL);
    }
    match market {
        Market::Empty | Market::Unknown => {}
        Market::Sought => testbed.seek(client),
        Market::Leased => {
            testbed.order(client, 99, task.clone(), COIN, MINUTE);
            testbed.run(MINUTE, |testbed| testbed.outcome(99).end.is_some());
            testbed.run(Span::from_s(3), |_| false);
        }
    }
    (testbed, client)
}

/// Why an order fails, if it does.
fn why(at: Market, task: &Task, budget: Nano, deadline_ms: u64) -> Option<Failure> {
    let (mut testbed, client) = market(at, task);
    testbed.order(client, 1, task.clone(), budget, Span::from_ms(deadline_ms));
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    testbed.outcome(1).end.unwrap().err().map(|(why, _)| why)
}

/// (MK-15) Whether a seller is known, or has bid, or holds a lease: it is time that it lacks, and no seller.
#[test]
fn an_order_without_time_for_a_seller_that_is_there_fails_as_deadline() {
    for task in tasks() {
        for at in [Market::Unknown, Market::Sought, Market::Leased] {
            for deadline_ms in [0, 1, 100, 399, 410, 1_000] {
                let why = why(at, &task, COIN, deadline_ms);
                assert!(
                    why.is_none_or(|why| why == Failure::Deadline),
                    "{task:?}, {at:?}, {deadline_ms} ms: {why:?}"
                );
            }
        }
    }
}

/// (MK-15)
#[test]
fn that_nobody_bids_is_said_where_everybody_had_time_to() {
    for task in tasks() {
        assert_eq!(why(Market::Empty, &task, COIN, 5_000), Some(Failure::NoBids));
        assert_eq!(
            why(Market::Empty, &task, COIN, 1_000),
            Some(Failure::Deadline),
            "not everybody was asked"
        );
    }
}

/// (MK-13) Also where a lease stands, and where the budget pays for some tokens and not for a receipt: then it is the least that would be
/// served.
#[test]
fn a_budget_that_is_a_nano_short_is_what_is_said_and_one_that_is_not_buys() {
    for task in tasks() {
        let cost = ceiling(asks(), &task);
        for at in [Market::Unknown, Market::Sought, Market::Leased] {
            assert_eq!(why(at, &task, cost, 10_000), None, "{task:?}, {at:?}");
            let is_shortened = task.output_tokens_max() > 40;
            for budget in [Nano(0), Nano(1), Nano(cost.0 - 1)] {
                let short = why(at, &task, budget, 10_000);
                // Of 37 tokens that can be paid for, an eighth less are asked for, which is 32.
                let lowest = if is_shortened { ceiling(asks(), &chat("count for me", 37)) } else { cost };
                let expected = Failure::OverBudget { lowest };
                let buys = is_shortened && budget.0 > 1;
                assert_eq!(short, (!buys).then_some(expected), "{task:?}, {at:?}, {budget}");
            }
        }
    }
}

/// (MK-50) However idle, it has no time to read it: to come back would not help.
#[test]
fn an_input_that_takes_longer_to_read_than_the_order_has_is_no_matter_of_room() {
    let task = chat(&"x".repeat(3_000), 20);
    for (read_tps, deadline_s, expected) in [(100, 10, Some(Failure::Deadline)), (1_000, 10, None)] {
        let mut testbed = Testbed::new(1, CALM);
        testbed.read_tps = read_tps;
        let client = testbed.client(1, Nano(10 * COIN.0));
        let provider = testbed.provider(1, asks(), 10_000);
        testbed.slow_reading(provider, read_tps / 100, None);
        testbed.order(client, 1, task.clone(), COIN, Span::from_s(deadline_s));
        testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
        let outcome = testbed.outcome(1);
        assert_eq!(outcome.end.unwrap().err().map(|(why, _)| why), expected, "{read_tps}");
    }
}

/// (MK-49)
#[test]
fn a_task_of_the_other_kind_is_told_as_that_however_small() {
    let (mut testbed, client) = market(Market::Sought, &embed(1));
    testbed.order(client, 1, chat("x", 1), COIN, Span::from_s(10));
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    let why = testbed.outcome(1).end.unwrap().unwrap_err().0;
    assert!(matches!(why, Failure::Refused(_)), "{why:?}");
    assert_eq!(embed(1).kind(), TaskKind::Embed);
}

/// A client whose channels hold two fair ceilings of this task at the most.
fn limited(task: &Task) -> (Testbed, NodeId, Nano) {
    let most = Nano(2 * ceiling(asks(), task).0);
    let policy = ChannelPolicy { deposit_max: most, ..ChannelPolicy::default() };
    let config = ClientConfig { leases: false, policy, ..ClientConfig::for_tests(1) };
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client_with(config, Nano(10 * COIN.0));
    (testbed, client, most)
}

/// A price at which nobody would buy.
fn absurd() -> Price {
    price(1_000 * COIN.0)
}

fn why_in(testbed: &mut Testbed, client: NodeId, task: Task) -> Failure {
    testbed.order(client, 1, task, COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    testbed.outcome(1).end.unwrap().unwrap_err().0
}

/// (MK-15) One that asks more than the budget, beside others that a channel cannot pay: the nearest of what stands in most bids' way.
#[test]
fn one_absurd_price_hides_from_nobody_what_the_others_need() {
    for others in 1..=3 {
        let task = chat("x", 1);
        let (mut testbed, client, most) = limited(&task);
        testbed.provider(1, absurd(), 10_000);
        for number in 2..2 + others {
            testbed.provider(number, price(1_600_000 + 400_000 * number), 10_000);
        }
        let needs = ceiling(price(2_400_000), &task);
        let why = why_in(&mut testbed, client, task);
        assert_eq!(why, Failure::Payment(PaymentFault::DepositTooLow { needs, most }), "{others}");
    }
}

/// (MK-15, MK-47) Nor why others do not bid, as long as they are more.
#[test]
fn one_absurd_price_hides_from_nobody_why_the_others_do_not_bid() {
    for (decliners, names_them) in [(1, false), (2, true), (3, true)] {
        let task = chat("x", 1);
        let (mut testbed, client, _) = limited(&task);
        testbed.provider(1, absurd(), 10_000);
        for number in 0..decliners {
            let decliner = Thief::new(100 + number, Plan::Declines(Refusal::BadConversation), asks());
            testbed.thief(decliner, Some(Prefix::of_ipv4([10, 9, number, 1])));
        }
        let why = why_in(&mut testbed, client, task);
        assert_eq!(why == Failure::Refused(Refusal::BadConversation), names_them, "{decliners}: {why}");
    }
}

/// (MK-15) It was said that nobody whom the order wants had bid, beside an answer that one of them had begun.
#[test]
fn an_answer_that_a_named_provider_left_is_cut_short_and_one_that_it_never_began_names_how_it_left() {
    for has_begun in [true, false] {
        let mut testbed = Testbed::new(5, CALM);
        let client = testbed.client(1, Nano(10 * COIN.0));
        let named = testbed.provider(1, asks(), 50_000);
        testbed.provider(2, asks(), 1_000);
        let preferences = Preferences { only: vec![named], ..Preferences::default() };
        let order = Order { preferences, ..testbed::order(chat("count for me", 200), COIN, MINUTE) };
        testbed.place_order(client, 1, order);
        testbed.run(MINUTE, |testbed| {
            let outcome = testbed.outcome(1);
            if has_begun { outcome.ids.len() > 10 } else { !outcome.bids.is_empty() }
        });
        testbed.kill(named);
        testbed.run(Span::from_s(120), |testbed| testbed.outcome(1).end.is_some());
        let outcome = testbed.outcome(1);
        let delivered = u32::try_from(outcome.ids.len()).unwrap();
        let why = outcome.end.unwrap().unwrap_err().0;
        if has_begun {
            assert_eq!(why, Failure::CutShort { delivered });
        } else {
            assert!(!matches!(why, Failure::NotWanted { .. }), "{why}");
        }
    }
}
