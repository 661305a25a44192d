//! Jobs that their client has forgotten, as a crash makes it: they hold nobody up, and cost a window at the most. (`CH-9`)
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::Task;
use testbed::{CALM, Testbed, chat, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;
const ORDERS: u64 = 20;

fn task() -> Task {
    chat("count for me", 60)
}

fn unpaid(testbed: &Testbed, provider: NodeId) -> Nano {
    testbed.provider_at(provider).channels().map(|earner| earner.unpaid()).sum()
}

fn written_off(testbed: &Testbed, provider: NodeId) -> Nano {
    testbed.provider_at(provider).channels().map(|earner| earner.exposure.written_off()).sum()
}

/// A provider, and a client that it has served often.
fn pair(seed: u64) -> (Testbed, NodeId, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(PRICE), 1_000);
    for number in 1..=8 {
        testbed.order(client, number, task(), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
    }
    testbed.run(Span::from_s(10), |_| false);
    assert_eq!(unpaid(&testbed, provider), Nano::ZERO);
    (testbed, client, provider)
}

/// Has the client crash while so many of its jobs are served, and start again.
fn crash(testbed: &mut Testbed, client: NodeId, provider: NodeId, first: u64, jobs: u64) {
    for number in first..first + jobs {
        testbed.order(client, number, task(), COIN, MINUTE);
    }
    testbed.run(MINUTE, |testbed| unpaid(testbed, provider) > Nano::ZERO);
    assert!(unpaid(testbed, provider) > Nano::ZERO, "or this test says nothing");
    testbed.kill(client);
    testbed.run(Span::from_ms(200), |_| false);
    testbed.restart(client);
}

#[test]
fn a_client_that_crashed_is_served_again_within_seconds_and_all_that_it_buys_then_is_settled() {
    for (seed, jobs) in [(1, 1), (2, 4), (3, 12)] {
        let (mut testbed, client, provider) = pair(seed);
        crash(&mut testbed, client, provider, 100, jobs);
        let mut slowest = Span(0);
        for number in 200..200 + ORDERS {
            let began = testbed.now;
            testbed.order(client, number, task(), COIN, MINUTE);
            testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
            assert!(testbed.outcome(number).end.unwrap().is_ok(), "{:?}", testbed.outcome(number).end);
            slowest = slowest.max(testbed.now.since(began));
        }
        assert!(slowest < Span::from_s(6), "{jobs} jobs: {slowest:?}");
        testbed.run(Span::from_s(3), |_| false);
        let most = testbed::ceiling(price(PRICE), &task());
        let lost = written_off(&testbed, provider);
        assert!(lost > Nano::ZERO && lost <= Nano(2 * most.0), "{jobs} jobs: {lost} of {most}");
        assert_eq!(unpaid(&testbed, provider), Nano::ZERO, "{jobs} jobs");
        assert_eq!(testbed.chain.opened, 1, "{jobs} jobs: on the same channel");
    }
}

/// Whoever crashes whenever something is unpaid is no better off for being left sooner.
#[test]
fn a_client_that_crashes_again_and_again_takes_no_more_than_two_windows_of_a_channel() {
    let (mut testbed, client, provider) = pair(4);
    let [window, input] = [96, 1].map(|tokens| testbed::ceiling(price(PRICE), &chat("count for me", tokens)));
    for round in 0..5 {
        crash(&mut testbed, client, provider, 1_000 + 100 * round, 4);
        testbed.order(client, 1_050 + 100 * round, task(), COIN, MINUTE);
        for wait in [Span::from_s(8), MINUTE] {
            testbed.run(wait, |_| false);
            for earner in testbed.provider_at(provider).channels() {
                let lost = earner.exposure.written_off();
                assert!(lost <= Nano(2 * (window.0 + input.0)), "round {round}: {lost}, windows of {window}");
            }
        }
    }
    assert!(testbed.chain.opened > 1, "that channel has had its share, or this test says nothing");
}
