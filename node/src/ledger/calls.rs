//! The core's ledger calls in, its ledger events out: performs them side by side, and watches accounts for changes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bombyx_protocol::channel::ledger::{ChannelState as Reported, LedgerCall, LedgerEvent};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::time::Span;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::contract::{ChannelState, Refusal};
use super::{Ledger, LedgerError};

/// Calls that wait to be performed.
pub const CALLS_MAX: usize = 1_024;
/// Calls performed at the same time.
const RUNNING_MAX: usize = 64;
/// Accounts under watch; one is looked at per pace of the ledger.
const WATCHED_MAX: usize = 4_096;
/// Events that wait for the receiver before no further outcome is taken.
const PENDING_MAX: usize = 1_024;

type Account = [u8; 32];

/// Performs calls until every sender is dropped and the last call is done. Events go to `events`.
///
/// Each call is answered by the account's state, preceded by a failure if there was one; a watched account also reports
/// each change, and never an older state after a newer one. Who sends calls from the task that receives events must use `try_send`: waiting for room here while
/// nobody takes events would wait for ever.
#[must_use]
pub fn start(ledger: Arc<Ledger>, events: mpsc::Sender<LedgerEvent>) -> mpsc::Sender<LedgerCall> {
    let (calls, inbox) = mpsc::channel(CALLS_MAX);
    let desk = Desk {
        ledger,
        watched: BTreeMap::new(),
        looks: Arc::default(),
        cursor: [0; 32],
        looking: false,
        running: JoinSet::new(),
        pending: VecDeque::new(),
    };
    tokio::spawn(desk.run(inbox, events));
    calls
}

/// What was last reported of an account; compared to find changes.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Seen {
    state: Option<(u64, u64, u64, u32)>,
    may_finalize: bool,
}

/// A watched account.
#[derive(Default)]
struct Watched {
    /// `None` until the first report.
    seen: Option<Seen>,
    /// The number of the look that was reported.
    look: u64,
}

/// What a finished task found.
struct Outcome {
    account: Account,
    /// Looks are numbered as they start: one that was overtaken is out of date.
    look: u64,
    /// The call's own error.
    failure: Option<LedgerError>,
    state: Result<Option<ChannelState>, LedgerError>,
    /// Whether to keep watching from now on.
    watch: bool,
    /// Whether it was a routine look, which may find nothing new.
    routine: bool,
}

struct Desk {
    ledger: Arc<Ledger>,
    watched: BTreeMap<Account, Watched>,
    /// The number of the look that started last.
    looks: Arc<AtomicU64>,
    /// The account looked at last.
    cursor: Account,
    looking: bool,
    running: JoinSet<Outcome>,
    pending: VecDeque<LedgerEvent>,
}

impl Desk {
    async fn run(mut self, mut inbox: mpsc::Receiver<LedgerCall>, events: mpsc::Sender<LedgerEvent>) {
        let mut looks = interval(self.ledger.chain.pace());
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut open = true;
        while open || !self.running.is_empty() || !self.pending.is_empty() {
            tokio::select! {
                permit = events.reserve(), if !self.pending.is_empty() => {
                    let Ok(permit) = permit else { return };
                    if let Some(event) = self.pending.pop_front() {
                        permit.send(event);
                    }
                }
                Some(outcome) = self.running.join_next(), if self.pending.len() < PENDING_MAX => match outcome {
                    Ok(outcome) => self.report(outcome),
                    Err(error) => tracing::error!(%error, "a ledger call did not run to its end"),
                },
                call = inbox.recv(), if open && self.running.len() < RUNNING_MAX => match call {
                    Some(call) => self.take(call),
                    None => open = false,
                },
                _ = looks.tick(), if open && !self.looking && !self.watched.is_empty() => self.look_next(),
            }
        }
    }

    fn take(&mut self, call: LedgerCall) {
        let account = call.account();
        match &call {
            LedgerCall::Unwatch { .. } => {
                self.watched.remove(&account);
                return;
            }
            LedgerCall::Watch { .. } => self.watch(account),
            LedgerCall::Open { .. }
            | LedgerCall::TopUp { .. }
            | LedgerCall::Claim { .. }
            | LedgerCall::Close { .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. } => {}
        }
        let (ledger, looks) = (self.ledger.clone(), self.looks.clone());
        let watch = matches!(call, LedgerCall::Open { .. });
        self.running.spawn(async move {
            let failure = perform(&ledger, call).await.err();
            let look = next(&looks);
            let state = ledger.channel(Address::basechain(account)).await;
            Outcome { account, look, failure, state, watch, routine: false }
        });
    }

