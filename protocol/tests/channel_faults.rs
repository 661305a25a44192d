//! What is wrong with a channel is noticed, healed where it can be, and otherwise said with the channel's name; and an
//! order that cannot be paid says why.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::{Mismatch, PaymentFault};
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::client::{ChannelPolicy, Client, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Event, Failure, Machine as _, Output};
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{Order, TaskKind};
use bombyx_protocol::{ChannelId, Preferences};
use testbed::{CALM, MODEL, Testbed, ceiling, chat, engine, order, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn account(testbed: &Testbed, client: NodeId) -> ChannelId {
    testbed.client_at(client).channels().next().unwrap().account()
}

fn wallet() -> [u8; 32] {
    ClientConfig::for_tests(1).wallet.hash
}

fn mismatches(testbed: &Testbed, node: NodeId) -> Vec<Mismatch> {
    let own = testbed.news.iter().filter(|(at, _)| *at == node);
    own.filter_map(|(_, news)| match news.change {
        ChannelChange::Mismatch(mismatch) => Some(mismatch),
        ChannelChange::Open { .. }
        | ChannelChange::Closing
        | ChannelChange::Unwatchable
        | ChannelChange::Forgotten { .. }
        | ChannelChange::Closed { .. }
        | ChannelChange::Failed(_) => None,
    })
    .collect()
}

fn why(testbed: &Testbed, order: u64) -> Failure {
    testbed.outcome(order).end.unwrap().unwrap_err().0
}

/// (CH-3, CH-20)
#[test]
fn a_top_up_asked_for_and_lost_in_a_crash_is_asked_for_again() {
    let mut testbed = Testbed::new(1, CALM);
    let config = ClientConfig { deposit: Nano(300_000), ..ClientConfig::for_tests(1) };
    let client = testbed.client_with(config, COIN);
    testbed.provider(1, price(1_000_000), 20_000);
    testbed.order(client, 1, chat("count for me", 250), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let before = testbed.chain.locked();
    testbed.order(client, 2, chat("count for me", 250), COIN, MINUTE);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.has_calls());
    testbed.kill(client);
    testbed.chain.lose_calls();
    testbed.outcomes.clear();
    testbed.run(Span::from_s(30), |_| false);
    assert_eq!(testbed.chain.locked(), before, "it never came to the ledger");
    testbed.restart(client);
    testbed.order(client, 3, chat("count for me", 250), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(3).text, engine::answer(250));
    assert_eq!(testbed.chain.opened, 1);
    assert!(testbed.chain.locked() > before);
}

/// (CH-20)
#[test]
fn an_opening_lost_in_a_crash_is_asked_for_again_and_never_twice() {
    for lost in [true, false] {
        let mut testbed = Testbed::new(2, CALM);
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(400_000), 5_000);
        testbed.order(client, 1, chat("count for me", 200), COIN, MINUTE);
        testbed.run(Span::from_s(5), |testbed| testbed.chain.has_calls_of(client));
        testbed.kill(client);
        if lost {
            testbed.chain.lose_calls();
            // The provider's wish to see the channel is not lost with it.
            testbed.kill(provider);
            testbed.restart(provider);
            testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
        }
        testbed.outcomes.clear();
        testbed.restart(client);
        testbed.order(client, 2, chat("count for me", 200), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(2).text, engine::answer(200), "lost: {lost}");
        assert_eq!(testbed.chain.opened, 1);
        let ceiling = ceiling(price(400_000), &chat("count for me", 200));
        assert_eq!(testbed.chain.balance(&wallet()), COIN.0 - 2 * ceiling.0, "two ceilings for a stranger");
    }
}

/// (CH-51)
#[test]
fn nothing_of_a_channel_that_the_ledger_never_showed_is_written_and_a_crash_costs_the_credit_at_most() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(40_000_000), 5_000);
    testbed.chain.blind.insert(provider);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    assert!(cost <= ProviderConfig::for_tests(1).credit.per_client);
    assert_eq!(testbed.provider_at(provider).channels().next().unwrap().paid(), Nano::ZERO);
    assert_eq!(testbed.disk(provider).count(), 0, "the voucher waits in memory");
    testbed.chain.blind.clear();
    // Something happens on the ledger, and all who look are shown what stands.
    let other = testbed.client(2, COIN);
    testbed.order(other, 2, chat("count for me", 40), COIN, MINUTE);
    testbed.run(Span::from_s(5), |_| false);
    assert_eq!(
        testbed.provider_at(provider).channels().next().unwrap().paid(),
        cost,
        "and counts once it is shown"
    );
    assert!(testbed.disk(provider).count() >= 1, "from then on it is on disk");
    testbed.kill(provider);
    testbed.kill(client);
    testbed.restart(provider);
    testbed.run(Span::from_s(2), |_| false);
    testbed.command(provider, Command::Settle);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), 2 * cost.0);
}

