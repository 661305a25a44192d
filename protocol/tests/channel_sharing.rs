//! One channel for everything between two nodes: opened when first needed, shared by all jobs, topped up before it runs dry,
//! used again and again, and given back when nobody uses it.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Command;
use bombyx_protocol::limits;
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{OrderId, TaskKind};
use testbed::{CALM, MODEL, STORM, Testbed, Weather, ceiling, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
/// Enough that what all jobs together cost is worth a payout.
const PRICE: u64 = 500_000;

/// As many jobs at a time as there are slots.
const JOBS: u64 = 12;

/// A client and a provider with a slot for each job.
fn pair(seed: u64, weather: Weather, config: ClientConfig) -> (Testbed, NodeId, NodeId) {
    let mut testbed = Testbed::new(seed, weather);
    testbed.slots = u16::try_from(JOBS).unwrap();
    let client = testbed.client_with(config, COIN);
    let provider = testbed.provider(1, price(PRICE), 3_000);
    (testbed, client, provider)
}

fn tokens(order: u64) -> u32 {
    40 + 10 * u32::try_from(order % JOBS).unwrap()
}

fn order(testbed: &mut Testbed, client: NodeId, number: u64) {
    testbed.order(client, number, chat("count for me", tokens(number)), COIN, Span::from_s(120));
}

/// Everything that the orders came to, done or not.
fn billed(testbed: &Testbed) -> Nano {
    testbed
        .outcomes
        .values()
        .map(|outcome| match outcome.end.as_ref().unwrap() {
            Ok(bill) | Err((_, bill)) => bill.cost,
        })
        .sum()
}

fn paid(testbed: &Testbed, provider: NodeId) -> Nano {
    testbed.provider_at(provider).channels().map(|earner| earner.paid()).sum()
}

/// What a provider may lose on one job: what it serves ahead.
fn window() -> Nano {
    let tokens = u32::try_from(limits::WINDOW_TOKENS).unwrap() + limits::CHUNK_TOKENS;
    ceiling(price(PRICE), &chat(&"x".repeat(200), tokens))
}

fn payout(testbed: &Testbed) -> Nano {
    Nano(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash))
}

/// (CH-4, CH-20)
#[test]
fn many_jobs_at_once_share_one_channel_and_are_paid_to_the_nano() {
    let (mut testbed, client, provider) = pair(1, CALM, ClientConfig::for_tests(1));
    for number in 0..JOBS {
        order(&mut testbed, client, number);
    }
    let mut at_once = 0;
    testbed.run(MINUTE, |testbed| {
        at_once = at_once.max(testbed.provider_at(provider).jobs_in_flight());
        testbed.outcomes.len() == 12 && testbed.outcomes.values().all(|outcome| outcome.end.is_some())
    });
    testbed.run(Span::from_s(10), |_| false);
    // The first may be done before the last has found its provider.
    assert!(at_once >= 8, "{at_once}");
    for number in 0..JOBS {
        assert_eq!(testbed.outcome(number).text, engine::answer(tokens(number)), "order {number}");
    }
    assert_eq!(testbed.chain.opened, 1);
    assert_eq!(paid(&testbed, provider), billed(&testbed));
    testbed.command(provider, Command::Settle);
    testbed.run(MINUTE, |testbed| testbed.chain.locked() == 0);
    assert_eq!(payout(&testbed), billed(&testbed));
}