    fn watch(&mut self, account: Account) {
        if self.watched.len() < WATCHED_MAX || self.watched.contains_key(&account) {
            self.watched.entry(account).or_default().seen = None;
        } else {
            tracing::warn!(limit = WATCHED_MAX, "too many channels to watch; one more is not watched");
        }
    }

    /// Looks at the watched account after the one looked at last.
    fn look_next(&mut self) {
        let after = self.watched.range((Excluded(self.cursor), Unbounded)).next();
        let Some((account, _)) = after.or_else(|| self.watched.iter().next()) else { return };
        let account = *account;
        self.cursor = account;
        self.looking = true;
        let look = next(&self.looks);
        let ledger = self.ledger.clone();
        self.running.spawn(async move {
            let state = ledger.channel(Address::basechain(account)).await;
            Outcome { account, look, failure: None, state, watch: false, routine: true }
        });
    }

    fn report(&mut self, outcome: Outcome) {
        let Outcome { account, look, failure, state, watch, routine } = outcome;
        if routine {
            self.looking = false;
            if !self.watched.contains_key(&account) {
                return;
            }
        }
        if watch {
            self.watch(account);
        }
        if let Some(error) = failure {
            tracing::warn!(%error, "a ledger call failed");
            self.pending.push_back(LedgerEvent::Failed { account, fault: error.fault() });
        }
        let state = match state {
            Ok(state) => state,
            Err(error) => {
                tracing::debug!(%error, "a channel cannot be read; looking again");
                return;
            }
        };
        let seen = Some(Seen::of(state.as_ref()));
        let mut new = true;
        if let Some(watched) = self.watched.get_mut(&account) {
            if look < watched.look {
                return;
            }
            new = watched.seen != seen;
            *watched = Watched { seen, look };
        }
        if new || !routine {
            let state = state.as_ref().map(reported);
            self.pending.push_back(LedgerEvent::Channel { account, state });
        }
    }
}

fn next(looks: &AtomicU64) -> u64 {
    looks.fetch_add(1, Ordering::Relaxed) + 1
}

impl Seen {
    fn of(state: Option<&ChannelState>) -> Self {
        Self {
            state: state.map(|state| (state.epoch, state.deposit.0, state.settled.0, state.close_at_s)),
            may_finalize: state.is_some_and(|s| s.close_at_s != 0 && s.chain_time_s >= s.close_at_s),
        }
    }
}

fn reported(state: &ChannelState) -> Reported {
    let left_s = state.close_at_s.saturating_sub(state.chain_time_s);
    Reported {
        epoch: state.epoch,
        deposit: state.deposit,
        settled: state.settled,
        closing: (state.close_at_s != 0).then(|| Span::from_s(u64::from(left_s))),
    }
}

async fn perform(ledger: &Ledger, call: LedgerCall) -> Result<(), LedgerError> {
    let outcome = match call {
        LedgerCall::Watch { .. } | LedgerCall::Unwatch { .. } => Ok(()),
        LedgerCall::Open { terms, deposit } => ledger.open(&terms, deposit).await.map(drop),
        LedgerCall::TopUp { account, amount } => ledger.top_up(Address::basechain(account), amount).await,
        LedgerCall::Claim { voucher, signature } => ledger.claim(&voucher, signature).await,
        LedgerCall::Close { voucher, order, signature } => {
            let voucher = voucher.map(|(_, signature)| signature);
            ledger.provider_close(&order, signature, voucher).await
        }
        LedgerCall::RequestClose { request, signature } => {
            ledger.request_close_signed(&request, signature).await.map(drop)
        }
        LedgerCall::Finalize { account } => ledger.finalize(Address::basechain(account)).await,
    };
    match outcome {
        // What was wanted is so already, by an earlier attempt or by somebody else.
        Err(
            LedgerError::AlreadyOpen { .. }
            | LedgerError::Refused { refusal: Refusal::Stale | Refusal::Closing, .. },
        ) => Ok(()),
        other => other,
    }
}
