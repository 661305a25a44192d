//! The provider's channels: known from a client's terms, believed from the ledger, settled and closed.

mod watched;

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use zeroize::Zeroizing;

use crate::amount::Nano;
use crate::channel::earn::{Earner, Took, VoucherFault};
use crate::channel::fault::Mismatch;
use crate::channel::ledger::{LedgerCall, LedgerEvent, LedgerFault};
use crate::channel::looks::Looks;
use crate::channel::pace::Pace;
use crate::channel::record::Record;
use crate::channel::terms::{AgreedTerms, ChannelTerms};
use crate::channel::voucher::{CloseOrder, Voucher};
use crate::deadlines::Deadlines;
use crate::fair;
use crate::ident::{NodeId, Origin, Prefix, Signature};
use crate::io::{ChannelChange, ChannelNews, Event, Output};
use crate::limits;
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::wire::message::{Payment, Refusal};

/// Every channel that this provider earns on.
#[derive(Debug)]
pub(super) struct Earnings {
    key: CloseKey,
    channels: Table<[u8; 32], Box<Channel>>,
    /// How fast the shell sees what happens to them, once it has said so.
    pace: Option<Pace>,
    /// The share of the looks that those need together which the ledger shows funded.
    taken: u64,
    /// Channels of which a close could not be seen in time, to be closed.
    unwatchable: BTreeSet<[u8; 32]>,
    /// Of closes under way, and of looks at channels that are gone.
    deadlines: Deadlines<[u8; 32]>,
}

/// What close orders are signed with: made of its seed each time, which is seldom, as the key itself is large.
pub(super) struct CloseKey {
    seed: Zeroizing<[u8; 32]>,
}

/// Which close the user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Close {
    /// Of every channel that pays for it.
    UnlessDust,
    /// Of this one.
    Anyway,
}

#[derive(Debug)]
struct Channel {
    earner: Earner,
    /// Who named it first, from where and when.
    origin: Origin,
    since: Time,
    /// When a job was last to be paid on it, in this life.
    used: Time,
    /// Whether the ledger has shown it funded, in this life or an earlier one. Before that it is kept no longer than a job is
    /// on it, and nothing of it is written. (`CH-51`)
    is_established: bool,
    /// What the last claim of this life settles, so that it is not brought twice.
    claimed: Nano,
    /// What vouchers covered when it was read back from disk: so much may have been claimed before.
    covered_before: Nano,
    close: Bringing,
    /// Of one that is gone.
    looks: Looks,
}

/// A close that is brought to the ledger until that shows it.
#[derive(Debug, Default)]
struct Bringing {
    /// When it was last brought.
    at: Option<Time>,
    times: u32,
    /// Whether the contract refused it the last time.
    refused: bool,
}

/// A channel that a task is to be paid on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learnt {
    pub(super) account: [u8; 32],
    /// The channel whose place it takes: what runs on that one must end.
    pub(super) in_place_of: Option<[u8; 32]>,
}

impl Earnings {
    pub(super) fn restored(key: CloseKey, payee: &Payee, records: Vec<Record>, outbox: &mut Outbox) -> Self {
        let mut channels = Table::default();
        let mut deadlines = Deadlines::default();
        for record in records {
            match record {
                Record::Earning(earning) => {
                    let earner = Earner::restored(earning);
                    if earner.terms().provider_key != payee.key {
                        // Its vouchers can still be claimed; it is the client that will have to close.
                        announce(&earner, ChannelChange::Mismatch(Mismatch::Key), outbox);
                    }
                    if !earner.is_gone() {
                        outbox.call(LedgerCall::Watch { account: earner.account() });
                    }
                    let origin = Origin { node: earner.client(), prefix: Prefix::UNKNOWN };
                    let mut channel = Channel::new(earner, origin, Time(0));
                    channel.is_established = true;
                    deadlines.touch(channel.earner.account());
                    channels.insert(channel.earner.account(), Box::new(channel));
                }
                Record::ChannelGone { account } => {
                    channels.remove(&account);
                }
                Record::Paying(_) | Record::Receipt { .. } | Record::Reputation(_) => {}
            }
        }
        Self { key, channels, pace: None, taken: 0, unwatchable: BTreeSet::new(), deadlines }
    }

