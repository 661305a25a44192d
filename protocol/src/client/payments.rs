//! The client's channels: opened when first needed, topped up before they run dry, asked back at the end.

use std::collections::BTreeMap;

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::ledger::{LedgerCall, LedgerEvent, LedgerFault};
use crate::channel::pay::{ClosingStep, Exhausted, Payer};
use crate::channel::record::Record;
use crate::channel::terms::ChannelTerms;
use crate::channel::voucher::Voucher;
use crate::io::{ChannelChange, ChannelNews, Event, Output};
use crate::limits;
use crate::market::bid::Bid;
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::message::Payment;

use super::ClientConfig;

/// Every channel that this client pays on.
#[derive(Debug)]
pub(super) struct Payments {
    key: SigningKey,
    channels: BTreeMap<[u8; 32], Channel>,
}

#[derive(Debug)]
struct Channel {
    payer: Payer,
    /// The last ledger call of a close, so that it is repeated only after a wait.
    acted_at: Option<Time>,
    topping_up: bool,
}

/// What a ledger event means for the orders on a channel.
#[derive(Debug, Default)]
pub(super) struct Affected {
    pub(super) account: [u8; 32],
    /// Vouchers can be signed that could not be before.
    pub(super) payable: bool,
    /// Nothing can be paid on it any more.
    pub(super) unusable: Option<LedgerFault>,
}

impl Channel {
    fn top_up(&mut self, amount: Nano, outbox: &mut Outbox) {
        self.payer.top_up(amount);
        self.topping_up = true;
        outbox.persist(Record::Paying(self.payer.record()));
        outbox.push(Output::Ledger(LedgerCall::TopUp { account: self.payer.account(), amount }));
    }
}

