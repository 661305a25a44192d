//! A channel is topped up before a job needs it, so that none waits for the ledger, and never beyond one deposit. (`CH-20`,
//! `CH-31`)
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::client::{ChannelPolicy, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::ChannelChange;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::Task;
use testbed::{CALM, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);
const PRICE: u64 = 400_000;
/// Deposits are fully grown after so many, and half a deposit outlasts a block.
const GROWN: u64 = 12;

fn task() -> Task {
    chat("count for me", 4)
}

fn ceiling() -> Nano {
    testbed::ceiling(price(PRICE), &task())
}

fn pair(coins: Nano, config: ClientConfig) -> (Testbed, NodeId) {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client_with(config, coins);
    testbed.provider(1, price(PRICE), 1_000);
    (testbed, client)
}

fn payer(testbed: &Testbed, client: NodeId) -> &Payer {
    testbed.client_at(client).channels().next().unwrap()
}

/// Runs one order to its end. Returns how long it took.
fn serve(testbed: &mut Testbed, client: NodeId, number: u64) -> Span {
    let began = testbed.now;
    testbed.order(client, number, task(), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
    testbed.now.since(began)
}

fn deposits(testbed: &Testbed) -> usize {
    testbed.news.iter().filter(|(_, news)| matches!(news.change, ChannelChange::Open { .. })).count()
}

/// (CH-20, CH-31) The deposit grows with what was bought, so that a busy client asks the ledger ever more rarely.
#[test]
fn no_job_waits_for_the_ledger_while_the_wallet_holds_coins() {
    let (mut testbed, client) = pair(COIN, ClientConfig::for_tests(1));
    for number in 1..=GROWN {
        serve(&mut testbed, client, number);
        testbed.run(Span::from_s(1), |_| false);
    }
    // An auction now and then takes a round trip more, and a block as long as four orders.
    let usual = Span(2 * serve(&mut testbed, client, GROWN + 1).0);
    for number in GROWN + 2..=400 {
        let took = serve(&mut testbed, client, number);
        assert!(testbed.outcome(number).end.unwrap().is_ok());
        assert!(took <= usual, "order {number} took {took:?}, others {usual:?}");
    }
    assert!(payer(&testbed, client).cumulative() > Nano(300 * ceiling().0 / 2), "or this test says nothing");
    let deposits = deposits(&testbed);
    assert!((5..=14).contains(&deposits), "{deposits}: each about doubles what was bought");
}

/// (CH-31) What is locked beyond the jobs that run is one deposit at the most: as much as was bought, or 64 ceilings, or what the
/// user gives a channel.
#[test]
fn never_more_is_locked_than_one_deposit() {
    let usual = Nano(100 * ceiling().0);
    let policy = ChannelPolicy { deposit_max: Nano(110 * ceiling().0), ..ChannelPolicy::default() };
    let config = ClientConfig { deposit: usual, policy, ..ClientConfig::for_tests(1) };
    let (mut testbed, client) = pair(COIN, config);
    for number in 1..=300 {
        testbed.order(client, number, task(), COIN, MINUTE);
        testbed.run(MINUTE, |testbed| {
            if let Some(payer) = testbed.client_at(client).channels().next() {
                let free = payer.rest().saturating_minus(payer.reserved());
                assert!(free <= usual.min(payer.cumulative().max(Nano(64 * ceiling().0))), "{payer:?}");
                assert!(payer.rest() <= policy.deposit_max, "{payer:?}");
            }
            testbed.outcome(number).end.is_some()
        });
        assert!(testbed.outcome(number).end.unwrap().is_ok(), "{number}");
    }
    assert_eq!(testbed.chain.opened, 1);
}

/// (CH-20) A stranger could keep it locked for nothing.
#[test]
fn nothing_is_added_early_for_one_that_has_not_served() {
    let (mut testbed, client) = pair(COIN, ClientConfig::for_tests(1));
    testbed.order(client, 1, chat("count for me", 400), COIN, MINUTE);
    let most = Nano(2 * testbed::ceiling(price(PRICE), &chat("count for me", 400)).0);
    testbed.run(MINUTE, |testbed| {
        assert!(testbed.chain.locked() <= most.0);
        testbed.outcome(1).end.is_some()
    });
    assert!(testbed.outcome(1).end.unwrap().is_ok());
}

/// (CH-20, CH-31) Whoever asks early asks in vain then, and the jobs go on to the wallet's last ceiling.
#[test]
fn a_wallet_that_cannot_pay_early_fails_no_order_that_it_can_pay() {
    let coins = Nano(70 * ceiling().0);
    let (mut testbed, client) = pair(coins, ClientConfig::for_tests(1));
    let failed = (1..=1_000).find(|number| {
        serve(&mut testbed, client, *number);
        testbed.outcome(*number).end.unwrap().is_err()
    });
    let bought = payer(&testbed, client).cumulative();
    assert!(failed.is_some() && coins.saturating_minus(bought) < ceiling(), "{bought} of {coins} is bought");
    let refused = |change: &ChannelChange| matches!(change, ChannelChange::Failed(LedgerFault::Funds { .. }));
    let told = testbed.news.iter().filter(|(_, news)| refused(&news.change)).count();
    assert!((1..=4).contains(&told), "{told}: it is not asked for with each job");
}

/// (CH-20, CH-29) Jobs that counted on a top-up which nobody had needed yet ask for their own when it comes to nothing.
#[test]
fn an_early_top_up_that_comes_to_nothing_ends_no_order() {
    for fault in [LedgerFault::Refused { exit_code: 100 }, LedgerFault::NotSent, LedgerFault::Unknown] {
        let (mut testbed, client) = pair(COIN, ClientConfig::for_tests(1));
        for number in 1..=6 {
            serve(&mut testbed, client, number);
            testbed.run(Span::from_s(1), |_| false);
        }
        testbed.chain.fails_next_top_up = Some(fault);
        // As many at once as use it all up before the ledger says so.
        let orders = 100..200;
        for number in orders.clone() {
            testbed.order(client, number, task(), COIN, MINUTE);
        }
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.chain.fails_next_top_up, None, "or this test says nothing");
        for number in orders {
            let outcome = testbed.outcome(number);
            assert_eq!(outcome.text, engine::answer(4), "{fault:?}, order {number}: {:?}", outcome.end);
        }
    }
}
