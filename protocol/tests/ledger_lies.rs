//! What a ledger says may be untrue. Whatever it says, a client signs no more than it owes, a provider serves no more than its
//! bound, and neither forgets what money may stand on.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::{Acceptance, Earner};
use bombyx_protocol::channel::fault::Mismatch;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::pay::{ClosingStep, Payer};
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::Voucher;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Input, Machine, Output};
use bombyx_protocol::limits;
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::wire::message::Payment;
use ed25519_dalek::SigningKey;

const PEER: NodeId = NodeId([9; 32]);
const EPOCH: u64 = 7;
const DEPOSIT: u64 = 10_000;
const WINDOW: Nano = Nano(100);
const CREDIT: Nano = Nano(40);
const CHALLENGE_S: u32 = 600;

fn key() -> SigningKey {
    SigningKey::from_bytes(&ClientConfig::for_tests(1).channel_seed)
}

fn terms() -> ChannelTerms {
    let payee = Provider::new(ProviderConfig::for_tests(1), Vec::new()).payee();
    ChannelTerms {
        network_id: -3,
        salt: 1,
        client_key: key().verifying_key().to_bytes(),
        provider_key: payee.key,
        client: Address::basechain([3; 32]),
        provider: payee.address,
        challenge_s: CHALLENGE_S,
    }
}

fn account() -> ChannelId {
    terms().id()
}

fn truth() -> ChannelState {
    ChannelState { epoch: EPOCH, deposit: Nano(DEPOSIT), settled: Nano::ZERO, closing: None }
}

fn payment(epoch: u64, cumulative: u64) -> Payment {
    let voucher = Voucher { account: account(), epoch, cumulative: Nano(cumulative) };
    Payment { epoch, cumulative: voucher.cumulative, signature: voucher.sign(&key()) }
}

/// A client that owes `owed` on a channel that the ledger has shown.
fn payer(owed: u64) -> Payer {
    let mut payer = Payer::opening(terms(), PEER, Nano(DEPOSIT));
    payer.observe(Time(1), &truth());
    payer.owe(Nano(owed)).unwrap();
    payer
}

/// A provider that holds a voucher over `paid` on a channel that the ledger has shown.
fn earner(paid: u64) -> Earner {
    let mut earner = Earner::new(terms(), PEER);
    earner.observe(truth());
    earner.admit(WINDOW);
    earner.serve(Nano(paid));
    if paid > 0 {
        assert_eq!(earner.accept(payment(EPOCH, paid)), Ok(Acceptance::More));
    }
    earner
}

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
            earner.serve(Nano(60));
            earner.observe(ChannelState { epoch: lie, ..truth() });
            assert_eq!((earner.newest(), earner.unpaid()), (None, Nano::ZERO));
            assert_eq!(
                earner.written_off(),
                Nano(60),
                "what was not paid is held against the client there, too"
            );
            let mut earner = if restarts { Earner::restored(earner.record()) } else { earner };
            earner.observe(truth());
            assert_eq!(earner.newest(), Some(payment(EPOCH, 400)), "its voucher was not lost");
            assert!(earner.written_off() >= Nano(60));
        }
    }
}

/// (CH-30)
#[test]
fn a_provider_keeps_the_vouchers_of_two_fundings_and_serves_in_no_third() {
    let mut earner = earner(400);
    earner.observe(ChannelState { epoch: 8, ..truth() });
    assert_eq!(earner.accept(payment(8, 50)), Ok(Acceptance::More));
    earner.observe(ChannelState { epoch: 9, ..truth() });
    assert_eq!(earner.allowance(WINDOW, CREDIT), Nano::ZERO);
    assert!(earner.accept(payment(9, 900)).is_err());
    earner.observe(truth());
    assert_eq!(earner.newest(), Some(payment(EPOCH, 400)));
    // A voucher that comes while another funding is shown is refused and kept.
    earner.observe(ChannelState { epoch: 8, ..truth() });
    assert!(earner.accept(payment(EPOCH, 450)).is_err());
    let mut earner = Earner::restored(earner.record());
    earner.observe(truth());
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
        earner.serve(WINDOW);
        assert_eq!(earner.allowance(WINDOW, CREDIT), Nano::ZERO);
        let told = earner.observe(ChannelState { settled: Nano(lie), ..truth() });
        assert_eq!(told.mismatch, Some(Mismatch::Settled { known: Nano(400), shown: Nano(lie) }));
        assert_eq!((earner.paid(), earner.allowance(WINDOW, CREDIT)), (Nano(400), Nano::ZERO), "{lie}");
        assert_eq!(earner.observe(truth()).mismatch, None);
        let mut fresh = self::earner(0);
        fresh.observe(ChannelState { settled: Nano(lie), ..truth() });
        assert_eq!(fresh.allowance(WINDOW, CREDIT), WINDOW, "no head start");
    }
}

