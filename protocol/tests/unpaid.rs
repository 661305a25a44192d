//! What is served and not paid: said by both sides, and bounded.
#![allow(clippy::unwrap_used)]

mod testbed;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::fault::PaymentFault;
use bombyx_protocol::io::{Command, Failure};
use bombyx_protocol::limits::CREDIT_HOUR;
use bombyx_protocol::provider::{CreditLimits, ProviderConfig};
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::TaskKind;
use testbed::{CALM, MODEL, Testbed, chat, engine, price};

const COIN: Nano = Nano(1_000_000_000);
const MINUTE: Span = Span::from_s(60);

/// (`CH-50`) The only seller serves it on credit, which is never paid; both know how much that is, and it ends there.
#[test]
fn a_client_that_cannot_open_a_channel_is_served_on_credit_no_more_than_that_and_both_say_it_is_unpaid() {
    let mut testbed = Testbed::new(1, CALM);
    let client = testbed.client(1, Nano(1_000));
    let credit = CreditLimits { per_client: Nano(5_000_000), per_hour: Nano(8_000_000) };
    let config = ProviderConfig { credit, ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, price(40_000_000), 1_000);
    let (mut served, mut refused) = (Nano::ZERO, 0);
    for order in 1..=12 {
        testbed.order(client, order, chat("count for me", 20), COIN, MINUTE);
        testbed.run_to_end(Span::from_s(120));
        let bill = match testbed.outcome(order).end.unwrap() {
            Ok(bill) => bill,
            Err((why, bill)) => {
                let is_poor = matches!(why, Failure::Payment(PaymentFault::NoFunds { .. }));
                assert!(is_poor || matches!(why, Failure::LeftAlone { .. }), "{why}");
                refused += 1;
                bill
            }
        };
        assert_eq!(bill.unpaid, bill.cost, "order {order}: no voucher was ever signed");
        assert_eq!(bill.vouchers, 0);
        served = served.saturating_plus(bill.cost);
        testbed.run(Span::from_s(20), |_| false);
    }
    assert!(served > Nano::ZERO && refused > 0, "some are served, and then none: {served}");
    assert!(served <= credit.per_client, "{served}");
    let owed = |testbed: &Testbed| -> Nano {
        testbed.provider_at(provider).loans(testbed.now).map(|loan| loan.amount).sum()
    };
    assert!(testbed.provider_at(provider).loans(testbed.now).all(|loan| loan.client == client));
    assert!(
        owed(&testbed) >= served && owed(&testbed) <= credit.per_client,
        "{} of {served}",
        owed(&testbed)
    );
    assert_eq!(testbed.chain.opened, 0);
    let lent = owed(&testbed);
    assert_eq!(testbed.provider_at(provider).lost(testbed.now), Nano::ZERO);
    testbed.run(CREDIT_HOUR, |_| false);
    assert_eq!(owed(&testbed), Nano::ZERO, "an hour later it is forgotten");
    assert_eq!(testbed.provider_at(provider).lost(testbed.now), lent, "and lost");
}

/// (`CH-50`)
#[test]
fn what_was_lent_and_is_paid_is_no_loan_any_more_and_its_bill_says_when() {
    let mut testbed = Testbed::new(2, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(40_000_000), 1_000);
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    let bill = testbed.outcome(1).end.unwrap().unwrap();
    assert_eq!((bill.unpaid, bill.vouchers), (bill.cost, 0), "the answer was there before the channel");
    testbed.run_to_end(MINUTE);
    let paid: Nano = testbed.provider_at(provider).channels().map(|earner| earner.paid()).sum();
    assert_eq!(paid, bill.cost);
    assert_eq!(testbed.provider_at(provider).loans(testbed.now).count(), 0);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let bill = testbed.outcome(2).end.unwrap().unwrap();
    assert_eq!(bill.unpaid, Nano::ZERO);
    assert!(bill.vouchers > 0);
}

/// (`CH-38`) A seller that dies in mid-answer has written ahead what may be lost. Nobody owes that, and its client is served on
/// the same channel as before, and after another such death as well.
#[test]
fn what_was_only_at_risk_when_a_provider_died_is_owed_by_nobody() {
    let mut testbed = Testbed::new(3, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(400_000), 5_000);
    for order in 1..=20 {
        testbed.order(client, order, chat("count for me", 200), COIN, MINUTE);
        // A client that trusts it a little asks nothing back for one failure. (`CH-31`)
        if order % 10 == 5 {
            testbed.run(MINUTE, |testbed| testbed.outcome(order).text.len() > engine::answer(100).len());
            testbed.kill(provider);
            testbed.restart(provider);
            let earner = testbed.provider_at(provider).channels().next().unwrap();
            assert!(earner.record().at_risk > Nano::ZERO, "it was in the middle of an answer");
            assert_eq!((earner.unpaid(), earner.written_off()), (Nano::ZERO, Nano::ZERO), "order {order}");
            testbed.offer(provider, price(400_000), TaskKind::Generate, MODEL);
        }
        testbed.run_to_end(MINUTE);
        assert_eq!(testbed.outcome(order).text, engine::answer(200), "order {order}");
    }
    assert_eq!(testbed.chain.opened, 1);
    let earner = testbed.provider_at(provider).channels().next().unwrap();
    assert_eq!((earner.unpaid(), earner.written_off()), (Nano::ZERO, Nano::ZERO));
}

