//! A long prompt: who reads it says so and is waited for, who falls silent is left, and what was read for nobody is paid by those
//! who know the provider.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::RecordKey;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{OrderId, Task, TaskKind};
use bombyx_protocol::work::price::{Delivery, InputTokens, Price, Tariff, Weights};
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
/// A prompt of which an engine that reads ten tokens a second has a minute of work.
const PROMPT: u32 = 600;
const TEN_A_SECOND: u32 = 10;

fn prompt() -> String {
    "x".repeat(PROMPT as usize)
}

fn ends(testbed: &mut Testbed, order: u64) {
    testbed.run(Span::from_s(200), |testbed| testbed.outcome(order).end.is_some());
}

/// One provider, whose engine makes a token a second, and a client that has had so many good answers of it.
fn acquainted(seed: u64, jobs: u64) -> (Testbed, NodeId, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000_000);
    for order in 1..=jobs {
        testbed.order(client, order, chat(&prompt(), 2), COIN, Span::from_s(60));
        ends(&mut testbed, order);
        assert!(testbed.outcome(order).end.unwrap().is_ok());
    }
    testbed.run(Span::from_s(10), |_| false);
    testbed.slow_reading(provider, TEN_A_SECOND, None);
    (testbed, client, provider)
}

/// (MK-31, CH-31) Two read ten each in the minute that there is. All were told that they begin at once, and few at a time have the
/// window of a channel.
#[test]
fn sellers_that_read_slowly_are_held_to_account_for_no_burst() {
    for (slots, embeds, stated) in
        [(2, true, 100), (2, true, 800), (2, false, 100), (2, false, 800), (1, true, 100)]
    {
        let mut testbed = Testbed::new(1, CALM);
        (testbed.slots, testbed.read_tps) = (slots, stated);
        for number in 1..=2 {
            let provider = testbed.provider(number, price(400_000), 100_000);
            if embeds {
                testbed.offer(provider, price(400_000), TaskKind::Embed, testbed::MODEL);
            }
            testbed.slow_reading(provider, TEN_A_SECOND, None);
            testbed.engine_mut(provider).is_shared = true;
        }
        let client = testbed.client(1, Nano(10 * COIN.0));
        let case = format!("{slots} slots, embeds {embeds}, {stated} tokens a second stated");
        for round in 0..4_u64 {
            let ids = round * 24 + 1..=round * 24 + 24;
            for id in ids.clone() {
                let task = if embeds { Task::Embed { inputs: vec![prompt()] } } else { chat(&prompt(), 2) };
                testbed.order(client, id, task, COIN, Span::from_s(60));
            }
            ids.for_each(|id| ends(&mut testbed, id));
            assert_eq!(testbed.failures(client), [0; 0], "{case}, round {round}");
        }
        let answered = (1..=96).filter(|id| testbed.outcome(*id).end.unwrap().is_ok()).count();
        assert!(answered >= 60, "{case}: {answered}");
        assert_eq!(testbed.chain.opened, 2, "{case}: nothing is asked back");
    }
}

/// What is paid, and what is asked for, on the only channel.
fn books(testbed: &Testbed, provider: NodeId) -> (Nano, Nano, Nano) {
    let earner = testbed.provider_at(provider).channels().next().unwrap();
    (earner.paid(), earner.unpaid(), earner.written_off())
}

/// (WR-16, WR-23)
#[test]
fn an_engine_that_needs_a_minute_for_a_prompt_is_waited_for_because_it_says_so() {
    let (mut testbed, client, _) = acquainted(1, 0);
    testbed.order(client, 1, chat(&prompt(), 3), COIN, Span::from_s(120));
    let began = testbed.now;
    ends(&mut testbed, 1);
    let outcome = testbed.outcome(1);
    assert!(outcome.end.clone().unwrap().is_ok(), "{:?} {:?}", outcome.end, outcome.failed_over);
    assert!(outcome.failed_over.is_empty(), "{:?}", outcome.failed_over);
    assert_eq!(outcome.text, engine::answer(3));
    assert!(testbed.now.since(began) > Span::from_s(60));
}

/// (WR-16) Four seconds, and three times what it promised for the first token: one second.
#[test]
fn an_engine_that_falls_silent_while_it_reads_is_left_after_the_patience_that_is_stated() {
    let (mut testbed, client, provider) = acquainted(2, 0);
    testbed.slow_reading(provider, TEN_A_SECOND, Some(20 * TEN_A_SECOND));
    testbed.order(client, 1, chat(&prompt(), 3), COIN, Span::from_s(120));
    let began = testbed.now;
    testbed.run(Span::from_s(100), |testbed| !testbed.outcome(1).failed_over.is_empty());
    assert_eq!(testbed.outcome(1).failed_over, [Failure::Stalled]);
    let silent = testbed.now.since(began).0 - Span::from_s(20).0;
    let patience = limits::STALL_WAIT.0..=limits::STALL_WAIT.0 + Span::from_s(6).0;
    assert!(patience.contains(&silent), "{silent} µs after its last word");
}

