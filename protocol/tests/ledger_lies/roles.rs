//! What the roles bring to a ledger that denies, forgets or repeats.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::pay::Payer;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::io::{Command, Input, Machine, Output};
use bombyx_protocol::limits;
use bombyx_protocol::time::Time;
use bombyx_protocol::watcher::Watcher;
use std::collections::BTreeMap;

use super::{CHALLENGE_S, DEPOSIT, EPOCH, account, closing, earner, payer, payment, provider, truth};

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
