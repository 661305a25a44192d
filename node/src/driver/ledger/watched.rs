//! What is known of each watched channel: the roles that watch it, and what the last look has shown.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::ledger::ChannelState;
use bombyx_protocol::time::Span;
use tokio::time::Instant;

use super::limits::TOLD_TIMES;
use super::looks::Standing;
use crate::ledger::ChannelAccount;
use crate::role::{PerRole, Role};

/// A channel as the ledger shows it, or its absence.
pub(super) type SeenState = Option<ChannelAccount>;

#[derive(Default)]
pub(super) struct WatchedChannel {
    pub(super) by: PerRole<bool>,
    pub(super) seen: Option<SeenState>,
    pub(super) absences: u32,
    /// One look has shown a funding or a higher deposit, and none since: the provider is not told yet.
    pub(super) unconfirmed: bool,
    /// When the provider was told last what it shows.
    pub(super) told_at: Option<Instant>,
    /// When a call on it ended: looks that began earlier are older than what is known.
    pub(super) settled_at: Option<Instant>,
}

impl WatchedChannel {
    /// Returns whether a close that is missed costs money: that of this node's provider, or of whom
    /// it watches for.
    pub(super) fn is_at_stake(&self) -> bool {
        *self.by.get(Role::Provider) || *self.by.get(Role::Watcher)
    }
}

/// The last look at a channel that showed anything.
#[derive(Debug, Clone)]
pub(crate) struct Sight {
    /// What it showed.
    pub(crate) state: SeenState,
    /// When.
    pub(crate) at: Instant,
    /// Since when the looks have shown this.
    pub(crate) since: Instant,
}

/// What the last look at each watched channel has shown. Clones share it, and reading it asks nobody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sights(Arc<Mutex<SightTable>>);

#[derive(Debug, Default)]
struct SightTable {
    channels: BTreeMap<ChannelId, Sight>,
    called_at: Option<Instant>,
}

impl Sights {
    fn shown(&self) -> std::sync::MutexGuard<'_, SightTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the last look at an account.
    pub(crate) fn get(&self, account: &ChannelId) -> Option<Sight> {
        self.shown().channels.get(account).cloned()
    }

    /// Returns when the last call ended, which may have moved coins.
    pub(crate) fn called_at(&self) -> Option<Instant> {
        self.shown().called_at
    }

    pub(super) fn set(&self, account: ChannelId, state: SeenState) {
        let (mut shown, at) = (self.shown(), Instant::now());
        let known = shown.channels.get(&account);
        let lt = |state: &SeenState| state.as_ref().map(|state| state.last_lt);
        let same = known.filter(|known| lt(&known.state) == lt(&state));
        let since = same.map_or(at, |known| known.since);
        shown.channels.insert(account, Sight { state, at, since });
    }

    pub(super) fn called(&self) {
        self.shown().called_at = Some(Instant::now());
    }

    pub(super) fn forget(&self, account: &ChannelId) {
        self.shown().channels.remove(account);
    }
}

/// Returns the state in the words of the core; the time of a close is counted on the chain's clock.
pub(crate) fn core_state(state: &ChannelAccount) -> ChannelState {
    let left = state.close_at_s.saturating_sub(state.chain_time_s);
    ChannelState {
        epoch: state.epoch,
        deposit: state.deposit,
        settled: state.settled,
        closing: (state.close_at_s != 0).then(|| Span::from_s(u64::from(left))),
    }
}

/// Returns the state as far as it matters for when to look again.
pub(super) fn standing(state: &ChannelAccount) -> Standing {
    if state.epoch == 0 {
        return Standing::Unfunded;
    }
    Standing::Funded {
        challenge_s: state.terms.challenge_s,
        settled: state.settled,
        closing: state.close_at_s != 0,
    }
}

/// Returns whether a provider that was told this long ago what the ledger shows is told again, though nothing is new: it serves on
/// each look for a while. (`CH-57`)
pub(super) fn is_due_again(challenge_s: u32, told_at: Option<Instant>, now: Instant) -> bool {
    let wait = Duration::from_secs(u64::from(challenge_s)) / TOLD_TIMES;
    told_at.is_none_or(|at| now.saturating_duration_since(at) >= wait)
}

/// Returns whether a look shows a funding or a deposit that the one before did not.
pub(super) fn grows(before: Option<&ChannelAccount>, now: Option<&ChannelAccount>) -> bool {
    now.is_some_and(|now| {
        now.epoch != 0
            && before.is_none_or(|before| before.epoch != now.epoch || before.deposit < now.deposit)
    })
}

/// Returns what makes two states different for a machine: all but the passing of time, until the
/// time has come.
pub(super) fn essence(state: &ChannelAccount) -> (u64, u64, u64, u32, bool) {
    let due = state.close_at_s != 0 && state.chain_time_s >= state.close_at_s;
    (state.epoch, state.deposit.0, state.settled.0, state.close_at_s, due)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`CH-57`) With the gap of a tenth of the challenge between looks, that is before half of what one counts for is over.
    #[test]
    fn a_provider_is_told_again_what_is_nothing_new_eight_times_in_a_challenge() {
        let now = Instant::now();
        let after = |s| is_due_again(3_600, Some(now), now + Duration::from_secs(s));
        assert!(is_due_again(3_600, None, now) && !after(449) && after(450));
    }
}
