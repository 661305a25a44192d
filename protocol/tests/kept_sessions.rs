//! Jobs that begin in a session that is kept from an earlier one: no handshake, and the task goes with the award.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, EngineReport, Input};
use bombyx_protocol::limits;
use bombyx_protocol::market::bid::BidHash;
use bombyx_protocol::market::call::CallId;
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{KeptAward, Message, ToProvider};
use bombyx_protocol::work::order::{InputCount, JobId, OrderId, TaskKind};
use testbed::{CALM, MODEL, STORM, Testbed, Weather, chat, engine, order, price};

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
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 0));
    for id in 2..=10 {
        served(&mut testbed, client, id);
    }
    // Each deposit that is shown lets vouchers out that waited for it.
    rest(&mut testbed, Span::from_s(2));
    let sealed = sent(&testbed, "sealed");
    for id in 11..=20 {
        served(&mut testbed, client, id);
    }
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 19));
    let frames = f64::from(sent(&testbed, "sealed") - sealed) / 10.0;
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

/// Recorded jobs stay secret once the session that they began in is over, also on a node that nothing happens to. (SE-23, SE-24)
#[test]
fn no_secret_outlives_its_session_at_an_idle_node() {
    let (mut testbed, [client, provider]) = acquainted(CALM);
    let secrets = |testbed: &Testbed| {
        let both = format!("{:?} {:?}", testbed.client_at(client), testbed.provider_at(provider));
        both.matches("KeptSecret").count()
    };
    assert_eq!(secrets(&testbed), 2);
    rest(&mut testbed, limits::SESSION_KEPT);
    assert_eq!(secrets(&testbed), 0);
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

/// A provider whose count is lost on the way says it again when the award comes again. (MK-67, WR-22)
#[test]
fn a_count_that_was_lost_is_told_again() {
    let (mut testbed, [client, _]) = acquainted(CALM);
    let mut estimated = order(chat("count for me", 20), COIN, MINUTE);
    estimated.input = InputCount::Estimated;
    testbed.place_order(client, 2, estimated);
    testbed.run(Span(10_500), |_| false);
    testbed.set_cut(client, true);
    testbed.run(Span::from_ms(20), |_| false);
    testbed.set_cut(client, false);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    let outcome = testbed.outcome(2);
    assert_eq!(outcome.failed_over, []);
    assert_eq!(outcome.text, engine::answer(20));
    assert_eq!((sent(&testbed, "award"), sent(&testbed, "kept award")), (1, 2), "it was repeated once");
}

/// An order that is cancelled at once ends at its provider as well, whichever of the two messages comes first. (MK-67, WR-14)
#[test]
fn a_cancellation_that_overtakes_its_award_ends_the_job() {
    let mut overtaken = 0;
    for seed in 0..12 {
        let (mut testbed, [client, provider]) = acquainted(CALM);
        testbed.weather.jitter_us = 50_000;
        for _ in 0..=seed {
            testbed.random();
        }
        testbed.engine_mut(provider).token_us = 100_000;
        testbed.order(client, 2, chat("count for me", 60), COIN, MINUTE);
        testbed.command(client, Command::Cancel(OrderId(2)));
        rest(&mut testbed, Span::from_s(3));
        assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 0, "seed {seed}");
        rest(&mut testbed, MINUTE);
        let second = testbed.served.iter().filter(|(_, job)| job.output_tokens != 20);
        overtaken += second.clone().count();
        assert!(second.clone().all(|(_, job)| job.refused.is_none()), "seed {seed}");
    }
    assert!(overtaken > 0, "some were");
}

/// The same where the count comes late, when the provider has said that it has the task. (MK-67, WR-22)
#[test]
fn a_late_count_that_was_lost_is_told_again() {
    let (mut testbed, [client, provider]) = acquainted(CALM);
    testbed.engine_mut(provider).stalls = true;
    let mut estimated = order(chat("count for me", 20), COIN, MINUTE);
    estimated.input = InputCount::Estimated;
    testbed.place_order(client, 2, estimated);
    rest(&mut testbed, Span::from_ms(500));
    testbed.engine_mut(provider).stalls = false;
    testbed.set_cut(client, true);
    let (job, _) = testbed.engine(provider).uncounted[0];
    testbed.engine_mut(provider).uncounted.clear();
    let count = EngineReport::Counted { input_tokens: 12, cached_tokens: 0 };
    testbed.feed(provider, Input::Engine { job, report: count });
    testbed.set_cut(client, false);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    let outcome = testbed.outcome(2);
    assert_eq!(outcome.failed_over, []);
    assert_eq!(outcome.text, engine::answer(20));
}

/// A second order whose award is copied on its way, and comes before the session that it builds on is kept.
fn copied_early(seed: u64) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(seed, Weather { commit_us: 500_000, ..CALM });
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    served(&mut testbed, client, 1);
    (testbed.weather.copied_permille, testbed.weather.jitter_us) = (1_000, 1_500_000);
    testbed.engine_mut(provider).token_us = 50_000;
    testbed.order(client, 2, chat("count for me", 60), COIN, MINUTE);
    (testbed.weather.copied_permille, testbed.weather.jitter_us) = (0, 0);
    (testbed, provider)
}

/// An award that was refused for want of its session stays refused when the session is there. (MK-67)
#[test]
fn a_late_copy_of_a_refused_award_begins_no_job() {
    let mut refused = 0;
    for seed in 0..20 {
        let (mut testbed, _) = copied_early(seed);
        testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
        assert_eq!(testbed.outcome(2).failed_over, [], "seed {seed}");
        rest(&mut testbed, MINUTE);
        refused += sent(&testbed, "award") - 1;
        assert_eq!(testbed.served.len(), 2, "seed {seed}");
        assert!(testbed.served.iter().all(|(_, job)| job.refused.is_none()), "seed {seed}");
    }
    assert!(refused > 0, "some were");
}

/// Awards that name no session which could still come to be kept are not remembered: nobody drives out what is. (MK-67, CO-4)
#[test]
fn strangers_cannot_make_a_provider_forget_what_it_refused() {
    let mut refused = 0;
    for seed in 0..20 {
        let (mut testbed, provider) = copied_early(seed);
        testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some() || sent(testbed, "award") > 1);
        if sent(&testbed, "award") > 1 {
            refused += 1;
            flood(&mut testbed, provider);
        }
        testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
        rest(&mut testbed, MINUTE);
        assert_eq!(testbed.served.len(), 2, "seed {seed}");
    }
    assert!(refused > 0, "some were");
}

/// Sends as many awards of no session as a provider could remember.
fn flood(testbed: &mut Testbed, provider: NodeId) {
    let stranger = NodeId([0x99; 32]);
    testbed.outsiders.insert(stranger, Vec::new());
    for number in 0..=limits::ENDED_JOBS_MAX {
        let award = KeptAward {
            job: JobId(u128::try_from(number).unwrap().to_le_bytes()),
            call: CallId([0; 16]),
            bid: BidHash([0; 32]),
            price: price(400_000),
            session: JobId([0; 16]),
            number: 0,
            work: Vec::new(),
            extensions: Extensions::NONE,
        };
        let message = Message::ToProvider(ToProvider::KeptAward(award));
        let prefix = Prefix::of_ipv4([10, 9, 9, 9]);
        testbed.feed(provider, Input::Received { from: stranger, prefix, message });
    }
    assert_eq!(testbed.outsiders[&stranger].len(), limits::ENDED_JOBS_MAX + 1, "each was answered");
}
