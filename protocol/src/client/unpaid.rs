//! What becomes of an order that cannot be paid as it was to be: another bidder may be cheaper, or have a channel that holds enough.
//! (`MK-15`)

use crate::amount::Nano;
use crate::channel::fault::{PaymentFault, Remedy};
use crate::channel::id::ChannelId;
use crate::ident::NodeId;
use crate::io::Failure;
use crate::market::auction::Candidate;
use crate::time::Time;
use crate::wire::message::ReleaseReason;
use crate::work::order::OrderId;

use super::Client;
use super::payments::Needs;
use super::progress::Progress;
use super::shared::SharedState;
use super::verdict::Conduct;

impl Client {
    /// Notes that an order cannot be paid on its channel: it goes on with another provider, or ends.
    pub(super) fn cannot_pay(&mut self, now: Time, id: OrderId, fault: PaymentFault) {
        let Some(active) = self.orders.get_mut(&id) else { return };
        let provider = active.job().map(|(_, provider)| provider);
        if active.progress.ends_unpaid(fault, provider, &mut self.shared) {
            self.end(now, id, Failure::Payment(fault));
        } else {
            self.fail_over(now, id, Failure::Payment(fault));
        }
    }

    /// Notes that a provider cannot be paid for a job that has not begun.
    pub(super) fn cannot_begin(
        &mut self,
        now: Time,
        id: OrderId,
        mut progress: Progress,
        conduct: &Conduct,
        fault: PaymentFault,
    ) {
        let why = Failure::Payment(fault);
        if progress.ends_unpaid(fault, Some(conduct.provider), &mut self.shared) {
            self.conclude(now, id, progress, Err(why));
        } else {
            self.go_elsewhere(now, id, progress, conduct, None, why);
        }
    }
}

impl Progress {
    /// Returns the most that is left of the order can cost with a candidate.
    pub(super) fn cost_max(&self, candidate: &Candidate) -> Nano {
        self.lot().cost_max(candidate.price).unwrap_or(Nano(u64::MAX)).min(self.budget())
    }

    /// Checks that a candidate can be paid for what is left of the order, before it is awarded that.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not.
    pub(super) fn can_pay(&self, candidate: &Candidate, shared: &SharedState) -> Result<(), PaymentFault> {
        let (bid, acquaintance) = (&candidate.bid, shared.acquaintance(&candidate.bid.provider));
        shared.payments.can_pay(bid, self.cost_max(candidate), acquaintance, &shared.config)
    }

    /// Sets aside what is left of the order can cost with a candidate. Returns the channel that pays for it.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why it cannot be paid.
    pub(super) fn set_aside(
        &self,
        now: Time,
        candidate: &Candidate,
        shared: &mut SharedState,
    ) -> Result<ChannelId, PaymentFault> {
        let (bid, draw) = (&candidate.bid, shared.entropy.number());
        let acquaintance = shared.acquaintance(&bid.provider);
        let needs = Needs { cost_max: self.cost_max(candidate), draw, acquaintance };
        let SharedState { payments, config, outbox, .. } = shared;
        payments.channel_for(now, bid, needs, config, outbox)
    }

    /// Returns whether the order ends for a fault of the wallet or the ledger: no channel of a candidate holds enough, nor was there one
    /// call for those with others whose channels hold anything. Candidates whose do not are given back.
    fn ends_unpaid(
        &mut self,
        fault: PaymentFault,
        provider: Option<NodeId>,
        shared: &mut SharedState,
    ) -> bool {
        if fault.remedy() != Remedy::AnotherChannel {
            return false;
        }
        for candidate in core::mem::take(&mut self.candidates) {
            if shared.payments.holds(&candidate.bid, self.cost_max(&candidate)) {
                self.candidates.push_back(candidate);
            } else {
                let bid = &candidate.bid;
                shared.outbox.release(bid.provider, bid.call, ReleaseReason::Unfit);
            }
        }
        let has_called = self.unfunded.replace(fault).is_some();
        self.candidates.is_empty() && (has_called || !shared.payments.holds_for_others(provider))
    }
}