/// (CH-5)
#[test]
fn while_a_channel_closes_nothing_is_served_beyond_what_vouchers_cover() {
    let mut earner = earner(400);
    earner.serve(Nano(30));
    for settled in [0, 400, u64::MAX] {
        earner.observe(ChannelState { closing: Some(Span(9)), settled: Nano(settled), ..truth() });
        assert_eq!(earner.allowance(WINDOW, CREDIT), Nano::ZERO, "neither a window nor the credit");
    }
    let mut ordered = self::earner(400);
    ordered.order(EPOCH);
    assert_eq!(ordered.allowance(WINDOW, CREDIT), Nano::ZERO);
    let mut ordered = Earner::restored(ordered.record());
    assert_eq!(ordered.allowance(WINDOW, CREDIT), Nano::ZERO, "who has the order may bring it at any time");
    ordered.observe(truth());
    assert_eq!(ordered.allowance(WINDOW, CREDIT), Nano::ZERO);
}

/// (CH-38)
#[test]
fn a_restart_is_no_clean_slate_for_who_does_not_pay() {
    let mut earner = Earner::new(terms(), PEER);
    earner.observe(truth());
    let mut served = Nano::ZERO;
    for _ in 0..50 {
        if earner.admit(WINDOW) {
            let allowed = earner.allowance(WINDOW, CREDIT);
            // As a machine does it: what may be lost is written before it is served.
            earner.allow(Nano::ZERO, allowed);
            let record = earner.is_beyond_record().then(|| earner.record());
            earner.allow(allowed, Nano::ZERO);
            earner.serve(allowed);
            served = served.saturating_plus(allowed);
            if let Some(record) = record {
                earner = Earner::restored(record);
                earner.observe(truth());
            }
        }
    }
    assert!(served <= Nano(2 * WINDOW.0), "{served}: one window under way and one that was given up");
}

// ---- machines -----------------------------------------------------------------------------------------------------

/// Gives an input, writes every record at once, and returns what the ledger is asked for.
fn calls(
    machine: &mut dyn Machine,
    at_s: u64,
    input: Input,
    disk: &mut BTreeMap<u8, Record>,
) -> Vec<LedgerCall> {
    let now = Time(at_s * 1_000_000);
    let mut calls = Vec::new();
    machine.handle(now, input);
    loop {
        match machine.poll() {
            Output::Ledger(call) => calls.push(*call),
            Output::Persist { id, record } => {
                disk.insert(0, *record);
                machine.handle(now, Input::Persisted(id));
            }
            Output::Wake(at) => {
                assert!(at > now, "a wake is later than now");
                return calls;
            }
            _ => {}
        }
    }
}

fn shows(state: Option<ChannelState>) -> Input {
    Input::Ledger(LedgerEvent::Channel { account: account(), state })
}

fn failed(fault: LedgerFault) -> Input {
    Input::Ledger(LedgerEvent::Failed { account: account(), top_up: None, fault })
}

fn provider(records: Vec<Record>) -> Provider {
    Provider::new(ProviderConfig::for_tests(1), records)
}

fn closing(left_s: u64) -> ChannelState {
    ChannelState { closing: Some(Span::from_s(left_s)), ..truth() }
}

