//! What a watcher must know of a channel, and when it must act: nothing but the newest voucher.

use crate::amount::Nano;
use crate::channel::ledger::{ChannelState, LedgerCall};
use crate::channel::looks::Looks;
use crate::channel::voucher::{SignedVoucher, Voucher};
use crate::limits;
use crate::time::{Span, Time};

/// A channel with the newest voucher on it. The contract pays the provider no matter who brings the
/// voucher, so a watcher need not be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedVoucher {
    /// The newest voucher.
    pub voucher: SignedVoucher,
    /// Seconds of the channel's challenge time.
    pub challenge_s: u32,
}

/// One channel that is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    watched: WatchedVoucher,
    /// The newest voucher of another funding: if the word of the newer one was untrue, this one counts.
    other: Option<WatchedVoucher>,
    seen: Option<ChannelState>,
    /// When the challenge of the close under way is over.
    until: Option<Time>,
    /// What was brought in that close.
    brought: Vec<BroughtVoucher>,
    /// When to look again at a channel that is gone.
    gone: Option<Looks>,
}

/// A voucher that was brought to the ledger.
#[derive(Debug, Clone, Copy)]
struct BroughtVoucher {
    epoch: u64,
    cumulative: Nano,
    at: Time,
}

impl Watch {
    pub(crate) const fn new(watched: WatchedVoucher) -> Self {
        Self { watched, other: None, seen: None, until: None, brought: Vec::new(), gone: None }
    }

    /// Takes a newer voucher, or one of another funding; an older one changes nothing.
    pub(crate) fn renew(&mut self, watched: WatchedVoucher) {
        let (old, new) = (self.watched.voucher, watched.voucher);
        if new.epoch == old.epoch {
            if new.cumulative > old.cumulative {
                self.watched = watched;
            }
        } else {
            let before = core::mem::replace(&mut self.watched, watched);
            self.other = Some(before);
        }
    }

    pub(crate) fn observe(&mut self, now: Time, state: &ChannelState) {
        self.gone = None;
        self.seen = Some(*state);
        self.until = state.closing.map(|left| now + left);
        if state.closing.is_none() {
            self.brought.clear();
        }
    }

    /// Notes that the ledger shows no such account: gone after it was there, or an untrue answer.
    /// (`CH-37`)
    pub(crate) fn vanish(&mut self, now: Time) {
        self.seen = None;
        self.until = None;
        self.brought.clear();
        self.gone.get_or_insert(Looks::after(now));
    }

    pub(crate) const fn is_gone(&self) -> bool {
        self.gone.is_some()
    }

    /// Returns what is at stake on it.
    pub(crate) const fn stake(&self) -> Nano {
        self.watched.voucher.voucher.cumulative
    }

    /// Returns the call that is due. A claim, when a close is under way and the first half of the
    /// challenge time, which is the provider's own, is over: again and again while less is settled
    /// than the voucher says, and once whatever the ledger says is settled, because that may be
    /// untrue and a claim too many costs a fee at the most. (`CH-10`) For a channel that is gone, a
    /// look.
    pub(crate) fn due(&mut self, now: Time) -> Option<LedgerCall> {
        if let Some(looks) = &mut self.gone {
            let account = self.watched.voucher.account;
            return looks.is_due(now).then_some(LedgerCall::Watch { account });
        }
        let due = self.vouchers().find(|watched| self.acts_at(watched).is_some_and(|at| now >= at))?;
        let Voucher { epoch, cumulative, .. } = *due.voucher;
        self.brought.retain(|before| before.epoch != epoch);
        self.brought.push(BroughtVoucher { epoch, cumulative, at: now });
        Some(LedgerCall::Claim { voucher: due.voucher })
    }

    pub(crate) fn wake_at(&self) -> Option<Time> {
        match &self.gone {
            Some(looks) => looks.at(),
            None => self.vouchers().filter_map(|watched| self.acts_at(&watched)).min(),
        }
    }

    fn vouchers(&self) -> impl Iterator<Item = WatchedVoucher> + use<> {
        [Some(self.watched), self.other].into_iter().flatten()
    }

    /// Returns when this voucher is brought, or brought again.
    fn acts_at(&self, watched: &WatchedVoucher) -> Option<Time> {
        let until = self.until?;
        let half = Span::from_s(u64::from(watched.challenge_s)).half();
        let from = Time(until.0.saturating_sub(half.0));
        let voucher = watched.voucher;
        let before = self.brought.iter().find(|before| before.epoch == voucher.epoch);
        let Some(before) = before.filter(|before| before.cumulative >= voucher.cumulative) else {
            return Some(from);
        };
        let owed =
            self.seen.is_some_and(|state| state.epoch == voucher.epoch && state.settled < voucher.cumulative);
        owed.then(|| from.max(before.at + limits::LEDGER_WAIT))
    }
}
