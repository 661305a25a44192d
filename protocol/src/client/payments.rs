//! The client's channels: opened when first needed, topped up before they run dry, asked back at the end.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::fault::{Mismatch, PaymentFault};
use crate::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use crate::channel::looks::Looks;
use crate::channel::pay::{ClosingStep, Exhausted, Payer};
use crate::channel::record::Record;
use crate::channel::salt::salt;
use crate::channel::terms::{Address, ChannelTerms};
use crate::channel::voucher::{SignatureError, Voucher};
use crate::deadlines::Deadlines;
use crate::ident::NodeId;
use crate::io::{ChannelChange, ChannelNews, Event, Output};
use crate::limits;
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::wire::message::Payment;

use super::ClientConfig;

/// Every channel that this client pays on.
#[derive(Debug)]
pub(super) struct Payments {
    key: SigningKey,
    pub(super) channels: Table<[u8; 32], Box<Channel>>,
    /// Those that only a job knows: not written down, and not asked of the ledger.
    pub(super) proposed: BTreeSet<[u8; 32]>,
    /// Of closes under way and of channels without a job.
    deadlines: Deadlines<[u8; 32]>,
    /// How long a channel may be unused before its rest is asked back.
    idle: Option<Span>,
}

#[derive(Debug)]
pub(super) struct Channel {
    pub(super) payer: Payer,
    /// The last ledger call of a close, so that it is repeated only after a wait.
    acted_at: Option<Time>,
    /// A deposit or a part of one was asked of the ledger, and its fate is not known.
    pub(super) funding: bool,
    /// An opening may have been sent whose effect nobody has seen: no later failure shows that there is no deposit.
    pub(super) maybe_sent: bool,
    /// When a job last began or ended on it; of a restored one, the first moment of this life.
    pub(super) used_at: Option<Time>,
    /// Whether it is written down. Before, it is a proposal that nobody but a job knows.
    pub(super) recorded: bool,
    /// Whether anything was ever delivered for it, as far as this life knows.
    pub(super) useful: bool,
    /// When the ledger was asked to open it, in this life.
    pub(super) asked_at: Option<Time>,
    /// What of the deposit waits until the channel is open and was of use.
    pub(super) later: Nano,
    /// Of one that is gone.
    looks: Looks,
}

/// What a ledger event means for the orders on a channel.
#[derive(Debug, Default)]
pub(super) struct Affected {
    pub(super) account: [u8; 32],
    /// Vouchers can be signed that could not be before.
    pub(super) payable: bool,
    /// Orders that the channel does not cover any more end with this.
    pub(super) fault: Option<PaymentFault>,
}

impl Channel {
    fn new(payer: Payer, used_at: Option<Time>) -> Self {
        let useful = payer.cumulative() > Nano::ZERO;
        Self {
            payer,
            acted_at: None,
            funding: false,
            maybe_sent: false,
            used_at,
            recorded: true,
            useful,
            asked_at: None,
            later: Nano::ZERO,
            looks: Looks::default(),
        }
    }

    pub(super) fn address(&self) -> Address {
        Address::basechain(self.payer.account())
    }

    /// Whether a new job of this provider can be paid on it, as far as its terms go.
    pub(super) fn pays(&self, provider: NodeId, payee: &Payee) -> bool {
        let terms = self.payer.terms();
        self.payer.provider() == provider
            && self.payer.is_usable()
            && terms.provider_key == payee.key
            && terms.provider == payee.address
    }

    /// Asks the ledger for the channel. An opening whose fate is unknown is asked for again: the terms name one account,
    /// so the ledger tells whether it is there.
    pub(super) fn open(&mut self, outbox: &mut Outbox) {
        let terms = self.payer.terms().clone();
        let deposit = self.opening_deposit();
        self.funding = true;
        outbox.call(LedgerCall::Open { terms, deposit });
    }

    fn top_up(&mut self, amount: Nano, outbox: &mut Outbox) {
        self.payer.top_up(amount);
        self.ask_for_more(amount, outbox);
    }

