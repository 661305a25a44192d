//! The client's channels: opened when first needed, topped up before they run dry, closed at the end.
//!
//! A job's ceiling is set aside before the job starts. What its receipts bill is promised, and the
//! promise written, before a voucher leaves. `opening` agrees on terms, `deposit` decides how much is
//! locked and when, `news` takes the ledger's word, and `closing` brings the rest back.

mod channel;
mod closing;
mod debts;
mod deposit;
mod forecast;
mod needs;
mod news;
mod opening;

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::fault::{Mismatch, PaymentFault};
use crate::channel::id::ChannelId;
use crate::channel::key_proof::KeyProof;
use crate::channel::ledger::{LedgerCall, LedgerFault};
use crate::channel::pay::{InsufficientDeposit, Payer};
use crate::channel::record::Record;
use crate::channel::terms::ChannelTerms;
use crate::channel::voucher::{SignatureError, Voucher};
use crate::deadlines::Deadlines;
use crate::ident::{NodeId, Signature};
use crate::io::ChannelChange;
use crate::market::bid::Payee;
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::wire::message::Payment;

use super::config::ClientConfig;
use channel::Channel;

pub(super) use needs::{Acquaintance, Needs};

/// Every channel that this client pays on, by account.
#[derive(Debug)]
pub(super) struct Payments {
    key: SigningKey,
    channels: Table<ChannelId, Box<Channel>>,
    /// Channels that only a job knows: no record of them is written, and the ledger has not heard of
    /// them.
    proposed: BTreeSet<ChannelId>,
    /// When the next step of a close is due, and when a channel without a job is idle for too long.
    deadlines: Deadlines<ChannelId>,
    /// How long a channel may be unused before it is closed; none keeps it for ever.
    idle: Option<Span>,
    /// The most that one channel holds beyond what is promised.
    rest_max: Nano,
}

impl Payments {
    pub(in crate::client) fn restored(
        config: &ClientConfig,
        records: Vec<Record>,
        outbox: &mut Outbox,
    ) -> Self {
        let key = SigningKey::from_bytes(&config.channel_seed);
        let mut channels = Table::default();
        let mut deadlines = Deadlines::default();
        for record in records {
            match record {
                Record::Payer(record) => {
                    let mut channel = Channel::new(Payer::restored(record), None);
                    channel.opened_at = channel.payer.is_open().then_some(Time(0));
                    channel.maybe_sent = !channel.payer.is_open() && !channel.payer.is_debt();
                    if channel.payer.terms().client_key != key.verifying_key().to_bytes() {
                        // Nothing can be signed on it, not even a close. It stays on disk for the key
                        // that can.
                        channel.announce(ChannelChange::Mismatch(Mismatch::Key), outbox);
                        continue;
                    }
                    if !channel.payer.is_gone() && !channel.payer.is_debt() {
                        outbox.call(LedgerCall::Watch { account: channel.payer.account() });
                    }
                    channels.insert(channel.payer.account(), Box::new(channel));
                }
                Record::ChannelGone { account } => {
                    channels.remove(&account);
                }
                Record::Earner(_) | Record::Receipt { .. } | Record::Reputation(_) => {}
            }
        }
        channels.keys().for_each(|account| deadlines.touch(*account));
        let (idle, rest_max) = (config.policy.idle_close, config.policy.deposit_max);
        Self { key, channels, proposed: BTreeSet::new(), deadlines, idle, rest_max }
    }

    /// Returns a channel that is about to change, and looks at its deadlines again.
    fn channel(&mut self, account: &ChannelId) -> Option<&mut Channel> {
        self.deadlines.touch(*account);
        self.channels.get_mut(account).map(|channel| &mut **channel)
    }

    /// Returns every channel that the ledger may know, except those that it has shown to be gone.
    pub(in crate::client) fn channels(&self) -> impl Iterator<Item = &Payer> {
        let recorded = self.channels.values().filter(|channel| channel.recorded);
        recorded.map(|channel| &channel.payer).filter(|payer| !payer.is_gone() && !payer.is_debt())
    }

    /// Returns the account of the channel that jobs of this provider are paid on.
    pub(in crate::client) fn channel_to(&self, provider: NodeId, payee: &Payee) -> Option<ChannelId> {
        let channel = self.channels.values().find(|channel| channel.pays(provider, payee));
        channel.map(|channel| channel.payer.account())
    }

