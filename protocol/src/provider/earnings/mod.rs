//! The provider's channels: known from a client's terms, believed from the ledger, settled and closed.
//!
//! | file | holds |
//! |---|---|
//! | `channel` | one channel: its vouchers, claims and close |
//! | `named` | how one is learnt from the terms that a client names |
//! | `room` | whose place a newly named channel takes |
//! | `watched` | which channels can be watched, and which must go |
//! | `close_key` | the key of close orders |

mod channel;
mod close_key;
mod named;
mod room;
mod watched;

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Nano;
use crate::channel::earn::Earner;
use crate::channel::fault::Mismatch;
use crate::channel::id::ChannelId;
use crate::channel::ledger::{LedgerCall, LedgerEvent};
use crate::channel::pace::Pace;
use crate::channel::record::Record;
use crate::channel::terms::ChannelTerms;
use crate::channel::voucher::{Acceptance, VoucherFault};
use crate::deadlines::Deadlines;
use crate::ident::{NodeId, Origin, Prefix, Signature};
use crate::io::ChannelChange;
use crate::limits;
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::Time;
use crate::wire::message::Payment;

pub(super) use channel::Channel;
pub(super) use close_key::CloseKey;

/// Every channel that this provider earns on.
#[derive(Debug)]
pub(super) struct Earnings {
    key: CloseKey,
    /// How this provider wants to be paid, with the challenge time that it was set to.
    payee: Payee,
    /// The unsettled amount that is worth a claim.
    settle_at: Nano,
    channels: Table<ChannelId, Box<Channel>>,
    /// Channels to close as soon as nothing is served on them.
    to_close: BTreeMap<ChannelId, CloseCondition>,
    /// How fast the shell sees what happens to channels, once it has said so.
    pace: Option<Pace>,
    /// The share of all looks at the ledger that the funded channels need together.
    taken: u64,
    /// Channels to be closed because a close of them could not be seen in time.
    unwatchable: BTreeSet<ChannelId>,
    /// When a close under way is brought again, and a channel that is gone looked at.
    deadlines: Deadlines<ChannelId>,
    /// What was lost on channels that are forgotten, and by reading that is not paid, in this life.
    lost: Nano,
    /// Whether the time of day was compared with what an earlier life has written.
    is_clock_checked: bool,
}

/// When a channel that is marked is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseCondition {
    /// Unless too little is due to be paid out.
    UnlessDust,
    /// In any case.
    Anyway,
}

/// The channel that a task names, and what shows that it is its client's own.
#[derive(Debug)]
pub(super) struct NamedChannel {
    pub(super) terms: ChannelTerms,
    /// The binding of the session in which the task came.
    pub(super) binding: [u8; 32],
    pub(super) key_proof: Signature,
}

/// A channel that a task is to be paid on.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskChannel {
    pub(super) account: ChannelId,
    /// The channel whose place it takes: what runs on that one must end.
    pub(super) in_place_of: Option<ChannelId>,
}

impl Earnings {
    pub(super) fn restored(
        key: CloseKey,
        payee: Payee,
        settle_at: Nano,
        records: Vec<Record>,
        zero_s: u64,
        out: &mut Outbox,
    ) -> Self {
        let mut channels = Table::default();
        let mut deadlines = Deadlines::default();
        for record in records {
            match record {
                Record::Earner(record) => {
                    let earner = Earner::restored(record, zero_s);
                    let account = earner.account();
                    let origin = Origin { node: earner.client(), prefix: Prefix::UNKNOWN };
                    let mut channel = Channel::new(earner, origin, Time(0));
                    if channel.earner.terms().provider_key != payee.key {
                        // Its vouchers can still be claimed; it is the client that will have to close.
                        channel.announce(ChannelChange::Mismatch(Mismatch::Key), out);
                    }
                    if !channel.earner.is_gone() {
                        out.call(LedgerCall::Watch { account });
                    }
                    channel.is_established = true;
                    deadlines.touch(account);
                    channels.insert(account, Box::new(channel));
                }
                Record::ChannelGone { account } => {
                    channels.remove(&account);
                }
                Record::Payer(_) | Record::Receipt { .. } | Record::Reputation(_) => {}
            }
        }
        Self {
            key,
            payee,
            settle_at,
            channels,
            to_close: BTreeMap::new(),
            pace: None,
            taken: 0,
            unwatchable: BTreeSet::new(),
            deadlines,
            lost: Nano::ZERO,
            is_clock_checked: false,
        }
    }

    /// Returns how this provider wants to be paid, as its bids say.
    ///
    /// The challenge time is the least that it accepts, or more: a channel of less would leave too few looks at the ledger
    /// for those to come. (`CH-35`)
    pub(super) fn payee(&self) -> Payee {
        Payee { challenge_s: self.least_challenge_s(), ..self.payee }
    }

