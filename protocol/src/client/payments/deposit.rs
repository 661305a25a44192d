//! How much a client locks for a job, and when: more for providers that have served it well, and
//! nothing before there is something to pay for. (`CH-31`, `CH-32`)

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::channel::ledger::LedgerFault;
use crate::channel::pay::Payer;
use crate::client::config::ClientConfig;
use crate::ident::NodeId;
use crate::limits;
use crate::market::bid::Bid;
use crate::outbox::Outbox;
use crate::time::Time;

use super::Payments;
use super::channel::Channel;
use super::needs::{Acquaintance, Needs};

impl Payments {
    /// Returns a channel to this bidder with the job's ceiling set aside: the one there is, with a
    /// further deposit if need be, or a new one. The ledger hears of a new one in [`Self::fund`].
    /// (`CH-20`)
    pub(in crate::client) fn channel_for(
        &mut self,
        now: Time,
        bid: &Bid,
        needs: Needs,
        config: &ClientConfig,
        outbox: &mut Outbox,
    ) -> Result<ChannelId, PaymentFault> {
        let Needs { cost_max, draw, acquaintance } = needs;
        self.can_pay(bid, cost_max, acquaintance, config)?;
        let known = self.channels.values_mut().find(|channel| channel.pays(bid.provider, &bid.payee));
        let promised = known.as_ref().map_or(Nano::ZERO, |channel| channel.payer.cumulative());
        let deposit = acquaintance.deposit(config, cost_max, promised);
        let Some(channel) = known else {
            let terms = self.agree(&bid.payee, draw, config);
            let mut channel = Channel::proposed(now, Payer::opening(terms, bid.provider, deposit));
            channel.reserve(cost_max)?;
            return Ok(self.propose(channel));
        };
        if channel.payer.is_debt() {
            // The wallet may hold more by now.
            channel.asked_at = None;
        }
        if channel.payer.headroom() < cost_max {
            let amount = channel.addition(deposit, self.rest_max);
            channel.payer.top_up(amount);
            channel.deferred = channel.deferred.saturating_plus(amount);
            if channel.useful {
                channel.add_deferred(outbox);
            }
        }
        channel.reserve(cost_max)?;
        channel.used_at = Some(now);
        let is_low = channel.payer.headroom() < acquaintance.early_mark(deposit, cost_max);
        let account = channel.payer.account();
        let (rest_max, waits) = (self.rest_max, is_low && self.others_come_first(now, &account));
        if let Some(channel) = self.channel(&account).filter(|_| is_low && !waits) {
            channel.top_up_early(now, deposit, rest_max, outbox);
        }
        Ok(account)
    }

    /// Checks that a job of this ceiling can be paid to this bidder: on the channel there is, with a further deposit if need be,
    /// or on a new one.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not.
    pub(in crate::client) fn can_pay(
        &self,
        bid: &Bid,
        cost_max: Nano,
        acquaintance: Acquaintance,
        config: &ClientConfig,
    ) -> Result<(), PaymentFault> {
        self.may_pay(bid, cost_max, acquaintance, config)?;
        if self.payer(bid).is_none() { self.check_terms(&bid.payee, config) } else { Ok(()) }
    }

    /// Checks the same but for the keys in a new channel's terms, which takes longer: for each bid that comes.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why not.
    pub(in crate::client) fn may_pay(
        &self,
        bid: &Bid,
        cost_max: Nano,
        acquaintance: Acquaintance,
        config: &ClientConfig,
    ) -> Result<(), PaymentFault> {
        let known = self.payer(bid);
        if known.is_none() {
            self.may_open(&bid.payee, acquaintance.challenge_s_max(config))?;
        }
        self.fits(known, cost_max, acquaintance, config)
    }

    /// Returns the most that a job with this bidder can cost, which cannot be paid for what it may cost.
    pub(in crate::client) fn payable_max(
        &self,
        bid: &Bid,
        acquaintance: Acquaintance,
        config: &ClientConfig,
    ) -> Nano {
        let known = self.payer(bid);
        let opens = || self.may_open(&bid.payee, acquaintance.challenge_s_max(config)).is_ok();
        if known.is_some() || opens() { self.room_for(known, acquaintance) } else { Nano::ZERO }
    }