    /// Returns the challenge time of that channel, where one stands.
    pub(in crate::client) fn challenge_with(&self, provider: NodeId, payee: &Payee) -> Option<u32> {
        self.channel_to(provider, payee)
            .and_then(|account| self.terms(&account))
            .map(|terms| terms.challenge_s)
    }

    pub(in crate::client) fn terms(&self, account: &ChannelId) -> Option<ChannelTerms> {
        self.channels.get(account).map(|channel| ChannelTerms::clone(channel.payer.terms()))
    }

    /// Returns what shows a provider, within the session with this binding, that a channel is this client's own. (`CH-53`)
    pub(in crate::client) fn key_proof(&self, account: &ChannelId, binding: [u8; 32]) -> Signature {
        KeyProof { binding, account: *account }.sign(&self.key)
    }

    pub(in crate::client) fn is_open(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.payer.is_open())
    }

    /// Returns whether the ledger was asked for a channel.
    pub(in crate::client) fn is_asked_for(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.payer.is_open() || channel.funding)
    }

    /// Returns whether a record of a channel was written, so that the ledger may know it.
    pub(in crate::client) fn is_recorded(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.recorded)
    }

    /// Returns what this node asked of the ledger in vain, if that is why a provider says that a
    /// channel is not funded.
    pub(in crate::client) fn unfunded(&self, account: &ChannelId) -> Option<PaymentFault> {
        let channel = self.channels.get(account).filter(|channel| channel.recorded)?;
        let (account, why) = (channel.address(), LedgerFault::Unknown);
        match (channel.payer.is_open(), channel.funding) {
            (false, _) => channel.unopened.or(Some(PaymentFault::NotOpened { account, why })),
            (true, true) => Some(PaymentFault::Exhausted { account, why }),
            (true, false) => None,
        }
    }

    pub(in crate::client) fn payment(&self, account: &ChannelId) -> Option<Payment> {
        self.channels.get(account).and_then(|channel| channel.payer.payment(&self.key))
    }

    /// Returns whether there is a voucher that may be signed.
    pub(in crate::client) fn is_payable(&self, account: &ChannelId) -> bool {
        self.channels.get(account).is_some_and(|channel| channel.payer.payable().is_some())
    }

    pub(in crate::client) fn owe(
        &mut self,
        account: &ChannelId,
        amount: Nano,
    ) -> Result<(), InsufficientDeposit> {
        self.channel(account).ok_or(InsufficientDeposit)?.payer.owe(amount)
    }

    /// Sets aside what a job that is over may still be paid, as far as running jobs leave it. Returns
    /// how much that is.
    pub(in crate::client) fn set_aside(&mut self, account: &ChannelId, most: Nano) -> Nano {
        let Some(channel) = self.channel(account) else { return Nano::ZERO };
        let amount = most.min(channel.payer.headroom());
        channel.payer.reserve(amount).map_or(Nano::ZERO, |()| amount)
    }

    /// Frees what a job that is over did not use.
    pub(in crate::client) fn release(&mut self, now: Time, account: &ChannelId, unused: Nano) {
        if let Some(channel) = self.channel(account) {
            channel.payer.release(unused);
            channel.used_at = Some(now);
        }
    }

    /// Returns whether the orders that are left on a channel can be paid in spite of a fault. A channel
    /// that is only short still pays what it holds, even while it is asked back.
    pub(in crate::client) fn covers(&self, account: &ChannelId, fault: PaymentFault) -> bool {
        let is_short = matches!(fault, PaymentFault::Exhausted { .. });
        self.channels.get(account).is_some_and(|channel| {
            let payer = &channel.payer;
            payer.is_open() && (is_short || payer.is_usable()) && payer.is_covered()
        })
    }

    pub(in crate::client) fn persist(&self, account: &ChannelId, outbox: &mut Outbox) {
        if let Some(channel) = self.channels.get(account) {
            channel.persist(outbox);
        }
    }

    /// Goes on from the newest voucher that a provider shows: after a loss of state it may be newer
    /// than what this client remembers. Returns why nothing can be paid on the channel any more, if
    /// that is so. (`CH-8`, `CH-24`)
    ///
    /// # Errors
    /// [`SignatureError`], if this client's key never signed the voucher: then it says nothing about what was signed.
    pub(in crate::client) fn recover(
        &mut self,
        account: &ChannelId,
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
}
