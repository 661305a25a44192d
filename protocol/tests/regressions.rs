//! Failures met in another live network of this kind, each with the test that would have met it here.
#![allow(clippy::unwrap_used)]

mod testbed;

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
use testbed::{CALM, Testbed, ceiling, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// A client that may hold a lease of a provider's earlier life: it is void, and costs an auction, not the order.
fn leaseholder(testbed: &mut Testbed) -> NodeId {
    testbed.client_with(ClientConfig::for_tests(1), COIN)
}

fn paid(testbed: &Testbed, provider: NodeId) -> Nano {
    testbed.provider_at(provider).channels().map(|earner| earner.paid()).sum()
}

fn promised(testbed: &Testbed, client: NodeId) -> Nano {
    testbed.client_at(client).channels().map(|payer| payer.cumulative()).sum()
}

fn cost(testbed: &Testbed, order: u64) -> Nano {
    testbed.outcome(order).end.unwrap().unwrap().cost
}

#[test]
fn the_first_request_does_not_wait_for_the_chain() {
    let mut testbed = Testbed::new(1, CALM);
    testbed.chain.down = true;
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 200), COIN, MINUTE);
    testbed.run(Span::from_s(5), |testbed| testbed.outcome(1).ids.len() >= 20);
    assert!(testbed.outcome(1).ids.len() >= 20, "it runs on credit while the ledger says nothing");
    assert_eq!(testbed.chain.opened, 0);
}

#[test]
fn a_wallet_too_small_for_the_deposit_is_said_at_once_and_is_no_timeout() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, Nano(1_000));
    testbed.provider(1, price(400_000), 50_000);
    testbed.order(client, 1, chat("count for me", 1_000), COIN, MINUTE);
    let began = testbed.now;
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    let (why, _) = testbed.outcome(1).end.unwrap().unwrap_err();
    assert!(matches!(why, Failure::Payment(PaymentFault::NoFunds { .. })), "{why}");
    assert!(testbed.now.since(began) < Span::from_s(5), "at the ledger's word, not at a deadline");
}

#[test]
fn an_exhausted_channel_ends_the_order_and_does_not_loop() {
    let mut testbed = Testbed::new(3, CALM);
    let deposit = ClientConfig::for_tests(1).deposit;
    // Enough for one channel; the top-up for the second order finds an empty wallet.
    let client = testbed.client(1, deposit);
    let provider = testbed.provider(1, price(400_000_000), 1_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert!(cost(&testbed, 1).0 > deposit.0 / 2);
    let events = testbed.events;
    testbed.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let (why, _) = testbed.outcome(2).end.unwrap().unwrap_err();
    let Failure::Payment(PaymentFault::Exhausted { account, why }) = why else { panic!("{why}") };
    assert!(matches!(why, LedgerFault::Funds { .. }), "{why}");
    assert!(
        testbed.client_at(client).channels().any(|payer| payer.account().address() == account),
        "it goes on"
    );
    assert!(testbed.events - events < 2_000, "no storm of retries: {}", testbed.events - events);
    assert!(paid(&testbed, provider) <= deposit);
}

#[test]
fn a_provider_that_restarts_serves_nothing_for_free() {
    let mut testbed = Testbed::new(4, CALM);
    let client = leaseholder(&mut testbed);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.kill(provider);
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, testbed::MODEL);
    testbed.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(paid(&testbed, provider), cost(&testbed, 1).saturating_plus(cost(&testbed, 2)));
}

#[test]
fn a_provider_whose_store_was_rolled_back_does_not_take_old_money_for_new_work() {
    let mut testbed = Testbed::new(5, CALM);
    let client = leaseholder(&mut testbed);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let old: Vec<Record> = testbed.disk(provider).cloned().collect();
    testbed.order(client, 2, chat("count for me", 400), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.kill(provider);
    testbed.roll_back(provider, old);
    testbed.restart(provider);
    testbed.offer(provider, price(400_000), TaskKind::Generate, testbed::MODEL);
    testbed.order(client, 3, chat("count for me", 400), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let all: Nano = (1..=3).map(|order| cost(&testbed, order)).sum();
    assert_eq!(paid(&testbed, provider), all);
    let unpaid: Nano = testbed.provider_at(provider).channels().map(|earner| earner.unpaid()).sum();
    assert_eq!(unpaid, Nano::ZERO);
    let served: Nano = testbed.provider_at(provider).channels().map(|earner| earner.served()).sum();
    assert_eq!(served, all, "no head start is left for a free job");
}

#[test]
fn a_client_whose_store_was_rolled_back_goes_on_above_its_newest_voucher() {
    let mut testbed = Testbed::new(6, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let old: Vec<Record> = testbed.disk(client).cloned().collect();
    testbed.order(client, 2, chat("count for me", 400), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let before = promised(&testbed, client);
    testbed.kill(client);
    testbed.roll_back(client, old);
    testbed.restart(client);
    testbed.order(client, 3, chat("count for me", 200), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(3).text, engine::answer(200));
    assert_eq!(
        promised(&testbed, client),
        before.saturating_plus(cost(&testbed, 3)),
        "the whole third job is paid"
    );
    assert_eq!(paid(&testbed, provider), promised(&testbed, client));
    assert!(testbed.faults.is_empty(), "{:?}", testbed.faults);
}

#[test]
fn work_is_not_admitted_without_headroom_for_its_highest_cost() {
    let mut testbed = Testbed::new(7, CALM);
    let deposit = ClientConfig::for_tests(1).deposit;
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000_000), 1_000);
    // Three at once that fit one deposit only one by one: the channel is topped up before each of them starts.
    for order in 1..=3 {
        testbed.order(client, order, chat("count for me", 100), COIN, MINUTE);
    }
    testbed.run_to_end(MINUTE);
    let all: Nano = (1..=3).map(|order| cost(&testbed, order)).sum();
    assert!(all > deposit);
    assert_eq!(paid(&testbed, provider), all);
    testbed.command(provider, Command::Settle);
    testbed.run(MINUTE, |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), all.0);
}

#[test]
fn one_channel_is_topped_up_and_closed_by_hand() {
    let mut testbed = Testbed::new(8, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let (account, before) =
        testbed.client_at(client).channels().map(|payer| (payer.account(), payer.headroom())).next().unwrap();
    testbed.command(client, Command::TopUp { account, amount: Nano(7_000_000) });
    testbed.run(Span::from_s(10), |_| false);
    let after = testbed.client_at(client).channels().map(|payer| payer.headroom()).next().unwrap();
    assert_eq!(after, before.saturating_plus(Nano(7_000_000)));
    let locked = testbed.chain.locked();
    let ceiling = ceiling(price(400_000), &chat("count for me", 20));
    assert_eq!(locked, 2 * ceiling.0 + 7_000_000);
    testbed.command(client, Command::Close { account });
    testbed.run(MINUTE, |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.locked(), 0);
    let spent = cost(&testbed, 1);
    assert_eq!(testbed.chain.balance(&ClientConfig::for_tests(1).wallet.hash), COIN.0 - spent.0);
}
