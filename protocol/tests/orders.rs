//! An order lives until its deadline: what passes by itself costs it a retry, never an error, as long as its time lasts.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::TaskKind;
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn ends(testbed: &mut Testbed, orders: impl Iterator<Item = u64> + Clone) {
    testbed
        .run(Span::from_s(200), |testbed| orders.clone().all(|order| testbed.outcome(order).end.is_some()));
}

/// (MK-15)
#[test]
fn a_provider_that_comes_at_the_last_moment_still_serves() {
    for late in [0, 3, 11, 40] {
        let mut testbed = Testbed::new(1, CALM);
        let client = testbed.client(1, COIN);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        testbed.run(Span::from_s(late), |_| false);
        assert!(testbed.outcome(1).end.is_none(), "it waits");
        testbed.provider(1, price(400_000), 1_000);
        ends(&mut testbed, 1..=1);
        assert!(testbed.outcome(1).end.unwrap().is_ok(), "{late} s");
        assert_eq!(testbed.outcome(1).text, engine::answer(20));
    }
}

/// (MK-15)
#[test]
fn a_channel_that_its_provider_closes_costs_a_retry_before_a_job_and_in_the_middle_of_one() {
    for tokens in [20, 2_000] {
        let mut testbed = Testbed::new(2, CALM);
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(400_000), 5_000);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        ends(&mut testbed, 1..=1);
        let account = testbed.client_at(client).channels().next().unwrap().account();
        testbed.command(provider, Command::Close { account });
        if tokens > 100 {
            // The close is on its way while the next job begins.
            testbed.order(client, 2, chat("count for me", tokens), COIN, MINUTE);
        } else {
            testbed.run(Span::from_s(5), |_| false);
            testbed.order(client, 2, chat("count for me", tokens), COIN, MINUTE);
        }
        ends(&mut testbed, 2..=2);
        let outcome = testbed.outcome(2);
        assert!(outcome.end.unwrap().is_ok(), "{tokens}: {:?}", outcome.failed_over);
        assert_eq!(outcome.text, engine::answer(tokens));
    }
}

/// (MK-15) Also the provider that a lease stands with, and the only one that there is.
#[test]
fn a_provider_that_was_started_again_is_asked_again_within_the_order_s_time() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 2_000);
    for order in 1..=4 {
        testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
        ends(&mut testbed, order..=order);
    }
    testbed.kill(provider);
    testbed.order(client, 5, chat("count for me", 20), COIN, MINUTE);
    testbed.run(Span::from_s(20), |_| false);
    assert!(testbed.outcome(5).end.is_none());
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, testbed::MODEL);
    ends(&mut testbed, 5..=5);
    assert_eq!(testbed.outcome(5).text, engine::answer(20));
}

/// (MK-15) With a lease standing as without one.
#[test]
fn a_deadline_in_the_middle_of_an_answer_is_called_one() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 50_000);
    for order in 1..=3 {
        testbed.order(client, order, chat("count for me", 500), COIN, Span::from_s(5));
        ends(&mut testbed, order..=order);
        let (why, bill) = testbed.outcome(order).end.unwrap().unwrap_err();
        assert_eq!(why, Failure::Deadline);
        assert!(bill.cost > Nano::ZERO && bill.output_tokens > 0);
    }
}
