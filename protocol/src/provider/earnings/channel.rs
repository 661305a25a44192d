//! One channel that this provider earns on: what the ledger shows of it, what is claimed, and how it is closed.

use crate::amount::Nano;
use crate::channel::earn::Earner;
use crate::channel::ledger::{ChannelState, LedgerCall, LedgerFault};
use crate::channel::looks::Looks;
use crate::channel::record::Record;
use crate::channel::sight::lifetime;
use crate::channel::voucher::{Acceptance, CloseOrder, SignedVoucher, VoucherFault};
use crate::ident::Origin;
use crate::io::{ChannelChange, ChannelNews, Event, Output};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::{Span, Time};
use crate::wire::message::Payment;

use super::close_key::CloseKey;

/// A channel and everything about it that is no part of its record.
#[derive(Debug)]
pub(in crate::provider) struct Channel {
    pub(super) earner: Earner,
    /// Who named it first, from where and when.
    pub(super) origin: Origin,
    pub(super) since: Time,
    /// When a job was last to be paid on it, in this life.
    pub(in crate::provider) used: Time,
    /// When its client last spoke of a job on it.
    pub(in crate::provider) heard: Time,
    /// Whether the ledger has shown it funded, in this life or an earlier one. Before that it is kept no longer than a job is
    /// on it, and nothing of it is written. (`CH-51`)
    pub(super) is_established: bool,
    /// What the last claim of this life settles, so that it is not brought twice.
    claimed: Nano,
    /// What vouchers covered when it was read back from disk: so much may have been claimed before.
    covered_before: Nano,
    close: PendingClose,
    /// How many vouchers were asked for and have not been looked at. (`CH-54`)
    asked: u32,
    /// What was served on it and paid to nobody when the ledger showed it gone, in this life.
    lost: Nano,
    /// When to look at one that is gone.
    looks: Looks,
    /// When a look was last asked for because the newest one grew old.
    asked_to_look: Time,
}

/// A close that is brought to the ledger until the ledger shows it.
#[derive(Debug, Default)]
struct PendingClose {
    /// When it was last brought.
    at: Option<Time>,
    times: u32,
    /// Whether the contract refused it the last time.
    refused: bool,
}

impl Channel {
    pub(super) fn new(earner: Earner, origin: Origin, since: Time) -> Self {
        let covered_before = earner.paid();
        Self {
            earner,
            origin,
            since,
            used: since,
            heard: since,
            is_established: false,
            claimed: Nano::ZERO,
            covered_before,
            close: PendingClose::default(),
            // What its client has promised before it can be asked.
            asked: 1,
            lost: Nano::ZERO,
            looks: Looks::default(),
            asked_to_look: since,
        }
    }

    /// Returns its accounts, unless the ledger shows that it is gone.
    pub(in crate::provider) fn live(&mut self) -> Option<&mut Earner> {
        Some(&mut self.earner).filter(|earner| !earner.is_gone())
    }

    /// Returns whether the ledger has shown a deposit on it in this life, which is what a close could take away.
    pub(super) fn is_funded(&self) -> bool {
        self.earner.seen().is_some_and(|state| state.epoch != 0)
    }

    /// Returns what was served on it and paid to nobody when the ledger showed it gone, in this life.
    pub(super) const fn lost(&self) -> Nano {
        self.lost
    }

    /// Returns whether the ledger has never shown it funded.
    pub(in crate::provider) const fn is_unfunded(&self) -> bool {
        !self.is_established
    }

    /// Returns whether the ledger has shown it funded, and too long ago to serve on that. (`CH-57`)
    pub(in crate::provider) fn is_out_of_sight(&self) -> bool {
        self.earner.is_out_of_sight()
    }

    /// Writes what may be lost on it, where that is more than the record says: before it is served. (`CH-38`)
    pub(in crate::provider) fn secure(&mut self, out: &mut Outbox) {
        if self.earner.is_beyond_record() {
            self.persist(out);
        }
    }

    /// Writes its record, and hands the watcher the newest voucher behind it: once it is durable. (`CH-10`)
    pub(super) fn persist(&mut self, out: &mut Outbox) {
        let record = self.earner.record();
        let watched = record.watched_voucher();
        out.persist(Record::Earner(record));
        self.earner.exposure.recorded();
        if let Some(watched) = watched {
            out.push_behind(self.earner.account(), Output::Watch(Box::new(watched)));
        }
    }

    /// Tells the node what has happened to it.
    pub(super) fn announce(&self, change: ChannelChange, out: &mut Outbox) {
        let (account, peer) = (self.earner.account(), self.earner.client());
        out.push(Output::Event(Event::Channel(ChannelNews { account, peer, change })));
    }

    /// Notes that the client was sent a receipt, or told that payment is needed: each is worth a look at one voucher. (`CH-54`)
    pub(in crate::provider) fn ask_for_voucher(&mut self) {
        self.asked = self.asked.saturating_add(1).min(limits::VOUCHERS_ASKED_MAX);
    }

