//! Failures met in another live network of this kind, each with the test that would have met it here.
#![allow(clippy::unwrap_used)]

mod swarm;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::TaskKind;
use swarm::{CALM, Swarm, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// A client that may hold a lease of a provider's earlier life: it is void, and costs an auction, not the order.
fn leaseholder(swarm: &mut Swarm) -> NodeId {
    swarm.client_with(ClientConfig::for_tests(1), COIN)
}

fn paid(swarm: &Swarm, provider: NodeId) -> Nano {
    swarm.provider_at(provider).channels().map(|earner| earner.paid()).sum()
}

fn promised(swarm: &Swarm, client: NodeId) -> Nano {
    swarm.client_at(client).channels().map(|payer| payer.cumulative()).sum()
}

fn cost(swarm: &Swarm, order: u64) -> Nano {
    swarm.outcome(order).end.unwrap().unwrap().cost
}

#[test]
fn the_first_request_does_not_wait_for_the_chain() {
    let mut swarm = Swarm::new(1, CALM);
    swarm.chain.down = true;
    let client = swarm.client(1, COIN);
    swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 200), COIN, MINUTE);
    swarm.run(Span::from_s(5), |swarm| swarm.outcome(1).ids.len() >= 20);
    assert!(swarm.outcome(1).ids.len() >= 20, "it runs on credit while the ledger says nothing");
    assert_eq!(swarm.chain.opened, 0);
}

#[test]
fn a_wallet_too_small_for_the_deposit_is_said_at_once_and_is_no_timeout() {
    let mut swarm = Swarm::new(2, CALM);
    let client = swarm.client(1, Nano(1_000));
    swarm.provider(1, price(400_000), 50_000);
    swarm.order(client, 1, chat("count for me", 1_000), COIN, MINUTE);
    let began = swarm.now;
    swarm.run(MINUTE, |swarm| swarm.outcome(1).end.is_some());
    let (why, _) = swarm.outcome(1).end.unwrap().unwrap_err();
    assert!(matches!(why, Failure::Payment(PaymentFault::NoFunds { .. })), "{why}");
    assert!(swarm.now.since(began) < Span::from_s(5), "at the ledger's word, not at a deadline");
}

#[test]
fn an_exhausted_channel_ends_the_order_and_does_not_loop() {
    let mut swarm = Swarm::new(3, CALM);
    let deposit = ClientConfig::for_tests(1).deposit;
    // Enough for one channel; the top-up for the second order finds an empty wallet.
    let client = swarm.client(1, deposit);
    let provider = swarm.provider(1, price(400_000_000), 1_000);
    swarm.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert!(cost(&swarm, 1).0 > deposit.0 / 2);
    let events = swarm.events;
    swarm.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let (why, _) = swarm.outcome(2).end.unwrap().unwrap_err();
    let Failure::Payment(PaymentFault::Exhausted { account, why }) = why else { panic!("{why}") };
    assert_eq!(why, LedgerFault::Funds);
    assert!(swarm.client_at(client).channels().any(|payer| payer.account() == account.hash), "it goes on");
    assert!(swarm.events - events < 2_000, "no storm of retries: {}", swarm.events - events);
    assert!(paid(&swarm, provider) <= deposit);
}

#[test]
fn a_provider_that_restarts_serves_nothing_for_free() {
    let mut swarm = Swarm::new(4, CALM);
    let client = leaseholder(&mut swarm);
    let provider = swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    swarm.kill(provider);
    swarm.restart(provider);
    swarm.offer(provider, price(400_000), TaskKind::Generate, swarm::MODEL);
    swarm.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert_eq!(paid(&swarm, provider), cost(&swarm, 1).saturating_plus(cost(&swarm, 2)));
}

