//! What was served to a client whose wallet was too small, and is paid once it holds enough.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{ChannelChange, Command, Failure};
use bombyx_protocol::limits::DEBTS_MAX;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{Order, OrderId};
use bombyx_protocol::{Preferences, QuotedState};
use testbed::thief::{Plan, Thief};
use testbed::{CALM, Testbed, chat, order, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

fn runs(testbed: &mut Testbed, client: NodeId, number: u64) {
    testbed.order(client, number, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
}

/// What is owed that the client has said it forgets.
fn forgotten(testbed: &Testbed) -> Vec<Nano> {
    let owed = |change| if let ChannelChange::Forgotten { owed } = change { Some(owed) } else { None };
    testbed.news.iter().filter_map(|(_, news)| owed(news.change)).collect()
}

fn owed(testbed: &Testbed, client: NodeId) -> Nano {
    testbed.client_at(client).debts().map(|(_, owed)| owed).sum()
}

/// (`CH-56`) Each question of a poor home used to propose another account, and what was served before was paid by nobody.
#[test]
fn what_was_served_before_the_wallet_held_enough_is_paid_with_the_next_job_on_the_same_channel() {
    for (questions, restarts) in [(1, false), (3, false), (1, true), (3, true)] {
        let mut testbed = Testbed::new(6, CALM);
        let client = testbed.client(1, Nano(1_000));
        let provider = testbed.provider(1, price(40_000_000), 1_000);
        let mut cost = Nano::ZERO;
        for order in 1..=questions + 1 {
            if order > questions {
                testbed.fund(client, COIN);
            }
            testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
            testbed.run_to_end(MINUTE);
            let bill = testbed.outcome(order).end.unwrap().unwrap();
            cost = cost.saturating_plus(bill.cost);
            if order <= questions {
                assert_eq!((bill.unpaid, testbed.chain.opened), (bill.cost, 0));
                assert_eq!(testbed.client_at(client).debts().map(|(_, owed)| owed).sum::<Nano>(), cost);
                assert_eq!(testbed.client_at(client).channels().count(), 0, "nothing is locked");
            }
            if restarts {
                testbed.kill(client);
                testbed.restart(client);
            }
        }
        testbed.run(MINUTE, |_| false);
        assert_eq!(testbed.chain.opened, 1);
        let earner = testbed.provider_at(provider).channels().next().unwrap();
        assert_eq!(earner.paid(), cost, "{questions} questions, restarts {restarts}");
        assert_eq!(testbed.provider_at(provider).loans(testbed.now).count(), 0);
        assert_eq!(testbed.client_at(client).debts().count(), 0);
    }
}

/// (`CH-56`)
#[test]
fn a_user_that_leaves_waits_for_no_channel_that_was_never_opened_and_one_that_opens_it_pays_what_is_owed() {
    for opens in [false, true] {
        let mut testbed = Testbed::new(7, CALM);
        let client = testbed.client(1, Nano(1_000));
        let provider = testbed.provider(1, price(40_000_000), 1_000);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.client_at(client).debts().count(), 1);
        let owed = testbed.outcome(1).end.unwrap().unwrap().unpaid;
        if opens {
            testbed.fund(client, COIN);
            let payee = testbed.provider_at(provider).payee();
            assert_eq!(testbed.client_at(client).channel_to(provider, &payee), None);
            testbed.command(client, Command::Open { provider, payee, deposit: Nano(10_000_000) });
            testbed.run(MINUTE, |_| false);
            let payer = testbed.client_at(client).channels().next().unwrap();
            assert_eq!((payer.is_open(), payer.headroom()), (true, Nano(10_000_000)));
            assert_eq!(payer.cumulative(), owed);
        }
        testbed.command(client, Command::Settle);
        testbed.run(Span::from_s(2 * 3_600), |_| false);
        assert_eq!(testbed.client_at(client).channels().count(), 0, "{opens}");
        assert_eq!(testbed.client_at(client).debts().count(), 0, "{opens}");
        assert_eq!(forgotten(&testbed), if opens { vec![] } else { vec![owed] }, "what is dropped is said");
    }
}

/// (`CH-56`)
#[test]
fn of_many_debts_the_largest_are_remembered() {
    let mut testbed = Testbed::new(8, CALM);
    let client = testbed.client(1, Nano(1_000));
    let sellers = DEBTS_MAX as u64 + 3;
    for number in 1..=sellers {
        let provider = testbed.provider(number, price(10_000_000 + 100_000 * number), 1_000);
        let preferences = Preferences { only: vec![provider], ..Preferences::default() };
        let placed = Order { preferences, ..order(chat("count for me", 20), COIN, MINUTE) };
        testbed.place_order(client, number, placed);
        testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
        testbed.run(Span::from_s(10), |_| false);
        testbed.kill(provider);
    }
    let owed: Vec<Nano> = testbed.client_at(client).debts().map(|(_, owed)| owed).collect();
    let first = testbed.outcome(3).end.unwrap().unwrap().cost;
    assert_eq!(owed.len(), DEBTS_MAX);
    assert!(owed.iter().all(|owed| *owed > first), "the least are forgotten");
    let costs: Vec<Nano> = (1..=3).map(|number| testbed.outcome(number).end.unwrap().unwrap().cost).collect();
    assert_eq!(forgotten(&testbed), costs, "and each is said");
}

/// (`CH-56`) However soon they come, and whatever the orders before them have asked for meanwhile.
#[test]
fn coins_that_come_between_two_orders_pay_both_and_no_order_before_them_says_that_the_ledger_is_dead() {
    for pause in [Span(0), Span::from_s(1), Span::from_s(10), Span::from_s(40)] {
        let mut testbed = Testbed::new(9, CALM);
        let client = testbed.client(1, Nano(1_000));
        let credit = CreditLimits { per_client: Nano(4_000_000), per_hour: COIN };
        let config = ProviderConfig { credit, ..ProviderConfig::for_tests(1) };
        let provider = testbed.provider_with(config, price(40_000_000), 1_000);
        let mut cost = Nano::ZERO;
        for number in 1..=6 {
            runs(&mut testbed, client, number);
            match testbed.outcome(number).end.unwrap() {
                Ok(bill) => cost = cost.saturating_plus(bill.cost),
                Err((why, bill)) => {
                    assert!(
                        matches!(why, Failure::Payment(PaymentFault::NoFunds { .. })),
                        "{pause:?}: {why}"
                    );
                    cost = cost.saturating_plus(bill.cost);
                }
            }
            testbed.run(pause, |_| false);
        }
        testbed.fund(client, COIN);
        runs(&mut testbed, client, 7);
        let end = testbed.outcome(7).end.unwrap();
        cost = cost.saturating_plus(end.map_err(|(why, _)| why).unwrap().cost);
        testbed.run(MINUTE, |_| false);
        let paid: Nano = testbed.provider_at(provider).channels().map(|earner| earner.paid()).sum();
        assert_eq!((testbed.chain.opened, paid), (1, cost), "{pause:?}");
        assert_eq!(testbed.provider_at(provider).loans(testbed.now).count(), 0);
    }
}

/// (`CH-56`) Many at once, until the provider lends no more.
#[test]
fn a_crowd_of_unpaid_orders_names_one_account_and_one_voucher_pays_for_all_of_them() {
    let mut testbed = Testbed::new(10, CALM);
    testbed.slots = 8;
    let client = testbed.client(1, Nano(1_000));
    let provider = testbed.provider(1, price(40_000_000), 1_000);
    for round in 0..4 {
        for number in round * 8 + 1..=round * 8 + 8 {
            testbed.order(client, number, chat("count for me", 20), COIN, MINUTE);
        }
        testbed.run(Span::from_s(70), |_| false);
    }
    assert!(owed(&testbed, client) > Nano::ZERO);
    testbed.fund(client, COIN);
    for number in 101..=105 {
        runs(&mut testbed, client, number);
        assert!(testbed.outcome(number).end.unwrap().is_ok(), "{number}");
    }
    testbed.run(MINUTE, |_| false);
    assert_eq!((testbed.chain.opened, testbed.client_at(client).channels().count()), (1, 1));
    assert_eq!(owed(&testbed, client), Nano::ZERO);
    let promised = testbed.client_at(client).channels().next().unwrap().cumulative();
    let earner = testbed.provider_at(provider).channels().next().unwrap();
    assert_eq!(earner.paid(), promised);
    assert_eq!(testbed.provider_at(provider).loans(testbed.now).count(), 0);
}

/// (`CH-56`, MK-64) What an order has asked of such a channel and given up again is no deposit on its way.
#[test]
fn an_order_that_is_cancelled_leaves_a_debt_as_it_was() {
    let mut testbed = Testbed::new(11, CALM);
    let client = testbed.client(1, Nano(1_000));
    testbed.provider(1, price(40_000_000), 1_000);
    runs(&mut testbed, client, 1);
    testbed.run(MINUTE, |_| false);
    let before = owed(&testbed, client);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| !testbed.outcome(2).ids.is_empty() || testbed.outcome(2).end.is_some());
    testbed.command(client, Command::Cancel(OrderId(2)));
    testbed.run(MINUTE, |_| false);
    assert!(owed(&testbed, client) >= before);
    assert_eq!(testbed.client_at(client).channels().count(), 0, "nothing is on its way");
    testbed.seek(client);
    let asked = order(chat("count for me", 20), COIN, MINUTE);
    let quote = testbed.client_at(client).quote(testbed.now, &asked).unwrap();
    assert_eq!(quote.channel.state, QuotedState::Opens);
}

