//! The deposit of a channel as its client knows it: what it asked the ledger for, and what the ledger has shown of that.

use crate::amount::Nano;

/// What lies on a channel, or is on its way there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deposit {
    /// What the ledger has shown deposited, and this node has asked for.
    shown: Nano,
    /// That with the top-ups that are under way.
    asked: Nano,
    /// Everything that this node ever asked the ledger to lock here: no word of the ledger makes the deposit more.
    locked: Nano,
}

impl Deposit {
    /// Returns one that is asked for with the channel itself.
    pub(super) const fn opening(amount: Nano) -> Self {
        Self { shown: amount, asked: amount, locked: amount }
    }

    /// Returns one read back from disk. A top-up that was asked for may have been lost, and if it was not, the ledger will
    /// show it. (`CH-3`)
    pub(super) const fn restored(shown: Nano, locked: Nano) -> Self {
        Self { shown, asked: shown, locked }
    }

    /// Returns what the ledger has shown.
    pub(super) const fn shown(&self) -> Nano {
        self.shown
    }

    /// Returns that with the top-ups that are under way.
    pub(super) const fn asked(&self) -> Nano {
        self.asked
    }

    /// Returns the most that may be locked, top-ups of unknown fate included.
    pub(super) const fn locked(&self) -> Nano {
        self.locked
    }

    /// Notes that so much more is asked for; where nothing was locked yet, with the opening.
    pub(super) fn top_up(&mut self, amount: Nano) {
        self.asked = self.asked.saturating_plus(amount);
        if self.locked > Nano::ZERO {
            self.locked = self.locked.saturating_plus(amount);
        }
    }

    /// Takes off a top-up that came to nothing. One whose fate is unknown stays among what may be locked. (`CH-29`)
    pub(super) fn top_up_failed(&mut self, amount: Nano, is_certain: bool) {
        // What the ledger has shown is there, no matter who paid for it.
        self.asked = self.asked.saturating_minus(amount).max(self.shown);
        if is_certain {
            self.locked = self.locked.saturating_minus(amount).max(self.shown);
        }
    }

    /// Counts no longer on a part that the ledger was never asked for, and of which nothing was promised.
    pub(super) fn forgo(&mut self, amount: Nano, promised: Nano) {
        let amount = amount.min(self.asked.saturating_minus(promised));
        self.asked = self.asked.saturating_minus(amount);
        self.locked = self.locked.saturating_minus(amount);
    }

    /// Notes that the ledger is asked to open the channel.
    pub(super) fn open(&mut self) {
        self.locked = self.locked.max(self.asked);
    }

    /// Notes that an opening surely had no effect: what was promised out of it is owed all the same.
    pub(super) const fn not_opened(&mut self, promised: Nano) {
        *self = Self { shown: promised, asked: promised, locked: Nano::ZERO };
    }

    /// Notes that this much was promised, which this client had locked: a store from before a top-up knows of less.
    pub(super) fn promised(&mut self, promised: Nano) {
        self.locked = self.locked.max(promised);
    }

    /// Takes what the ledger shows, for the first time or again: no more than was asked for, and never less than before.
    /// Returns whether it says something new.
    pub(super) fn observe(&mut self, first: bool, shown: Nano) -> bool {
        let shown = shown.min(self.locked);
        let is_new = first || shown > self.shown;
        if is_new {
            self.shown = shown;
            self.asked = self.asked.max(shown);
        }
        is_new
    }
}