    /// Returns the channels that are not gone from the ledger, as far as it tells.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Earner> {
        self.channels.values().map(|channel| &channel.earner).filter(|earner| !earner.is_gone())
    }

    /// Returns what was served, in this life or before, and paid to nobody when the ledger showed its channel gone, and what was read
    /// for clients that need not pay it.
    pub(super) fn lost(&self) -> Nano {
        self.channels.values().map(|channel| channel.lost()).sum::<Nano>().saturating_plus(self.lost)
    }

    /// Returns a channel, gone or not.
    pub(super) fn channel_mut(&mut self, account: &ChannelId) -> Option<&mut Channel> {
        self.channels.get_mut(account).map(|channel| &mut **channel)
    }

    /// Returns the accounts of a channel that is not gone.
    pub(super) fn find(&self, account: &ChannelId) -> Option<&Earner> {
        self.channels.get(account).map(|channel| &channel.earner).filter(|earner| !earner.is_gone())
    }

    /// Returns the same, to change them.
    pub(super) fn find_mut(&mut self, account: &ChannelId) -> Option<&mut Earner> {
        self.channels.get_mut(account).and_then(|channel| channel.live())
    }

    /// Returns the clients whose vouchers count.
    pub(super) fn payers(&self) -> impl Iterator<Item = NodeId> {
        let paid = self.channels.values().filter(|channel| channel.earner.newest().is_some());
        paid.map(|channel| channel.earner.client())
    }

    /// Returns whether the ledger has not shown this channel funded, or not lately enough: then it has credit at the most.
    pub(super) fn is_unseen(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.earner.is_unseen())
    }

    /// Returns whether this channel was shown funded, and too long ago to serve on that. (`CH-57`)
    pub(super) fn is_out_of_sight(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.is_out_of_sight())
    }

    /// Notes that it is this second now, and was taken to be another. (`CH-57`)
    pub(super) fn put_clock(&mut self, before_s: u64, unix_s: u64) {
        for (account, channel) in self.channels.iter_mut() {
            channel.earner.put_clock(before_s, unix_s);
            self.deadlines.touch(*account);
        }
    }

    /// Returns what is unpaid on a channel or may become so, and whose it is.
    pub(super) fn lent(&self, account: &ChannelId) -> Option<(Origin, Nano)> {
        self.channels.get(account).map(|channel| (channel.origin, channel.earner.exposure.lent()))
    }

    /// Takes what vouchers on a channel have covered beyond what is known to be served there. (`CH-50`)
    pub(super) fn take_unremembered(&mut self, account: &ChannelId) -> Nano {
        self.channels
            .get_mut(account)
            .map_or(Nano::ZERO, |channel| channel.earner.exposure.take_unremembered())
    }

    /// Returns whether something served on it may still be paid.
    fn is_owing(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.earner.unpaid() > Nano::ZERO)
    }

    /// Gives up what a job that is over left unpaid. (`CH-9`)
    pub(super) fn write_off(&mut self, account: &ChannelId, amount: Nano, out: &mut Outbox) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.earner.exposure.write_off(amount);
            if channel.earner.shown().is_some() {
                channel.persist(out);
            }
        }
    }

    /// Asks no more for what a client need not pay. (`WR-24`)
    pub(super) fn waive(&mut self, account: &ChannelId, amount: Nano) {
        if let Some(channel) = self.channels.get_mut(account) {
            let asked = channel.earner.unpaid();
            channel.earner.exposure.waive(amount);
            // What was unpaid on one that is gone is lost by that.
            if !channel.earner.is_gone() {
                self.lost = self.lost.saturating_plus(asked.saturating_minus(channel.earner.unpaid()));
            }
        }
    }

    /// Accepts a voucher, and writes it before anything is served on the strength of it.
    pub(super) fn accept(
        &mut self,
        account: &ChannelId,
        payment: Payment,
        out: &mut Outbox,
    ) -> Result<Acceptance, VoucherFault> {
        let settle_at = self.settle_at();
        let Some(channel) = self.channels.get_mut(account) else { return Ok(Acceptance::Nothing) };
        let (accepted, brings_anew) = channel.accept(payment, settle_at, out);
        if brings_anew {
            self.deadlines.touch(*account);
        }
        accepted
    }

    /// Takes what the ledger says. Returns the account whose jobs may resume, or must stop.
    pub(super) fn ledger(
        &mut self,
        now: Time,
        unix_s: u64,
        event: &LedgerEvent,
        out: &mut Outbox,
    ) -> Option<ChannelId> {
        self.deadlines.touch(event.account());
        match event {
            LedgerEvent::Channel { account, state: Some(state) } => {
                let channel = self.channels.get_mut(account)?;
                let was_funded = channel.is_funded();
                channel.observe(now, unix_s, *state, out);
                if channel.is_funded() != was_funded {
                    self.funded(account, out);
                }
                Some(*account)
            }
            LedgerEvent::Channel { account, state: None } => self.absent(now, account, out),
            LedgerEvent::Failed { account, fault, .. } => {
                self.channels.get_mut(account)?.failed(*fault, out);
                None
            }
        }
    }

    /// Notes that the ledger shows no such account. The vouchers held on it are kept, because that
    /// may be untrue. (`CH-37`)
    fn absent(&mut self, now: Time, account: &ChannelId, out: &mut Outbox) -> Option<ChannelId> {
        let channel = self.channels.get_mut(account)?;
        if channel.earner.is_gone() {
            // The answer to a look.
            out.call(LedgerCall::Unwatch { account: *account });
            return None;
        }
        // One that was never there is waited for.
        if channel.earner.shown().is_none() && channel.earner.newest().is_none() {
            return None;
        }
        channel.vanish(now, out);
        if channel.earner.is_worth_keeping() {
            channel.persist(out);
            self.forget_least(out);
        } else {
            self.forget(account, out);
        }
        self.reckon();
        Some(*account)
    }

    /// Forgets the channel that is gone with the least at stake, where more are kept than may be.
    fn forget_least(&mut self, out: &mut Outbox) {
        let gone = || self.channels.values().map(|channel| &channel.earner).filter(|earner| earner.is_gone());
        if gone().count() <= limits::GONE_MAX {
            return;
        }
        if let Some(account) =
            gone().min_by_key(|earner| (earner.paid(), earner.account())).map(Earner::account)
        {
            self.forget(&account, out);
        }
    }

    fn forget(&mut self, account: &ChannelId, out: &mut Outbox) {
        if let Some(channel) = self.channels.remove(account) {
            self.lost = self.lost.saturating_plus(channel.lost());
        }
        out.persist(Record::ChannelGone { account: *account });
    }

    /// Relies on nothing that an earlier life was shown where any of it is from the future: the clock went back, and the age of none
    /// is known. (`CH-57`)
    fn check_clock(&mut self, unix_s: u64) {
        if !core::mem::replace(&mut self.is_clock_checked, true) {
            let newest = self.channels.values().filter_map(|channel| channel.earner.remembered_at_s()).max();
            if newest.is_some_and(|newest_s| newest_s > unix_s) {
                self.channels.values_mut().for_each(|channel| channel.earner.distrust_remembered());
            }
        }
    }

    /// Brings closes again that the ledger does not show, and looks at channels that are gone or were not seen for long. (`CH-33`)
    pub(super) fn timers(&mut self, now: Time, unix_s: u64, out: &mut Outbox) {
        self.check_clock(unix_s);
        for account in self.deadlines.due(now) {
            if let Some(channel) = self.channels.get_mut(&account) {
                let next = channel.timer(now, unix_s, &self.key, out);
                self.deadlines.set(account, next);
            }
        }
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Marks every open channel to be closed whose close would pay. (`CH-26`)
    pub(super) fn close_all(&mut self) {
        for (account, _) in self.channels.iter().filter(|(_, channel)| channel.earner.is_open()) {
            self.to_close.entry(*account).or_insert(CloseCondition::UnlessDust);
        }
    }

    /// Marks this channel to be closed, if it is open.
    pub(super) fn close(&mut self, account: ChannelId) {
        if self.channels.get(&account).is_some_and(|channel| channel.earner.is_open()) {
            self.to_close.insert(account, CloseCondition::Anyway);
        }
    }

    /// Closes what is to be closed and is at rest: a close before the last voucher would not pay for it. (`CH-17`)
    ///
    /// `is_served` says whether a job still needs the channel, given whether something may still be paid on it.
    pub(super) fn settle(&mut self, is_served: impl Fn(&ChannelId, bool) -> bool, out: &mut Outbox) {
        for account in self.take_unwatchable() {
            self.to_close.entry(account).or_insert(CloseCondition::Anyway);
        }
        let is_at_rest = |account: &&ChannelId| !is_served(account, self.is_owing(account));
        let ready: Vec<ChannelId> = self.to_close.keys().filter(is_at_rest).copied().collect();
        for account in ready {
            if let Some(close) = self.to_close.remove(&account) {
                self.order(&account, close, out);
            }
        }
    }

    /// Closes a channel, unless that has begun. One that earned nothing is closed as well: the client's deposit comes back at
    /// once. One on which the little that is due would be lost stays, unless it was named. (`CH-26`)
    fn order(&mut self, account: &ChannelId, close: CloseCondition, out: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(account) else { return };
        if close == CloseCondition::Anyway || !channel.earner.is_dust() {
            channel.order(out);
            self.deadlines.touch(*account);
        }
    }
}