impl Payments {
    pub(super) fn restored(key: SigningKey, records: Vec<Record>, outbox: &mut Outbox) -> Self {
        let mut channels = BTreeMap::new();
        for record in records {
            match record {
                Record::Paying(paying) => {
                    let payer = Payer::restored(paying);
                    outbox.push(Output::Ledger(LedgerCall::Watch { account: payer.account() }));
                    channels.insert(payer.account(), Channel { payer, acted_at: None, topping_up: false });
                }
                Record::ChannelGone { account } => {
                    channels.remove(&account);
                }
                Record::Earning(_) | Record::Receipt { .. } => {}
            }
        }
        Self { key, channels }
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = &Payer> {
        self.channels.values().map(|channel| &channel.payer)
    }

    /// A channel to this bidder with `cost_max` reserved on it: the one there is, topped up if need be, or a new one.
    /// (`CH-20`)
    pub(super) fn channel_for(
        &mut self,
        bid: &Bid,
        cost_max: Nano,
        salt: u64,
        config: &ClientConfig,
        outbox: &mut Outbox,
    ) -> Result<[u8; 32], LedgerFault> {
        let known = self.channels.values_mut().find(|channel| {
            let terms = channel.payer.terms();
            channel.payer.provider() == bid.provider
                && channel.payer.is_usable()
                && terms.provider_key == bid.payee.key
                && terms.provider == bid.payee.address
                && (channel.payer.headroom() >= cost_max || channel.payer.is_open())
        });
        if let Some(channel) = known {
            if channel.payer.headroom() < cost_max {
                channel.top_up(cost_max.max(config.deposit), outbox);
            }
            channel.payer.reserve(cost_max).map_err(|Exhausted| LedgerFault::Funds)?;
            return Ok(channel.payer.account());
        }
        if self.channels.len() >= limits::CHANNELS_MAX {
            return Err(LedgerFault::Refused);
        }
        self.open(bid, cost_max, salt, config, outbox)
    }

    /// The user adds to a deposit. A channel that is not open, or is closing, takes nothing.
    pub(super) fn top_up(&mut self, account: &[u8; 32], amount: Nano, outbox: &mut Outbox) {
        let channel = self.channels.get_mut(account);
        if let Some(channel) = channel.filter(|channel| channel.payer.is_open() && channel.payer.is_usable())
        {
            channel.top_up(amount, outbox);
        }
    }

    fn open(
        &mut self,
        bid: &Bid,
        cost_max: Nano,
        salt: u64,
        config: &ClientConfig,
        outbox: &mut Outbox,
    ) -> Result<[u8; 32], LedgerFault> {
        let terms = ChannelTerms {
            network_id: config.network_id,
            salt,
            client_key: self.key.verifying_key().to_bytes(),
            provider_key: bid.payee.key,
            client: config.wallet,
            provider: bid.payee.address,
            challenge_s: config.challenge_s.max(bid.payee.challenge_s),
        };
        // A bidder whose own terms cannot be accepted would get a channel that nobody can leave.
        terms.check(config.network_id).map_err(|_| LedgerFault::Refused)?;
        let deposit = config.deposit.max(cost_max);
        let mut payer = Payer::opening(terms.clone(), bid.provider, deposit);
        payer.reserve(cost_max).map_err(|Exhausted| LedgerFault::Funds)?;
        let account = payer.account();
        outbox.persist(Record::Paying(payer.record()));
        outbox.push(Output::Ledger(LedgerCall::Open { terms: Box::new(terms), deposit }));
        self.channels.insert(account, Channel { payer, acted_at: None, topping_up: false });
        Ok(account)
    }

    pub(super) fn terms(&self, account: &[u8; 32]) -> Option<ChannelTerms> {
        self.channels.get(account).map(|channel| channel.payer.terms().clone())
    }

    pub(super) fn is_open(&self, account: &[u8; 32]) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.payer.is_open())
    }

    pub(super) fn payment(&self, account: &[u8; 32]) -> Option<Payment> {
        self.channels.get(account).and_then(|channel| channel.payer.payment(&self.key))
    }

    pub(super) fn owe(&mut self, account: &[u8; 32], amount: Nano) -> Result<(), Exhausted> {
        self.channels.get_mut(account).ok_or(Exhausted)?.payer.owe(amount)
    }

    pub(super) fn release(&mut self, account: &[u8; 32], unused: Nano) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.payer.release(unused);
        }
    }

    pub(super) fn persist(&self, account: &[u8; 32], outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get(account) {
            outbox.persist(Record::Paying(channel.payer.record()));
        }
    }

    /// A provider shows the newest of this client's vouchers: after a loss of state it may be newer than what this client
    /// knows. (`CH-8`)
    pub(super) fn recover(&mut self, account: &[u8; 32], newest: Option<Payment>, outbox: &mut Outbox) {
        let key = self.key.verifying_key().to_bytes();
        let Some(channel) = self.channels.get_mut(account) else { return };
        let voucher = newest
            .map(|newest| {
                let voucher =
                    Voucher { account: *account, epoch: newest.epoch, cumulative: newest.cumulative };
                voucher.verify(&key, &newest.signature).map(|()| voucher)
            })
            .transpose();
        // One that this client never signed says nothing about what it did sign.
        let Ok(voucher) = voucher else { return };
        if channel.payer.recover(voucher.as_ref()) {
            outbox.persist(Record::Paying(channel.payer.record()));
        }
    }

    /// The user wants every rest back.
    pub(super) fn settle(&mut self, now: Time, outbox: &mut Outbox) {
        for channel in self.channels.values_mut() {
            channel.payer.want_close();
            outbox.persist(Record::Paying(channel.payer.record()));
        }
        self.timers(now, outbox);
    }

    /// One channel is of no use any more.
    pub(super) fn give_up(&mut self, now: Time, account: &[u8; 32], outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get_mut(account) {
            channel.payer.want_close();
            outbox.persist(Record::Paying(channel.payer.record()));
        }
        self.timers(now, outbox);
    }

    pub(super) fn ledger(&mut self, now: Time, event: &LedgerEvent, outbox: &mut Outbox) -> Affected {
        match event {
            LedgerEvent::Channel { account, state } => {
                let mut affected = Affected { account: *account, ..Affected::default() };
                let Some(channel) = self.channels.get_mut(account) else { return affected };
                let Some(state) = state else {
                    // Not there yet, or gone after it was there.
                    if channel.payer.is_open() {
                        self.gone(account, outbox);
                        affected.unusable = Some(LedgerFault::Refused);
                    }
                    return affected;
                };
                let was_open = channel.payer.is_open();
                if channel.payer.observe(now, state) {
                    channel.topping_up = false;
                    outbox.persist(Record::Paying(channel.payer.record()));
                    let change = match state.closing {
                        Some(_) => ChannelChange::Closing,
                        None => ChannelChange::Open { deposit: state.deposit },
                    };
                    announce(&channel.payer, change, outbox);
                    affected.payable = state.closing.is_none();
                }
                if !was_open && channel.payer.is_open() {
                    affected.payable = true;
                }
                channel.acted_at = None;
                affected
            }
            LedgerEvent::Failed { account, fault } => {
                let mut affected = Affected { account: *account, ..Affected::default() };
                let Some(channel) = self.channels.get_mut(account) else { return affected };
                announce(&channel.payer, ChannelChange::Failed(*fault), outbox);
                if !channel.payer.is_open() {
                    affected.unusable = Some(*fault);
                    // A deposit whose fate is unknown is never forgotten; one that never left is.
                    if *fault != LedgerFault::Unreachable {
                        outbox.persist(Record::ChannelGone { account: *account });
                        self.channels.remove(account);
                    }
                } else if core::mem::take(&mut channel.topping_up) {
                    channel.payer.top_up_failed();
                    affected.unusable = Some(*fault);
                }
                affected
            }
        }
    }

    fn gone(&mut self, account: &[u8; 32], outbox: &mut Outbox) {
        let Some(channel) = self.channels.remove(account) else { return };
        outbox.persist(Record::ChannelGone { account: *account });
        let cumulative = channel.payer.cumulative();
        announce(&channel.payer, ChannelChange::Closed { cumulative }, outbox);
        outbox.push(Output::Ledger(LedgerCall::Unwatch { account: *account }));
    }

    /// Closes that are under way take their next step.
    pub(super) fn timers(&mut self, now: Time, outbox: &mut Outbox) {
        for channel in self.channels.values_mut() {
            if channel.acted_at.is_some_and(|acted| now < acted + limits::LEDGER_WAIT) {
                continue;
            }
            let account = channel.payer.account();
            let call = if let Some(request) = channel.payer.close_request() {
                let signature = request.sign(&self.key);
                Some(LedgerCall::RequestClose { request, signature })
            } else {
                match channel.payer.closing_step(now) {
                    ClosingStep::Wait => None,
                    ClosingStep::Finalize => Some(LedgerCall::Finalize { account }),
                    ClosingStep::ClaimForProvider => channel.payer.voucher().map(|voucher| {
                        let signature = voucher.sign(&self.key);
                        LedgerCall::Claim { voucher, signature }
                    }),
                }
            };
            if let Some(call) = call {
                channel.acted_at = Some(now);
                outbox.push(Output::Ledger(call));
            }
        }
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.channels
            .values()
            .filter_map(|channel| {
                let again = channel.acted_at.map(|acted| acted + limits::LEDGER_WAIT);
                match (channel.payer.closing_wake(), again) {
                    (Some(step), Some(again)) => Some(step.max(again)),
                    (step, again) => step.or(again.filter(|_| channel.payer.wants_close())),
                }
            })
            .min()
    }
}

fn announce(payer: &Payer, change: ChannelChange, outbox: &mut Outbox) {
    outbox.push(Output::Event(Event::Channel(ChannelNews {
        account: payer.account(),
        peer: payer.provider(),
        change,
    })));
}