    /// Accepts a voucher, and writes it before anything is served on the strength of it. Returns also whether its close must be
    /// brought anew. One that nobody asked for is worth neither a check nor a write.
    pub(super) fn accept(
        &mut self,
        payment: Payment,
        settle_at: Nano,
        out: &mut Outbox,
    ) -> (Result<Acceptance, VoucherFault>, bool) {
        if self.asked == 0 || !self.earner.is_news(&payment) {
            return (Ok(Acceptance::Nothing), false);
        }
        self.asked = self.asked.saturating_sub(1);
        let mismatch = self.earner.mismatch(payment.cumulative);
        let accepted = self.earner.accept(payment);
        // One for another funding than the one shown is kept as well. What the ledger may never show is not written: a crash
        // costs the credit at the most. (`CH-51`)
        let is_kept = matches!(accepted, Ok(Acceptance::More | Acceptance::Early) | Err(VoucherFault::Epoch));
        if is_kept && self.is_established {
            self.persist(out);
        }
        if accepted != Ok(Acceptance::More) {
            return (accepted, false);
        }
        if let Some(mismatch) = mismatch {
            // A store that was put back may remember a channel that it has closed itself since. (`CH-57`)
            self.earner.distrust_remembered();
            self.announce(ChannelChange::Mismatch(mismatch), out);
        }
        self.claim_if_due(settle_at, out);
        let is_ordered = self.earner.is_ordered();
        if is_ordered {
            // The close under way is for less.
            self.close = PendingClose::default();
        }
        (accepted, is_ordered)
    }

    /// Takes what the ledger shows of it.
    pub(super) fn observe(&mut self, now: Time, unix_s: u64, state: ChannelState, out: &mut Outbox) {
        let was_open = self.earner.is_open();
        let observed = self.earner.observe(now, unix_s, state);
        if self.earner.newest().is_some_and(|newest| newest.epoch == state.epoch) {
            // It was not gone, and what is due on it is due.
            self.lost = Nano::ZERO;
        }
        let is_new = state.epoch != 0 && !self.is_established;
        self.is_established |= is_new;
        // The shell tells of a look where it shows something new, and else so seldom that each can be written. (`CH-57`)
        let is_remembered = self.earner.is_open() && self.earner.is_worth_keeping();
        if observed.counts || (is_new && self.earner.has_vouchers()) || is_remembered {
            self.persist(out);
        }
        if let Some(mismatch) = observed.mismatch {
            self.announce(ChannelChange::Mismatch(mismatch), out);
        }
        if !was_open && self.earner.is_open() {
            self.announce(ChannelChange::Open { deposit: state.deposit }, out);
        }
        if state.closing.is_some() && !self.earner.is_ordered() {
            self.announce(ChannelChange::Closing, out);
            // The client is leaving: settle and give its rest back now rather than after the challenge.
            self.order(out);
        }
    }

    /// Notes that a call to the ledger came to nothing.
    pub(super) fn failed(&mut self, fault: LedgerFault, out: &mut Outbox) {
        self.claimed = Nano::ZERO;
        self.close.refused = matches!(fault, LedgerFault::Refused { .. });
        self.announce(ChannelChange::Failed(fault), out);
    }

    /// Notes that the ledger shows it no more: it is looked at now and then, because that may be
    /// untrue. (`CH-37`)
    pub(super) fn vanish(&mut self, now: Time, out: &mut Outbox) {
        let (cumulative, lost) = (self.earner.paid(), self.earner.lost_if_gone());
        self.announce(ChannelChange::Closed { cumulative, lost }, out);
        let unpaid = self.earner.unpaid().saturating_plus(self.earner.written_off());
        self.lost = self.lost.saturating_plus(lost.unwrap_or(Nano::ZERO)).saturating_plus(unpaid);
        out.call(LedgerCall::Unwatch { account: self.earner.account() });
        self.earner.vanish();
        self.close = PendingClose::default();
        self.claimed = Nano::ZERO;
        self.looks = Looks::after(now);
    }

    /// Serves it again as one that the ledger has not shown: its client has named it after it was gone.
    pub(super) fn come_back(&mut self, out: &mut Outbox) {
        self.earner.come_back();
        self.persist(out);
        out.call(LedgerCall::Watch { account: self.earner.account() });
    }

    /// Decides for a close of the funding that it is in. That is on disk before the order is
    /// signed: its holder may bring it at any later time, and what was served since would be lost.
    /// (`CH-13`)
    pub(super) fn order(&mut self, out: &mut Outbox) {
        if self.earner.shown().is_none() || self.earner.is_ordered() {
            return;
        }
        if let Some(epoch) = self.earner.epoch() {
            self.earner.order(epoch);
            self.close = PendingClose::default();
            self.persist(out);
        }
    }