    /// Those that are not gone from the ledger, as far as it tells.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Earner> {
        self.channels.values().map(|channel| &channel.earner).filter(|earner| !earner.is_gone())
    }

    pub(super) fn find(&mut self, account: &[u8; 32]) -> Option<&mut Earner> {
        self.channels.get_mut(account).map(|channel| &mut channel.earner).filter(|earner| !earner.is_gone())
    }

    /// Writes what may be lost on a channel, where that is more than the record says: before it is served. (`CH-38`)
    pub(super) fn secure(&mut self, account: &[u8; 32], outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get_mut(account)
            && channel.earner.is_beyond_record()
        {
            channel.persist(outbox);
        }
    }

    /// What a job that is over left unpaid is given up. (`CH-9`)
    pub(super) fn write_off(&mut self, account: &[u8; 32], amount: Nano, outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.earner.write_off(amount);
            if channel.earner.seen().is_some() {
                channel.persist(outbox);
            }
        }
    }

    /// Learns a channel from the terms that a client proposes; its address follows from them. (`CH-1`)
    pub(super) fn learn(
        &mut self,
        now: Time,
        terms: ChannelTerms,
        origin: Origin,
        payee: &Payee,
        has_paid: impl Fn(&NodeId) -> bool,
        outbox: &mut Outbox,
    ) -> Result<Learnt, Refusal> {
        let mine = terms.provider_key == payee.key && terms.provider == payee.address;
        let fits = terms.network_id == payee.network_id && terms.challenge_s >= payee.challenge_s;
        if !mine || !fits {
            return Err(Refusal::ChannelTerms);
        }
        let terms = AgreedTerms::from(terms);
        let account = terms.account().hash;
        if let Some(known) =
            self.channels.get_mut(&account).filter(|known| known.earner.client() == origin.node)
        {
            known.used = now;
        }
        // The account is a hash of the terms, so that those of a known channel have been checked.
        match self.channels.get(&account) {
            // Vouchers of one channel come from one client: a stranger could only confuse the count.
            Some(known) if known.earner.client() != origin.node => Err(Refusal::ChannelTerms),
            Some(known) if known.earner.is_gone() => {
                self.come_back(&account, outbox);
                Ok(Learnt { account, in_place_of: None })
            }
            Some(known) if known.earner.is_ending() => Err(Refusal::Unfunded),
            Some(known) => {
                // The shell watches for a while what nobody funds, and then no more.
                if known.earner.seen().is_none() {
                    outbox.call(LedgerCall::Watch { account });
                }
                Ok(Learnt { account, in_place_of: None })
            }
            None if terms.check(payee.network_id).is_err() => Err(Refusal::ChannelTerms),
            None if !self.has_room_for(terms.challenge_s) => {
                self.make_room(now, outbox);
                Err(Refusal::ChallengeTooShort)
            }
            None => {
                let in_place_of = self.room(origin, has_paid)?;
                let channel = Channel::new(Earner::new(terms, origin.node), origin, now);
                self.channels.insert(account, Box::new(channel));
                outbox.call(LedgerCall::Watch { account });
                Ok(Learnt { account, in_place_of })
            }
        }
    }

    /// Whose place a new channel of this client takes, if one must go. Of those that the ledger has not shown: the oldest of
    /// the same client, or one of a stranger. Of those that it has shown and that were never paid on, the oldest. (`CH-51`)
    fn room(
        &self,
        newcomer: Origin,
        has_paid: impl Fn(&NodeId) -> bool,
    ) -> Result<Option<[u8; 32]>, Refusal> {
        let held = |is_held: &dyn Fn(&Channel) -> bool| -> Vec<([u8; 32], Origin, Time)> {
            let held = self.channels.iter().filter(|(_, channel)| is_held(channel));
            held.map(|(account, channel)| (*account, channel.origin, channel.since)).collect()
        };
        let unfunded = held(&|channel| !channel.is_established);
        let own: Vec<_> = unfunded.iter().copied().filter(|(_, of, _)| of.node == newcomer.node).collect();
        if own.len() >= limits::UNFUNDED_PER_CLIENT_MAX {
            return Ok(fair::victim(&own, newcomer));
        }
        if unfunded.len() >= limits::UNFUNDED_MAX {
            let strangers: Vec<_> =
                unfunded.iter().copied().filter(|(_, of, _)| !has_paid(&of.node)).collect();
            let all_paid = strangers.is_empty() && has_paid(&newcomer.node);
            let out = fair::victim(if all_paid { &unfunded } else { &strangers }, newcomer);
            return out.map(Some).ok_or(Refusal::Busy);
        }
        if self.channels.len().saturating_sub(unfunded.len()) >= limits::CHANNELS_MAX {
            let idle = held(&|channel| channel.is_established && !channel.earner.has_vouchers());
            let oldest = idle.into_iter().min_by_key(|(_, _, since)| *since);
            return oldest.map(|(account, ..)| Some(account)).ok_or(Refusal::Busy);
        }
        Ok(None)
    }

    /// Whether the ledger has never shown this channel funded.
    pub(super) fn is_unfunded(&self, account: &[u8; 32]) -> bool {
        self.channels.get(account).is_some_and(|channel| !channel.is_established)
    }

    /// Whether the ledger has not shown this channel funded since this node started: then it has credit at the most.
    pub(super) fn is_unseen(&self, account: &[u8; 32]) -> bool {
        let seen = |channel: &Channel| channel.earner.seen().is_some_and(|state| state.epoch != 0);
        self.channels.get(account).is_some_and(|channel| !seen(channel))
    }

    /// What is unpaid on a channel or may become so, and whose it is.
    pub(super) fn lent(&self, account: &[u8; 32]) -> Option<(Origin, Nano)> {
        self.channels.get(account).map(|channel| (channel.origin, channel.earner.lent()))
    }

    /// Whether there is a reason to keep a channel that the ledger has not shown and no job is on: a voucher, for a while.
    pub(super) fn is_awaited(&self, now: Time, account: &[u8; 32]) -> bool {
        let is_kept = |channel: &Channel| {
            channel.is_established
                || (channel.earner.has_vouchers() && now < channel.since + limits::EARLY_KEPT)
        };
        self.channels.get(account).is_some_and(|channel| is_kept(channel))
    }

    /// Every channel that the ledger has not shown.
    pub(super) fn unfunded(&self) -> impl Iterator<Item = [u8; 32]> {
        self.channels.iter().filter(|(_, channel)| !channel.is_established).map(|(account, _)| *account)
    }

    /// Forgets a channel that nothing is on.
    pub(super) fn abandon(&mut self, account: &[u8; 32], outbox: &mut Outbox) {
        if self.channels.remove(account).is_some() {
            outbox.call(LedgerCall::Unwatch { account: *account });
            self.reckon();
        }
    }

    /// Whose vouchers count.
    pub(super) fn payers(&self) -> impl Iterator<Item = NodeId> {
        let paid = self.channels.values().filter(|channel| channel.earner.newest().is_some());
        paid.map(|channel| channel.earner.client())
    }

    /// One that was gone is named again: it is served as one that the ledger has not shown.
    fn come_back(&mut self, account: &[u8; 32], outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.earner.come_back();
            channel.persist(outbox);
            outbox.call(LedgerCall::Watch { account: *account });
            self.deadlines.touch(*account);
        }
    }

    /// Takes a voucher, and writes it before anything is served on the strength of it.
    pub(super) fn take(
        &mut self,
        account: &[u8; 32],
        payment: Payment,
        settle_at: Nano,
        outbox: &mut Outbox,
    ) -> Result<Took, VoucherFault> {
        let Some(channel) = self.channels.get_mut(account) else { return Ok(Took::Nothing) };
        let mismatch = channel.earner.mismatch(payment.cumulative);
        let took = channel.earner.take(payment);
        // One for another funding than the one shown is kept as well. What the ledger may never show is not written: a crash
        // costs the credit at the most. (`CH-51`)
        let is_kept = matches!(took, Ok(Took::More | Took::Early) | Err(VoucherFault::Epoch));
        if is_kept && channel.is_established {
            channel.persist(outbox);
        }
        if took == Ok(Took::More) {
            if let Some(mismatch) = mismatch {
                announce(&channel.earner, ChannelChange::Mismatch(mismatch), outbox);
            }
            channel.claim_if_due(settle_at, outbox);
            if channel.earner.is_ordered() {
                // The close under way is for less: it is brought anew, at once.
                channel.close = Bringing::default();
                self.deadlines.touch(*account);
            }
        }
        took
    }

    /// Takes what the ledger says. Returns the account whose jobs may go on, or must stop.
    pub(super) fn ledger(&mut self, now: Time, event: &LedgerEvent, outbox: &mut Outbox) -> Option<[u8; 32]> {
        self.deadlines.touch(event.account());
        match event {
            LedgerEvent::Channel { account, state: Some(state) } => {
                let channel = self.channels.get_mut(account)?;
                let was_open = channel.earner.is_open();
                let was_funded = channel.is_funded();
                let observed = channel.earner.observe(*state);
                let is_new = state.epoch != 0 && !channel.is_established;
                channel.is_established |= is_new;
                if observed.counts || (is_new && channel.earner.has_vouchers()) {
                    channel.persist(outbox);
                }
                if let Some(mismatch) = observed.mismatch {
                    announce(&channel.earner, ChannelChange::Mismatch(mismatch), outbox);
                }
                if !was_open && channel.earner.is_open() {
                    announce(&channel.earner, ChannelChange::Open { deposit: state.deposit }, outbox);
                }
                if state.closing.is_some() && !channel.earner.is_ordered() {
                    announce(&channel.earner, ChannelChange::Closing, outbox);
                    // The client is leaving: settle and give its rest back now rather than after the challenge.
                    channel.order(outbox);
                }
                if channel.is_funded() != was_funded {
                    self.funded(account, outbox);
                }
                Some(*account)
            }
            LedgerEvent::Channel { account, state: None } => self.absent(now, account, outbox),
            LedgerEvent::Failed { account, fault, .. } => {
                let channel = self.channels.get_mut(account)?;
                channel.claimed = Nano::ZERO;
                channel.close.refused = matches!(fault, LedgerFault::Refused { .. });
                announce(&channel.earner, ChannelChange::Failed(*fault), outbox);
                None
            }
        }
    }

    /// The ledger shows no such account. What vouchers are held on it is kept, because that may be untrue. (`CH-37`)
    fn absent(&mut self, now: Time, account: &[u8; 32], outbox: &mut Outbox) -> Option<[u8; 32]> {
        let channel = self.channels.get_mut(account)?;
        if channel.earner.is_gone() {
            // The answer to a look.
            outbox.call(LedgerCall::Unwatch { account: *account });
            return None;
        }
        // One that was never there is waited for.
        if channel.earner.seen().is_none() && channel.earner.newest().is_none() {
            return None;
        }
        let cumulative = channel.earner.paid();
        announce(&channel.earner, ChannelChange::Closed { cumulative }, outbox);
        outbox.call(LedgerCall::Unwatch { account: *account });
        channel.earner.vanish();
        channel.close = Bringing::default();
        channel.claimed = Nano::ZERO;
        channel.looks = Looks::after(now);
        if channel.earner.is_worth_keeping() {
            channel.persist(outbox);
            self.forget_least(outbox);
        } else {
            self.forget(account, outbox);
        }
        self.reckon();
        Some(*account)
    }

    /// Forgets the channel that is gone with the least at stake, where more are kept than may be.
    fn forget_least(&mut self, outbox: &mut Outbox) {
        let gone = || self.channels.values().map(|channel| &channel.earner).filter(|earner| earner.is_gone());
        if gone().count() <= limits::GONE_MAX {
            return;
        }
        if let Some(account) =
            gone().min_by_key(|earner| (earner.paid(), earner.account())).map(Earner::account)
        {
            self.forget(&account, outbox);
        }
    }

    fn forget(&mut self, account: &[u8; 32], outbox: &mut Outbox) {
        self.channels.remove(account);
        outbox.persist(Record::ChannelGone { account: *account });
    }

    /// Closes that the ledger does not show are brought again, and those that are gone looked at. (`CH-33`)
    pub(super) fn timers(&mut self, now: Time, outbox: &mut Outbox) {
        for account in self.deadlines.due(now) {
            let Some(channel) = self.channels.get_mut(&account) else { continue };
            if channel.earner.is_gone() {
                if channel.looks.is_due(now) {
                    outbox.call(LedgerCall::Watch { account });
                }
                self.deadlines.set(account, channel.looks.at());
                continue;
            }
            if channel.closes_at().is_some_and(|at| now >= at) {
                channel.bring(now, &self.key, outbox);
            }
            self.deadlines.set(account, channel.closes_at());
        }
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Every channel that the ledger shows open.
    pub(super) fn open_accounts(&self) -> BTreeSet<[u8; 32]> {
        self.channels.iter().filter(|(_, channel)| channel.earner.is_open()).map(|(id, _)| *id).collect()
    }

    /// Whether something served on it may still be paid.
    pub(super) fn is_owing(&self, account: &[u8; 32]) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.earner.unpaid() > Nano::ZERO)
    }

    /// Closes a channel, unless that has begun. (`CH-17`) One that earned nothing is closed as well: the client's deposit
    /// comes back at once. One on which the little that is due would be lost stays, unless it was named. (`CH-26`)
    pub(super) fn close(&mut self, account: &[u8; 32], close: Close, outbox: &mut Outbox) {
        let Some(channel) = self.channels.get_mut(account) else { return };
        if close == Close::Anyway || !channel.earner.is_dust() {
            channel.order(outbox);
            self.deadlines.touch(*account);
        }
    }
}

