//! What the two ends of a channel, payer and earner, promise, count and claim.

use crate::testbed::{self, CALM, Testbed};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::fault::Mismatch;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::pay::{InsufficientDeposit, Payer};
use bombyx_protocol::channel::voucher::{Acceptance, Voucher, VoucherFault};
use bombyx_protocol::provider::ProviderConfig;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::Payment;
use bombyx_protocol::{ChannelId, limits};

use super::{PEER, key, open, payment, terms};

fn payer() -> Payer {
    Payer::opening(terms(), PEER, Nano(1_000))
}

fn earner() -> Earner {
    Earner::new(terms(), PEER)
}

/// (CH-2)
#[test]
fn jobs_reserve_their_ceilings_and_give_back_what_they_did_not_use() {
    let mut payer = payer();
    assert_eq!(payer.reserve(Nano(700)), Ok(()));
    assert_eq!(payer.reserve(Nano(301)), Err(InsufficientDeposit));
    assert_eq!(payer.owe(Nano(200)), Ok(()));
    assert_eq!(payer.headroom(), Nano(300), "what is owed came out of what was reserved");
    payer.release(Nano(500));
    assert_eq!(payer.headroom(), Nano(800));
}

/// (CH-3, CH-4)
#[test]
fn no_voucher_is_above_the_deposit_or_before_it_is_seen() {
    let mut payer = payer();
    payer.owe(Nano(400)).unwrap();
    assert_eq!(payer.payment(&key()), None, "the ledger has not shown the channel");
    payer.observe(Time(1), &open(7, 1_000));
    assert_eq!(payer.payment(&key()), Some(payment(7, 400)));
    assert_eq!(payer.owe(Nano(601)), Err(InsufficientDeposit));
    payer.top_up(Nano(500));
    assert_eq!(payer.owe(Nano(900)), Ok(()));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_000)), "the top-up is not on the ledger yet");
    payer.observe(Time(2), &open(7, 1_500));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_300)));
}

/// (CH-3, CH-32) What was served on credit ahead of a deposit that is put off no longer stays counted as locked.
#[test]
fn what_was_promised_out_of_a_deposit_that_is_put_off_is_not_forgone() {
    let mut payer = payer();
    payer.top_up(Nano(500));
    payer.owe(Nano(1_300)).unwrap();
    payer.forgo(Nano(500));
    let record = payer.record();
    assert_eq!((record.cumulative, record.locked), (Nano(1_300), Nano(1_300)));
    assert_eq!((payer.headroom(), payer.owe(Nano(1))), (Nano::ZERO, Err(InsufficientDeposit)));
    payer.observe(Time(1), &open(7, 1_000));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_000)), "no voucher is above the deposit");
}

/// (CH-7, CH-8)
#[test]
fn a_promise_on_disk_counts_as_spent_and_is_signed_again_once_the_provider_has_spoken() {
    let mut payer = payer();
    payer.observe(Time(1), &open(7, 1_000));
    payer.owe(Nano(400)).unwrap();
    let mut again = Payer::restored(payer.record());
    assert_eq!((again.cumulative(), again.headroom()), (Nano(400), Nano(600)));
    assert_eq!(again.payment(&key()), None, "the provider may hold a newer one");
    assert_eq!(again.recover(None), None, "it holds none: what is on disk stands");
    assert_eq!(again.payment(&key()), Some(payment(7, 400)));
}

/// (CH-8)
#[test]
fn a_lost_voucher_is_gone_on_from_when_it_is_newer_and_of_this_funding() {
    let voucher =
        |epoch, cumulative| Voucher { account: payer_account(), epoch, cumulative: Nano(cumulative) };
    let mut before = payer();
    before.observe(Time(1), &open(7, 1_000));
    before.owe(Nano(400)).unwrap();
    let restored = || Payer::restored(before.record());

    let behind = |known, shown| Some(Mismatch::Behind { known: Nano(known), shown: Nano(shown) });
    for (shown, mismatch, known) in
        [((6, 500), None, 400), ((7, 399), None, 400), ((7, 500), behind(400, 500), 500)]
    {
        let mut payer = restored();
        assert_eq!(payer.recover(Some(&voucher(shown.0, shown.1))), mismatch, "{shown:?}");
        assert_eq!(payer.cumulative(), Nano(known), "{shown:?}");
        assert!(payer.is_usable());
    }
    let mut payer = restored();
    payer.owe(Nano(50)).unwrap();
    assert_eq!(payer.recover(Some(&voucher(7, 500))), behind(400, 500));
    assert_eq!(payer.cumulative(), Nano(550), "what was promised since the restart comes on top");

    // A store from before a top-up: the promise is not cut at the deposit that it knows.
    let mut payer = restored();
    assert_eq!(payer.recover(Some(&voucher(7, 1_400))), behind(400, 1_400));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_000)), "no voucher above what the ledger has shown");
    payer.observe(Time(2), &open(7, 2_000));
    assert_eq!(payer.payment(&key()), Some(payment(7, 1_400)));
}