    /// Does what is due by the clock: brings its close again, looks at one that is gone or was not seen for long. Returns when it
    /// is due next. (`CH-33`)
    pub(super) fn timer(&mut self, now: Time, unix_s: u64, key: &CloseKey, out: &mut Outbox) -> Option<Time> {
        if self.earner.is_gone() {
            if self.looks.is_due(now) {
                out.call(LedgerCall::Watch { account: self.earner.account() });
            }
            return self.looks.at();
        }
        if self.closes_at().is_some_and(|at| now >= at) {
            self.bring(now, key, out);
        }
        self.earner.age(now, unix_s);
        if self.looks_at().is_some_and(|at| now >= at) {
            self.asked_to_look = now;
            out.call(LedgerCall::Watch { account: self.earner.account() });
        }
        let expires = self.earner.relied_on_until();
        [self.closes_at(), self.looks_at(), expires].into_iter().flatten().min()
    }

    /// Returns when a look is asked for, because none was told of for half of the time for which one counts. (`CH-57`)
    fn looks_at(&self) -> Option<Time> {
        let half = lifetime(self.earner.terms().challenge_s).half();
        let told = self.earner.sight_until().filter(|_| self.earner.is_open())?;
        Some(Time(told.0.saturating_sub(half.0)).max(self.asked_to_look + half))
    }

    /// Returns when the close is brought, or brought again: every 30 s, and less and less often if the contract refuses it while
    /// no challenge runs. (`CH-33`)
    fn closes_at(&self) -> Option<Time> {
        let state = self.earner.seen().filter(|state| state.epoch != 0 && self.earner.is_ordered())?;
        let doublings =
            if self.close.refused && state.closing.is_none() { self.close.times.min(16) } else { 0 };
        let wait = limits::LEDGER_WAIT.0.saturating_mul(1 << doublings);
        let wait = Span(wait).min(limits::CLOSE_RETRY_MAX);
        Some(self.close.at.map_or(Time(0), |at| at + wait))
    }

    /// Brings the close with the newest voucher, and nothing but that: no total is signed for that no voucher covers. Where
    /// the contract refused the close, the voucher goes alone in turn with it.
    fn bring(&mut self, now: Time, key: &CloseKey, out: &mut Outbox) {
        let Some(epoch) = self.earner.epoch() else { return };
        self.close.at = Some(now);
        self.close.times = self.close.times.saturating_add(1);
        let voucher = self.newest_voucher();
        if let Some(voucher) = voucher
            && self.close.refused
            && self.close.times.is_multiple_of(2)
        {
            return out.call(LedgerCall::Claim { voucher });
        }
        let cumulative = voucher.map_or(Nano::ZERO, |voucher| voucher.cumulative);
        let order = CloseOrder { account: self.earner.account(), epoch, cumulative };
        let signature = order.sign(&key.signing());
        out.call(LedgerCall::Close { voucher, order, signature });
    }

    /// Settles what vouchers cover once it is worth a message. (`CH-18`) What the ledger shows settled counts only as far as
    /// an earlier life may have claimed: an untrue word puts a claim off by one such amount, and no further.
    pub(super) fn claim_if_due(&mut self, settle_at: Nano, out: &mut Outbox) {
        let shown = self.earner.seen().map_or(Nano::ZERO, |state| state.settled);
        let settled = self.claimed.max(shown.min(self.covered_before));
        let due = self.earner.paid().saturating_minus(settled) >= settle_at;
        if let Some(voucher) = self.newest_voucher().filter(|_| due && !self.earner.is_ending()) {
            self.claimed = voucher.cumulative;
            out.call(LedgerCall::Claim { voucher });
        }
    }

    fn newest_voucher(&self) -> Option<SignedVoucher> {
        self.earner.newest().map(|payment| payment.on(self.earner.account()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::channel::terms::ChannelTerms;
    use crate::channel::voucher::Voucher;
    use crate::ident::{NodeId, Prefix};

    /// (`CH-54`)
    #[test]
    fn what_was_asked_for_and_never_came_adds_up_to_so_many_vouchers_at_the_most() {
        let key = CloseKey::new([1; 32]);
        let origin = Origin { node: NodeId([9; 32]), prefix: Prefix::UNKNOWN };
        let mut channel = Channel::new(Earner::new(ChannelTerms::for_tests(), origin.node), origin, Time(0));
        let mut out = Outbox::default();
        channel.observe(
            Time(0),
            0,
            ChannelState { epoch: 1, deposit: Nano(5_000), settled: Nano::ZERO, closing: None },
            &mut out,
        );
        let mut pays = |channel: &mut Channel, from: u64| {
            for total in from..from + 200 {
                let voucher =
                    Voucher { account: channel.earner.account(), epoch: 1, cumulative: Nano(total) };
                let signature = voucher.sign(&key.signing());
                let payment = Payment { epoch: 1, cumulative: Nano(total), signature };
                channel.accept(payment, Nano(u64::MAX), &mut out).0.unwrap();
            }
            channel.earner.paid()
        };
        assert_eq!(pays(&mut channel, 1), Nano(1), "before anything was asked for");
        (0..1_000).for_each(|_| channel.ask_for_voucher());
        assert_eq!(pays(&mut channel, 1_001), Nano(1_000 + u64::from(limits::VOUCHERS_ASKED_MAX)));
    }
}
