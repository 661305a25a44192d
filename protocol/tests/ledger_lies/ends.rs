//! What the two ends of a channel, payer and earner, make of an untrue ledger.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::fault::Mismatch;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::channel::pay::{ClosingStep, Payer};
use bombyx_protocol::channel::voucher::{Acceptance, Voucher};
use bombyx_protocol::time::{Span, Time};

use super::{CHALLENGE_S, DEPOSIT, EPOCH, PEER, WINDOW, account, earner, key, payer, payment, terms, truth};

const CREDIT: Nano = Nano(40);

const LIED_TOTALS: [u64; 5] = [401, DEPOSIT - 1, DEPOSIT, DEPOSIT + 1, u64::MAX];

/// (CH-30)
#[test]
fn a_settled_total_that_nobody_promised_makes_a_client_leave_and_sign_nothing_more() {
    for lie in LIED_TOTALS {
        for restarts in [false, true] {
            let mut payer = payer(400);
            if restarts {
                payer = Payer::restored(payer.record());
            }
            let told = payer.observe(Time(2), &ChannelState { settled: Nano(lie), ..truth() });
            assert_eq!(told.mismatch, Some(Mismatch::Settled { known: Nano(400), shown: Nano(lie) }));
            assert_eq!((payer.cumulative(), payer.record().cumulative), (Nano(400), Nano(400)), "{lie}");
            assert!(!payer.is_usable() && payer.close_request().is_some(), "there is nothing left to pay");
            // One look later the truth is shown again, and the close that was asked for.
            let mut payer = if restarts { Payer::restored(payer.record()) } else { payer };
            let left = Span::from_s(u64::from(CHALLENGE_S));
            payer.observe(Time(3), &ChannelState { closing: Some(left), ..truth() });
            let half = Time(3) + left.half();
            assert_eq!(payer.closing_step(half), ClosingStep::ClaimForProvider);
            assert_eq!(payer.voucher().unwrap().cumulative, Nano(400), "what was promised and no more");
        }
    }
}

/// (CH-30)
#[test]
fn a_voucher_whose_signature_was_checked_is_all_that_raises_a_promise_beside_the_clients_own_work() {
    let mut payer = Payer::restored(payer(400).record());
    payer.observe(Time(2), &ChannelState { settled: Nano(600), ..truth() });
    let shown = Voucher { account: account(), epoch: EPOCH, cumulative: Nano(600) };
    let behind = Mismatch::Behind { known: Nano(400), shown: Nano(600) };
    assert_eq!(payer.recover(Some(&shown)), Some(behind));
    assert_eq!(payer.cumulative(), Nano(600));
}

/// (CH-30)
#[test]
fn another_funding_that_was_a_lie_leaves_the_promise_as_it_was() {
    for lie in [1, EPOCH - 1, EPOCH + 1, u64::MAX] {
        for restarts in [false, true] {
            let mut payer = payer(400);
            let told = payer.observe(Time(2), &ChannelState { epoch: lie, deposit: Nano(77), ..truth() });
            assert_eq!(told.mismatch, Some(Mismatch::Epoch { known: EPOCH, shown: lie }));
            assert_eq!(
                (payer.payment(&key()), payer.is_usable()),
                (None, false),
                "nothing is signed meanwhile"
            );
            assert_eq!(
                payer.close_request().unwrap().epoch,
                lie,
                "that funding is asked back, if there is one"
            );
            if restarts {
                payer = Payer::restored(payer.record());
                payer.recover(None);
            }
            payer.observe(Time(3), &truth());
            assert_eq!(payer.payment(&key()), Some(payment(EPOCH, 400)));
            assert_eq!(payer.close_request().unwrap().epoch, EPOCH);

            let mut earner = earner(400);
            earner.exposure.serve(Nano(60));
            earner.observe(Time(0), 0, ChannelState { epoch: lie, ..truth() });
            assert_eq!((earner.newest(), earner.unpaid()), (None, Nano::ZERO));
            assert_eq!(
                earner.written_off(),
                Nano(60),
                "what was not paid is held against the client there, too"
            );
            let mut earner = if restarts { Earner::restored(earner.record(), u64::MAX) } else { earner };
            earner.observe(Time(0), 0, truth());
            assert_eq!(earner.newest(), Some(payment(EPOCH, 400)), "its voucher was not lost");
            assert!(earner.written_off() >= Nano(60));
        }
    }
}