    fn payer(&self, bid: &Bid) -> Option<&Payer> {
        let known = self.channels.values().find(|channel| channel.pays(bid.provider, &bid.payee));
        known.map(|channel| &channel.payer)
    }

    /// Returns the most that another job can cost on a channel, or on a new one, with what may be added to it.
    pub(super) fn room_for(&self, known: Option<&Payer>, acquaintance: Acquaintance) -> Nano {
        let of = |of: fn(&Payer) -> Nano| known.map_or(Nano::ZERO, of);
        let (headroom, rest, uncovered) = (of(Payer::headroom), of(Payer::rest), of(Payer::uncovered));
        let addition = self.rest_max.saturating_minus(rest).saturating_minus(uncovered);
        headroom.saturating_plus(addition).min(acquaintance.room).max(headroom)
    }

    /// Checks that a job of this ceiling has room on a channel, or on a new one.
    pub(in crate::client) fn fits(
        &self,
        known: Option<&Payer>,
        cost_max: Nano,
        acquaintance: Acquaintance,
        config: &ClientConfig,
    ) -> Result<(), PaymentFault> {
        if cost_max <= self.room_for(known, acquaintance) {
            Ok(())
        } else if cost_max > acquaintance.room {
            Err(PaymentFault::StrangersLocked { needs: cost_max, most: config.policy.strangers_locked_max })
        } else if cost_max > self.rest_max {
            Err(PaymentFault::DepositTooLow { needs: cost_max, most: self.rest_max })
        } else {
            let taken = known.map_or(Nano::ZERO, Payer::reserved);
            Err(PaymentFault::DepositInUse { taken, most: self.rest_max })
        }
    }

    /// Returns whether a job of this ceiling can be paid to this bidder without a word to the ledger.
    pub(in crate::client) fn holds(&self, bid: &Bid, cost_max: Nano) -> bool {
        let mut known = self.channels.values().filter(|channel| channel.pays(bid.provider, &bid.payee));
        known.any(|channel| {
            let payer = &channel.payer;
            payer.is_open() && payer.headroom().saturating_minus(channel.deferred) >= cost_max
        })
    }

    /// Returns whether a channel that stands with another provider holds anything.
    pub(in crate::client) fn holds_for_others(&self, provider: Option<NodeId>) -> bool {
        let mut others = self.channels.values().filter(|other| Some(other.payer.provider()) != provider);
        others.any(|channel| {
            let payer = &channel.payer;
            payer.is_open() && payer.is_usable() && payer.headroom() > channel.deferred
        })
    }

    /// Returns how much more a job of this ceiling would lock with this bidder.
    pub(in crate::client) fn would_lock(
        &self,
        bid: &Bid,
        cost_max: Nano,
        acquaintance: Acquaintance,
        config: &ClientConfig,
    ) -> Nano {
        let known = self.channels.values().find(|channel| channel.pays(bid.provider, &bid.payee));
        match known {
            Some(channel) if channel.payer.headroom() >= cost_max => Nano::ZERO,
            Some(channel) => acquaintance.deposit(config, cost_max, channel.payer.cumulative()),
            None => acquaintance.deposit(config, cost_max, Nano::ZERO),
        }
    }

