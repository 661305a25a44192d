//! What a deposit still waits for: a top-up that fails takes nothing but itself, and nothing is locked for an order that is
//! over.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::channel::ledger::{LedgerEvent, LedgerFault};
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Failure, Input};
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::Task;
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;
/// Less than one job can cost.
const SMALL: Nano = Nano(40_000);

fn task() -> Task {
    chat("count for me", 200)
}

fn ceiling() -> Nano {
    testbed::ceiling(price(PRICE), &task())
}

fn payer(testbed: &Testbed, client: NodeId) -> &Payer {
    testbed.client_at(client).channels().next().unwrap()
}

/// What a client counts as locked in its channel.
fn known_locked(testbed: &Testbed, client: NodeId) -> u64 {
    let payer = payer(testbed, client);
    payer.rest().saturating_plus(payer.cumulative()).0
}

/// A client with a channel, opened by hand, that is too small for the order that is being served on it: the rest waits for
/// the first words.
fn waiting(seed: u64) -> (Testbed, NodeId, ChannelId) {
    let mut testbed = Testbed::new(seed, CALM);
    let client = testbed.client(1, COIN);
    // A first chunk takes a second, and a block a fifth of that.
    let provider = testbed.provider(1, price(PRICE), 125_000);
    let payee = testbed.provider_at(provider).payee();
    testbed.command(client, Command::Open { provider, payee, deposit: SMALL });
    testbed.run(Span::from_s(5), |_| false);
    assert_eq!(testbed.chain.locked(), SMALL.0);
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run(Span::from_s(5), |testbed| payer(testbed, client).reserved() > SMALL);
    assert_eq!((payer(&testbed, client).reserved(), testbed.outcome(1).text.len()), (ceiling(), 0));
    let account = payer(&testbed, client).account();
    (testbed, client, account)
}

/// (CH-29, CH-32)
#[test]
fn a_top_up_that_fails_leaves_an_order_that_waits_for_another_alone() {
    let (mut testbed, client, account) = waiting(1);
    testbed.command(client, Command::TopUp { account, amount: Nano(2 * COIN.0) });
    testbed.run(Span::from_s(1), |testbed| {
        testbed
            .news
            .iter()
            .any(|(_, news)| matches!(news.change, ChannelChange::Failed(LedgerFault::Funds { .. })))
    });
    assert_eq!(testbed.chain.locked(), SMALL.0, "what the order needs is not asked for yet");
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(1).text, engine::answer(200), "{:?}", testbed.outcome(1).end);
    assert_eq!(known_locked(&testbed, client), testbed.chain.locked());
}

/// (CH-29, CH-32)
#[test]
fn nothing_is_added_for_orders_that_ended_with_an_opening_of_unknown_fate() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(PRICE), 10_000);
    testbed.chain.down = true;
    testbed.chain.lost_answers = 1;
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.has_calls_of(client));
    let asked = Nano(2 * ceiling().0);
    for order in 2..=3 {
        testbed.order(client, order, task(), COIN, MINUTE);
    }
    testbed.run(Span::from_s(5), |testbed| payer(testbed, client).reserved() > asked);
    testbed.chain.down = false;
    testbed.run(Span::from_s(5), |_| false);
    for order in 1..=3 {
        let why = testbed.outcome(order).end.unwrap().unwrap_err().0;
        assert!(matches!(why, Failure::Payment(PaymentFault::NotOpened { .. })), "{why}");
    }
    // It came after all, and is of use to later orders.
    let account = payer(&testbed, client).account();
    let state = testbed.chain.channel(&account);
    testbed.chain.tell_all_again();
    testbed.feed(client, Input::Ledger(LedgerEvent::Channel { account, state }));
    testbed.run(Span::from_s(5), |_| false);
    assert_eq!(testbed.chain.locked(), asked.0, "nobody needs more");
    assert_eq!(known_locked(&testbed, client), asked.0, "and nobody counts on more");
    for order in 4..=6 {
        testbed.order(client, order, task(), COIN, MINUTE);
    }
    testbed.run_to_end(MINUTE);
    for order in 4..=6 {
        assert_eq!(testbed.outcome(order).text, engine::answer(200), "{:?}", testbed.outcome(order).end);
    }
    assert_eq!(known_locked(&testbed, client), testbed.chain.locked());
}

