//! What a watcher must know of a channel, and when it must act: nothing but the newest voucher.

use crate::amount::Nano;
use crate::channel::ledger::{ChannelState, LedgerCall};
use crate::channel::voucher::Voucher;
use crate::ident::Signature;
use crate::limits;
use crate::time::{Span, Time};

/// A channel with the newest voucher on it. The contract pays the provider whoever brings the voucher, so that a
/// watcher needs no trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarded {
    /// The newest voucher.
    pub voucher: Voucher,
    /// The client's signature.
    pub signature: Signature,
    /// Seconds of the channel's challenge time.
    pub challenge_s: u32,
}

/// One channel under guard.
#[derive(Debug)]
pub(crate) struct Watch {
    guarded: Guarded,
    settled: Nano,
    until: Option<Time>,
    claimed: Option<Nano>,
    /// A claim that failed is not brought again before.
    again_at: Time,
}

impl Watch {
    pub(crate) const fn new(guarded: Guarded) -> Self {
        Self { guarded, settled: Nano::ZERO, until: None, claimed: None, again_at: Time(0) }
    }

    /// Takes a newer voucher; an older one changes nothing.
    pub(crate) fn renew(&mut self, guarded: Guarded) {
        let (old, new) = (&self.guarded.voucher, &guarded.voucher);
        if new.epoch != old.epoch || new.cumulative > old.cumulative {
            self.guarded = guarded;
        }
    }

    pub(crate) fn observe(&mut self, now: Time, state: &ChannelState) {
        self.settled = state.settled;
        self.until = state.closing.map(|left| now + left);
    }

    /// The claim that is due: a close is under way with less settled than the voucher says, and the first half of
    /// the challenge time, which is the provider's own, is over. (`CH-10`)
    pub(crate) fn due(&mut self, now: Time) -> Option<LedgerCall> {
        let act_at = self.act_at()?;
        let owed = self.guarded.voucher.cumulative > self.settled;
        let fresh = self.claimed != Some(self.guarded.voucher.cumulative);
        (owed && fresh && now >= act_at).then(|| {
            self.claimed = Some(self.guarded.voucher.cumulative);
            LedgerCall::Claim { voucher: self.guarded.voucher, signature: self.guarded.signature }
        })
    }

    /// A claim failed: it is due again after a wait.
    pub(crate) fn claim_failed(&mut self, now: Time) {
        self.claimed = None;
        self.again_at = now + limits::LEDGER_WAIT;
    }

    pub(crate) fn wake_at(&self) -> Option<Time> {
        let owed = self.guarded.voucher.cumulative > self.settled;
        let fresh = self.claimed != Some(self.guarded.voucher.cumulative);
        self.act_at().filter(|_| owed && fresh)
    }

    fn act_at(&self) -> Option<Time> {
        let half = Span::from_s(u64::from(self.guarded.challenge_s)).half();
        self.until.map(|until| Time(until.0.saturating_sub(half.0)).max(self.again_at))
    }
}