/// (CH-13, CH-17, CH-30)
#[test]
fn a_close_order_is_signed_for_the_newest_voucher_whatever_is_shown_as_settled() {
    for lie in [0, 399, 400, 401, DEPOSIT, u64::MAX] {
        let mut disk = BTreeMap::new();
        let mut provider = provider(vec![Record::Earner(earner(400).record())]);
        let shown = ChannelState { settled: Nano(lie), ..closing(600) };
        let said = calls(&mut provider, 1, shows(Some(shown)), &mut disk);
        let close = said.iter().find_map(|call| match call {
            LedgerCall::Close { voucher, order, .. } => Some((voucher.unwrap().cumulative, order.cumulative)),
            _ => None,
        });
        assert_eq!(close, Some((Nano(400), Nano(400))), "{lie}");
        let Record::Earner(record) = &disk[&0] else { panic!() };
        assert_eq!(record.ordered, Some(EPOCH), "it is written first that nothing is served any more");
    }
}

/// (CH-33)
#[test]
fn an_answer_to_a_close_is_brought_every_30_s_until_the_ledger_shows_it() {
    let faults = [LedgerFault::Unknown, LedgerFault::Refused { exit_code: 103 }, LedgerFault::NotSent];
    for fault in faults.map(Some).into_iter().chain([None]) {
        let mut disk = BTreeMap::new();
        let mut provider = provider(vec![Record::Earner(earner(400).record())]);
        let mut brought = Vec::new();
        for at in 0..300 {
            let input = if at == 5 { shows(Some(closing(300))) } else { Input::Tick };
            for call in calls(&mut provider, at, input, &mut disk) {
                match call {
                    LedgerCall::Close { .. } => brought.push((at, true)),
                    LedgerCall::Claim { voucher, .. } => {
                        assert_eq!(voucher.cumulative, Nano(400));
                        brought.push((at, false));
                    }
                    _ => continue,
                }
                if let Some(fault) = fault {
                    calls(&mut provider, at, failed(fault), &mut disk);
                }
            }
        }
        let times: Vec<u64> = brought.iter().map(|(at, _)| *at).collect();
        assert_eq!(times, (0..10).map(|n| 5 + 30 * n).collect::<Vec<u64>>(), "{fault:?}");
        let claims = brought.iter().filter(|(_, is_close)| !is_close).count();
        let refused = matches!(fault, Some(LedgerFault::Refused { .. }));
        assert_eq!(
            claims,
            if refused { 5 } else { 0 },
            "a close that the contract refuses takes turns with its voucher"
        );
        let said = calls(&mut provider, 301, shows(None), &mut disk);
        assert_eq!(said, [LedgerCall::Unwatch { account: account() }]);
        assert!(calls(&mut provider, 400, Input::Tick, &mut disk).is_empty(), "shown at last");
    }
}

/// (CH-33)
#[test]
fn a_close_that_a_crash_interrupts_is_brought_by_the_next_life() {
    let mut ordered = earner(400);
    ordered.order(EPOCH);
    let mut disk = BTreeMap::new();
    let mut provider = provider(vec![Record::Earner(ordered.record())]);
    let said = calls(&mut provider, 1, shows(Some(truth())), &mut disk);
    assert!(said.iter().any(|call| matches!(call, LedgerCall::Close { .. })), "{said:?}");
}

/// (CH-37)
#[test]
fn a_channel_that_the_ledger_denies_is_kept_by_its_provider_and_closed_when_it_is_shown_again() {
    for restarts in [false, true] {
        let mut disk = BTreeMap::new();
        let mut provider = provider(vec![Record::Earner(earner(400).record())]);
        calls(&mut provider, 1, shows(Some(truth())), &mut disk);
        calls(&mut provider, 2, shows(None), &mut disk);
        assert_eq!(provider.channels().count(), 0);
        if restarts {
            provider = self::provider(vec![disk[&0].clone()]);
            assert_eq!(calls(&mut provider, 2, Input::Tick, &mut disk), [], "not all of them at once");
        }
        let look = 2 + limits::GONE_LOOK.0 / 1_000_000;
        assert_eq!(calls(&mut provider, look - 1, Input::Tick, &mut disk), []);
        let again = [LedgerCall::Watch { account: account() }];
        assert_eq!(calls(&mut provider, look, Input::Tick, &mut disk), again);
        let said = calls(&mut provider, look + 1, shows(Some(closing(100))), &mut disk);
        assert!(
            matches!(said[..], [LedgerCall::Close { voucher: Some(voucher), .. }] if voucher.cumulative == Nano(400)),
            "{said:?}"
        );
    }
}

