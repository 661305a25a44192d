//! The only seller of a model fails: what its clients are told, when it is asked again, and that a deadline is one.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Failure;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::TaskKind;
use testbed::thief::{Plan, Thief};
use testbed::{CALM, MODEL, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
/// Commits and ticks of the testbed.
const MOMENT: Span = Span::from_ms(300);

fn ends(testbed: &mut Testbed, order: u64) -> Span {
    let began = testbed.now;
    testbed.run(Span::from_s(700), |testbed| testbed.outcome(order).end.is_some());
    testbed.now.since(began)
}

/// A client and a provider that has served it once.
fn pair(seed: u64, token_us: u64) -> (Testbed, NodeId, NodeId) {
    let mut testbed = Testbed::new(seed, CALM);
    let client = testbed.client(seed, COIN);
    let provider = testbed.provider(seed, price(400_000), token_us);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    ends(&mut testbed, 1);
    assert!(testbed.outcome(1).end.unwrap().is_ok());
    (testbed, client, provider)
}

fn restart(testbed: &mut Testbed, provider: NodeId) {
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
}

/// (MK-31) Nothing else sells, and it is there again two seconds later each time.
#[test]
fn a_seller_that_is_killed_again_and_again_is_asked_again_in_seconds() {
    for deaths in [1, 3] {
        let (mut testbed, client, provider) = pair(1, 10_000);
        for order in 2..=6 {
            let before = testbed.outcome(order).ids.len();
            testbed.order(client, order, chat("count for me", 300), COIN, Span::from_s(120));
            testbed.run(MINUTE, |testbed| testbed.outcome(order).ids.len() > before + 30);
            for _ in 0..deaths {
                let before = testbed.outcome(order).ids.len();
                testbed.run(MINUTE, |testbed| testbed.outcome(order).ids.len() > before);
                testbed.kill(provider);
                testbed.run(Span::from_s(2), |_| false);
                restart(&mut testbed, provider);
            }
            let took = ends(&mut testbed, order);
            let outcome = testbed.outcome(order);
            assert!(outcome.end.clone().unwrap().is_ok(), "{order}: {:?}", outcome.end);
            assert_eq!(outcome.text, engine::answer(300));
            assert!(took < Span::from_s(60), "order {order}: {took:?} after it was back");
        }
    }
}

/// (MK-31, MK-65) Also where it has served: tries are rare, and each order says in time what stands in its way.
#[test]
fn a_seller_that_fails_for_ever_is_tried_seldom_and_its_orders_say_so_early() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    testbed.thief(Thief::new(1, Plan::Mute, price(400_000)), None);
    let mut tries = 0;
    for order in 1..=10 {
        testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
        let took = ends(&mut testbed, order);
        let why = testbed.outcome(order).end.unwrap().unwrap_err().0;
        tries += testbed.outcome(order).failed_over.len();
        if order > 1 {
            let Failure::LeftAlone { come_back_s } = why else { panic!("{order}: {why}") };
            assert!(took < Span::from_s(10), "{order}: {took:?}");
            assert!(come_back_s > 50, "{come_back_s}: nobody is asked before the order's time is over");
        }
    }
    assert_eq!(tries, 2, "it has one more chance");
}

/// (MK-15)
#[test]
fn an_answer_whose_only_provider_is_gone_is_called_cut_short_and_what_came_is_paid() {
    for (deadline_s, deaths) in [(4, 1), (20, 1), (30, 2)] {
        let (mut testbed, client, provider) = pair(3, 10_000);
        testbed.order(client, 2, chat("count for me", 3_000), COIN, Span::from_s(deadline_s));
        let began = testbed.now;
        for death in 1..=deaths {
            let before = testbed.outcome(2).ids.len();
            testbed.run(MINUTE, |testbed| testbed.outcome(2).ids.len() > before + 60);
            testbed.kill(provider);
            if death < deaths {
                restart(&mut testbed, provider);
            }
        }
        ends(&mut testbed, 2);
        let outcome = testbed.outcome(2);
        let (why, bill) = outcome.end.unwrap().unwrap_err();
        let delivered = u32::try_from(outcome.ids.len()).unwrap();
        assert_eq!(why, Failure::CutShort { delivered }, "{deadline_s} s");
        assert!(bill.cost > Nano::ZERO && bill.output_tokens > 0);
        assert!(testbed.now <= began + Span::from_s(deadline_s) + MOMENT);
    }
}

/// (CO-5) Whatever it waits for: an answer to an award, the task's, a stall, the next call, bids.
#[test]
fn an_order_ends_at_its_deadline_wherever_its_seller_dies() {
    for killed_ms in [0, 5, 15, 25, 45, 300, 1_000, 3_900] {
        for deadline_ms in [500u64, 1_500, 4_000, 9_000].into_iter().filter(|ms| *ms > killed_ms) {
            for leases in [true, false] {
                let mut testbed = Testbed::new(4, CALM);
                let client = testbed.client_with(ClientConfig { leases, ..ClientConfig::for_tests(4) }, COIN);
                let provider = testbed.provider(4, price(400_000), 50_000);
                testbed.order(client, 1, chat("count for me", 5), COIN, MINUTE);
                ends(&mut testbed, 1);
                let deadline = Span::from_ms(deadline_ms);
                let due: Time = testbed.now + deadline;
                testbed.order(client, 2, chat("count for me", 1_000), COIN, deadline);
                testbed.run(Span::from_ms(killed_ms), |_| false);
                testbed.kill(provider);
                ends(&mut testbed, 2);
                assert!(testbed.outcome(2).end.unwrap().is_err());
                assert!(testbed.now.since(due) <= MOMENT, "{killed_ms} of {deadline_ms} ms");
            }
        }
    }
}

/// (MK-50) Its time is short and its answer long: it may come back when a job can begin.
#[test]
fn who_has_little_time_is_told_when_a_job_can_begin_and_not_when_its_own_would_have_ended() {
    let mut testbed = Testbed::new(5, CALM);
    testbed.slots = 1;
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 100_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| !testbed.outcome(1).ids.is_empty());
    // The answer would take forty seconds and more.
    testbed.order(client, 2, chat("count for me", 1_500), COIN, Span::from_s(3));
    ends(&mut testbed, 2);
    let why = testbed.outcome(2).end.unwrap().unwrap_err().0;
    let Failure::Full { come_back_s, answer_s, .. } = why else { panic!("{why}") };
    assert!((5..=14).contains(&come_back_s), "{come_back_s} s for a job that ends in ten");
    // It is served then, and not to the end: whoever knows the answer to be shorter comes back all the same.
    assert!(answer_s.is_some_and(|answer_s| (37..=50).contains(&answer_s)), "{answer_s:?}");
    assert!(why.to_string().contains("with more time"), "{why}");
}
