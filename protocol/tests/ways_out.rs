//! What becomes of the money when a wallet is empty, a ledger is down, or one side leaves, dies or comes back.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{OrderId, Task, TaskKind};
use testbed::{CALM, MODEL, Testbed, ceiling, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

#[test]
fn a_wallet_that_cannot_fund_its_channel_is_said_so_and_costs_the_provider_its_credit_at_most() {
    let mut testbed = Testbed::new(7, CALM);
    let client = testbed.client(1, Nano(5));
    let provider = testbed.provider(1, price(400_000_000), 1_000);
    testbed.order(client, 1, chat("count for me", 500), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let (why, bill) = testbed.outcome(1).end.unwrap().unwrap_err();
    assert!(matches!(why, Failure::Payment(PaymentFault::NoFunds { .. })), "{why}");
    let credit = ProviderConfig::for_tests(1).credit.per_client;
    assert!(bill.cost <= credit, "{} was served on a credit of {credit}", bill.cost);
    assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 0);
}

/// (CH-5, CH-19)
#[test]
fn with_no_credit_nothing_is_served_before_the_ledger_shows_the_channel() {
    let mut testbed = Testbed::new(8, CALM);
    let client = testbed.client(1, COIN);
    let credit = CreditLimits { per_client: Nano::ZERO, per_hour: COIN };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(1) };
    testbed.provider_with(config, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.chain.opened > 0);
    assert!(testbed.outcome(1).ids.is_empty());
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(1).text, engine::answer(40));
}

