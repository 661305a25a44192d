//! How a rest comes back: a close is requested, helped along and finished. Channels that are gone are
//! looked at now and then.

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::ledger::LedgerCall;
use crate::channel::looks::Looks;
use crate::channel::pay::{ClosingStep, Payer};
use crate::channel::record::Record;
use crate::io::ChannelChange;
use crate::limits;
use crate::outbox::Outbox;
use crate::time::{Span, Time};

use super::Payments;
use super::channel::Channel;

impl Payments {
    /// Begins to close every channel, so that its rest comes back, also those that are gone and may be shown again.
    pub(in crate::client) fn close_all(&mut self, now: Time, outbox: &mut Outbox) {
        self.forget_debts(outbox);
        for (account, channel) in self.channels.iter_mut() {
            channel.payer.want_close();
            channel.persist(outbox);
            self.deadlines.touch(*account);
        }
        self.timers(now, outbox);
    }

    /// Begins to close one channel, so that its rest comes back.
    pub(in crate::client) fn close(&mut self, now: Time, account: &ChannelId, outbox: &mut Outbox) {
        // Of one that was not opened nothing comes back, and what is owed on it stays owed. (`CH-56`)
        if let Some(channel) = self.channel(account).filter(|channel| !channel.payer.is_debt()) {
            channel.payer.want_close();
            channel.persist(outbox);
        }
        self.timers(now, outbox);
    }

    /// Returns whether a channel has been open, as this node sees it, for so long that its provider has seen it as well: that takes it
    /// as long as a deposit is waited for.
    pub(in crate::client) fn is_settled(&self, now: Time, account: &ChannelId) -> bool {
        let opened = self.channels.get(account).and_then(|channel| channel.opened_at);
        opened.is_some_and(|at| now >= at + limits::PAYMENT_WAIT)
    }

    /// Takes the next step of every close under way, and begins one on each channel that has been idle
    /// for too long. (`CH-25`)
    pub(in crate::client) fn timers(&mut self, now: Time, outbox: &mut Outbox) {
        for account in self.deadlines.due(now) {
            let Some(channel) = self.channels.get_mut(&account) else { continue };
            if channel.payer.is_gone() {
                if channel.looks.is_due(now) {
                    outbox.call(LedgerCall::Watch { account });
                }
                self.deadlines.set(account, channel.due_at(self.idle));
                continue;
            }
            channel.used_at = channel.used_at.or(Some(now));
            if self.idle.and_then(|idle| channel.idle_at(idle)).is_some_and(|at| now >= at) {
                channel.payer.want_close();
                channel.persist(outbox);
            }
            if let Some(call) = channel.closing_call(now, &self.key) {
                channel.acted_at = Some(now);
                outbox.call(call);
            }
            self.deadlines.set(account, channel.due_at(self.idle));
        }
    }

    pub(in crate::client) fn wake_at(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Notes that the ledger shows no such account: it is not there yet, it is gone, or the answer is
    /// untrue. Returns whether the orders on it must end. (`CH-37`)
    pub(super) fn absent(&mut self, now: Time, account: &ChannelId, outbox: &mut Outbox) -> bool {
        let Some(channel) = self.channel(account).filter(|channel| channel.recorded) else { return false };
        if channel.payer.is_gone() {
            // The answer to a look.
            outbox.call(LedgerCall::Unwatch { account: *account });
            return false;
        }
        // One that is on its way is waited for, unless its owner wants it no more.
        let is_awaited = !channel.payer.is_open() && channel.payer.is_usable();
        if is_awaited {
            return false;
        }
        channel.payer.vanish();
        channel.funding = false;
        channel.looks = Looks::after(now);
        channel.persist(outbox);
        let cumulative = channel.payer.cumulative();
        channel.announce(ChannelChange::Closed { cumulative, lost: Some(Nano::ZERO) }, outbox);
        outbox.call(LedgerCall::Unwatch { account: *account });
        self.forget_least(outbox);
        true
    }

    /// Forgets the gone channel with the least at stake, if more than [`limits::GONE_MAX`] are kept.
    fn forget_least(&mut self, outbox: &mut Outbox) {
        let gone = || self.channels.values().map(|channel| &channel.payer).filter(|payer| payer.is_gone());
        if gone().count() <= limits::GONE_MAX {
            return;
        }
        if let Some(account) = gone().min_by_key(|payer| (payer.rest(), payer.account())).map(Payer::account)
        {
            self.channels.remove(&account);
            outbox.persist(Record::ChannelGone { account });
        }
    }
}

impl Channel {
    /// Returns when the channel will have been idle for this long, if it is open and has no job.
    fn idle_at(&self, idle: Span) -> Option<Time> {
        let at_rest = self.payer.is_open() && self.payer.is_usable() && self.payer.reserved() == Nano::ZERO;
        self.used_at.filter(|_| at_rest).map(|used| used + idle)
    }

    /// Returns when the next step of a close is due, or when it has been idle for too long.
    fn due_at(&self, idle: Option<Span>) -> Option<Time> {
        if self.payer.is_gone() {
            return self.looks.at();
        }
        let again = self.acted_at.map(|acted| acted + limits::LEDGER_WAIT);
        let closing = match (self.payer.closing_wake(), again) {
            (Some(step), Some(again)) => Some(step.max(again)),
            (step, again) => step.or(again.filter(|_| self.payer.wants_close())),
        };
        closing.or(idle.and_then(|idle| self.idle_at(idle)))
    }

    /// Returns the next call of a close, unless one was made a moment ago.
    fn closing_call(&mut self, now: Time, key: &SigningKey) -> Option<LedgerCall> {
        if self.acted_at.is_some_and(|acted| now < acted + limits::LEDGER_WAIT) {
            return None;
        }
        if let Some(request) = self.payer.close_request() {
            return Some(LedgerCall::RequestClose { request, signature: request.sign(key) });
        }
        match self.payer.closing_step(now) {
            ClosingStep::Wait => None,
            ClosingStep::Finalize => Some(LedgerCall::Finalize { account: self.payer.account() }),
            ClosingStep::ClaimForProvider => {
                let voucher = self.payer.voucher()?;
                self.payer.brought(now);
                Some(LedgerCall::Claim { voucher: voucher.signed(key) })
            }
        }
    }
}