/// (CH-24)
#[test]
fn a_voucher_that_this_node_never_signed_ends_its_use_of_the_channel() {
    let voucher =
        |epoch, cumulative| Voucher { account: payer_account(), epoch, cumulative: Nano(cumulative) };
    let mut payer = payer();
    payer.observe(Time(1), &open(7, 1_000));
    payer.owe(Nano(400)).unwrap();
    assert_eq!(payer.recover(Some(&voucher(7, 400))), None, "its own");
    let foreign = Mismatch::Voucher { known: Nano(400), shown: Nano(900) };
    assert_eq!(payer.recover(Some(&voucher(7, 900))), Some(foreign), "somebody else signs with its key");
    assert!(!payer.is_usable() && payer.close_request().is_some(), "the rest is asked back");
    assert_eq!(payer.cumulative(), Nano(900), "what was signed is owed all the same");
}

/// (CH-24)
#[test]
fn another_funding_than_the_store_knows_is_not_paid_on_and_asked_back() {
    let mut before = payer();
    before.observe(Time(1), &open(7, 1_000));
    before.owe(Nano(400)).unwrap();
    let mut payer = Payer::restored(before.record());
    let observed = payer.observe(Time(2), &open(9, 300));
    assert_eq!(observed.mismatch, Some(Mismatch::Epoch { known: 7, shown: 9 }));
    assert!(!payer.is_usable());
    assert_eq!(payer.close_request().unwrap().epoch, 9, "it is this funding that is asked back");
    assert_eq!(payer.payment(&key()), None, "no old promise is signed for it");

    let mut payer = Payer::restored(before.record());
    let later = Voucher { account: payer_account(), epoch: 9, cumulative: Nano(50) };
    assert_eq!(payer.recover(Some(&later)), Some(Mismatch::Epoch { known: 7, shown: 9 }));
    assert!(!payer.is_usable(), "the provider knows a later funding than the store");
}

/// (CH-24)
#[test]
fn vouchers_of_an_earlier_funding_are_no_money_in_a_later_one() {
    let mut earner = earner();
    earner.observe(Time(0), 0, open(7, 1_000));
    earner.exposure.serve(Nano(400));
    earner.accept(payment(7, 400)).unwrap();
    let mut earner = Earner::restored(earner.record(), u64::MAX);
    assert_eq!(
        earner.observe(Time(0), 0, open(9, 500)).mismatch,
        Some(Mismatch::Epoch { known: 7, shown: 9 })
    );
    assert_eq!((earner.paid(), earner.unpaid(), earner.newest()), (Nano::ZERO, Nano::ZERO, None));
    earner.exposure.serve(Nano(50));
    assert_eq!(earner.accept(payment(9, 50)), Ok(Acceptance::More));
    assert_eq!(earner.unpaid(), Nano::ZERO);
}

/// (CH-3)
#[test]
fn a_top_up_that_a_crash_lost_is_not_counted_as_deposited() {
    let mut payer = payer();
    payer.observe(Time(1), &open(7, 1_000));
    payer.owe(Nano(900)).unwrap();
    payer.top_up(Nano(500));
    assert_eq!(payer.headroom(), Nano(600));
    let mut payer = Payer::restored(payer.record());
    assert_eq!(payer.headroom(), Nano(100), "asked for is not deposited");
    payer.observe(Time(2), &open(7, 1_500));
    assert_eq!(payer.headroom(), Nano(600), "it was not lost after all");
}

fn payer_account() -> ChannelId {
    terms().id()
}

/// (CH-5)
#[test]
fn a_provider_serves_ahead_of_payment_no_more_than_its_window() {
    let mut earner = earner();
    let (window, credit) = (Nano(100), Nano(30));
    assert_eq!(earner.allowance(window, credit), Nano(30), "an unseen channel has credit alone");
    earner.observe(Time(0), 0, open(7, 120));
    assert_eq!(earner.allowance(window, credit), Nano(100));
    earner.exposure.serve(Nano(80));
    assert_eq!(earner.allowance(window, credit), Nano(20));
    assert_eq!(earner.accept(payment(7, 80)), Ok(Acceptance::More));
    assert_eq!(earner.allowance(window, credit), Nano(40), "the deposit is nearly used up");
}