/// (`CH-19`) A provider sees a new channel later than its client, and may say meanwhile that it is not paid.
#[test]
fn a_provider_that_says_unpaid_ends_no_channel_that_it_may_not_have_seen_yet() {
    for (wait, is_closed) in [(Span::from_s(1), false), (Span::from_s(30), true)] {
        let mut testbed = Testbed::new(12, CALM);
        let config = ClientConfig { leases: false, ..ClientConfig::for_tests(1) };
        let client = testbed.client_with(config, COIN);
        let mut thief = Thief::new(101, Plan::Refuses(Refusal::Unpaid), price(400_000));
        thief.good_jobs = 1;
        let seller = testbed.thief(thief, None);
        runs(&mut testbed, client, 1);
        testbed.run(MINUTE, |testbed| testbed.client_at(client).channels().any(|payer| payer.is_open()));
        testbed.run(wait, |_| false);
        testbed.order(client, 2, chat("count for me", 20), COIN, Span::from_s(3));
        testbed.run(Span::from_s(4), |testbed| testbed.outcome(2).end.is_some());
        assert_eq!(testbed.outcome(2).failed_over.first(), Some(&Failure::Refused(Refusal::Unpaid)));
        let usable = testbed.client_at(client).channels().filter(|payer| payer.is_usable()).count();
        assert_eq!(usable == 0, is_closed, "{wait:?}: {seller:?}");
    }
}

