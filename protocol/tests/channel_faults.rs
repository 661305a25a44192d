//! What is wrong with a channel is noticed, healed where it can be, and otherwise said with the channel's name; and an
//! order that cannot be paid says why.
#![allow(clippy::unwrap_used)]

mod swarm;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::{Mismatch, PaymentFault};
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::client::{ChannelPolicy, Client, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Event, Failure, Machine as _, Output};
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::TaskKind;
use swarm::{CALM, MODEL, Swarm, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn account(swarm: &Swarm, client: NodeId) -> [u8; 32] {
    swarm.client_at(client).channels().next().unwrap().account()
}

fn wallet() -> [u8; 32] {
    ClientConfig::for_tests(1).wallet.hash
}

fn mismatches(swarm: &Swarm, node: NodeId) -> Vec<Mismatch> {
    let own = swarm.news.iter().filter(|(at, _)| *at == node);
    own.filter_map(|(_, news)| match news.change {
        ChannelChange::Mismatch(mismatch) => Some(mismatch),
        ChannelChange::Open { .. }
        | ChannelChange::Closing
        | ChannelChange::Unwatchable
        | ChannelChange::Closed { .. }
        | ChannelChange::Failed(_) => None,
    })
    .collect()
}

fn why(swarm: &Swarm, order: u64) -> Failure {
    swarm.outcome(order).end.unwrap().unwrap_err().0
}

/// (CH-3, CH-20)
#[test]
fn a_top_up_asked_for_and_lost_in_a_crash_is_asked_for_again() {
    let mut swarm = Swarm::new(1, CALM);
    let config = ClientConfig { deposit: Nano(300_000), ..ClientConfig::for_tests(1) };
    let client = swarm.client_with(config, COIN);
    swarm.provider(1, price(1_000_000), 20_000);
    swarm.order(client, 1, chat("count for me", 250), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let before = swarm.chain.locked();
    swarm.order(client, 2, chat("count for me", 250), COIN, MINUTE);
    swarm.run(Span::from_s(5), |swarm| swarm.chain.has_calls());
    swarm.kill(client);
    swarm.chain.lose_calls();
    swarm.outcomes.clear();
    swarm.run(Span::from_s(30), |_| false);
    assert_eq!(swarm.chain.locked(), before, "it never came to the ledger");
    swarm.restart(client);
    swarm.order(client, 3, chat("count for me", 250), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert_eq!(swarm.outcome(3).text, engine::answer(250));
    assert_eq!(swarm.chain.opened, 1);
    assert!(swarm.chain.locked() > before);
}

/// (CH-20)
#[test]
fn an_opening_lost_in_a_crash_is_asked_for_again_and_never_twice() {
    for lost in [true, false] {
        let mut swarm = Swarm::new(2, CALM);
        let client = swarm.client(1, COIN);
        let provider = swarm.provider(1, price(400_000), 5_000);
        swarm.order(client, 1, chat("count for me", 200), COIN, MINUTE);
        swarm.run(Span::from_s(5), |swarm| swarm.chain.has_calls_of(client));
        swarm.kill(client);
        if lost {
            swarm.chain.lose_calls();
            // The provider's wish to see the channel is not lost with it.
            swarm.kill(provider);
            swarm.restart(provider);
            swarm.offer(provider, price(400_000), TaskKind::Generate, MODEL);
        }
        swarm.outcomes.clear();
        swarm.restart(client);
        swarm.order(client, 2, chat("count for me", 200), COIN, MINUTE);
        swarm.run_to_end(MINUTE);
        assert_eq!(swarm.outcome(2).text, engine::answer(200), "lost: {lost}");
        assert_eq!(swarm.chain.opened, 1);
        let ceiling = price(400_000).cost_max(&chat("count for me", 200)).unwrap();
        assert_eq!(swarm.chain.balance(&wallet()), COIN.0 - 2 * ceiling.0, "two ceilings for a stranger");
    }
}

/// (CH-51)
#[test]
fn nothing_of_a_channel_that_the_ledger_never_showed_is_written_and_a_crash_costs_the_credit_at_most() {
    let mut swarm = Swarm::new(3, CALM);
    let client = swarm.client(1, COIN);
    let provider = swarm.provider(1, price(40_000_000), 5_000);
    swarm.chain.blind.insert(provider);
    swarm.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let cost = swarm.outcome(1).end.unwrap().unwrap().cost;
    assert!(cost <= ProviderConfig::for_tests(1).credit.per_client);
    assert_eq!(swarm.provider_at(provider).channels().next().unwrap().paid(), Nano::ZERO);
    assert_eq!(swarm.disk(provider).count(), 0, "the voucher waits in memory");
    swarm.chain.blind.clear();
    // Something happens on the ledger, and all who look are shown what stands.
    let other = swarm.client(2, COIN);
    swarm.order(other, 2, chat("count for me", 40), COIN, MINUTE);
    swarm.run(Span::from_s(5), |_| false);
    assert_eq!(
        swarm.provider_at(provider).channels().next().unwrap().paid(),
        cost,
        "and counts once it is shown"
    );
    assert!(swarm.disk(provider).count() >= 1, "from then on it is on disk");
    swarm.kill(provider);
    swarm.kill(client);
    swarm.restart(provider);
    swarm.run(Span::from_s(2), |_| false);
    swarm.command(provider, Command::Settle);
    swarm.run(Span::from_s(5), |swarm| swarm.chain.locked() == 0);
    assert_eq!(swarm.chain.balance(&ProviderConfig::for_tests(1).payout.hash), 2 * cost.0);
}

/// (CH-24)
#[test]
fn a_store_that_was_put_back_is_told_of_at_both_sides_and_the_channel_goes_on() {
    let mut swarm = Swarm::new(4, CALM);
    let client = swarm.client(1, COIN);
    let provider = swarm.provider(1, price(400_000), 1_000);
    let mut old: Vec<(NodeId, Vec<Record>)> = Vec::new();
    for order in 1..=2 {
        swarm.order(client, order, chat("count for me", 100), COIN, MINUTE);
        swarm.run_to_end(MINUTE);
        if order == 1 {
            old = [client, provider].map(|node| (node, swarm.disk(node).cloned().collect())).into();
        }
    }
    let cost = |swarm: &Swarm, order| swarm.outcome(order).end.unwrap().unwrap().cost;
    let (first, second) = (cost(&swarm, 1), cost(&swarm, 2));
    let both = first.saturating_plus(second);
    for (order, (node, records)) in (3..).zip(old) {
        swarm.kill(node);
        swarm.roll_back(node, records);
        swarm.restart(node);
        if node == provider {
            swarm.offer(provider, price(400_000), TaskKind::Generate, MODEL);
        }
        swarm.order(client, order, chat("count for me", 100), COIN, MINUTE);
        swarm.run_to_end(MINUTE);
        assert_eq!(swarm.outcome(order).text, engine::answer(100));
    }
    assert_eq!(mismatches(&swarm, client), [Mismatch::Behind { known: first, shown: both }]);
    let told = mismatches(&swarm, provider);
    assert!(matches!(told[..], [Mismatch::Behind { shown, .. }] if shown > both), "{told:?}");
    assert_eq!(swarm.chain.opened, 1);
    assert!(swarm.faults.is_empty(), "nobody is accused of it: {:?}", swarm.faults);
}

/// (CH-24)
#[test]
fn a_channel_that_was_funded_anew_meanwhile_is_asked_back_and_another_one_used() {
    let mut swarm = Swarm::new(5, CALM);
    let client = swarm.client(1, COIN);
    let provider = swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let first = account(&swarm, client);
    swarm.kill(client);
    swarm.kill(provider);
    let known = swarm.chain.channel(&first).unwrap().epoch;
    swarm.chain.fund_anew(&first, 70_000_000);
    let shown = swarm.chain.channel(&first).unwrap().epoch;
    swarm.restart(client);
    swarm.restart(provider);
    swarm.offer(provider, price(400_000), TaskKind::Generate, MODEL);
    swarm.run(Span::from_s(1), |_| false);
    let other = Mismatch::Epoch { known, shown };
    assert_eq!((mismatches(&swarm, client), mismatches(&swarm, provider)), (vec![other], vec![other]));
    swarm.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert_eq!(swarm.outcome(2).text, engine::answer(100));
    assert_ne!(account(&swarm, client), first);
    assert!(swarm.chain.channel(&first).is_none(), "the stranger's coins went to the refund address");
    assert!(swarm.faults.is_empty(), "{:?}", swarm.faults);
}

/// (CH-24)
#[test]
fn a_node_with_another_key_than_its_channels_says_so_and_signs_nothing() {
    let mut swarm = Swarm::new(6, CALM);
    let client = swarm.client(1, COIN);
    swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 10), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let records = swarm.disk(client).cloned().collect();
    let config = ClientConfig { channel_seed: [9; 32], ..ClientConfig::for_tests(1) };
    let mut machine = Client::new(config, records);
    let said = core::iter::from_fn(|| Some(machine.poll()).filter(|said| !matches!(said, Output::Wake(_))));
    let said: Vec<Output> = said.collect();
    let [Output::Event(Event::Channel(news))] = &said[..] else { panic!("{said:?}") };
    assert_eq!(
        (news.account, news.change),
        (account(&swarm, client), ChannelChange::Mismatch(Mismatch::Key))
    );
    assert_eq!(machine.channels().count(), 0);
}

#[test]
fn a_job_above_what_a_channel_may_hold_is_refused_before_a_coin_is_locked() {
    let mut swarm = Swarm::new(7, CALM);
    let policy = ChannelPolicy { deposit_max: Nano(300_000), ..ChannelPolicy::default() };
    let config = ClientConfig { deposit: Nano(200_000), policy, ..ClientConfig::for_tests(1) };
    let client = swarm.client_with(config, COIN);
    swarm.provider(1, price(1_000_000), 1_000);
    swarm.order(client, 1, chat("count for me", 400), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let Failure::Payment(PaymentFault::DepositTooLow { needs, most }) = why(&swarm, 1) else { panic!() };
    assert!(needs > most && most == Nano(300_000), "{needs} {most}");
    assert_eq!(swarm.chain.opened, 0);
    // Within it the channel is used over and over, and never holds more than that beyond what is promised.
    for order in 2..=5 {
        swarm.order(client, order, chat("count for me", 150), COIN, MINUTE);
        swarm.run_to_end(MINUTE);
        assert!(swarm.outcome(order).end.unwrap().is_ok());
        assert!(swarm.client_at(client).channels().all(|payer| payer.rest() <= Nano(300_000)));
    }
    assert_eq!(swarm.chain.opened, 1);
}

#[test]
fn a_provider_that_wants_too_long_a_challenge_is_passed_over_and_named_when_it_is_alone() {
    let mut swarm = Swarm::new(8, CALM);
    let policy = ChannelPolicy { challenge_s_max: 120, ..ChannelPolicy::default() };
    let client = swarm.client_with(ClientConfig { policy, ..ClientConfig::for_tests(1) }, COIN);
    let slow = ProviderConfig { challenge_s: 3_600, ..ProviderConfig::for_tests(1) };
    swarm.provider_with(slow, price(100_000), 1_000);
    swarm.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let alone = PaymentFault::ChallengeTooLong { wanted_s: 3_600, most_s: 120 };
    assert_eq!(why(&swarm, 1), Failure::Payment(alone));
    swarm.provider(2, price(400_000), 1_000);
    swarm.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert_eq!(swarm.outcome(2).text, engine::answer(20), "the dearer one serves");
    assert_eq!(swarm.chain.opened, 1);
}

/// (CH-19)
#[test]
fn a_ledger_that_does_not_answer_is_named_when_the_credit_is_used_up() {
    let mut swarm = Swarm::new(9, CALM);
    swarm.chain.down = true;
    let client = swarm.client(1, COIN);
    swarm.provider(1, price(40_000_000), 1_000);
    swarm.order(client, 1, chat("count for me", 900), COIN, Span::from_s(120));
    swarm.run_to_end(Span::from_s(200));
    assert!(!swarm.outcome(1).ids.is_empty(), "the credit was served");
    let Failure::Payment(PaymentFault::NotOpened { account: named, why }) = why(&swarm, 1) else { panic!() };
    assert_eq!((named.hash, why), (account(&swarm, client), LedgerFault::Unknown));
}

#[test]
fn a_refused_top_up_ends_the_order_that_needed_it_and_no_other() {
    let mut swarm = Swarm::new(10, CALM);
    // Enough for the first channel and one usual deposit on top, not for another.
    let client = swarm.client(1, Nano(70_000_000));
    swarm.provider(1, price(400_000_000), 20_000);
    // Open the channel first, so that both orders below are on one.
    swarm.order(client, 1, chat("count for me", 5), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    swarm.order(client, 2, chat("count for me", 60), COIN, MINUTE);
    swarm.run(Span::from_s(5), |swarm| swarm.outcome(2).ids.len() > 10);
    swarm.order(client, 3, chat("count for me", 90), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert_eq!(swarm.outcome(2).text, engine::answer(60), "its ceiling was covered");
    let Failure::Payment(PaymentFault::Exhausted { account: named, why }) = why(&swarm, 3) else { panic!() };
    assert_eq!((named.hash, why), (account(&swarm, client), LedgerFault::Funds));
    assert_eq!(swarm.chain.opened, 1);
}
