//! What the ledger shows of a channel: which of it is news, and for whom.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bombyx_protocol::channel::ledger::{ChannelState, LedgerEvent};
use bombyx_protocol::time::Span;
use tokio::time::Instant;

use super::looks::Standing;
use super::{ABSENCES_NEEDED, Account, Desk, Seen};
use crate::ledger::contract;
use crate::role::{PerRole, Role};

#[derive(Default)]
pub(super) struct Watched {
    pub(super) by: PerRole<bool>,
    pub(super) seen: Option<Seen>,
    pub(super) absences: u32,
    /// One look has shown a funding or a higher deposit, and none since: the provider is not told yet.
    pub(super) unconfirmed: bool,
    /// When a call on it ended: looks that began earlier are older than what is known.
    pub(super) settled_at: Option<Instant>,
}

impl Watched {
    /// Whether a close that is missed costs money: that of this node's provider, or of whom it watches for.
    pub(super) fn is_guarded(&self) -> bool {
        *self.by.get(Role::Provider) || *self.by.get(Role::Watcher)
    }
}

/// The last look at a channel that showed anything.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// What it showed.
    pub(crate) state: Seen,
    /// When.
    pub(crate) at: Instant,
    /// Since when the looks have shown this.
    pub(crate) since: Instant,
}

/// What the last look at each watched channel has shown. Clones share it, and reading it asks nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sights(Arc<Mutex<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    channels: BTreeMap<Account, Sight>,
    called_at: Option<Instant>,
}

impl Sights {
    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last look at an account.
    pub(crate) fn get(&self, account: &Account) -> Option<Sight> {
        self.shown().channels.get(account).cloned()
    }

    /// When the last call ended, which may have moved coins.
    pub(crate) fn called_at(&self) -> Option<Instant> {
        self.shown().called_at
    }

    pub(super) fn set(&self, account: Account, state: Seen) {
        let (mut shown, at) = (self.shown(), Instant::now());
        let known = shown.channels.get(&account);
        let same = known.filter(|known| known.state.as_ref().map(essence) == state.as_ref().map(essence));
        let since = same.map_or(at, |known| known.since);
        shown.channels.insert(account, Sight { state, at, since });
    }

    pub(super) fn called(&self) {
        self.shown().called_at = Some(Instant::now());
    }

    pub(super) fn forget(&self, account: &Account) {
        self.shown().channels.remove(account);
    }
}

impl Desk {
    /// Tells whoever watches, if what is seen is new.
    pub(super) fn observe(&mut self, account: Account, seen: Seen) {
        let Some(watched) = self.watched.get_mut(&account) else { return };
        let was_there = matches!(watched.seen, Some(Some(_)));
        if was_there && seen.is_none() && watched.absences < ABSENCES_NEEDED {
            self.looks.again(&account);
            return;
        }
        self.sights.set(account, seen.clone());
        let state = seen.as_ref().map(told);
        let same =
            watched.seen.as_ref().is_some_and(|old| old.as_ref().map(essence) == seen.as_ref().map(essence));
        let was_unconfirmed = watched.unconfirmed;
        watched.unconfirmed = grows(watched.seen.as_ref().and_then(Option::as_ref), seen.as_ref());
        watched.seen = Some(seen);
        let (by, held) = (watched.by, watched.unconfirmed);
        let standing = watched.seen.as_ref().and_then(Option::as_ref).map_or(Standing::Unfunded, standing);
        self.looks.seen(&account, standing, held);
        for role in Role::ALL.into_iter().filter(|role| *by.get(*role)) {
            let news = match role {
                // It serves beyond its credit on this word alone. (`CH-23`)
                Role::Provider => !held && (!same || was_unconfirmed),
                Role::Client | Role::Watcher => !same,
            };
            if news {
                self.say(role, LedgerEvent::Channel { account, state });
            }
        }
    }

    pub(super) fn say(&mut self, role: Role, event: LedgerEvent) {
        if let LedgerEvent::Channel { account, .. } = &event {
            let about = *account;
            // Only the newest state counts.
            self.outbox.retain(|(to, waiting)| {
                *to != role || !matches!(waiting, LedgerEvent::Channel { account, .. } if *account == about)
            });
        }
        self.outbox.push_back((role, event));
    }
}

/// The state in the words of the core; the time of a close is counted on the chain's clock.
pub(crate) fn told(state: &contract::ChannelState) -> ChannelState {
    let left = state.close_at_s.saturating_sub(state.chain_time_s);
    ChannelState {
        epoch: state.epoch,
        deposit: state.deposit,
        settled: state.settled,
        closing: (state.close_at_s != 0).then(|| Span::from_s(u64::from(left))),
    }
}

/// The state as far as it matters for when to look again.
fn standing(state: &contract::ChannelState) -> Standing {
    if state.epoch == 0 {
        return Standing::Unfunded;
    }
    Standing::Funded {
        challenge_s: state.terms.challenge_s,
        settled: state.settled,
        closing: state.close_at_s != 0,
    }
}

/// Whether a look shows a funding or a deposit that the one before did not.
fn grows(before: Option<&contract::ChannelState>, now: Option<&contract::ChannelState>) -> bool {
    now.is_some_and(|now| {
        now.epoch != 0
            && before.is_none_or(|before| before.epoch != now.epoch || before.deposit < now.deposit)
    })
}

/// What makes two states different for a machine: all but the passing of time, until the time has come.
fn essence(state: &contract::ChannelState) -> (u64, u64, u64, u32, bool) {
    let due = state.close_at_s != 0 && state.chain_time_s >= state.close_at_s;
    (state.epoch, state.deposit.0, state.settled.0, state.close_at_s, due)
}