impl CloseKey {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed: Zeroizing::new(seed) }
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.signing().verifying_key().to_bytes()
    }

    fn signing(&self) -> SigningKey {
        SigningKey::from_bytes(&self.seed)
    }
}

impl core::fmt::Debug for CloseKey {
    /// Nothing of it.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("CloseKey")
    }
}

impl Channel {
    /// Whether the ledger shows a deposit on it, which is what a close could take away.
    fn is_funded(&self) -> bool {
        self.earner.seen().is_some_and(|state| state.epoch != 0)
    }

    fn new(earner: Earner, origin: Origin, since: Time) -> Self {
        let covered_before = earner.paid();
        Self {
            earner,
            origin,
            since,
            used: since,
            is_established: false,
            claimed: Nano::ZERO,
            covered_before,
            close: Bringing::default(),
            looks: Looks::default(),
        }
    }

    fn persist(&mut self, outbox: &mut Outbox) {
        outbox.persist(Record::Earning(self.earner.record()));
        self.earner.recorded();
    }

    /// Decides for a close of the funding that it is in. That is on disk before the order is signed: who has it may bring it
    /// at any later time, and what was served since would be lost. (`CH-13`)
    fn order(&mut self, outbox: &mut Outbox) {
        if self.earner.seen().is_none() || self.earner.is_ordered() {
            return;
        }
        if let Some(epoch) = self.earner.epoch() {
            self.earner.order(epoch);
            self.close = Bringing::default();
            self.persist(outbox);
        }
    }