/// (CH-37)
#[test]
fn a_channel_that_the_ledger_denies_is_kept_by_its_client_and_its_rest_comes_back() {
    for restarts in [false, true] {
        let mut disk = BTreeMap::new();
        let start = |record| Client::new(ClientConfig::for_tests(1), vec![record]);
        let mut client = start(Record::Payer(payer(400).record()));
        calls(&mut client, 1, shows(Some(truth())), &mut disk);
        calls(&mut client, 2, shows(None), &mut disk);
        assert_eq!(client.channels().count(), 0);
        if restarts {
            client = start(disk[&0].clone());
            assert_eq!(calls(&mut client, 2, Input::Tick, &mut disk), []);
        }
        let mut looks = Vec::new();
        for at in (0..200_000).step_by(100) {
            let said = calls(&mut client, at + 2, Input::Tick, &mut disk);
            if said == [LedgerCall::Watch { account: account() }] {
                looks.push(at);
                calls(&mut client, at + 2, shows(None), &mut disk);
            }
        }
        assert_eq!(looks[..4], [600, 1_800, 4_200, 9_000], "each after twice the wait");
        assert!(looks.windows(2).all(|pair| pair[1] - pair[0] <= 86_400));
        calls(&mut client, 200_003, shows(Some(truth())), &mut disk);
        assert_eq!(client.channels().map(Payer::cumulative).collect::<Vec<_>>(), [Nano(400)]);
        let close = Input::Command(Command::Close { account: account() });
        let said = calls(&mut client, 200_004, close, &mut disk);
        assert!(
            matches!(said[..], [LedgerCall::RequestClose { request, .. }] if request.epoch == EPOCH),
            "{said:?}"
        );
    }
}

fn watch(epoch: u64, cumulative: u64) -> Input {
    let voucher = payment(epoch, cumulative).on(account());
    Input::Command(Command::Watch(WatchedVoucher { voucher, challenge_s: CHALLENGE_S }))
}

fn claims(said: &[LedgerCall]) -> Vec<(u64, u64)> {
    let claim = |call: &LedgerCall| match call {
        LedgerCall::Claim { voucher, .. } => Some((voucher.epoch, voucher.cumulative.0)),
        _ => None,
    };
    said.iter().filter_map(claim).collect()
}

/// (CH-10, CH-30)
#[test]
fn a_watcher_brings_its_voucher_whatever_is_shown_as_settled() {
    for lie in [400, 401, DEPOSIT, u64::MAX] {
        let mut disk = BTreeMap::new();
        let mut watcher = Watcher::new();
        calls(&mut watcher, 0, watch(EPOCH, 400), &mut disk);
        let shown = ChannelState { settled: Nano(lie), ..closing(600) };
        calls(&mut watcher, 1, shows(Some(shown)), &mut disk);
        let mut brought = 0;
        for at in 2..600 {
            brought += claims(&calls(&mut watcher, at, Input::Tick, &mut disk)).len();
            assert_eq!(brought, usize::from(at >= 301), "{lie}: once, because it may be true");
        }
    }
}

/// (CH-10, CH-30, CH-37)
#[test]
fn a_watcher_forgets_no_voucher_for_an_absence_or_another_funding() {
    let mut disk = BTreeMap::new();
    let mut watcher = Watcher::new();
    calls(&mut watcher, 0, watch(EPOCH, 400), &mut disk);
    calls(&mut watcher, 1, shows(None), &mut disk);
    calls(&mut watcher, 2, watch(EPOCH + 1, 3), &mut disk);
    let look = 1 + limits::GONE_LOOK.0 / 1_000_000;
    assert_eq!(calls(&mut watcher, look, Input::Tick, &mut disk), [LedgerCall::Watch { account: account() }]);
    calls(&mut watcher, look, shows(Some(closing(600))), &mut disk);
    let said = calls(&mut watcher, look + 300, Input::Tick, &mut disk);
    assert_eq!(claims(&said), [(EPOCH + 1, 3), (EPOCH, 400)]);
}