/// (CH-30)
#[test]
fn a_provider_keeps_the_vouchers_of_two_fundings_and_serves_in_no_third() {
    let mut earner = earner(400);
    earner.observe(Time(0), 0, ChannelState { epoch: 8, ..truth() });
    assert_eq!(earner.accept(payment(8, 50)), Ok(Acceptance::More));
    earner.observe(Time(0), 0, ChannelState { epoch: 9, ..truth() });
    assert_eq!(earner.allowance(WINDOW, CREDIT), Nano::ZERO);
    assert!(earner.accept(payment(9, 900)).is_err());
    earner.observe(Time(0), 0, truth());
    assert_eq!(earner.newest(), Some(payment(EPOCH, 400)));
    // A voucher that comes while another funding is shown is refused and kept.
    earner.observe(Time(0), 0, ChannelState { epoch: 8, ..truth() });
    assert!(earner.accept(payment(EPOCH, 450)).is_err());
    let mut earner = Earner::restored(earner.record(), u64::MAX);
    earner.observe(Time(0), 0, truth());
    assert_eq!(earner.newest(), Some(payment(EPOCH, 450)));
}

/// (CH-3, CH-30)
#[test]
fn a_deposit_that_nobody_made_lets_nobody_promise_more() {
    let mut payer = payer(400);
    for lie in [DEPOSIT + 1, u64::MAX] {
        payer.observe(Time(2), &ChannelState { deposit: Nano(lie), ..truth() });
        assert_eq!(payer.headroom(), Nano(DEPOSIT - 400));
        assert!(payer.owe(Nano(DEPOSIT)).is_err());
    }
    payer.observe(Time(3), &ChannelState { deposit: Nano(1), ..truth() });
    assert_eq!(payer.headroom(), Nano(DEPOSIT - 400), "nor less");
    // A top-up whose fate a crash hid is one that this node asked for: it counts when it is shown.
    payer.top_up(Nano(500));
    let mut payer = Payer::restored(payer.record());
    payer.observe(Time(4), &ChannelState { deposit: Nano(u64::MAX), ..truth() });
    assert_eq!(payer.headroom(), Nano(DEPOSIT + 500 - 400));
}

/// (CH-29)
#[test]
fn a_top_up_of_unknown_fate_counts_as_locked_and_not_as_deposited() {
    let mut payer = payer(400);
    for (certain, locked) in [(true, DEPOSIT), (false, DEPOSIT + 500)] {
        payer.top_up(Nano(500));
        assert_eq!((payer.headroom(), payer.rest()), (Nano(DEPOSIT + 100), Nano(DEPOSIT + 100)));
        payer.top_up_failed(Nano(500), certain);
        assert_eq!((payer.headroom(), payer.rest()), (Nano(DEPOSIT - 400), Nano(locked - 400)));
    }
    let mut payer = Payer::restored(payer.record());
    payer.observe(Time(2), &ChannelState { deposit: Nano(DEPOSIT + 500), ..truth() });
    assert_eq!(payer.headroom(), Nano(DEPOSIT + 100), "it came after all");
}

/// (CH-30)
#[test]
fn a_close_that_was_a_lie_ends_with_it() {
    for left in [0, 1, u64::from(CHALLENGE_S), u64::MAX / 1_000_000] {
        let mut payer = payer(400);
        let closing = ChannelState { closing: Some(Span::from_s(left)), ..truth() };
        payer.observe(Time(2), &closing);
        assert!(!payer.is_usable());
        payer.observe(Time(3), &truth());
        assert!(payer.is_usable(), "{left}");
        assert_eq!(payer.payment(&key()), Some(payment(EPOCH, 400)));
        assert_eq!(payer.closing_step(Time::NEVER), ClosingStep::Wait);
    }
}