/// (WR-24)
#[test]
fn what_was_read_for_a_client_that_gives_up_is_paid_to_the_nano_by_one_that_knows_the_provider() {
    for seconds in [5, 30, 55] {
        let (mut testbed, client, provider) = acquainted(3, 2);
        let (before, ..) = books(&testbed, provider);
        testbed.order(client, 9, chat(&prompt(), 50), COIN, Span::from_s(120));
        testbed.run(Span::from_s(seconds), |_| false);
        testbed.command(client, Command::Cancel(OrderId(9)));
        testbed.run(Span::from_s(20), |_| false);
        let (paid, unpaid, lost) = books(&testbed, provider);
        assert_eq!((unpaid, lost), (Nano::ZERO, Nano::ZERO));
        let (_, served) = testbed.served.last().unwrap();
        assert_eq!(paid.minus(before), Some(served.cost), "what it asked for");
        let payer = testbed.client_at(client).channels().next().unwrap();
        assert_eq!(payer.reserved(), Nano::ZERO, "nothing stays set aside");
        let due = |read| due(bid_price(&testbed), read);
        let told = (1..=PROMPT / TEN_A_SECOND).map(|step| step * TEN_A_SECOND);
        let read = told.into_iter().find(|read| due(*read) == served.cost).expect("a whole step was read");
        let near = (seconds as u32 - 3) * TEN_A_SECOND..=(seconds as u32 + 1) * TEN_A_SECOND;
        assert!(near.contains(&read), "{read} tokens in {seconds} s");
        assert!(served.cost.0 <= due(PROMPT).0 && due(PROMPT).0 <= whole(bid_price(&testbed)).0 / 4 + 1);
    }
}

/// (WR-24) It asks for nothing, and holds nothing against its client.
#[test]
fn a_stranger_pays_nothing_for_what_was_read_for_it() {
    for jobs in [0, 1] {
        let (mut testbed, client, provider) = acquainted(4, jobs);
        testbed.order(client, 9, chat(&prompt(), 50), COIN, Span::from_s(120));
        testbed.run(Span::from_s(30), |_| false);
        testbed.command(client, Command::Cancel(OrderId(9)));
        testbed.run(Span::from_s(20), |_| false);
        let (_, served) = testbed.served.last().unwrap();
        assert_eq!((served.cost, served.refused), (Nano::ZERO, None), "after {jobs} jobs");
        assert!(!served.delivered, "nothing of it was made");
        assert_eq!(testbed.faults, []);
        if jobs > 0 {
            let (_, unpaid, lost) = books(&testbed, provider);
            assert_eq!((unpaid, lost), (Nano::ZERO, Nano::ZERO));
        }
    }
}

/// (WR-24) A client that lost its memory, or says so: the provider has read for nothing, once.
#[test]
fn a_client_that_does_not_pay_for_reading_is_not_asked_again_and_served_as_before() {
    let (mut testbed, client, provider) = acquainted(5, 2);
    let money = testbed.disk(client).filter(|record| !matches!(record.key(), RecordKey::Reputation(_)));
    let money = money.cloned().collect();
    testbed.kill(client);
    testbed.roll_back(client, money);
    testbed.restart(client);
    let asked: Vec<bool> = (10..12)
        .map(|order| {
            testbed.order(client, order, chat(&prompt(), 50), COIN, Span::from_s(120));
            testbed.run(Span::from_s(30), |_| false);
            testbed.command(client, Command::Cancel(OrderId(order)));
            testbed.run(Span::from_s(20), |_| false);
            for earner in testbed.provider_at(provider).channels() {
                assert_eq!((earner.unpaid(), earner.written_off()), (Nano::ZERO, Nano::ZERO));
            }
            testbed.served.last().unwrap().1.cost > Nano::ZERO
        })
        .collect();
    assert_eq!(asked, [true, false]);
    let read = testbed.served.iter().rev().nth(1).unwrap().1.cost;
    let by_closes = testbed.news.iter().filter_map(|(node, news)| match news.change {
        ChannelChange::Closed { lost, .. } if *node == provider => lost,
        _ => None,
    });
    let lost = by_closes.sum::<Nano>().saturating_plus(read);
    assert_eq!(testbed.provider_at(provider).lost(testbed.now), lost, "what was sold and is not asked for");
    testbed.order(client, 12, chat(&prompt(), 2), COIN, Span::from_s(120));
    ends(&mut testbed, 12);
    assert!(testbed.outcome(12).end.unwrap().is_ok());
}

/// The price at which the only provider's jobs were awarded: its bids follow from its load alone.
fn bid_price(testbed: &Testbed) -> Price {
    let bids = testbed.outcomes.values().flat_map(|outcome| &outcome.bids);
    bids.map(|bid| bid.price).next_back().unwrap()
}

fn due(price: Price, read: u32) -> Nano {
    let delivered = Delivery { read, ..Delivery::default() };
    let tariff = Tariff { price, weights: Weights::DEFAULT };
    tariff.due(InputTokens::fresh(PROMPT), &delivered).unwrap()
}

fn whole(price: Price) -> Nano {
    Tariff { price, weights: Weights::DEFAULT }.cost(InputTokens::fresh(PROMPT), 0).unwrap()
}
