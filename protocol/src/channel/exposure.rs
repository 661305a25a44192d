//! What a provider has at stake on one channel: what was served and is not paid, given up or in doubt, and what may be lost
//! before its record is written again.

use crate::amount::Nano;
use crate::channel::record::EarnerRecord;
use crate::limits;

/// What was served on a channel, what is paid of it, and what is or may be lost. All of it is of the funding that is served in;
/// what was lost in an earlier one stays. (`CH-5`, `CH-9`, `CH-38`)
#[derive(Debug, Default)]
pub struct Exposure {
    /// What the newest voucher covers.
    paid: Nano,
    served: Nano,
    written_off: Nano,
    /// What an earlier life wrote ahead as at risk and nothing more is known of: perhaps it was served before a crash, and
    /// perhaps not. (`CH-38`)
    in_doubt: Nano,
    /// The widest window that a job on it has had: prices move with load, and so do windows.
    widest: Nano,
    /// The amount that its running jobs were allowed to produce and have not billed.
    under_way: Nano,
    /// The loss that the record on disk allows for, and whether there is a record.
    recorded: Nano,
    on_disk: bool,
    /// What vouchers have covered beyond what this node knew of, until it is taken.
    unremembered: Nano,
}

impl Exposure {
    /// Returns that of a channel read back from disk. What was given up stays so. What was written ahead of being served is in
    /// doubt: nobody owes it, but the bound of what may be lost on the channel allows for it. (`CH-38`)
    pub(super) fn restored(record: &EarnerRecord) -> Self {
        let paid = record.payment.map_or(Nano::ZERO, |payment| payment.cumulative);
        Self {
            paid,
            served: paid.saturating_plus(record.given_up),
            written_off: record.given_up,
            in_doubt: record.at_risk.saturating_minus(record.given_up),
            widest: record.widest,
            under_way: Nano::ZERO,
            recorded: record.at_risk,
            on_disk: true,
            unremembered: Nano::ZERO,
        }
    }

    /// Returns what the newest voucher covers.
    #[must_use]
    pub const fn paid(&self) -> Nano {
        self.paid
    }

    /// Returns what was served.
    #[must_use]
    pub const fn served(&self) -> Nano {
        self.served
    }

    /// Returns what was served or may have been before a crash.
    pub(super) const fn known(&self) -> Nano {
        self.served.saturating_plus(self.in_doubt)
    }

    /// Returns what is served, not covered, and not given up.
    #[must_use]
    pub const fn unpaid(&self) -> Nano {
        self.owed().saturating_minus(self.paid)
    }

    /// Returns what was served and is not given up.
    #[must_use]
    pub const fn owed(&self) -> Nano {
        self.served.saturating_minus(self.written_off)
    }

    /// Returns what was given up: chunks that a client never paid because it crashed, or the network lost them.
    #[must_use]
    pub const fn written_off(&self) -> Nano {
        self.written_off
    }

    /// Returns the widest window that a job has had.
    pub(super) const fn widest(&self) -> Nano {
        self.widest
    }

    /// Returns what was served and is not paid, given up or not, with what may be billed without another word. (`CH-50`)
    #[must_use]
    pub const fn lent(&self) -> Nano {
        self.served.saturating_minus(self.paid).saturating_plus(self.under_way)
    }

    /// Returns how much more may be served where so much may stay unpaid, and so much is left of the deposit, if there is one.
    pub(super) fn left_of(&self, limit: Nano, headroom: Option<Nano>) -> Nano {
        let left = limit.saturating_minus(self.unpaid());
        headroom.map_or(left, |headroom| left.min(headroom)).saturating_minus(self.under_way)
    }

    /// Returns what vouchers cover and was not served.
    pub(super) const fn prepaid(&self) -> Nano {
        self.paid.saturating_minus(self.served).saturating_minus(self.under_way)
    }

    /// Returns what is lost on it, or may be.
    const fn lost(&self) -> Nano {
        self.written_off.saturating_plus(self.in_doubt)
    }

