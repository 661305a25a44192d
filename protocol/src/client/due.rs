//! What the ledger says, and what falls due by the clock.

use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::channel::ledger::LedgerEvent;
use crate::io::Failure;
use crate::time::Time;
use crate::work::order::OrderId;

use super::Client;
use super::attempt::Next;
use super::exchange::AttemptMut;
use super::lingering::EndingOrder;
use super::order::Phase;
use super::shared::SharedState;

impl Client {
    pub(super) fn on_ledger(&mut self, now: Time, event: &LedgerEvent) {
        let effect = self.shared.payments.on_ledger(now, event, &mut self.shared.outbox);
        if let Some(fault) = effect.fault {
            self.unpayable(now, effect.account, fault);
        }
        if effect.payable {
            self.pay_all(now, effect.account);
        }
    }

    /// Takes orders off a channel that has become unable to pay for all of them, the newest first, until the
    /// channel covers those that are left.
    ///
    /// The fault decides what covers them: a channel that is only short still pays what it holds, even while
    /// it is asked back; after any other fault it must be in use.
    pub(super) fn unpayable(&mut self, now: Time, account: ChannelId, fault: PaymentFault) {
        for id in self.orders.matching(|active| active.account() == Some(account)).into_iter().rev() {
            if self.shared.payments.covers(&account, fault) {
                return;
            }
            self.cannot_pay(now, id, fault);
        }
    }

    /// Notes that the ledger has shown a channel: each job that waits for a voucher on it gets one.
    fn pay_all(&mut self, now: Time, account: ChannelId) {
        for (id, active) in self.orders.iter_mut().filter(|(_, active)| active.account() == Some(account)) {
            if let Some(mut attempt) = AttemptMut::of(now, id, active, &mut self.shared) {
                attempt.acknowledge();
            }
        }
        let SharedState { payments, identity, outbox, .. } = &mut self.shared;
        for lingering in self.lingering.on_mut(&account) {
            lingering.prolong(now);
            lingering.acknowledge(payments, identity, outbox);
        }
    }

    /// Does everything that is due.
    pub(super) fn on_time(&mut self, now: Time) {
        for id in self.orders.take_due(now) {
            self.on_order_due(now, id);
        }
        self.seeks.expire(now);
        self.shared.kept.expire(now);
        self.end_lingering(now);
        self.shared.payments.timers(now, &mut self.shared.outbox);
    }

    fn on_order_due(&mut self, now: Time, id: OrderId) {
        let Some(active) = self.orders.get_mut(&id) else { return };
        let is_over = now >= active.progress.deadline;
        let next = match &mut active.phase {
            // Also at the order's deadline: what stood in its way tells the user why the order failed.
            Phase::Pause(_) => return self.resume_order(now, id),
            Phase::Auction(_) => return self.end_auction(now, id),
            Phase::Award(_) | Phase::Attempt(_) if is_over => return self.end(now, id, Failure::Deadline),
            Phase::Award(award) => award.on_time(now, &mut self.shared.outbox),
            Phase::Attempt(_) => match AttemptMut::of(now, id, active, &mut self.shared) {
                Some(mut attempt) => attempt.on_time(),
                None => Next::Stay,
            },
        };
        self.follow(now, id, next);
    }

    /// Tells the end of each order that has its last bill, or has waited for it long enough, and forgets jobs that have lingered long
    /// enough.
    fn end_lingering(&mut self, now: Time) {
        for job in self.lingering.take_due(now) {
            let ending = self.lingering.get_mut(&job).and_then(|lingering| lingering.take_ended(now));
            if let Some(EndingOrder { id, progress, why, .. }) = ending.map(|ending| *ending) {
                self.conclude(now, id, progress, Err(why));
            }
            self.lingering.expire(now, &job, &mut self.shared.payments);
        }
        let payments = &mut self.shared.payments;
        let (orders, lingering) = (&self.orders, &self.lingering);
        payments.forget_proposed(|account| {
            orders.iter().any(|(_, active)| active.account().as_ref() == Some(account))
                || lingering.is_on(account)
        });
    }
}