/// (CH-29)
#[test]
fn an_opening_that_the_wallet_cannot_pay_is_told_with_what_was_asked_for() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, Nano(1));
    testbed.provider(1, price(PRICE), 10_000);
    testbed.chain.down = true;
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run(Span::from_s(5), |testbed| testbed.chain.has_calls_of(client));
    let deposit = Nano(2 * ceiling().0);
    for order in 2..=3 {
        testbed.order(client, order, task(), COIN, MINUTE);
    }
    testbed.run(Span::from_s(5), |testbed| payer(testbed, client).reserved() > deposit);
    testbed.chain.down = false;
    testbed.run(Span::from_s(5), |_| false);
    for order in 1..=3 {
        let why = testbed.outcome(order).end.unwrap().unwrap_err().0;
        assert_eq!(why, Failure::Payment(PaymentFault::NoFunds { deposit, missing: Nano(deposit.0 - 1) }));
    }
}

/// (CH-25, CH-32)
#[test]
fn a_channel_that_is_given_up_is_not_added_to_and_the_order_that_needs_more_says_why() {
    let (mut testbed, client, account) = waiting(4);
    // The ledger does not show the close before the first words are there.
    testbed.chain.down = true;
    testbed.command(client, Command::Close { account });
    testbed.run(Span::from_s(5), |testbed| !testbed.outcome(1).text.is_empty());
    assert_eq!(known_locked(&testbed, client), SMALL.0, "what is never asked for is not locked");
    testbed.run(Span::from_s(1), |_| false);
    let why = testbed.outcome(1).end.unwrap().unwrap_err().0;
    assert!(matches!(why, Failure::Payment(PaymentFault::Exhausted { .. })), "{why}");
    testbed.chain.down = false;
    testbed.run(MINUTE, |testbed| testbed.chain.locked() == 0);
    assert_eq!(testbed.chain.locked(), 0);
}

/// (CH-3, CH-29)
#[test]
fn of_two_top_ups_the_one_that_fails_is_taken_off() {
    let (mut testbed, client, account) = waiting(5);
    testbed.run_to_end(MINUTE);
    let before = (payer(&testbed, client).headroom(), testbed.chain.locked());
    let (good, too_much) = (Nano(7_000_000), Nano(2 * COIN.0));
    for amounts in [[good, too_much], [too_much, good]] {
        for amount in amounts {
            testbed.command(client, Command::TopUp { account, amount });
        }
        testbed.run(Span::from_s(5), |_| false);
    }
    let payer = payer(&testbed, client);
    assert_eq!(testbed.chain.locked(), before.1 + 2 * good.0);
    assert_eq!(
        payer.headroom(),
        before.0.saturating_plus(Nano(2 * good.0)),
        "all that is locked can be promised"
    );
}

/// (CH-29)
#[test]
fn a_call_that_is_no_top_up_takes_none_off_when_it_fails() {
    let (mut testbed, client, account) = waiting(6);
    testbed.run_to_end(MINUTE);
    let before = payer(&testbed, client).headroom();
    let amount = Nano(7_000_000);
    testbed.chain.down = true;
    testbed.command(client, Command::TopUp { account, amount });
    let fault = LedgerFault::Refused { exit_code: 105 };
    testbed.feed(client, Input::Ledger(LedgerEvent::Failed { account, top_up: None, fault }));
    assert_eq!(payer(&testbed, client).headroom(), before.saturating_plus(amount));
}

