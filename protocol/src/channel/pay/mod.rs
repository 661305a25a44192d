//! The client's side of a channel: what was deposited, what was promised, and what is reserved for running jobs.

mod closing;
mod deposit;
mod promise;
mod shown;

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::fault::Mismatch;
use crate::channel::id::ChannelId;
use crate::channel::record::PayerRecord;
use crate::channel::terms::AgreedTerms;
use crate::channel::voucher::{CloseRequest, Voucher};
use crate::ident::NodeId;
use crate::time::{Span, Time};
use crate::wire::message::Payment;

pub use closing::ClosingStep;

use closing::Closing;
use deposit::Deposit;
use promise::Promise;

/// A channel that this node pays on.
///
/// What the ledger shows is kept apart from what this node promised: nothing that is shown raises a
/// promise, lowers one, or ends it. (`CH-30`)
#[derive(Debug)]
pub struct Payer {
    terms: AgreedTerms,
    provider: NodeId,
    deposit: Deposit,
    /// The funding that the promise is for: the first that the ledger has shown.
    epoch: Option<u64>,
    promise: Promise,
    reserved: Nano,
    /// Whether this node wants its rest back.
    wants_rest: bool,
    /// Whether the ledger has shown that the channel is gone.
    gone: bool,
    view: LedgerView,
}

/// What the ledger last showed in this life, true or not.
#[derive(Debug, Default)]
struct LedgerView {
    epoch: Option<u64>,
    settled: Nano,
    closing: Closing,
}

/// Why an amount cannot be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel holds too little for this amount")]
pub struct InsufficientDeposit;

/// What the ledger's word changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PayerChange {
    /// Something that must be written.
    pub changed: bool,
    /// What the store did not know.
    pub mismatch: Option<Mismatch>,
}

impl Payer {
    /// Returns a channel that is about to be opened.
    #[must_use]
    pub fn opening(terms: impl Into<AgreedTerms>, provider: NodeId, deposit: Nano) -> Self {
        Self {
            terms: terms.into(),
            provider,
            deposit: Deposit::opening(deposit),
            epoch: None,
            promise: Promise::default(),
            reserved: Nano::ZERO,
            wants_rest: false,
            gone: false,
            view: LedgerView::default(),
        }
    }

    /// Returns a channel read back from disk. What its vouchers promised stands: a voucher that was
    /// written and perhaps sent counts as spent. (`CH-7`)
    #[must_use]
    pub fn restored(record: PayerRecord) -> Self {
        let mut payer = Self::opening(record.terms, record.provider, record.deposit);
        payer.deposit = Deposit::restored(record.deposit, record.locked);
        payer.epoch = record.epoch;
        payer.promise = Promise::restored(record.cumulative);
        payer.wants_rest = record.closing;
        payer.gone = record.gone;
        payer
    }

    /// Returns what must be on disk before anything of this state is said.
    #[must_use]
    pub fn record(&self) -> PayerRecord {
        PayerRecord {
            terms: self.terms.clone(),
            provider: self.provider,
            deposit: if self.is_open() { self.deposit.shown() } else { self.deposit.asked() },
            locked: self.deposit.locked(),
            epoch: self.epoch,
            cumulative: self.promise.cumulative(),
            closing: self.wants_rest,
            gone: self.gone,
        }
    }

    /// Returns the terms.
    #[must_use]
    pub const fn terms(&self) -> &AgreedTerms {
        &self.terms
    }

    /// Returns the account's hash.
    #[must_use]
    pub fn account(&self) -> ChannelId {
        self.terms.id()
    }

    /// Returns who is paid.
    #[must_use]
    pub const fn provider(&self) -> NodeId {
        self.provider
    }

    /// Returns everything promised so far.
    #[must_use]
    pub const fn cumulative(&self) -> Nano {
        self.promise.cumulative()
    }

