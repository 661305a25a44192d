//! Jobs that begin in a session that is kept from an earlier one: no handshake, and the task goes with the award.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::limits;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::TaskKind;
use testbed::{CALM, MODEL, STORM, Testbed, Weather, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn served(testbed: &mut Testbed, client: NodeId, id: u64) {
    testbed.order(client, id, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
    let outcome = testbed.outcome(id);
    assert!(outcome.end.unwrap().is_ok());
    assert_eq!(outcome.text, engine::answer(20));
    assert_eq!(outcome.failed_over, []);
}

fn sent(testbed: &Testbed, kind: &str) -> u32 {
    testbed.to_providers.get(kind).copied().unwrap_or(0)
}

fn rest(testbed: &mut Testbed, span: Span) {
    testbed.run(span, |_| false);
}

/// A client and its provider that know each other: the first job, and its voucher, are through.
fn acquainted(weather: Weather) -> (Testbed, [NodeId; 2]) {
    let mut testbed = Testbed::new(1, weather);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    served(&mut testbed, client, 1);
    rest(&mut testbed, Span::from_s(2));
    (testbed, [client, provider])
}

/// (MK-67, SE-24)
#[test]
fn the_next_jobs_need_no_handshake_and_their_task_goes_with_the_award() {
    let (mut testbed, [client, _]) = acquainted(CALM);
    let sealed = sent(&testbed, "sealed");
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 0));
    for id in 2..=20 {
        served(&mut testbed, client, id);
    }
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 19));
    let frames = f64::from(sent(&testbed, "sealed") - sealed) / 19.0;
    assert!(frames <= 3.0, "acknowledgements of receipts alone: {frames} frames a job");
    assert_eq!(testbed.faults, []);
    rest(&mut testbed, Span::from_s(2));
    assert_eq!(testbed.served.len(), 20);
}

/// Many at once share the session, each with keys of its own. (SE-24, SE-25)
#[test]
fn jobs_at_the_same_time_share_a_session() {
    let (mut testbed, [client, _]) = acquainted(CALM);
    for id in 2..=5 {
        testbed.order(client, id, chat("count for me", 50), COIN, MINUTE);
    }
    testbed.run(MINUTE, |testbed| (2..=5).all(|id| testbed.outcome(id).end.is_some()));
    for id in 2..=5 {
        assert_eq!(testbed.outcome(id).text, engine::answer(50));
    }
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 4));
    assert_eq!(testbed.faults, []);
}

/// A provider that has started anew knows of no session: the same bid is awarded by a handshake, and nobody is blamed. (MK-67)
#[test]
fn a_provider_that_keeps_the_session_no_more_gets_a_handshake() {
    let (mut testbed, [client, provider]) = acquainted(CALM);
    testbed.kill(provider);
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    let outcome = testbed.outcome(2);
    assert!(outcome.end.unwrap().is_ok());
    assert_eq!(testbed.faults, []);
}

/// (SE-24)
#[test]
fn a_session_is_kept_for_a_while_only() {
    let (mut testbed, [client, _]) = acquainted(CALM);
    rest(&mut testbed, limits::SESSION_KEPT);
    served(&mut testbed, client, 2);
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (2, 0));
    rest(&mut testbed, Span::from_s(2));
    served(&mut testbed, client, 3);
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (2, 1), "of the new handshake");
}

/// A lost award is repeated and does no work twice. (MK-67)
#[test]
fn a_bad_network_changes_nothing() {
    for seed in 0..12 {
        let mut testbed = Testbed::new(seed, STORM);
        let client = testbed.client(1, COIN);
        testbed.provider(1, price(400_000), 1_000);
        let mut whole = 0;
        for id in 1..=8 {
            testbed.order(client, id, chat("count for me", 20), COIN, MINUTE);
            testbed.run(MINUTE, |testbed| testbed.outcome(id).end.is_some());
            let outcome = testbed.outcome(id);
            if outcome.end.unwrap().is_ok() {
                assert_eq!(outcome.text, engine::answer(20));
                whole += 1;
            }
        }
        assert!(whole >= 6, "seed {seed}: {whole}");
        assert!(sent(&testbed, "kept award") >= 1, "seed {seed}");
        assert!(
            testbed.faults.iter().all(|(_, fault)| !fault.is_breach()),
            "seed {seed}: {:?}",
            testbed.faults
        );
    }
}

/// Without leases as well: each job has its auction, and no further handshake. (MK-67)
#[test]
fn a_new_bid_of_the_same_provider_is_taken_in_the_kept_session() {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client_with(ClientConfig { leases: false, ..ClientConfig::for_tests(1) }, COIN);
    testbed.provider(1, price(400_000), 1_000);
    served(&mut testbed, client, 1);
    rest(&mut testbed, Span::from_s(2));
    served(&mut testbed, client, 2);
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 1));
}
