//! The client's side of a channel: what was deposited, what was promised, and what is reserved for running jobs.

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::ledger::ChannelState;
use crate::channel::record::Paying;
use crate::channel::terms::ChannelTerms;
use crate::channel::voucher::{CloseRequest, Voucher};
use crate::ident::NodeId;
use crate::time::{Span, Time};
use crate::wire::message::Payment;

/// A channel that this node pays on.
#[derive(Debug)]
pub struct Payer {
    terms: ChannelTerms,
    account: [u8; 32],
    provider: NodeId,
    deposit: Nano,
    asked: Nano,
    epoch: Option<u64>,
    settled: Nano,
    cumulative: Nano,
    /// What of it was promised since the start: no voucher of an earlier life covers that.
    since_start: Nano,
    /// Whether vouchers of an earlier life may be above what is known: none is signed until the provider has shown its
    /// newest, because a lower one would promise nothing.
    unconfirmed: bool,
    reserved: Nano,
    close: Close,
}

/// How far a close has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    /// None is wanted.
    No,
    /// The client wants its rest back and the ledger has not shown it yet.
    Wanted,
    /// The ledger shows it; the challenge is over at this time.
    Until(Time),
}

/// Why an amount cannot be promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel holds too little for this amount")]
pub struct Exhausted;

/// What a client should do about a closing channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClosingStep {
    /// Nothing yet.
    Wait,
    /// The provider has not claimed what it is owed: bring its voucher for it.
    ClaimForProvider,
    /// Everything is settled and the challenge is over: take the rest back.
    Finalize,
}

impl Payer {
    /// A channel that is about to be opened.
    #[must_use]
    pub fn opening(terms: ChannelTerms, provider: NodeId, deposit: Nano) -> Self {
        let account = terms.account().hash;
        Self {
            terms,
            account,
            provider,
            deposit,
            asked: deposit,
            epoch: None,
            settled: Nano::ZERO,
            cumulative: Nano::ZERO,
            since_start: Nano::ZERO,
            unconfirmed: false,
            reserved: Nano::ZERO,
            close: Close::No,
        }
    }

    /// A channel read back from disk. What its vouchers promised stands: a voucher that was written and perhaps
    /// sent counts as spent. (`CH-7`)
    #[must_use]
    pub fn restored(record: Paying) -> Self {
        let mut payer = Self::opening(record.terms, record.provider, record.deposit);
        payer.epoch = record.epoch;
        payer.unconfirmed = record.epoch.is_some();
        payer.cumulative = record.cumulative;
        payer.close = if record.closing { Close::Wanted } else { Close::No };
        payer
    }

    /// What must be on disk before anything of this state is said.
    #[must_use]
    pub fn record(&self) -> Paying {
        Paying {
            terms: self.terms.clone(),
            provider: self.provider,
            deposit: self.asked,
            epoch: self.epoch,
            cumulative: self.cumulative,
            closing: self.close != Close::No,
        }
    }

    /// The terms.
    #[must_use]
    pub const fn terms(&self) -> &ChannelTerms {
        &self.terms
    }

    /// The account's hash.
    #[must_use]
    pub const fn account(&self) -> [u8; 32] {
        self.account
    }

    /// Who is paid.
    #[must_use]
    pub const fn provider(&self) -> NodeId {
        self.provider
    }

    /// Everything promised so far.
    #[must_use]
    pub const fn cumulative(&self) -> Nano {
        self.cumulative
    }