    /// Asks the ledger for a part of the deposit that the payer counts on already.
    pub(super) fn ask_for_more(&mut self, amount: Nano, outbox: &mut Outbox) {
        // What was asked for is on disk before the ledger hears of it, so that a crash does not hide it.
        self.persist(outbox);
        self.funding = true;
        outbox.call(LedgerCall::TopUp { account: self.payer.account(), amount });
    }

    /// When an open channel without a job has been idle for this long.
    fn idle_at(&self, idle: Span) -> Option<Time> {
        let at_rest = self.payer.is_open() && self.payer.is_usable() && self.payer.reserved() == Nano::ZERO;
        self.used_at.filter(|_| at_rest).map(|used| used + idle)
    }

    /// When the next step of a close is due, or it has been idle for too long.
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

    /// The next step of a close, unless one was taken a moment ago.
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
                Some(LedgerCall::Claim { voucher, signature: voucher.sign(key) })
            }
        }
    }

    /// Writes it down; a proposal is not worth a record.
    pub(super) fn persist(&self, outbox: &mut Outbox) {
        if self.recorded {
            outbox.persist(Record::Paying(self.payer.record()));
        }
    }

    fn announce(&self, change: ChannelChange, outbox: &mut Outbox) {
        outbox.push(Output::Event(Event::Channel(ChannelNews {
            account: self.payer.account(),
            peer: self.payer.provider(),
            change,
        })));
    }

    /// Writes and tells what the store did not know. Returns the fault, if nothing can be paid here any more.
    fn mismatched(&self, mismatch: Mismatch, outbox: &mut Outbox) -> Option<PaymentFault> {
        self.persist(outbox);
        self.announce(ChannelChange::Mismatch(mismatch), outbox);
        (!mismatch.is_healed()).then(|| PaymentFault::Mismatch { account: self.address(), mismatch })
    }
}

/// Sets the most that a job can cost aside.
pub(super) fn reserve(payer: &mut Payer, cost_max: Nano) -> Result<(), PaymentFault> {
    let account = Address::basechain(payer.account());
    let exhausted = |Exhausted| PaymentFault::Exhausted { account, why: LedgerFault::NotSent };
    payer.reserve(cost_max).map_err(exhausted)
}

impl Payments {
    pub(super) fn restored(config: &ClientConfig, records: Vec<Record>, outbox: &mut Outbox) -> Self {
        let key = SigningKey::from_bytes(&config.channel_seed);
        let mut channels = Table::default();
        let mut deadlines = Deadlines::default();
        for record in records {
            match record {
                Record::Paying(paying) => {
                    let mut channel = Channel::new(Payer::restored(paying), None);
                    channel.maybe_sent = !channel.payer.is_open();
                    if channel.payer.terms().client_key != key.verifying_key().to_bytes() {
                        // Nothing can be signed on it, not even a close: it stays on disk for the key that can.
                        channel.announce(ChannelChange::Mismatch(Mismatch::Key), outbox);
                        continue;
                    }
                    if !channel.payer.is_gone() {
                        outbox.call(LedgerCall::Watch { account: channel.payer.account() });
                    }
                    channels.insert(channel.payer.account(), Box::new(channel));
                }
                Record::ChannelGone { account } => {
                    channels.remove(&account);
                }
                Record::Earning(_) | Record::Receipt { .. } | Record::Reputation(_) => {}
            }
        }
        channels.keys().for_each(|account| deadlines.touch(*account));
        Self { key, channels, proposed: BTreeSet::new(), deadlines, idle: config.policy.idle_close }
    }

    /// A channel that is about to change.
    pub(super) fn channel(&mut self, account: &[u8; 32]) -> Option<&mut Channel> {
        self.deadlines.touch(*account);
        self.channels.get_mut(account).map(|channel| &mut **channel)
    }

    /// It has changed, or is about to.
    pub(super) fn touch(&mut self, account: [u8; 32]) {
        self.deadlines.touch(account);
    }