/// (CH-24)
#[test]
fn a_store_that_was_put_back_is_told_of_at_both_sides_and_the_channel_goes_on() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    let mut old: Vec<(NodeId, Vec<Record>)> = Vec::new();
    for order in 1..=2 {
        testbed.order(client, order, chat("count for me", 100), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        if order == 1 {
            old = [client, provider].map(|node| (node, testbed.disk(node).cloned().collect())).into();
        }
    }
    let cost = |testbed: &Testbed, order| testbed.outcome(order).end.unwrap().unwrap().cost;
    let (first, second) = (cost(&testbed, 1), cost(&testbed, 2));
    let both = first.saturating_plus(second);
    for (order, (node, records)) in (3..).zip(old) {
        testbed.kill(node);
        testbed.roll_back(node, records);
        testbed.restart(node);
        if node == provider {
            testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
        }
        testbed.order(client, order, chat("count for me", 100), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(order).text, engine::answer(100));
    }
    assert_eq!(mismatches(&testbed, client), [Mismatch::Behind { known: first, shown: both }]);
    let told = mismatches(&testbed, provider);
    assert!(matches!(told[..], [Mismatch::Behind { shown, .. }] if shown > both), "{told:?}");
    assert_eq!(testbed.chain.opened, 1);
    assert!(testbed.faults.is_empty(), "nobody is accused of it: {:?}", testbed.faults);
}

/// (CH-24)
#[test]
fn a_channel_that_was_funded_anew_meanwhile_is_asked_back_and_another_one_used() {
    let mut testbed = Testbed::new(5, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let first = account(&testbed, client);
    testbed.kill(client);
    testbed.kill(provider);
    let known = testbed.chain.channel(&first).unwrap().epoch;
    testbed.chain.fund_anew(&first, 70_000_000);
    let shown = testbed.chain.channel(&first).unwrap().epoch;
    testbed.restart(client);
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
    testbed.run(Span::from_s(1), |_| false);
    let other = Mismatch::Epoch { known, shown };
    assert_eq!((mismatches(&testbed, client), mismatches(&testbed, provider)), (vec![other], vec![other]));
    testbed.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(2).text, engine::answer(100));
    assert_ne!(account(&testbed, client), first);
    assert!(testbed.chain.channel(&first).is_none(), "the stranger's coins went to the refund address");
    assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
}

/// (CH-24)
#[test]
fn a_node_with_another_key_than_its_channels_says_so_and_signs_nothing() {
    let mut testbed = Testbed::new(6, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 10), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let records = testbed.disk(client).cloned().collect();
    let config = ClientConfig { channel_seed: [9; 32], ..ClientConfig::for_tests(1) };
    let mut machine = Client::new(config, records);
    let said = core::iter::from_fn(|| Some(machine.poll()).filter(|said| !matches!(said, Output::Wake(_))));
    let said: Vec<Output> = said.collect();
    let [Output::Event(Event::Channel(news))] = &said[..] else { panic!("{said:?}") };
    assert_eq!(
        (news.account, news.change),
        (account(&testbed, client), ChannelChange::Mismatch(Mismatch::Key))
    );
    assert_eq!(machine.channels().count(), 0);
}