/// (CH-11)
#[test]
fn a_client_brings_its_voucher_before_it_finalizes_and_does_not_wait_for_a_ledger_that_never_shows_it() {
    let mut payer = payer(400);
    payer.want_close();
    // It was away for the whole challenge.
    payer.observe(Time(9), &ChannelState { closing: Some(Span(0)), ..truth() });
    assert_eq!(payer.closing_step(Time(9)), ClosingStep::ClaimForProvider);
    payer.brought(Time(9));
    assert_eq!(payer.closing_step(Time(10)), ClosingStep::Finalize);

    let mut payer = self::payer(400);
    payer.want_close();
    let left = Span::from_s(u64::from(CHALLENGE_S));
    payer.observe(Time(0), &ChannelState { closing: Some(left), ..truth() });
    let mut brought = 0;
    for at in 0..u64::from(CHALLENGE_S) {
        let now = Time(at * 1_000_000);
        if payer.closing_step(now) == ClosingStep::ClaimForProvider {
            payer.brought(now);
            brought += 1;
        }
    }
    assert_eq!(brought, 4, "after 0, 30, 90 and 210 s of the second half: a claim can cost a fee");
    assert_eq!(payer.closing_step(Time(0) + left), ClosingStep::Finalize);
}

/// (CH-30)
#[test]
fn a_settled_total_pays_a_provider_nothing() {
    for lie in LIED_TOTALS {
        let mut earner = earner(400);
        earner.exposure.serve(WINDOW);
        assert_eq!(earner.allowance(WINDOW, CREDIT), Nano::ZERO);
        let told = earner.observe(Time(0), 0, ChannelState { settled: Nano(lie), ..truth() });
        assert_eq!(told.mismatch, Some(Mismatch::Settled { known: Nano(400), shown: Nano(lie) }));
        assert_eq!((earner.paid(), earner.allowance(WINDOW, CREDIT)), (Nano(400), Nano::ZERO), "{lie}");
        assert_eq!(earner.observe(Time(0), 0, truth()).mismatch, None);
        let mut fresh = self::earner(0);
        fresh.observe(Time(0), 0, ChannelState { settled: Nano(lie), ..truth() });
        assert_eq!(fresh.allowance(WINDOW, CREDIT), WINDOW, "no head start");
    }
}

/// (CH-5)
#[test]
fn while_a_channel_closes_nothing_is_served_beyond_what_vouchers_cover() {
    let mut earner = earner(400);
    earner.exposure.serve(Nano(30));
    for settled in [0, 400, u64::MAX] {
        earner.observe(
            Time(0),
            0,
            ChannelState { closing: Some(Span(9)), settled: Nano(settled), ..truth() },
        );
        assert_eq!(earner.allowance(WINDOW, CREDIT), Nano::ZERO, "neither a window nor the credit");
    }
    let mut ordered = self::earner(400);
    ordered.order(EPOCH);
    assert_eq!(ordered.allowance(WINDOW, CREDIT), Nano::ZERO);
    let mut ordered = Earner::restored(ordered.record(), u64::MAX);
    assert_eq!(ordered.allowance(WINDOW, CREDIT), Nano::ZERO, "who has the order may bring it at any time");
    ordered.observe(Time(0), 0, truth());
    assert_eq!(ordered.allowance(WINDOW, CREDIT), Nano::ZERO);
}

/// (CH-38)
#[test]
fn a_restart_is_no_clean_slate_for_who_does_not_pay() {
    let mut earner = Earner::new(terms(), PEER);
    earner.observe(Time(0), 0, truth());
    let mut served = Nano::ZERO;
    for _ in 0..50 {
        if earner.exposure.admit(WINDOW) {
            let allowed = earner.allowance(WINDOW, CREDIT);
            // As a machine does it: what may be lost is written before it is served.
            earner.exposure.allow(Nano::ZERO, allowed);
            let record = earner.is_beyond_record().then(|| earner.record());
            earner.exposure.allow(allowed, Nano::ZERO);
            earner.exposure.serve(allowed);
            served = served.saturating_plus(allowed);
            if let Some(record) = record {
                earner = Earner::restored(record, u64::MAX);
                earner.observe(Time(0), 0, truth());
            }
        }
    }
    assert!(served <= Nano(2 * WINDOW.0), "{served}: one window under way and one that was given up");
}