/// What this node may not lock with strangers is its own limit: it is said at once, and no seller is given an award for nothing.
/// (CH-31)
#[test]
fn a_first_job_that_would_lock_too_much_ends_at_once_and_blames_nobody() {
    let mut testbed = Testbed::new(31, CALM);
    // An answer of so many tokens is as long as a receipt once an eighth is off, and none is cut shorter. (MK-13)
    let most = ceiling(price(2_000_000_000), &chat("count for me", 35));
    let mut config = ClientConfig::for_tests(1);
    config.policy.strangers_locked_max = most;
    let client = testbed.client_with(config, COIN);
    let sellers = [1, 2].map(|number| testbed.provider(number, price(2_000_000_000), 1_000));
    let task = || chat("count for me", 1_000);
    assert!(ceiling(price(2_000_000_000), &task()) > most, "{most}");
    testbed.order(client, 1, task(), COIN, MINUTE);
    let began = testbed.now;
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    let outcome = testbed.outcome(1);
    let (why, _) = outcome.end.unwrap().unwrap_err();
    assert!(matches!(why, Failure::Payment(PaymentFault::StrangersLocked { .. })), "{why}");
    assert!(testbed.now < began + Span::from_s(10) && outcome.failed_over.is_empty());
    assert!(sellers.iter().all(|seller| testbed.provider_at(*seller).sales().won == 0));
    // One that the limit covers, if not twice as a first deposit would, is served.
    let smaller = chat("count for me", 30);
    let lowest = ceiling(price(2_000_000_000), &smaller);
    assert!(lowest <= most && Nano(2 * lowest.0) > most, "{lowest}");
    testbed.order(client, 2, smaller, COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    assert!(testbed.outcome(2).end.unwrap().is_ok());
}

/// What came since the last receipt is billed when the client gives up, and the bill that the user sees is that one. (WR-14)
#[test]
fn the_bill_of_an_answer_that_its_deadline_cuts_is_what_is_paid() {
    let mut cut = 0;
    for deadline_ms in (1_300..2_900).step_by(100) {
        let mut testbed = Testbed::new(deadline_ms, CALM);
        let client = testbed.client(1, COIN);
        testbed.provider(1, price(400_000), 60_000);
        testbed.order(client, 1, chat("count for me", 3), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        let before = testbed.outcome(1).end.unwrap().unwrap().cost;
        testbed.run(Span::from_s(2), |_| false);
        let began = testbed.now;
        testbed.order(client, 2, chat("count for me", 100), COIN, Span::from_ms(deadline_ms));
        testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
        let outcome = testbed.outcome(2);
        let (why, bill) = outcome.end.unwrap().unwrap_err();
        assert_eq!(why, Failure::Deadline);
        assert!(testbed.now <= began + Span::from_ms(deadline_ms) + limits::LAST_BILL_WAIT, "in a moment");
        testbed.run(Span::from_s(10), |_| false);
        let promised = testbed.client_at(client).channels().next().unwrap().cumulative();
        assert_eq!(promised, before.saturating_plus(bill.cost), "after {deadline_ms} ms");
        assert!(bill.output_tokens >= outcome.ids.len() as u64, "all that was shown is billed");
        cut += u32::from(bill.output_tokens > 0);
    }
    assert!(cut > 10);
}

/// An order that waits for its last bill has not ended: another one of its name is not begun meanwhile. (WR-14)
#[test]
fn an_order_that_is_being_billed_is_not_placed_anew() {
    let mut testbed = Testbed::new(32, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 20_000);
    testbed.order(client, 1, chat("count for me", 3), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).ids.len() > 20);
    testbed.command(client, Command::Cancel(OrderId(2)));
    assert!(testbed.outcome(2).end.is_none(), "it waits for its bill");
    testbed.order(client, 2, chat("count for me", 100), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    assert_eq!(testbed.outcome(2).end.unwrap().unwrap_err().0, Failure::Cancelled);
    testbed.run(Span::from_s(10), |_| false);
    assert_eq!(testbed.served.len(), 2);
}

/// Vectors need no allowance: their task does not run before what may be lost by it is on disk. (CO-2, CH-38)
#[test]
fn vectors_are_not_made_before_their_cost_is_written_down() {
    let mut testbed = Testbed::new(33, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.offer(provider, price(400_000), TaskKind::Embed, MODEL);
    let task = || Task::Embed { inputs: (0..8).map(|number| format!("text {number}")).collect() };
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcome(1).end.unwrap().is_ok());
    testbed.weather.commit_us = 1_000_000;
    testbed.order(client, 2, task(), COIN, MINUTE);
    testbed.run(Span::from_ms(900), |_| false);
    assert_eq!(testbed.outcome(2).rows.len(), 0);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    assert!(testbed.outcome(2).end.unwrap().is_ok());
}

/// A cancellation that is lost is said again: its provider does not work for nobody until it stands still for money. (WR-14)
#[test]
fn a_cancellation_that_was_lost_is_said_again() {
    let mut testbed = Testbed::new(34, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 10_000);
    testbed.order(client, 1, chat("count for me", 3), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.order(client, 2, chat("count for me", 1_000), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).ids.len() > 20);
    testbed.set_cut(client, true);
    testbed.command(client, Command::Cancel(OrderId(2)));
    testbed.set_cut(client, false);
    testbed.run(Span::from_s(2), |_| false);
    assert_eq!(testbed.provider_at(provider).jobs_in_flight(), 0);
    testbed.run(MINUTE, |_| false);
    assert_eq!(testbed.served.last().unwrap().1.refused, None);
}

#[test]
fn with_a_channel_open_a_job_runs_while_the_ledger_is_down() {
    let mut testbed = Testbed::new(9, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    testbed.chain.down = true;
    // What a first channel holds beyond the first job covers another one like it.
    testbed.order(client, 2, chat("count for me", 40), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(2).end.is_some());
    assert!(testbed.outcome(2).end.unwrap().is_ok());
}

/// (CH-17)
#[test]
fn a_client_that_leaves_gets_its_rest_at_once_from_a_living_provider() {
    let mut testbed = Testbed::new(10, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    testbed.command(client, Command::Settle);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.locked(), 0, "before the challenge time of a minute is over");
    assert_eq!(testbed.chain.balance(&ClientConfig::for_tests(1).wallet.hash), COIN.0 - cost.0);
}

/// (CH-11)
#[test]
fn a_client_that_leaves_a_dead_provider_pays_it_first_and_then_gets_its_rest() {
    let mut testbed = Testbed::new(11, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    testbed.kill(provider);
    testbed.command(client, Command::Settle);
    testbed.run(Span::from_s(200), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), cost.0);
    assert_eq!(testbed.chain.balance(&ClientConfig::for_tests(1).wallet.hash), COIN.0 - cost.0);
    assert_eq!(testbed.client_at(client).channels().count(), 0);
}

/// (CH-14)
#[test]
fn a_client_with_an_empty_wallet_gets_its_rest_from_a_dead_provider() {
    let mut testbed = Testbed::new(21, CALM);
    // The deposit takes the last coin: there is nothing left to pay a message with.
    let ceiling = ceiling(price(400_000), &chat("count for me", 40));
    let deposit = Nano(2 * ceiling.0);
    let client = testbed.client(1, deposit);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let wallet = ClientConfig::for_tests(1).wallet.hash;
    assert_eq!(testbed.chain.balance(&wallet), 0);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    testbed.kill(provider);
    testbed.command(client, Command::Settle);
    testbed.run(Span::from_s(200), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), cost.0);
    assert_eq!(testbed.chain.balance(&wallet), deposit.0 - cost.0);
}

/// (CH-10)
#[test]
fn a_watcher_claims_for_a_provider_that_is_away() {
    let mut testbed = Testbed::new(12, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 1_000);
    testbed.watcher(provider);
    testbed.order(client, 1, chat("count for me", 40), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    testbed.kill(provider);
    testbed.command(client, Command::Settle);
    // The client is cut off as soon as its close is on the ledger: nobody but the watcher can claim.
    testbed.run(Span::from_s(5), |_| false);
    testbed.kill(client);
    testbed.run(Span::from_s(90), |_| false);
    assert_eq!(testbed.chain.claims, 1);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), cost.0);
}

/// (CH-7)
#[test]
fn a_restarted_client_goes_on_above_every_voucher_it_may_have_signed() {
    let mut testbed = Testbed::new(13, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 5_000);
    testbed.order(client, 1, chat("count for me", 200), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() > 100);
    testbed.kill(client);
    testbed.run(Span::from_s(30), |_| false);
    let paid = testbed.provider_at(provider).channels().next().unwrap().paid();
    testbed.outcomes.clear();
    testbed.restart(client);
    let known = testbed.client_at(client).channels().next().unwrap().cumulative();
    assert!(known >= paid, "{known} on disk, {paid} at the provider");
    testbed.run(Span::from_s(5), |_| false);
    testbed.order(client, 2, chat("count for me", 30), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert!(testbed.outcome(2).end.unwrap().is_ok());
    assert_eq!(testbed.chain.opened, 1);
}

#[test]
fn a_restarted_provider_serves_nothing_for_free_and_loses_no_voucher() {
    let mut testbed = Testbed::new(14, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(40_000_000), 1_000);
    testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    testbed.kill(provider);
    testbed.restart(provider);
    testbed.run(Span::from_s(2), |_| false);
    testbed.command(provider, Command::Settle);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), cost.0);
}

#[test]
fn a_settlement_in_the_middle_of_a_job_waits_for_its_last_voucher() {
    let mut testbed = Testbed::new(19, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(40_000_000), 5_000);
    testbed.order(client, 1, chat("count for me", 200), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).ids.len() > 100);
    testbed.command(provider, Command::Settle);
    testbed.run_to_end(MINUTE);
    let cost = testbed.outcome(1).end.unwrap().unwrap().cost;
    assert_eq!(testbed.outcome(1).text, engine::answer(200));
    assert_eq!(testbed.chain.locked(), 0);
    assert_eq!(testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash), cost.0);
}