#[test]
fn a_job_above_what_a_channel_may_hold_is_refused_before_a_coin_is_locked() {
    let mut testbed = Testbed::new(7, CALM);
    let policy = ChannelPolicy { deposit_max: Nano(300_000), ..ChannelPolicy::default() };
    let config = ClientConfig { deposit: Nano(200_000), policy, ..ClientConfig::for_tests(1) };
    let client = testbed.client_with(config, COIN);
    testbed.provider(1, price(1_000_000), 1_000);
    // None is cut shorter than a receipt. (MK-13)
    let dear = testbed.provider(2, price(20_000_000), 1_000);
    let preferences = Preferences { only: vec![dear], ..Preferences::default() };
    testbed.place_order(client, 1, Order { preferences, ..order(chat("count for me", 400), COIN, MINUTE) });
    testbed.run_to_end(MINUTE);
    let Failure::Payment(PaymentFault::DepositTooLow { needs, most }) = why(&testbed, 1) else { panic!() };
    assert!(needs > most && most == Nano(300_000), "{needs} {most}");
    assert_eq!(testbed.chain.opened, 0);
    // Within it the channel is used over and over, and never holds more than that beyond what is promised.
    for order in 2..=5 {
        testbed.order(client, order, chat("count for me", 150), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert!(testbed.outcome(order).end.unwrap().is_ok());
        assert!(testbed.client_at(client).channels().all(|payer| payer.rest() <= Nano(300_000)));
    }
    assert_eq!(testbed.chain.opened, 1);
}

#[test]
fn a_provider_that_wants_too_long_a_challenge_is_passed_over_and_named_when_it_is_alone() {
    let mut testbed = Testbed::new(8, CALM);
    let policy = ChannelPolicy { challenge_s_max: 120, ..ChannelPolicy::default() };
    let client = testbed.client_with(ClientConfig { policy, ..ClientConfig::for_tests(1) }, COIN);
    let slow = ProviderConfig { challenge_s: 3_600, ..ProviderConfig::for_tests(1) };
    testbed.provider_with(slow, price(100_000), 1_000);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let alone = PaymentFault::ChallengeTooLong { wanted_s: 3_600, most_s: 120 };
    assert_eq!(why(&testbed, 1), Failure::Payment(alone));
    testbed.provider(2, price(400_000), 1_000);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(2).text, engine::answer(20), "the dearer one serves");
    assert_eq!(testbed.chain.opened, 1);
}

/// (CH-19)
#[test]
fn a_ledger_that_does_not_answer_is_named_when_the_credit_is_used_up() {
    let mut testbed = Testbed::new(9, CALM);
    testbed.chain.down = true;
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(40_000_000), 1_000);
    testbed.order(client, 1, chat("count for me", 900), COIN, Span::from_s(120));
    testbed.run_to_end(Span::from_s(200));
    assert!(!testbed.outcome(1).ids.is_empty(), "the credit was served");
    let Failure::Payment(PaymentFault::NotOpened { account: named, why }) = why(&testbed, 1) else {
        panic!()
    };
    assert_eq!((ChannelId(named.hash), why), (account(&testbed, client), LedgerFault::Unknown));
}

#[test]
fn a_refused_top_up_ends_the_order_that_needed_it_and_no_other() {
    let mut testbed = Testbed::new(10, CALM);
    // Enough for the first channel and one usual deposit on top, and too little for what the third order needs beyond that.
    let client = testbed.client(1, Nano(65_000_000));
    testbed.provider(1, price(400_000_000), 20_000);
    // Open the channel first, so that both orders below are on one.
    testbed.order(client, 1, chat("count for me", 5), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.order(client, 2, chat("count for me", 60), COIN, MINUTE);
    testbed.run(Span::from_s(5), |testbed| testbed.outcome(2).ids.len() > 10);
    testbed.order(client, 3, chat("count for me", 90), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(2).text, engine::answer(60), "its ceiling was covered");
    let Failure::Payment(PaymentFault::Exhausted { account: named, why }) = why(&testbed, 3) else {
        panic!()
    };
    assert_eq!(ChannelId(named.hash), account(&testbed, client));
    assert!(matches!(why, LedgerFault::Funds { .. }), "{why}");
    assert_eq!(testbed.chain.opened, 1);
}

/// (CH-19, CH-24) The client's ledger is behind, or dead: its provider says so by not waiting for a deposit.
#[test]
fn a_channel_that_its_provider_has_closed_and_its_client_still_takes_for_open_costs_a_retry() {
    let mut testbed = Testbed::new(7, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let first = account(&testbed, client);
    testbed.chain.blind.insert(client);
    testbed.command(provider, Command::Close { account: first });
    testbed.run(MINUTE, |testbed| testbed.chain.channel(&first).is_none());
    testbed.run(Span::from_s(5), |_| false);
    // Little enough for the credit: the client sees no new channel either.
    testbed.order(client, 2, chat("count for me", 10), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let outcome = testbed.outcome(2);
    assert_eq!(outcome.text, engine::answer(10), "{:?}", outcome.end);
    assert!(outcome.end.unwrap().is_ok());
    assert_eq!(testbed.chain.opened, 2, "another one is asked for");
}
