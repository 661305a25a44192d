//! Every job ends and money is conserved, whatever the network loses, copies or reorders, and
//! whichever node is killed.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Command;
use bombyx_protocol::limits;
use bombyx_protocol::time::Span;
use proptest::prelude::*;
use testbed::{CALM, STORM, Testbed, Weather, ceiling, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);

fn everything_ended(testbed: &Testbed) {
    for (id, outcome) in &testbed.outcomes {
        assert!(outcome.end.is_some(), "{id:?} has not ended");
    }
}

/// What a provider may lose to one client: what it serves ahead, once.
fn window(sheet: u64) -> Nano {
    let tokens = u32::try_from(limits::WINDOW_TOKENS).unwrap() + limits::CHUNK_TOKENS;
    ceiling(price(sheet), &chat(&"x".repeat(200), tokens))
}

/// (WR-12, WR-16)
#[test]
fn a_storm_slows_an_answer_and_changes_nothing_else() {
    for seed in 0..6 {
        let mut testbed = Testbed::new(seed, STORM);
        let client = testbed.client(1, COIN);
        testbed.provider(1, price(400_000), 3_000);
        testbed.provider(2, price(500_000), 3_000);
        testbed.order(client, 1, chat("count for me", 150), COIN, Span::from_s(120));
        testbed.run_to_end(Span::from_s(150));
        everything_ended(&testbed);
        let outcome = testbed.outcome(1);
        if let Some(Ok(bill)) = &outcome.end {
            assert_eq!(outcome.text, engine::answer(150), "seed {seed}");
            assert_eq!(bill.output_tokens, 150);
        }
        assert!(
            testbed.faults.iter().all(|(_, fault)| !fault.is_breach()),
            "honest parties are never accused: {:?}",
            testbed.faults
        );
    }
}

/// (CH-5)
#[test]
fn a_client_cut_off_in_the_middle_costs_its_provider_one_window_at_most() {
    for seed in 0..4 {
        let mut testbed = Testbed::new(seed, CALM);
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(400_000), 3_000);
        testbed.order(client, 1, chat("count for me", 900), COIN, Span::from_s(120));
        testbed.run(Span::from_s(60), |testbed| testbed.outcome(1).ids.len() > 20);
        testbed.weather = STORM;
        testbed.run(Span::from_s(60), |testbed| testbed.outcome(1).ids.len() > 60 + 20 * seed as usize);
        testbed.set_cut(client, true);
        // Its client gives the channel up as well: what was lost is counted before it is gone.
        let mut lost = Nano(u64::MAX);
        testbed.run(Span::from_s(150), |testbed| {
            if let Some(earner) = testbed.provider_at(provider).channels().next() {
                lost = earner.served().saturating_minus(earner.paid());
            }
            testbed.provider_at(provider).jobs_in_flight() == 0
        });
        assert!(lost <= window(400_000), "seed {seed}: lost {lost} of {}", window(400_000));
        testbed.run_to_end(Span::from_s(150));
        everything_ended(&testbed);
        assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 0);
    }
}

/// One thing that happens to a testbed.
#[derive(Debug, Clone, Copy)]
enum Blow {
    Kill(usize),
    Restart(usize),
    Cut(usize),
    Join(usize),
    LedgerDown,
    LedgerUp,
    Settle(usize),
    Cancel(u64),
}

fn blows() -> impl Strategy<Value = Vec<(u64, Blow)>> {
    let blow = prop_oneof![
        (0..5usize).prop_map(Blow::Kill),
        (0..5usize).prop_map(Blow::Restart),
        (0..5usize).prop_map(Blow::Cut),
        (0..5usize).prop_map(Blow::Join),
        Just(Blow::LedgerDown),
        Just(Blow::LedgerUp),
        (0..5usize).prop_map(Blow::Settle),
        (0..6u64).prop_map(Blow::Cancel),
    ];
    prop::collection::vec((0..4_000u64, blow), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn every_job_ends_and_no_party_loses_more_than_its_window(
        seed in any::<u64>(),
        lost in 0..250u64,
        copied in 0..250u64,
        jitter in 0..80_000u64,
        blows in blows(),
    ) {
        let weather = Weather {
            lost_permille: lost, copied_permille: copied, delay_us: 15_000, jitter_us: jitter, commit_us: 4_000,
        };
        let mut testbed = Testbed::new(seed, weather);
        let nodes: Vec<NodeId> = vec![
            testbed.client(1, COIN),
            testbed.client(2, COIN),
            testbed.provider(1, price(400_000), 2_000),
            testbed.provider(2, price(600_000), 4_000),
            testbed.provider(3, price(500_000), 9_000),
        ];
        let mut down = [false; 5];
        for order in 0..6u64 {
            let client = nodes[order as usize % 2];
            testbed.order(client, order, chat("count for me", 30 + 40 * order as u32), COIN, Span::from_s(60));
            testbed.outcomes.entry(bombyx_protocol::work::order::OrderId(order)).or_default();
        }
        for (wait_ms, blow) in blows {
            testbed.run(Span::from_ms(wait_ms), |_| false);
            match blow {
                Blow::Kill(who) if !down[who] => {
                    down[who] = true;
                    // A killed client's orders die with it: nobody is left to hear their end.
                    if who < 2 {
                        testbed.outcomes.retain(|id, outcome| outcome.end.is_some() || id.0 % 2 != who as u64);
                    }
                    testbed.kill(nodes[who]);
                }
                Blow::Restart(who) if down[who] => {
                    down[who] = false;
                    testbed.restart(nodes[who]);
                    if who >= 2 {
                        testbed.offer(nodes[who], price(700_000), bombyx_protocol::work::order::TaskKind::Generate, testbed::MODEL);
                    }
                }
                Blow::Cut(who) => testbed.set_cut(nodes[who], true),
                Blow::Join(who) => testbed.set_cut(nodes[who], false),
                Blow::LedgerDown => testbed.chain.down = true,
                Blow::LedgerUp => testbed.chain.down = false,
                Blow::Settle(who) if !down[who] => testbed.command(nodes[who], Command::Settle),
                Blow::Cancel(order) if !down[order as usize % 2] => {
                    let id = bombyx_protocol::work::order::OrderId(order);
                    testbed.command(nodes[order as usize % 2], Command::Cancel(id));
                }
                Blow::Kill(_) | Blow::Restart(_) | Blow::Settle(_) | Blow::Cancel(_) => {}
            }
        }
        testbed.run_to_end(Span::from_s(90));
        everything_ended(&testbed);
        prop_assert!(testbed.faults.iter().all(|(_, fault)| !fault.is_breach()), "honest parties are never accused: {:?}", testbed.faults);
        for (who, node) in nodes.iter().enumerate() {
            if down[who] { continue }
            if who >= 2 {
                let provider = testbed.provider_at(*node);
                prop_assert_eq!(provider.jobs_in_flight(), 0);
                for earner in provider.channels() {
                    // Two orders of one client may run at a time on one channel, each within its window.
                    let lost = earner.served().saturating_minus(earner.paid());
                    let bound = window(900_000).0 * 3;
                    prop_assert!(lost.0 <= bound, "lost {} of {}", lost, bound);
                }
            } else {
                prop_assert_eq!(testbed.client_at(*node).orders_in_flight(), 0);
                for payer in testbed.client_at(*node).channels() {
                    let on_disk = testbed.disk(*node).find_map(|record| match record {
                        Record::Payer(record) if record.terms.id() == payer.account() => Some(record.cumulative),
                        _ => None,
                    });
                    prop_assert_eq!(on_disk, Some(payer.cumulative()), "what was promised is on disk");
                }
            }
        }
    }
}