/// Each receipt costs both sides a signature and a durable write. (CH-5, WR-3)
#[test]
fn a_job_alone_on_its_channel_has_the_whole_window_and_a_receipt_for_32_tokens() {
    let (mut testbed, client, _) = pair(1, CALM, ClientConfig::for_tests(1));
    let tokens = 1 + 5 * u32::try_from(limits::RECEIPT_TOKENS).unwrap();
    // The second is served on an open channel: nothing has to wait for a ledger.
    for number in 1..=2 {
        testbed.order(client, number, chat("count for me", tokens), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
    }
    let bill = testbed.outcome(2).end.unwrap().unwrap();
    assert_eq!(bill.output_tokens, u64::from(tokens));
    assert!(bill.receipts <= 1 + 5 + 1, "the first chunk's, the tokens', the end's: {}", bill.receipts);
}

/// (CH-5)
#[test]
fn jobs_that_share_a_channel_in_a_storm_cost_nobody_more_than_a_window() {
    let mut done = 0;
    for seed in 0..6 {
        let (mut testbed, client, provider) = pair(seed, STORM, ClientConfig::for_tests(1));
        for number in 0..JOBS {
            order(&mut testbed, client, number);
        }
        testbed.run_to_end(Span::from_s(180));
        let (billed, paid) = (billed(&testbed), paid(&testbed, provider));
        assert!(paid <= billed, "seed {seed}: no voucher above what was delivered");
        let served: Nano = testbed.provider_at(provider).channels().map(|earner| earner.served()).sum();
        let lost = served.saturating_minus(paid);
        assert!(lost <= window(), "seed {seed}: lost {lost} of {}", window());
        assert!(
            testbed.faults.iter().all(|(_, fault)| !fault.is_breach()),
            "seed {seed}: {:?}",
            testbed.faults
        );
        done += testbed.outcomes.values().filter(|outcome| matches!(outcome.end, Some(Ok(_)))).count();
    }
    assert!(done >= 36, "{done} of {} came through", 6 * JOBS);
}

/// (CH-7, CH-8)
#[test]
fn either_side_killed_among_many_jobs_goes_on_with_the_same_channel() {
    for seed in 0..4 {
        let (mut testbed, client, provider) = pair(seed, CALM, ClientConfig::for_tests(1));
        for number in 0..JOBS {
            order(&mut testbed, client, number);
        }
        testbed.run(MINUTE, |testbed| testbed.outcomes.values().filter(|o| o.ids.len() > 20).count() > 6);
        let victim = if seed % 2 == 0 { client } else { provider };
        testbed.kill(victim);
        if victim == client {
            // Nobody is left to hear the end of its orders.
            testbed.outcomes.clear();
        }
        testbed.run(Span::from_ms(700 * seed), |_| false);
        testbed.restart(victim);
        if victim == provider {
            testbed.offer(provider, price(PRICE), TaskKind::Generate, MODEL);
        }
        // A provider that died is left alone for two minutes.
        let rest = if victim == provider { limits::FAILURE_REST_S + 60 } else { 40 };
        testbed.run(Span::from_s(rest), |_| false);
        let before = paid(&testbed, provider);
        testbed.outcomes.clear();
        for number in 100..100 + JOBS {
            order(&mut testbed, client, number);
        }
        testbed.run_to_end(Span::from_s(120));
        for number in 100..100 + JOBS {
            assert_eq!(
                testbed.outcome(number).text,
                engine::answer(tokens(number)),
                "seed {seed}, order {number}: {:?}",
                testbed.outcome(number).end
            );
        }
        // It had not finished a job either: what was locked with it was asked back.
        assert!(testbed.chain.opened <= 1 + u32::from(victim == provider), "seed {seed}");
        // What was promised before the crash and never arrived may come with the first new voucher.
        let new = paid(&testbed, provider).saturating_minus(before);
        assert!(new >= billed(&testbed), "seed {seed}: {new} for {}", billed(&testbed));
        testbed.command(provider, Command::Settle);
        testbed.run(MINUTE, |testbed| testbed.chain.locked() == 0);
        // All is paid out, but for a channel on which too little is due to be sent.
        let kept = paid(&testbed, provider);
        assert!(kept < limits::PAYOUT_MIN, "seed {seed}: {kept}");
        assert!(payout(&testbed).saturating_plus(kept) >= new, "seed {seed}: {new}");
    }
}

/// (CH-20)
#[test]
fn without_leases_and_after_restarts_the_same_channel_is_used_again() {
    let config = ClientConfig { leases: false, ..ClientConfig::for_tests(1) };
    let (mut testbed, client, provider) = pair(7, CALM, config);
    for number in 0..6 {
        if number == 2 {
            testbed.kill(client);
            testbed.restart(client);
        }
        if number == 4 {
            testbed.kill(provider);
            testbed.restart(provider);
            testbed.offer(provider, price(PRICE), TaskKind::Generate, MODEL);
        }
        order(&mut testbed, client, number);
        testbed.run_to_end(Span::from_s(150));
        assert_eq!(testbed.outcome(number).text, engine::answer(tokens(number)), "order {number}");
    }
    assert_eq!(testbed.chain.opened, 1);
}

/// (CH-20)
#[test]
fn a_job_starts_while_its_top_up_is_on_its_way() {
    let config = ClientConfig { deposit: Nano(60_000), ..ClientConfig::for_tests(1) };
    let (mut testbed, client, _) = pair(8, CALM, config);
    order(&mut testbed, client, 0);
    testbed.run_to_end(Span::from_s(150));
    let locked = testbed.chain.locked();
    order(&mut testbed, client, 6);
    testbed.run(MINUTE, |testbed| !testbed.outcome(6).ids.is_empty());
    assert_eq!(testbed.chain.locked(), locked, "what is left pays for the beginning");
    testbed.run_to_end(Span::from_s(150));
    assert_eq!(testbed.outcome(6).text, engine::answer(tokens(6)));
    assert!(testbed.chain.locked() > locked);
    assert_eq!(testbed.chain.opened, 1);
}

/// (CH-25)
#[test]
fn a_channel_that_nobody_uses_is_given_back_and_one_in_use_is_not() {
    let idle = Span::from_s(300);
    let policy = ChannelPolicy { idle_close: Some(idle), ..ChannelPolicy::default() };
    let (mut testbed, client, _) = pair(9, CALM, ClientConfig { policy, ..ClientConfig::for_tests(1) });
    order(&mut testbed, client, 0);
    testbed.run_to_end(Span::from_s(150));
    // Used again before the time is over: the time begins anew, also after a restart.
    testbed.run(Span::from_s(200), |_| false);
    order(&mut testbed, client, 1);
    testbed.run_to_end(Span::from_s(150));
    testbed.run(Span::from_s(200), |_| false);
    testbed.kill(client);
    testbed.restart(client);
    testbed.run(Span::from_s(290), |_| false);
    assert_eq!((testbed.chain.opened, testbed.chain.closes), (1, 0));
    testbed.run(Span::from_s(20), |_| false);
    assert_eq!(
        (testbed.chain.locked(), testbed.chain.closes),
        (0, 1),
        "the living provider gives it back at once"
    );
    assert_eq!(
        testbed.chain.balance(&ClientConfig::for_tests(1).wallet.hash),
        COIN.0 - billed(&testbed).0,
        "all but what was used"
    );
    order(&mut testbed, client, 2);
    testbed.run_to_end(Span::from_s(150));
    assert_eq!(testbed.outcome(2).text, engine::answer(tokens(2)));
    assert_eq!(testbed.chain.opened, 2);
}

/// (CH-2, WR-14) What a cancelled job is still paid comes out of what was set aside for it, and of nothing else.
#[test]
fn a_job_that_its_user_left_takes_nothing_from_what_is_set_aside_for_another() {
    let (mut testbed, client, _) = pair(11, CALM, ClientConfig::for_tests(1));
    let long = chat("count for me", 4_000);
    order(&mut testbed, client, 0);
    testbed.run_to_end(MINUTE);
    let before = billed(&testbed);
    testbed.order(client, 1, chat("count for me", 200), COIN, Span::from_s(120));
    testbed.order(client, 2, long.clone(), COIN, Span::from_s(120));
    testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() > 43 && testbed.outcome(2).ids.len() > 43);
    testbed.served.clear();
    testbed.command(client, Command::Cancel(OrderId(1)));
    testbed.run(MINUTE, |testbed| !testbed.served.is_empty());
    let left = testbed.served[0].1.cost;
    // It is heard for a while after its end.
    testbed.run(limits::LINGER, |_| false);
    testbed.run(Span::from_s(1), |testbed| testbed.outcome(2).end.is_some());
    assert!(testbed.outcome(2).end.is_none(), "the other one still runs");
    let sum: Nano = testbed
        .client_at(client)
        .channels()
        .map(|payer| payer.reserved().saturating_plus(payer.cumulative()))
        .sum();
    let ceiling = ceiling(price(PRICE), &long);
    assert_eq!(sum, ceiling.saturating_plus(before).saturating_plus(left));
}