#[test]
fn a_provider_whose_store_was_rolled_back_does_not_take_old_money_for_new_work() {
    let mut swarm = Swarm::new(5, CALM);
    let client = leaseholder(&mut swarm);
    let provider = swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let old: Vec<Record> = swarm.disk(provider).cloned().collect();
    swarm.order(client, 2, chat("count for me", 400), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    swarm.kill(provider);
    swarm.roll_back(provider, old);
    swarm.restart(provider);
    swarm.offer(provider, price(400_000), TaskKind::Generate, swarm::MODEL);
    swarm.order(client, 3, chat("count for me", 400), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let all: Nano = (1..=3).map(|order| cost(&swarm, order)).sum();
    assert_eq!(paid(&swarm, provider), all);
    let unpaid: Nano = swarm.provider_at(provider).channels().map(|earner| earner.unpaid()).sum();
    assert_eq!(unpaid, Nano::ZERO);
    let served: Nano = swarm.provider_at(provider).channels().map(|earner| earner.served()).sum();
    assert_eq!(served, all, "no head start is left for a free job");
}

#[test]
fn a_client_whose_store_was_rolled_back_goes_on_above_its_newest_voucher() {
    let mut swarm = Swarm::new(6, CALM);
    let client = swarm.client(1, COIN);
    let provider = swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let old: Vec<Record> = swarm.disk(client).cloned().collect();
    swarm.order(client, 2, chat("count for me", 400), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let before = promised(&swarm, client);
    swarm.kill(client);
    swarm.roll_back(client, old);
    swarm.restart(client);
    swarm.order(client, 3, chat("count for me", 100), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    assert_eq!(swarm.outcome(3).text, engine::answer(100));
    assert_eq!(
        promised(&swarm, client),
        before.saturating_plus(cost(&swarm, 3)),
        "the whole third job is paid"
    );
    assert_eq!(paid(&swarm, provider), promised(&swarm, client));
    assert!(swarm.faults.is_empty(), "{:?}", swarm.faults);
}

#[test]
fn work_is_not_admitted_without_headroom_for_its_highest_cost() {
    let mut swarm = Swarm::new(7, CALM);
    let deposit = ClientConfig::for_tests(1).deposit;
    let client = swarm.client(1, COIN);
    let provider = swarm.provider(1, price(400_000_000), 1_000);
    // Three at once that fit one deposit only one by one: the channel is topped up before each of them starts.
    for order in 1..=3 {
        swarm.order(client, order, chat("count for me", 100), COIN, MINUTE);
    }
    swarm.run_to_end(MINUTE);
    let all: Nano = (1..=3).map(|order| cost(&swarm, order)).sum();
    assert!(all > deposit);
    assert_eq!(paid(&swarm, provider), all);
    swarm.command(provider, Command::Settle);
    swarm.run(MINUTE, |swarm| swarm.chain.locked() == 0);
    assert_eq!(swarm.chain.balance(&ProviderConfig::for_tests(1).payout.hash), all.0);
}

#[test]
fn one_channel_is_topped_up_and_closed_by_hand() {
    let mut swarm = Swarm::new(8, CALM);
    let client = swarm.client(1, COIN);
    swarm.provider(1, price(400_000), 1_000);
    swarm.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    swarm.run_to_end(MINUTE);
    let (account, before) =
        swarm.client_at(client).channels().map(|payer| (payer.account(), payer.headroom())).next().unwrap();
    swarm.command(client, Command::TopUp { account, amount: Nano(7_000_000) });
    swarm.run(Span::from_s(10), |_| false);
    let after = swarm.client_at(client).channels().map(|payer| payer.headroom()).next().unwrap();
    assert_eq!(after, before.saturating_plus(Nano(7_000_000)));
    let locked = swarm.chain.locked();
    let ceiling = price(400_000).cost_max(&chat("count for me", 20)).unwrap();
    assert_eq!(locked, 2 * ceiling.0 + 7_000_000);
    swarm.command(client, Command::Close { account });
    swarm.run(MINUTE, |swarm| swarm.chain.locked() == 0);
    assert_eq!(swarm.chain.locked(), 0);
    let spent = cost(&swarm, 1);
    assert_eq!(swarm.chain.balance(&ClientConfig::for_tests(1).wallet.hash), COIN.0 - spent.0);
}