    /// Every channel that the ledger may know, but for those that it has shown gone.
    pub(super) fn channels(&self) -> impl Iterator<Item = &Payer> {
        let recorded = self.channels.values().filter(|channel| channel.recorded);
        recorded.map(|channel| &channel.payer).filter(|payer| !payer.is_gone())
    }

    /// The user adds to a deposit. A channel that is not open, or is closing, takes nothing.
    pub(super) fn top_up(&mut self, account: &[u8; 32], amount: Nano, outbox: &mut Outbox) {
        let channel = self.channel(account);
        if let Some(channel) = channel.filter(|channel| channel.payer.is_open() && channel.payer.is_usable())
        {
            channel.top_up(amount, outbox);
        }
    }

    /// The account of the channel that jobs of this provider are paid on.
    pub(super) fn channel_to(&self, provider: NodeId, payee: &Payee) -> Option<[u8; 32]> {
        let channel = self.channels.values().find(|channel| channel.pays(provider, payee));
        channel.map(|channel| channel.payer.account())
    }

    /// A salt of this client's that none of its channels to this provider has, from one that `draw` picks. (`CH-28`)
    fn fresh_salt(&self, provider_key: &[u8; 32], draw: u64) -> u64 {
        let start = draw.checked_rem(u64::from(limits::SALTS_PER_PROVIDER)).unwrap_or(0);
        let start = u32::try_from(start).unwrap_or(0);
        let in_use = |salt: &u64| {
            let mut terms = self.channels.values().map(|channel| channel.payer.terms());
            terms.any(|terms| terms.provider_key == *provider_key && terms.salt == *salt)
        };
        let later = start..limits::SALTS_PER_PROVIDER;
        let mut salts = later.chain(0..start).map(|index| salt(self.key.as_bytes(), provider_key, index));
        salts.find(|salt| !in_use(salt)).unwrap_or(draw)
    }

    /// The terms of a new channel, if this node accepts what they would be.
    pub(super) fn agree(
        &self,
        payee: &Payee,
        deposit: Nano,
        draw: u64,
        config: &ClientConfig,
    ) -> Result<ChannelTerms, PaymentFault> {
        let policy = &config.policy;
        if self.channels().count() >= limits::CHANNELS_MAX {
            return Err(PaymentFault::TooManyChannels { most: limits::CHANNELS_MAX });
        }
        if payee.challenge_s > policy.challenge_s_max.max(config.challenge_s) {
            let (wanted_s, most_s) = (payee.challenge_s, policy.challenge_s_max);
            return Err(PaymentFault::ChallengeTooLong { wanted_s, most_s });
        }
        if deposit > policy.deposit_max {
            return Err(PaymentFault::DepositTooLow { needs: deposit, most: policy.deposit_max });
        }
        let terms = ChannelTerms {
            network_id: payee.network_id,
            salt: self.fresh_salt(&payee.key, draw),
            client_key: self.key.verifying_key().to_bytes(),
            provider_key: payee.key,
            client: config.wallet,
            provider: payee.address,
            challenge_s: config.challenge_s.max(payee.challenge_s),
        };
        // A provider whose own terms cannot be accepted would get a channel that nobody can leave.
        terms.check(config.network_id)?;
        Ok(terms)
    }

    /// Writes a new channel down and asks the ledger for it.
    pub(super) fn open(&mut self, now: Time, payer: Payer, outbox: &mut Outbox) -> [u8; 32] {
        let account = self.propose(now, payer);
        self.fund(now, &account, false, outbox);
        account
    }

    /// Keeps the terms of a channel that a job may need.
    pub(super) fn propose(&mut self, now: Time, payer: Payer) -> [u8; 32] {
        let channel = Channel { recorded: false, ..Channel::new(payer, Some(now)) };
        let account = channel.payer.account();
        self.deadlines.touch(account);
        self.proposed.insert(account);
        self.channels.insert(account, Box::new(channel));
        account
    }

    pub(super) fn terms(&self, account: &[u8; 32]) -> Option<ChannelTerms> {
        self.channels.get(account).map(|channel| ChannelTerms::clone(channel.payer.terms()))
    }