/// (CH-6)
#[test]
fn a_voucher_counts_once_for_its_funding_within_its_deposit() {
    let mut earner = earner();
    assert_eq!(
        earner.accept(payment(7, 50)),
        Ok(Acceptance::Early),
        "for a funding that is still on its way"
    );
    assert_eq!(earner.paid(), Nano::ZERO);
    assert_eq!(earner.accept(payment(7, 40)), Ok(Acceptance::Nothing), "an older one that was overtaken");
    let mut earner = Earner::restored(earner.record(), u64::MAX);
    assert!(earner.observe(Time(0), 0, open(7, 100)).counts, "a crash does not lose it");
    assert_eq!(earner.paid(), Nano(50));
    for old in [50, 49] {
        assert_eq!(earner.accept(payment(7, old)), Ok(Acceptance::Nothing));
    }
    assert_eq!(earner.accept(payment(6, 60)), Err(VoucherFault::Epoch));
    let forged = Payment { cumulative: Nano(70), ..payment(7, 60) };
    assert_eq!(earner.accept(forged), Err(VoucherFault::Signature));
    assert_eq!(
        earner.accept(payment(7, 101)),
        Ok(Acceptance::Early),
        "for a top-up that is still on its way"
    );
    assert_eq!(earner.paid(), Nano(50));
    assert!(earner.observe(Time(0), 0, open(7, 200)).counts);
    assert_eq!(earner.paid(), Nano(101));
    assert_eq!(Earner::restored(earner.record(), u64::MAX).paid(), Nano(101));
}

/// (CH-9)
#[test]
fn what_is_given_up_frees_the_channel_and_is_no_head_start_when_paid_late() {
    let mut earner = earner();
    earner.observe(Time(0), 0, open(7, 1_000));
    earner.exposure.serve(Nano(90));
    earner.exposure.write_off(Nano(60));
    assert_eq!((earner.unpaid(), earner.written_off()), (Nano(30), Nano(60)), "at most the job's bill");
    earner.exposure.write_off(Nano(60));
    assert_eq!((earner.unpaid(), earner.written_off()), (Nano::ZERO, Nano(90)));
    assert_eq!(earner.accept(payment(7, 90)), Ok(Acceptance::More));
    assert_eq!(earner.written_off(), Nano::ZERO);
    earner.exposure.serve(Nano(10));
    assert_eq!(earner.unpaid(), Nano(10));
}

/// (CH-18)
#[test]
fn a_provider_claims_when_enough_is_covered_and_each_total_once() {
    let mut testbed = Testbed::new(32, CALM);
    let coin = Nano(1_000_000_000);
    let client = testbed.client(1, coin);
    let config = ProviderConfig { settle_at: Nano(60_000), ..ProviderConfig::for_tests(1) };
    let provider = testbed.provider_with(config, testbed::price(400_000), 1_000);
    testbed.order(client, 1, testbed::chat("count for me", 400), coin, Span::from_s(60));
    testbed.run_to_end(Span::from_s(60));
    let earned = testbed.provider_at(provider).channels().next().unwrap().paid();
    let claims = earned.0 / 60_000;
    assert!(
        testbed.chain.claims >= 1 && testbed.chain.claims as u64 <= claims,
        "{} claims",
        testbed.chain.claims
    );
    let paid_out = testbed.chain.balance(&ProviderConfig::for_tests(1).payout.hash);
    assert!(earned.0 - paid_out < 60_000, "{paid_out} of {earned} is paid out");
}

/// (CH-26)
#[test]
fn dust_is_something_and_less_than_is_paid_out() {
    let mut earner = Earner::new(terms(), PEER);
    earner.observe(Time(0), 0, open(7, 10_000_000));
    assert!(!earner.is_dust(), "nothing is due");
    for (total, is_dust) in [(1, true), (limits::PAYOUT_MIN.0 - 1, true), (limits::PAYOUT_MIN.0, false)] {
        earner.accept(payment(7, total)).unwrap();
        assert_eq!(earner.is_dust(), is_dust, "{total}");
    }
    earner.observe(Time(0), 0, ChannelState { settled: Nano(1), ..open(7, 10_000_000) });
    assert!(earner.is_dust(), "one less is due");
}
