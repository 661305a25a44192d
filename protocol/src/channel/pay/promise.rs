//! What a client has promised on a channel, and what its store may not know of that.

use crate::amount::Nano;
use crate::channel::fault::Mismatch;

/// Everything that is promised on a channel in its funding.
#[derive(Debug, Default)]
pub(super) struct Promise {
    cumulative: Nano,
    /// The part of it promised since this process started; vouchers from before the restart do not cover it.
    since_start: Nano,
    /// Whether vouchers of an earlier life may be above what is known: none is signed until the provider has shown its
    /// newest, because a lower one would promise nothing.
    unconfirmed: bool,
}

impl Promise {
    /// Returns one read back from disk.
    pub(super) const fn restored(cumulative: Nano) -> Self {
        Self { cumulative, since_start: Nano::ZERO, unconfirmed: true }
    }

    pub(super) const fn cumulative(&self) -> Nano {
        self.cumulative
    }

    /// Returns whether a voucher may be signed for it.
    pub(super) const fn is_confirmed(&self) -> bool {
        !self.unconfirmed
    }

    /// Notes that the provider has shown its newest voucher, or that it has none.
    pub(super) const fn confirm(&mut self) {
        self.unconfirmed = false;
    }

    /// Promises more, `most` in all at the most. Returns whether that was possible. (`CH-3`)
    pub(super) fn owe(&mut self, amount: Nano, most: Nano) -> bool {
        let Some(cumulative) = self.cumulative.plus(amount).filter(|sum| *sum <= most) else { return false };
        self.cumulative = cumulative;
        self.since_start = self.since_start.saturating_plus(amount);
        true
    }

    /// Notes that a voucher over `total` exists whose signature by this node's key was checked. Returns what was not known.
    pub(super) fn was_signed(&mut self, total: Nano) -> Option<Mismatch> {
        if self.unconfirmed {
            // Never cut at the deposit that is known: a promise above it was made for a top-up that the store forgot.
            let known = self.cumulative.saturating_minus(self.since_start);
            let behind = total > known;
            if behind {
                self.cumulative = total.saturating_plus(self.since_start);
            }
            behind.then_some(Mismatch::Behind { known, shown: total })
        } else {
            let known = self.cumulative;
            let foreign = total > known;
            if foreign {
                self.cumulative = total;
            }
            foreign.then_some(Mismatch::Voucher { known, shown: total })
        }
    }
}