    pub(super) fn is_open(&self, account: &[u8; 32]) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.payer.is_open())
    }

    /// Why a provider may say that a channel is not funded: what this node asked of the ledger has not come about.
    pub(super) fn unfunded(&self, account: &[u8; 32]) -> Option<PaymentFault> {
        let channel = self.channels.get(account).filter(|channel| channel.recorded)?;
        let (account, why) = (channel.address(), LedgerFault::Unknown);
        match (channel.payer.is_open(), channel.funding) {
            (false, _) => Some(PaymentFault::NotOpened { account, why }),
            (true, true) => Some(PaymentFault::Exhausted { account, why }),
            (true, false) => None,
        }
    }

    pub(super) fn payment(&self, account: &[u8; 32]) -> Option<Payment> {
        self.channels.get(account).and_then(|channel| channel.payer.payment(&self.key))
    }

    pub(super) fn owe(&mut self, account: &[u8; 32], amount: Nano) -> Result<(), Exhausted> {
        self.channel(account).ok_or(Exhausted)?.payer.owe(amount)
    }

    /// Sets aside what a job that is over may still be paid, as far as those that run leave it.
    pub(super) fn set_aside(&mut self, account: &[u8; 32], most: Nano) -> Nano {
        let Some(channel) = self.channel(account) else { return Nano::ZERO };
        let amount = most.min(channel.payer.headroom());
        channel.payer.reserve(amount).map_or(Nano::ZERO, |()| amount)
    }

    /// A job on a channel is over: what it did not use is free for others.
    pub(super) fn release(&mut self, now: Time, account: &[u8; 32], unused: Nano) {
        if let Some(channel) = self.channel(account) {
            channel.payer.release(unused);
            channel.used_at = Some(now);
        }
    }

    /// Whether the orders that are left on a channel can be paid in spite of a fault: it is open, and its deposit covers them.
    /// One that is asked back still pays what it holds, unless something else is wrong with it.
    pub(super) fn covers(&self, account: &[u8; 32], fault: PaymentFault) -> bool {
        let is_short = matches!(fault, PaymentFault::Exhausted { .. });
        self.channels.get(account).is_some_and(|channel| {
            let payer = &channel.payer;
            payer.is_open() && (is_short || payer.is_usable()) && payer.is_covered()
        })
    }

    pub(super) fn persist(&self, account: &[u8; 32], outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get(account) {
            channel.persist(outbox);
        }
    }

    /// A provider shows the newest of this client's vouchers: after a loss of state it may be newer than what this client
    /// knows. Returns why nothing can be paid on the channel any more, if that is so. (`CH-8`, `CH-24`)
    ///
    /// # Errors
    /// A voucher that this client's key never signed: it says nothing about what was signed.
    pub(super) fn recover(
        &mut self,
        account: &[u8; 32],
        newest: Option<Payment>,
        outbox: &mut Outbox,
    ) -> Result<Option<PaymentFault>, SignatureError> {
        let key = self.key.verifying_key().to_bytes();
        let Some(channel) = self.channel(account) else { return Ok(None) };
        let voucher = newest
            .map(|newest| {
                let voucher =
                    Voucher { account: *account, epoch: newest.epoch, cumulative: newest.cumulative };
                voucher.verify(&key, &newest.signature).map(|()| voucher)
            })
            .transpose()?;
        let mismatch = channel.payer.recover(voucher.as_ref());
        Ok(mismatch.and_then(|mismatch| channel.mismatched(mismatch, outbox)))
    }

    /// The user wants every rest back, also of channels that are gone and may be shown again.
    pub(super) fn settle(&mut self, now: Time, outbox: &mut Outbox) {
        for (account, channel) in self.channels.iter_mut() {
            channel.payer.want_close();
            channel.persist(outbox);
            self.deadlines.touch(*account);
        }
        self.timers(now, outbox);
    }

    /// One channel is of no use any more.
    pub(super) fn give_up(&mut self, now: Time, account: &[u8; 32], outbox: &mut Outbox) {
        if let Some(channel) = self.channel(account) {
            channel.payer.want_close();
            channel.persist(outbox);
        }
        self.timers(now, outbox);
    }

    pub(super) fn ledger(&mut self, now: Time, event: &LedgerEvent, outbox: &mut Outbox) -> Affected {
        match event {
            LedgerEvent::Channel { account, state: Some(state) } => self.seen(now, account, state, outbox),
            LedgerEvent::Channel { account, state: None } => {
                let closed = PaymentFault::Closed { account: Address::basechain(*account) };
                let fault = self.absent(now, account, outbox).then_some(closed);
                Affected { account: *account, fault, payable: false }
            }
            LedgerEvent::Failed { account, top_up, fault } => {
                let fault = self.call_failed(account, *top_up, *fault, outbox);
                Affected { account: *account, fault, payable: false }
            }
        }
    }

    fn seen(&mut self, now: Time, account: &[u8; 32], state: &ChannelState, outbox: &mut Outbox) -> Affected {
        let mut affected = Affected { account: *account, ..Affected::default() };
        // What nobody has asked for is not there, whoever says so and whoever paid for it.
        let Some(channel) = self.channel(account).filter(|channel| channel.recorded) else { return affected };
        let was_closing = channel.payer.is_closing();
        let observed = channel.payer.observe(now, state);
        if channel.payer.is_closing() != was_closing {
            channel.acted_at = None;
        }
        if observed.changed {
            channel.funding = false;
            channel.persist(outbox);
            let change = match state.closing {
                Some(_) => ChannelChange::Closing,
                None => ChannelChange::Open { deposit: state.deposit },
            };
            channel.announce(change, outbox);
            affected.payable = state.closing.is_none();
        }
        if let Some(mismatch) = observed.mismatch {
            affected.fault = channel.mismatched(mismatch, outbox);
        }
        channel.add_later(outbox);
        affected
    }

    /// A ledger call failed. Returns what that means for the orders that waited for it.
    fn call_failed(
        &mut self,
        account: &[u8; 32],
        top_up: Option<Nano>,
        why: LedgerFault,
        outbox: &mut Outbox,
    ) -> Option<PaymentFault> {
        let channel = self.channel(account)?;
        channel.announce(ChannelChange::Failed(why), outbox);
        let account = channel.address();
        if channel.payer.is_open() {
            let amount = top_up?;
            channel.funding = false;
            channel.payer.top_up_failed(amount, why.is_certain());
            return Some(PaymentFault::Exhausted { account, why });
        }
        channel.funding = false;
        let deposit = channel.opening_deposit();
        // The orders that it waited for end with the opening.
        channel.forgo_later();
        channel.maybe_sent |= !why.is_certain();
        // A deposit that never left is forgotten, and no other. (`CH-29`)
        if !channel.maybe_sent {
            outbox.persist(Record::ChannelGone { account: account.hash });
            self.channels.remove(&account.hash);
        }
        Some(match why {
            LedgerFault::Funds => PaymentFault::NoFunds { deposit },
            LedgerFault::NotSent | LedgerFault::Refused { .. } | LedgerFault::Unknown => {
                PaymentFault::NotOpened { account, why }
            }
        })
    }

    /// The ledger shows no such account: not there yet, or gone after it was there, or an untrue answer. Whether its orders
    /// must end. (`CH-37`)
    fn absent(&mut self, now: Time, account: &[u8; 32], outbox: &mut Outbox) -> bool {
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
        channel.announce(ChannelChange::Closed { cumulative: channel.payer.cumulative() }, outbox);
        outbox.call(LedgerCall::Unwatch { account: *account });
        self.forget_least(outbox);
        true
    }

    /// Forgets the channel that is gone with the least at stake, where more are kept than may be.
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

    /// Closes that are under way take their next step; one begins where a channel has been idle for too long. (`CH-25`)
    pub(super) fn timers(&mut self, now: Time, outbox: &mut Outbox) {
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

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