    /// Whether the ledger has shown the channel funded.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.epoch.is_some()
    }

    /// Whether jobs may start on it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.close == Close::No
    }

    /// What can still be promised to new jobs.
    #[must_use]
    pub const fn headroom(&self) -> Nano {
        self.asked.saturating_minus(self.cumulative).saturating_minus(self.reserved)
    }

    /// Sets the most that a job can cost aside. (`CH-2`)
    ///
    /// # Errors
    /// [`Exhausted`] when the channel cannot cover it.
    pub fn reserve(&mut self, cost_max: Nano) -> Result<(), Exhausted> {
        if cost_max > self.headroom() {
            return Err(Exhausted);
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
        self.asked = self.asked.saturating_plus(amount);
    }

    /// A top-up came to nothing.
    pub fn top_up_failed(&mut self) {
        self.asked = self.deposit;
    }

    /// Promises `amount` more, out of what the job reserved. (`CH-3`)
    ///
    /// # Errors
    /// [`Exhausted`] when the promise would pass the deposit; nothing changes then.
    pub fn owe(&mut self, amount: Nano) -> Result<(), Exhausted> {
        let cumulative = self.cumulative.plus(amount).filter(|sum| *sum <= self.asked).ok_or(Exhausted)?;
        self.cumulative = cumulative;
        self.since_start = self.since_start.saturating_plus(amount);
        self.reserved = self.reserved.saturating_minus(amount);
        Ok(())
    }

    /// The newest voucher, once the ledger has shown the funding that it is for, and never above it.
    #[must_use]
    pub fn payment(&self, key: &SigningKey) -> Option<Payment> {
        let voucher = self.voucher().filter(|_| !self.unconfirmed)?;
        Some(Payment { epoch: voucher.epoch, cumulative: voucher.cumulative, signature: voucher.sign(key) })
    }

    /// What the newest voucher says.
    #[must_use]
    pub fn voucher(&self) -> Option<Voucher> {
        let epoch = self.epoch?;
        // While a top-up is under way the promise may be ahead of the ledger; a voucher may not.
        let cumulative = self.cumulative.min(self.deposit);
        (cumulative > Nano::ZERO).then_some(Voucher { account: self.account, epoch, cumulative })
    }

    /// The provider shows the newest voucher that it has, verified by the caller. After a restart the first one is gone on
    /// from, with what was promised since on top: it may be newer than what this node remembers. Returns whether that
    /// changed the promise. (`CH-8`)
    pub fn recover(&mut self, newest: Option<&Voucher>) -> bool {
        if !core::mem::take(&mut self.unconfirmed) {
            return false;
        }
        let Some(voucher) = newest.filter(|voucher| self.epoch == Some(voucher.epoch)) else { return false };
        let known = self.cumulative.saturating_minus(self.since_start);
        let news = voucher.cumulative > known;
        if news {
            self.cumulative = voucher.cumulative.saturating_plus(self.since_start).min(self.asked);
        }
        news
    }

    /// Takes what the ledger shows. Returns whether anything changed that must be written.
    pub fn observe(&mut self, now: Time, state: &ChannelState) -> bool {
        self.settled = state.settled;
        if let Some(closing) = state.closing {
            let was = self.close;
            self.close = Close::Until(now + closing);
            return was == Close::No;
        }
        let first = self.epoch.is_none() && state.epoch != 0;
        if first {
            self.epoch = Some(state.epoch);
        }
        let grown = self.epoch == Some(state.epoch) && state.deposit > self.deposit;
        if first || grown {
            self.deposit = state.deposit;
            self.asked = self.asked.max(state.deposit);
        }
        first || grown
    }

    /// The client wants its rest back: no job starts any more.
    pub fn want_close(&mut self) {
        if self.close == Close::No {
            self.close = Close::Wanted;
        }
    }

    /// Whether a close is wanted that the ledger has not shown.
    #[must_use]
    pub fn wants_close(&self) -> bool {
        self.close == Close::Wanted
    }

    /// What asks the ledger for that close, once the channel is open.
    #[must_use]
    pub fn close_request(&self) -> Option<CloseRequest> {
        let epoch = self.epoch.filter(|_| self.wants_close())?;
        Some(CloseRequest { account: self.account, epoch })
    }

    /// What to do about a close at this time. Half of the challenge time is the provider's to claim for itself;
    /// then an honest client claims for it, so that a dead provider is not robbed. (`CH-11`)
    #[must_use]
    pub fn closing_step(&self, now: Time) -> ClosingStep {
        let Close::Until(until) = self.close else { return ClosingStep::Wait };
        let owed = self.voucher().is_some_and(|voucher| voucher.cumulative > self.settled);
        let half = Span::from_s(u64::from(self.terms.challenge_s)).half();
        if owed && until.since(now) <= half {
            ClosingStep::ClaimForProvider
        } else if !owed && now >= until {
            ClosingStep::Finalize
        } else {
            ClosingStep::Wait
        }
    }

    /// When [`Self::closing_step`] has something new to say.
    #[must_use]
    pub fn closing_wake(&self) -> Option<Time> {
        match self.close {
            Close::Until(until) => {
                let half = Span::from_s(u64::from(self.terms.challenge_s)).half();
                let owed = self.voucher().is_some_and(|voucher| voucher.cumulative > self.settled);
                Some(if owed { Time(until.0.saturating_sub(half.0)) } else { until })
            }
            Close::No | Close::Wanted => None,
        }
    }
}