    /// Returns what may be lost on it until the next record: a whole window as soon as anything is
    /// at risk, so that not every chunk needs a write.
    pub(super) fn at_risk(&self) -> Nano {
        let now = self.unpaid().saturating_plus(self.under_way);
        let most = if now == Nano::ZERO { Nano::ZERO } else { now.max(self.widest) };
        self.lost().saturating_plus(most)
    }

    /// Returns whether more may be lost on it than the record on disk says. It is written before
    /// that is served. A channel that the ledger never showed is bounded by the credit, and on no
    /// disk. (`CH-38`)
    pub(super) fn is_beyond_record(&self, is_shown: bool) -> bool {
        let lost = self.lost().saturating_plus(self.unpaid()).saturating_plus(self.under_way);
        (self.on_disk || is_shown) && lost > self.recorded
    }

    /// Notes that the record was written.
    pub fn recorded(&mut self) {
        self.recorded = self.at_risk();
        self.on_disk = true;
    }

    /// Widens the loss that is allowed to a job's window. Returns whether the channel has caused no more than that, what is in
    /// doubt included. (`CH-9`, `CH-38`)
    pub fn admit(&mut self, window: Nano) -> bool {
        self.widest = self.widest.max(window);
        self.lost() <= self.widest
    }

    /// Changes what a job may make without a voucher.
    pub fn allow(&mut self, before: Nano, now: Nano) {
        self.under_way = self.under_way.saturating_minus(before).saturating_plus(now);
    }

    /// Counts what was served.
    pub fn serve(&mut self, amount: Nano) {
        self.served = self.served.saturating_plus(amount);
    }

    /// Gives up what a job that is over left unpaid, `amount` at the most. Without this one lost chunk would
    /// block the channel for ever; a provider that has lost more than a window on a channel serves it no more. (`CH-9`)
    pub fn write_off(&mut self, amount: Nano) {
        self.written_off = self.written_off.saturating_plus(self.unpaid().min(amount));
    }

    /// Returns whether so much may be given up although others are served on it: no more than a window is lost by that. (`CH-9`)
    #[must_use]
    pub fn may_write_off(&self, amount: Nano) -> bool {
        self.lost().saturating_plus(self.unpaid().min(amount)) <= self.widest
    }

    /// Takes back what was asked for, `amount` at the most, as far as no voucher covers it: nothing is held against a client that
    /// need not pay. (`WR-24`)
    pub fn waive(&mut self, amount: Nano) {
        self.served = self.served.saturating_minus(self.unpaid().min(amount));
    }

    /// Counts a voucher, whose total is above the last one.
    pub(super) fn pay(&mut self, total: Nano) {
        let more = total.saturating_minus(self.paid);
        // It pays for what this node does not remember, or for what anybody else would have been served as well.
        let unremembered = total.saturating_minus(self.served).min(more);
        let usual = more.saturating_minus(unremembered).0.checked_div(limits::PAID_PER_DOUBT).unwrap_or(0);
        self.in_doubt = self.in_doubt.saturating_minus(unremembered).saturating_minus(Nano(usual));
        self.unremembered = self.unremembered.saturating_plus(unremembered);
        self.paid = total;
        // A client pays for what it got: more than this node remembers was served before it lost its state.
        self.served = self.served.max(total);
        // A late payment for what was given up is no head start for what comes.
        self.written_off = self.written_off.min(self.served.saturating_minus(total));
    }

    /// Turns to a funding in which so much is paid. What was not paid in the one before is held against the client here as well,
    /// so that nobody gets a new window by another funding.
    pub(super) fn turn_to(&mut self, paid: Nano) {
        let lost = self.written_off.saturating_plus(self.unpaid());
        self.paid = paid;
        self.served = paid.saturating_plus(lost);
        self.written_off = lost;
    }

    /// Takes what vouchers have covered beyond what this node knew of: it was served before the channel was forgotten. (`CH-50`)
    pub fn take_unremembered(&mut self) -> Nano {
        core::mem::take(&mut self.unremembered)
    }
}