/// (CH-32)
#[test]
fn a_channel_opened_by_hand_that_is_too_small_to_begin_on_is_topped_up() {
    let mut testbed = Testbed::new(7, CALM);
    let client = testbed.client(1, COIN);
    let credit = CreditLimits { per_client: Nano::ZERO, per_hour: Nano::ZERO };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, price(PRICE), 10_000);
    let payee = testbed.provider_at(provider).payee();
    testbed.command(client, Command::Open { provider, payee, deposit: Nano(50) });
    testbed.run(Span::from_s(5), |_| false);
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(1).text, engine::answer(200), "{:?}", testbed.outcome(1).end);
}

/// (CH-2, CH-3) What is served on credit while a channel is on its way to the ledger may cost more than it is opened with.
#[test]
fn a_promise_may_be_ahead_of_the_ledger_and_never_of_what_was_asked_for() {
    let mut testbed = Testbed::new(7, CALM);
    let client = testbed.client(1, COIN);
    testbed.provider(1, price(400_000), 1_000);
    testbed.order(client, 1, chat("count for me", 10), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.chain.has_calls_of(client));
    testbed.chain.down = true;
    for order in 2..=6 {
        testbed.order(client, order, chat("count for me", 10), COIN, MINUTE);
    }
    let mut ahead = 0;
    for step in 0..200 {
        testbed.run(Span::from_ms(100), |_| false);
        testbed.chain.down = step < 50;
        for record in testbed.disk(client) {
            let Record::Payer(paying) = record else { continue };
            assert!(paying.cumulative <= paying.locked, "{paying:?}");
            ahead += u32::from(paying.cumulative > paying.deposit);
        }
    }
    assert!(ahead > 0, "or this test says nothing");
}

/// (CH-31) Two ceilings are usual for a stranger, and as much as the wallet holds will do, if it is one.
#[test]
fn a_deposit_is_no_larger_than_what_the_wallet_holds_and_no_smaller_than_what_the_job_can_cost() {
    let one = ceiling().0;
    for (held, locked) in [(2 * one, 2 * one), (2 * one - 1, 2 * one - 1), (one, one)] {
        let mut testbed = Testbed::new(30, CALM);
        let client = testbed.client(1, Nano(held));
        testbed.provider(1, price(PRICE), 10_000);
        testbed.order(client, 1, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(1).text, engine::answer(200), "{held}: {:?}", testbed.outcome(1).end);
        assert_eq!((testbed.chain.locked(), known_locked(&testbed, client)), (locked, locked));
        assert_eq!(testbed.chain.opened, 1);
    }
    let mut testbed = Testbed::new(31, CALM);
    let client = testbed.client(1, Nano(one - 1));
    testbed.provider(1, price(PRICE), 10_000);
    testbed.order(client, 1, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let why = testbed.outcome(1).end.unwrap().unwrap_err().0;
    assert_eq!(
        why,
        Failure::Payment(PaymentFault::NoFunds { deposit: ceiling(), missing: Nano(1) }),
        "what it takes at the least"
    );
    assert_eq!((testbed.chain.locked(), testbed.chain.opened), (0, 0));
}

/// (CH-31) So is an addition.
#[test]
fn an_addition_is_no_larger_than_what_the_wallet_holds() {
    let one = ceiling().0;
    let mut testbed = Testbed::new(32, CALM);
    let client = testbed.client(1, Nano(3 * one));
    testbed.provider(1, price(PRICE), 10_000);
    for order in 1..=2 {
        testbed.order(client, order, task(), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(order).text, engine::answer(200), "{:?}", testbed.outcome(order).end);
    }
    assert_eq!(testbed.chain.opened, 1);
    assert_eq!(testbed.chain.locked(), known_locked(&testbed, client), "and what is known is what is there");
    testbed.order(client, 3, task(), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    assert_eq!(testbed.outcome(3).text, engine::answer(200), "the last coins: {:?}", testbed.outcome(3).end);
}