    /// Writes the channel down and asks the ledger for it, unless that was done, and for the deferred
    /// part. There is something to pay for: the provider has delivered (`useful`), or has taken the
    /// task and waits for money. (`CH-32`)
    pub(in crate::client) fn fund(
        &mut self,
        now: Time,
        account: &ChannelId,
        useful: bool,
        outbox: &mut Outbox,
    ) {
        let Some(channel) = self.channel(account) else { return };
        channel.useful |= useful;
        if channel.payer.is_open() || channel.funding {
            if !channel.useful {
                channel.asked_at = Some(now);
            }
            return channel.add_deferred(outbox);
        }
        // An opening of unknown fate is asked for again as it was: if it is there, the ledger adds nothing to it.
        if channel.useful && !channel.maybe_sent {
            channel.deferred = Nano::ZERO;
        }
        let asked_lately = channel.asked_at.is_some_and(|asked| now < asked + limits::LEDGER_WAIT);
        if channel.payer.is_usable() && channel.opening_deposit() > Nano::ZERO && !asked_lately {
            channel.recorded = true;
            channel.asked_at = Some(now);
            channel.payer.open();
            channel.unopened = None;
            channel.persist(outbox);
            channel.open(outbox);
            self.proposed.remove(account);
        }
    }

    /// Returns whether a channel holds too little for one job to begin on: all that is missing waits until it was of use.
    /// Such a channel was opened by the user, who gave it less than a job can cost.
    pub(in crate::client) fn is_too_small(&self, account: &ChannelId, cost_max: Nano) -> bool {
        self.channels.get(account).is_some_and(|channel| {
            let payer = &channel.payer;
            let held = payer.headroom().saturating_plus(payer.reserved()).saturating_minus(channel.deferred);
            payer.is_open() && channel.deferred > Nano::ZERO && held < cost_max
        })
    }

    /// Asks for what is missing, if the channel does not cover its jobs any more because more was
    /// promised on it than this node remembered. (`CH-24`)
    pub(in crate::client) fn cover(&mut self, account: &ChannelId, outbox: &mut Outbox) {
        let Some(channel) = self.channel(account) else { return };
        let payer = &channel.payer;
        let needs = payer.cumulative().saturating_plus(payer.reserved());
        let has = payer.cumulative().saturating_plus(payer.rest());
        let missing = needs.saturating_minus(has);
        if payer.is_open() && payer.is_usable() && !payer.is_covered() && missing > Nano::ZERO {
            channel.payer.top_up(missing);
            channel.ask_for_more(missing, outbox);
        }
    }

    /// Stops counting on the deferred part of a channel that is asked back: the ledger will not be
    /// asked for it. Returns why orders that need it cannot be paid.
    pub(in crate::client) fn forgo_deferred(&mut self, account: &ChannelId) -> Option<PaymentFault> {
        let channel = self.channel(account)?;
        if channel.payer.is_usable() || channel.deferred == Nano::ZERO {
            return None;
        }
        channel.forgo_deferred();
        Some(PaymentFault::Exhausted { account: channel.address(), why: LedgerFault::NotSent })
    }

    /// Adds to a deposit, because the user says so. Does nothing if the channel is not open, or is
    /// asked back.
    pub(in crate::client) fn top_up(&mut self, account: &ChannelId, amount: Nano, outbox: &mut Outbox) {
        let channel = self.channel(account);
        if let Some(channel) = channel.filter(|channel| channel.payer.is_open() && channel.payer.is_usable())
        {
            channel.top_up(amount, outbox);
        }
    }

    /// Returns how much is locked, asked for, or proposed with all strangers together.
    pub(in crate::client) fn locked_with(&self, is_stranger: impl Fn(&NodeId) -> bool) -> Nano {
        self.channels
            .values()
            .filter(|channel| !channel.payer.is_gone())
            .filter(|channel| is_stranger(&channel.payer.provider()))
            .map(|channel| channel.payer.rest().saturating_minus(channel.deferred))
            .fold(Nano::ZERO, Nano::saturating_plus)
    }

    /// Returns whether another stranger was given a channel a moment ago and has not delivered yet.
    /// (`CH-32`)
    pub(in crate::client) fn is_anothers_turn(
        &self,
        now: Time,
        account: &ChannelId,
        is_stranger: impl Fn(&NodeId) -> bool,
    ) -> bool {
        self.channels.iter().any(|(other, channel)| {
            other != account
                && !channel.useful
                && channel.payer.is_usable()
                && channel.asked_at.is_some_and(|asked| now < asked + limits::STRANGER_TURN)
                && is_stranger(&channel.payer.provider())
        })
    }
}
