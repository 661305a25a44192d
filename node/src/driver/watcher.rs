//! A watcher alone, on any machine: with the newest vouchers of a provider that is away, it answers stale closes.
//!
//! It holds no key and speaks only with the ledger. The contract pays the provider, no matter who brings a voucher.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::io::{Command, Input, Machine as _, Output};
use bombyx_protocol::time::Time;
use bombyx_protocol::watcher::Watcher;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::ledger::LedgerService;
use crate::error::NodeError;
use crate::ledger::Ledger;
use crate::role::Role;

/// The longest sleep of the loop.
const IDLE_SLEEP_MAX: Duration = Duration::from_secs(60);

/// What a watcher tells its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum WatchNews {
    /// The ledger shows that a client wants its rest back.
    Closing {
        /// The channel's account.
        account: String,
        /// What is settled, in nano.
        settled_nano: u64,
    },
    /// More was promised than is settled: a voucher is brought.
    Claiming {
        /// The channel's account.
        account: String,
        /// What the voucher says, in nano.
        cumulative_nano: u64,
    },
    /// A voucher could not be brought; it is tried again.
    Failed {
        /// The channel's account.
        account: String,
        /// Why.
        why: String,
    },
    /// The channel is gone from the ledger: both parties have what is theirs.
    Closed {
        /// The channel's account.
        account: String,
    },
    /// The ledger does not answer: nothing is seen, and nothing can be brought.
    Blind,
    /// The ledger answers again.
    Seeing,
}

/// Returns the newest vouchers in a provider's records.
#[must_use]
pub(crate) fn vouchers(records: &[Record]) -> Vec<WatchedVoucher> {
    let newest = |record: &Record| match record {
        Record::Earner(earning) => earning.watched_voucher(),
        Record::Payer(_) | Record::ChannelGone { .. } | Record::Receipt { .. } | Record::Reputation(_) => {
            None
        }
    };
    records.iter().filter_map(newest).collect()
}

/// Watches channels until all of them are gone from the ledger, in the order and at the pace of a running node. What is to be
/// watched comes as the newest vouchers of a provider, as often as there are newer ones.
///
/// # Errors
/// [`NodeError::Stopped`] when a part of this process fails; what the ledger refuses is told and tried again.
pub(crate) async fn watch(
    ledger: Arc<Ledger>,
    poll: Duration,
    mut vouchers: mpsc::Receiver<Vec<WatchedVoucher>>,
    mut tell: impl FnMut(WatchNews),
) -> Result<(), NodeError> {
    const STOPPED: NodeError = NodeError::Stopped("ledger service");
    let started = Instant::now();
    let mut ledger_service = LedgerService::start(ledger, poll);
    let mut watcher = Watcher::new();
    let mut known = BTreeMap::new();
    let mut inputs = Vec::new();
    let mut totals = Vec::new();
    let mut blind = false;
    let mut wake = Time::NEVER;
    loop {
        // Before they are watched: what there is a voucher for was funded.
        for (account, cumulative) in totals.drain(..) {
            ledger_service.voucher(account, cumulative).await.map_err(|_| STOPPED)?;
        }
        for input in inputs.drain(..) {
            watcher.handle(Time(micros(started.elapsed())), input);
            loop {
                match watcher.poll() {
                    Output::Ledger(call) => {
                        if let LedgerCall::Claim { voucher, .. } = &*call {
                            let account = voucher.account.to_string();
                            tell(WatchNews::Claiming { account, cumulative_nano: voucher.cumulative.0 });
                        }
                        ledger_service.call(Role::Watcher, *call).await.map_err(|_| STOPPED)?;
                    }
                    Output::Wake(at) => break wake = at,
                    // A watcher says nothing else.
                    Output::Send { .. }
                    | Output::Broadcast { .. }
                    | Output::Persist { .. }
                    | Output::Count { .. }
                    | Output::Run { .. }
                    | Output::Allow { .. }
                    | Output::Cancel { .. }
                    | Output::Watch(_)
                    | Output::Event(_)
                    | Output::Fault { .. } => {}
                }
            }
        }
        if watcher.is_idle() && !known.is_empty() {
            return Ok(());
        }
        let sleep = Duration::from_micros(wake.0).saturating_sub(started.elapsed()).min(IDLE_SLEEP_MAX);
        tokio::select! {
            event = ledger_service.events.recv() => {
                let (_, event) = event.ok_or(STOPPED)?;
                news(&event).into_iter().for_each(&mut tell);
                inputs.push(Input::Ledger(event));
            }
            Some(newest) = vouchers.recv() => {
                let new = |one: &WatchedVoucher| known.insert(one.voucher.account, one.voucher) != Some(one.voucher);
                for one in newest.into_iter().filter(new) {
                    totals.push((one.voucher.account, one.voucher.cumulative));
                    inputs.push(Input::Command(Command::Watch(one)));
                }
                if known.is_empty() {
                    return Ok(());
                }
            }
            changed = ledger_service.pace.changed() => {
                changed.map_err(|_| STOPPED)?;
                let was_blind = std::mem::replace(&mut blind, ledger_service.pace.borrow_and_update().is_blind());
                if was_blind != blind {
                    tell(if blind { WatchNews::Blind } else { WatchNews::Seeing });
                }
            }
            () = sleep_until(Instant::now() + sleep) => inputs.push(Input::Tick),
        }
    }
}

fn news(event: &LedgerEvent) -> Option<WatchNews> {
    let account = event.account().to_string();
    match event {
        LedgerEvent::Channel { state: None, .. } => Some(WatchNews::Closed { account }),
        LedgerEvent::Channel { state: Some(state), .. } => {
            state.closing.map(|_| WatchNews::Closing { account, settled_nano: state.settled.0 })
        }
        LedgerEvent::Failed { fault, .. } => Some(WatchNews::Failed { account, why: fault.to_string() }),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
