//! What the ledger shows of a channel: which of it is news, and to which role.

use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::ledger::LedgerEvent;
use tokio::time::Instant;

use super::limits::ABSENCES_NEEDED;
use super::looks::Standing;
use super::state::ServiceTask;
use super::watched::{SeenState, core_state, essence, grows, is_due_again, standing};
use crate::role::Role;

impl ServiceTask {
    /// Tells the roles that watch the channel, if what is seen is new.
    pub(super) fn observe(&mut self, account: ChannelId, seen: SeenState) {
        let Some(watched) = self.watched.get_mut(&account) else { return };
        let was_there = matches!(watched.seen, Some(Some(_)));
        if was_there && seen.is_none() && watched.absences < ABSENCES_NEEDED {
            self.looks.again(&account);
            return;
        }
        self.sights.set(account, seen.clone());
        let state = seen.as_ref().map(core_state);
        let same =
            watched.seen.as_ref().is_some_and(|old| old.as_ref().map(essence) == seen.as_ref().map(essence));
        let was_unconfirmed = watched.unconfirmed;
        watched.unconfirmed = grows(watched.seen.as_ref().and_then(Option::as_ref), seen.as_ref());
        let now = Instant::now();
        let funded = seen.as_ref().filter(|state| state.epoch != 0);
        let is_due = funded.is_some_and(|state| is_due_again(state.terms.challenge_s, watched.told_at, now));
        watched.seen = Some(seen);
        let (by, held) = (watched.by, watched.unconfirmed);
        let standing = watched.seen.as_ref().and_then(Option::as_ref).map_or(Standing::Unfunded, standing);
        self.looks.seen(&account, standing, held);
        for role in Role::ALL.into_iter().filter(|role| *by.get(*role)) {
            let news = match role {
                // It serves beyond its credit on this word alone. (`CH-23`)
                Role::Provider => !held && (!same || was_unconfirmed || is_due),
                Role::Client | Role::Watcher => !same,
            };
            if news {
                if role == Role::Provider
                    && let Some(watched) = self.watched.get_mut(&account)
                {
                    watched.told_at = Some(now);
                }
                self.push_event(role, LedgerEvent::Channel { account, state });
            }
        }
    }

    pub(super) fn push_event(&mut self, role: Role, event: LedgerEvent) {
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