/// (`CH-50`) The ledger is slow, and the channel of its first answer forgotten before it is there: the voucher of the second one
/// pays for both.
#[test]
fn what_was_lent_on_a_channel_that_was_forgotten_is_no_loan_any_more_once_a_voucher_covers_it() {
    let mut testbed = Testbed::new(4, CALM);
    let client = testbed.client(1, COIN);
    let provider = testbed.provider(1, price(40_000_000), 1_000);
    testbed.chain.down = true;
    testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
    testbed.run(MINUTE, |testbed| testbed.outcome(1).end.is_some());
    let first = testbed.outcome(1).end.unwrap().unwrap();
    testbed.run(Span::from_s(120), |_| false);
    let owed = |testbed: &Testbed| -> Vec<Nano> {
        testbed.provider_at(provider).loans(testbed.now).map(|loan| loan.amount).collect()
    };
    assert_eq!(owed(&testbed), [first.cost]);
    assert_eq!(testbed.provider_at(provider).channels().count(), 0, "its channel is forgotten");
    testbed.chain.down = false;
    testbed.run(Span::from_s(20), |_| false);
    testbed.order(client, 2, chat("count for me", 20), COIN, MINUTE);
    testbed.run_to_end(MINUTE);
    let second = testbed.outcome(2).end.unwrap().unwrap();
    let paid: Nano = testbed.provider_at(provider).channels().map(|earner| earner.paid()).sum();
    assert_eq!(paid, first.cost.saturating_plus(second.cost));
    assert_eq!(owed(&testbed), []);
    testbed.run(CREDIT_HOUR, |_| false);
    assert_eq!(testbed.provider_at(provider).lost(testbed.now), Nano::ZERO);
}

/// (`CH-26`, `CH-37`) A close pays nobody so little, and a ledger that begins anew pays nobody anything.
#[test]
fn what_was_due_on_a_channel_that_is_gone_is_lost_unless_a_close_pays_it_out() {
    for (per_k, is_dust, closes) in
        [(400_000, true, true), (40_000_000, false, true), (400_000, true, false), (40_000_000, false, false)]
    {
        let mut testbed = Testbed::new(5, CALM);
        let client = testbed.client(1, COIN);
        let provider = testbed.provider(1, price(per_k), 1_000);
        testbed.order(client, 1, chat("count for me", 20), COIN, MINUTE);
        testbed.run_to_end(MINUTE);
        let earner = testbed.provider_at(provider).channels().next().unwrap();
        let (account, due) = (earner.account(), earner.due());
        assert_eq!((due > Nano::ZERO, earner.is_dust()), (true, is_dust), "{due}");
        assert_eq!(testbed.provider_at(provider).lost(testbed.now), Nano::ZERO);
        if closes {
            testbed.command(provider, Command::Close { account });
        } else {
            testbed.chain.begin_anew();
            // Its blocks go on with the next call.
            testbed.command(client, Command::Close { account });
        }
        testbed.run(MINUTE, |_| false);
        assert_eq!(testbed.provider_at(provider).channels().count(), 0);
        let lost = if is_dust || !closes { due } else { Nano::ZERO };
        assert_eq!(testbed.provider_at(provider).lost(testbed.now), lost, "{per_k} {closes}");
    }
}

/// What all jobs came to counted those that were over, and so lagged behind what is unpaid for as long as a job waits for its money.
#[test]
fn what_was_delivered_is_sold_at_once_and_not_when_its_job_has_waited_for_its_money() {
    for coins in [Nano(1_000), COIN] {
        let mut testbed = Testbed::new(4, CALM);
        let client = testbed.client(1, coins);
        let provider = testbed.provider(1, price(40_000_000), 10_000);
        testbed.order(client, 1, chat("count for me", 100), COIN, MINUTE);
        let mut waited = 0;
        testbed.run(MINUTE, |testbed| {
            let seller = testbed.provider_at(provider);
            let over: Nano = testbed.served.iter().map(|(_, served)| served.cost).sum();
            let sold = over.saturating_plus(seller.under_way());
            let books = |earner: &Earner| earner.paid().saturating_plus(earner.unpaid());
            let on_channels: Nano =
                seller.channels().filter(|earner| earner.seen().is_some()).map(books).sum();
            let lent: Nano = seller.loans(testbed.now).map(|loan| loan.amount).sum();
            assert_eq!(sold, on_channels.saturating_plus(lent), "{coins}");
            waited += usize::from(testbed.outcome(1).end.is_some() && testbed.served.is_empty());
            false
        });
        assert_eq!((waited > 0, testbed.served.len()), (true, 1), "{coins}");
    }
}
