//! What others show of a channel: the provider its newest voucher, and the ledger its state. Either may be untrue.

use crate::channel::fault::Mismatch;
use crate::channel::ledger::ChannelState;
use crate::channel::voucher::Voucher;
use crate::time::Time;

use super::{LedgerView, Payer, PayerChange};

impl Payer {
    /// Takes in the newest voucher that the provider shows, verified by the caller. After a restart
    /// the client continues from the first one, with what was promised since on top: it may be
    /// newer than what this node remembers. Returns what the store did not know; the promise may
    /// have changed then. (`CH-8`, `CH-24`)
    pub fn recover(&mut self, newest: Option<&Voucher>) -> Option<Mismatch> {
        let Some(voucher) = newest else {
            self.promise.confirm();
            return None;
        };
        // Before the ledger has shown the funding nobody can say whether the voucher is for it.
        let known = self.epoch?;
        if voucher.epoch > known {
            self.want_close();
            return Some(Mismatch::Epoch { known, shown: voucher.epoch });
        }
        // One of an earlier funding is void: it says that the provider has none of this one.
        let of_this = (voucher.epoch == known).then_some(voucher.cumulative);
        let mismatch = of_this.and_then(|total| self.promise.was_signed(total));
        if matches!(mismatch, Some(Mismatch::Voucher { .. })) {
            self.want_close();
        }
        self.deposit.promised(self.promise.cumulative());
        self.promise.confirm();
        mismatch
    }

    /// Takes what the ledger shows, which may be untrue. Whatever does not fit what this node knows makes it ask for its rest
    /// and changes no promise. (`CH-30`)
    pub fn observe(&mut self, now: Time, state: &ChannelState) -> PayerChange {
        if state.epoch == 0 {
            return PayerChange::default();
        }
        let first = self.epoch.is_none();
        let known = *self.epoch.get_or_insert(state.epoch);
        let came_back = core::mem::take(&mut self.gone);
        let began_to_close = !self.is_closing() && state.closing.is_some();
        let mut observed =
            PayerChange { changed: came_back || (began_to_close && !self.wants_rest), mismatch: None };
        let shown_before = self.view.epoch.replace(state.epoch);
        self.view.closing.observe(now, state.closing);
        if state.epoch != known {
            // The promise is for a funding that is over, if this is true: nothing is signed, and the rest of this one asked
            // for. If it is not true, the promise stands as it was.
            let is_new = shown_before != Some(state.epoch);
            observed.mismatch = is_new.then_some(Mismatch::Epoch { known, shown: state.epoch });
            observed.changed |= is_new;
            self.want_close();
            return observed;
        }
        observed.changed |= self.deposit.observe(first, state.deposit);
        let before = core::mem::replace(&mut self.view.settled, state.settled);
        if state.settled > self.promise.cumulative() && state.settled > before {
            // Nothing is left to pay: either this is untrue, or vouchers exist that this node does not know.
            observed.mismatch =
                Some(Mismatch::Settled { known: self.promise.cumulative(), shown: state.settled });
            observed.changed = true;
            self.want_close();
        }
        observed
    }

    /// Notes that the ledger shows no such account. Everything that is known of it is kept, because
    /// that may be untrue. (`CH-37`)
    pub fn vanish(&mut self) {
        self.gone = true;
        self.view = LedgerView::default();
    }
}