    /// When the close is brought, or brought again: every 30 s, and less and less often if the contract refuses it while no
    /// challenge runs. (`CH-33`)
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
    fn bring(&mut self, now: Time, key: &CloseKey, outbox: &mut Outbox) {
        let Some(epoch) = self.earner.epoch() else { return };
        self.close.at = Some(now);
        self.close.times = self.close.times.saturating_add(1);
        let voucher = self.newest_voucher();
        if let Some((voucher, signature)) = voucher
            && self.close.refused
            && self.close.times.is_multiple_of(2)
        {
            return outbox.call(LedgerCall::Claim { voucher, signature });
        }
        let cumulative = voucher.map_or(Nano::ZERO, |(voucher, _)| voucher.cumulative);
        let order = CloseOrder { account: self.earner.account(), epoch, cumulative };
        let signature = order.sign(&key.signing());
        outbox.call(LedgerCall::Close { voucher, order, signature });
    }

    /// Settles what vouchers cover once it is worth a message. (`CH-18`) What the ledger shows settled counts only as far as
    /// an earlier life may have claimed: an untrue word puts a claim off by one such amount, and no further.
    fn claim_if_due(&mut self, settle_at: Nano, outbox: &mut Outbox) {
        let shown = self.earner.seen().map_or(Nano::ZERO, |state| state.settled);
        let settled = self.claimed.max(shown.min(self.covered_before));
        let due = self.earner.paid().saturating_minus(settled) >= settle_at;
        if let Some((voucher, signature)) = self.newest_voucher().filter(|_| due && !self.earner.is_ending())
        {
            self.claimed = voucher.cumulative;
            outbox.call(LedgerCall::Claim { voucher, signature });
        }
    }

    fn newest_voucher(&self) -> Option<(Voucher, Signature)> {
        let Payment { epoch, cumulative, signature } = self.earner.newest()?;
        Some((Voucher { account: self.earner.account(), epoch, cumulative }, signature))
    }
}

fn announce(earner: &Earner, change: ChannelChange, outbox: &mut Outbox) {
    outbox.push(Output::Event(Event::Channel(ChannelNews {
        account: earner.account(),
        peer: earner.client(),
        change,
    })));
}