    /// Returns whether the ledger has shown the channel funded.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.epoch.is_some()
    }

    /// Returns whether jobs may start on it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.wants_rest && !self.gone && !self.is_closing() && !self.is_of_another_funding()
    }

    /// Returns whether the ledger has shown that it is gone, and nothing since.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        self.gone
    }

    /// Returns whether the ledger shows another funding than the one that was promised in.
    fn is_of_another_funding(&self) -> bool {
        self.view.epoch.is_some_and(|shown| Some(shown) != self.epoch)
    }

    /// Returns what can still be promised to new jobs.
    #[must_use]
    pub const fn headroom(&self) -> Nano {
        self.deposit.asked().saturating_minus(self.promise.cumulative()).saturating_minus(self.reserved)
    }

    /// Returns what the jobs that run on it may still cost.
    #[must_use]
    pub const fn reserved(&self) -> Nano {
        self.reserved
    }

    /// Returns what this node may have locked and has not promised, top-ups of unknown fate
    /// included.
    #[must_use]
    pub const fn rest(&self) -> Nano {
        self.deposit.locked().saturating_minus(self.promise.cumulative())
    }

    /// Returns what was asked for on the deposit beyond what the ledger has shown.
    #[must_use]
    pub fn addition(&self) -> Nano {
        self.deposit.asked().saturating_minus(self.deposit.shown())
    }

    /// Returns whether more was asked for on the deposit than the ledger has shown.
    #[must_use]
    pub fn is_being_topped_up(&self) -> bool {
        self.addition() > Nano::ZERO
    }

    /// Returns whether what was asked for on the deposit covers every job that runs on it.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.promise.cumulative().saturating_plus(self.reserved) <= self.deposit.asked()
    }

    /// Returns what is missing for that.
    #[must_use]
    pub fn uncovered(&self) -> Nano {
        self.promise.cumulative().saturating_plus(self.reserved).saturating_minus(self.deposit.asked())
    }

    /// Sets aside the most that a job can cost. (`CH-2`)
    ///
    /// # Errors
    /// [`InsufficientDeposit`] when the channel cannot cover it.
    pub fn reserve(&mut self, cost_max: Nano) -> Result<(), InsufficientDeposit> {
        if cost_max > self.headroom() {
            return Err(InsufficientDeposit);
        }
        self.reserved = self.reserved.saturating_plus(cost_max);
        Ok(())
    }

    /// Gives back what a job did not use.
    pub fn release(&mut self, unused: Nano) {
        self.reserved = self.reserved.saturating_minus(unused);
    }

    /// Asks for more on the deposit; the caller makes the ledger call.
    pub fn top_up(&mut self, amount: Nano) {
        self.deposit.top_up(amount);
    }

    /// Takes off a top-up that came to nothing, but no other that is under way. One whose fate is
    /// unknown stays among what may be locked. (`CH-29`)
    pub fn top_up_failed(&mut self, amount: Nano, is_certain: bool) {
        self.deposit.top_up_failed(amount, is_certain);
    }

    /// Notes that the ledger is asked to open the channel.
    pub fn open(&mut self) {
        self.deposit.open();
    }

    /// Notes that an opening surely had no effect: nothing is locked, and what was served on credit is owed. (`CH-56`)
    pub fn not_opened(&mut self) {
        self.deposit.not_opened(self.promise.cumulative());
        self.wants_rest = false;
    }

    /// Returns whether the ledger surely does not know the channel, which is kept for what is owed on it. (`CH-56`)
    #[must_use]
    pub fn is_debt(&self) -> bool {
        !self.is_open() && self.deposit.locked() == Nano::ZERO
    }

    /// Counts no longer on a part of the deposit that the ledger was never asked for, as far as nothing was promised out of it
    /// on credit.
    pub fn forgo(&mut self, amount: Nano) {
        self.deposit.forgo(amount, self.promise.cumulative());
    }

    /// Promises `amount` more, out of what the job reserved. (`CH-3`)
    ///
    /// # Errors
    /// [`InsufficientDeposit`] when the promise would pass the deposit; nothing changes then.
    pub fn owe(&mut self, amount: Nano) -> Result<(), InsufficientDeposit> {
        if !self.promise.owe(amount, self.deposit.asked()) {
            return Err(InsufficientDeposit);
        }
        self.reserved = self.reserved.saturating_minus(amount);
        Ok(())
    }

    /// Returns the newest voucher, once the ledger has shown the funding that it is for, and never
    /// above it.
    #[must_use]
    pub fn payment(&self, key: &SigningKey) -> Option<Payment> {
        let voucher = self.payable()?;
        Some(Payment { epoch: voucher.epoch, cumulative: voucher.cumulative, signature: voucher.sign(key) })
    }

    /// Returns what [`Self::payment`] would sign.
    #[must_use]
    pub fn payable(&self) -> Option<Voucher> {
        let may_sign = self.promise.is_confirmed() && !self.gone && !self.is_of_another_funding();
        self.voucher().filter(|_| may_sign)
    }

    /// Returns what the newest voucher says.
    #[must_use]
    pub fn voucher(&self) -> Option<Voucher> {
        let epoch = self.epoch?;
        // While a top-up is under way the promise may be ahead of the ledger; a voucher may not.
        let cumulative = self.promise.cumulative().min(self.deposit.shown());
        (cumulative > Nano::ZERO).then_some(Voucher { account: self.account(), epoch, cumulative })
    }

    /// Notes that the client wants its rest back: no job starts any more.
    pub fn want_close(&mut self) {
        self.wants_rest = true;
    }

    /// Returns whether a close is wanted that the ledger has not shown.
    #[must_use]
    pub fn wants_close(&self) -> bool {
        self.wants_rest && !self.gone && !self.is_closing()
    }

    /// Returns whether the ledger shows a close under way.
    #[must_use]
    pub const fn is_closing(&self) -> bool {
        self.view.closing.is_under_way()
    }

    /// Returns the request that asks the ledger for that close, once the channel is open. It names
    /// the funding that the ledger shows.
    #[must_use]
    pub fn close_request(&self) -> Option<CloseRequest> {
        let epoch = self.view.epoch.or(self.epoch).filter(|_| self.wants_close())?;
        Some(CloseRequest { account: self.account(), epoch })
    }

    /// Returns what to do about a close at this time. (`CH-11`)
    #[must_use]
    pub fn closing_step(&self, now: Time) -> ClosingStep {
        self.view.closing.step(now, self.owes(), self.challenge())
    }

    /// Notes that the voucher was brought to the ledger for the provider.
    pub fn brought(&mut self, now: Time) {
        self.view.closing.brought(now);
    }

    /// Returns when [`Self::closing_step`] has something new to say.
    #[must_use]
    pub fn closing_wake(&self) -> Option<Time> {
        self.view.closing.wake_at(self.owes(), self.challenge())
    }

    fn challenge(&self) -> Span {
        Span::from_s(u64::from(self.terms.challenge_s))
    }

    /// Returns whether more is promised in the funding that closes than the ledger shows settled.
    fn owes(&self) -> bool {
        !self.is_of_another_funding()
            && self.voucher().is_some_and(|voucher| voucher.cumulative > self.view.settled)
    }
}