/// A client whose coins are in a channel to one provider, of whom the next job asks for more before it needs it, and another
/// provider.
fn two_sellers(coins: Nano) -> (Testbed, NodeId, [NodeId; 2]) {
    let mut testbed = Testbed::new(13, CALM);
    let ceiling = testbed::ceiling(price(400_000), &chat("count for me", 20));
    let client = testbed.client(1, Nano(2 * ceiling.0).saturating_plus(coins));
    let first = testbed.provider(1, price(400_000), 1_000);
    // It delivers nothing for some seconds.
    let second = testbed.provider(2, price(2_000_000), 600_000);
    runs_with(&mut testbed, client, 1, first);
    testbed.run(MINUTE, |_| false);
    assert_eq!(testbed.chain.locked(), 2 * ceiling.0);
    (testbed, client, [first, second])
}

fn places(testbed: &mut Testbed, client: NodeId, number: u64, provider: NodeId) {
    let preferences = Preferences { only: vec![provider], ..Preferences::default() };
    let placed = Order { preferences, ..order(chat("count for me", 20), COIN, MINUTE) };
    testbed.place_order(client, number, placed);
}

fn runs_with(testbed: &mut Testbed, client: NodeId, number: u64, provider: NodeId) {
    places(testbed, client, number, provider);
    testbed.run(MINUTE, |testbed| testbed.outcome(number).end.is_some());
    testbed.run(Span::from_s(10), |_| false);
}

fn dear() -> Nano {
    testbed::ceiling(price(2_000_000), &chat("count for me", 20))
}

/// (`CH-56`, `CH-20`) The coins that came for one went to the other, which had no use for them yet.
#[test]
fn what_is_not_needed_yet_is_not_added_while_another_is_owed_for_an_hour() {
    for (pause, is_kept) in [(Span::from_s(60), true), (Span::from_s(3_700), false)] {
        let (mut testbed, client, [first, second]) = two_sellers(Nano::ZERO);
        runs_with(&mut testbed, client, 2, second);
        let debt = owed(&testbed, client);
        assert!(debt > Nano::ZERO, "{:?}", testbed.outcome(2).end);
        testbed.run(pause, |_| false);
        testbed.fund(client, debt.saturating_plus(dear()));
        let before = testbed.chain.locked();
        runs_with(&mut testbed, client, 3, first);
        assert!(testbed.outcome(3).end.unwrap().is_ok());
        assert_eq!(testbed.chain.locked() == before, is_kept, "{pause:?}");
        if is_kept {
            runs_with(&mut testbed, client, 4, second);
            assert!(testbed.outcome(4).end.unwrap().is_ok(), "{:?}", testbed.outcome(4).end);
            assert_eq!(owed(&testbed, client), Nano::ZERO);
        }
    }
}

/// (`CH-56`, `CH-20`)
#[test]
fn what_is_not_needed_yet_is_not_added_while_a_job_waits_for_a_channel_to_another() {
    let (mut testbed, client, [first, second]) = two_sellers(dear());
    places(&mut testbed, client, 2, second);
    testbed.run(MINUTE, |testbed| !testbed.outcome(2).ids.is_empty());
    runs_with(&mut testbed, client, 3, first);
    testbed.run_to_end(MINUTE);
    for number in 2..=3 {
        let end = testbed.outcome(number).end.unwrap();
        assert_eq!(end.map(|bill| bill.unpaid), Ok(Nano::ZERO), "{number}");
    }
    testbed.run(MINUTE, |_| false);
    assert_eq!((testbed.chain.opened, owed(&testbed, client)), (2, Nano::ZERO));
}
