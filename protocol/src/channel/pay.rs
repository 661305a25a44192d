//! The client's side of a channel: what was deposited, what was promised, and what is reserved for running jobs.

use ed25519_dalek::SigningKey;

use crate::amount::Nano;
use crate::channel::fault::Mismatch;
use crate::channel::ledger::ChannelState;
use crate::channel::record::Paying;
use crate::channel::terms::AgreedTerms;
use crate::channel::voucher::{CloseRequest, Voucher};
use crate::ident::NodeId;
use crate::time::{Span, Time};
use crate::wire::message::Payment;

/// A channel that this node pays on.
#[derive(Debug)]
pub struct Payer {
    terms: AgreedTerms,
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

/// What the ledger's word changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Observed {
    /// Something that must be written.
    pub changed: bool,
    /// What the store did not know.
    pub mismatch: Option<Mismatch>,
}

impl Payer {
    /// A channel that is about to be opened.
    #[must_use]
    pub fn opening(terms: impl Into<AgreedTerms>, provider: NodeId, deposit: Nano) -> Self {
        Self {
            terms: terms.into(),
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
    /// sent counts as spent. (`CH-7`) The deposit is what the ledger had shown: a top-up that was asked for may have
    /// been lost, and if it was not, the ledger will show it. (`CH-3`)
    #[must_use]
    pub fn restored(record: Paying) -> Self {
        let mut payer = Self::opening(record.terms, record.provider, record.deposit);
        payer.epoch = record.epoch;
        payer.unconfirmed = true;
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
            deposit: if self.is_open() { self.deposit } else { self.asked },
            epoch: self.epoch,
            cumulative: self.cumulative,
            closing: self.close != Close::No,
        }
    }

    /// The terms.
    #[must_use]
    pub const fn terms(&self) -> &AgreedTerms {
        &self.terms
    }

    /// The account's hash.
    #[must_use]
    pub fn account(&self) -> [u8; 32] {
        self.terms.account().hash
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

    /// What the jobs that run on it may still cost.
    #[must_use]
    pub const fn reserved(&self) -> Nano {
        self.reserved
    }

    /// What of the deposit asked for is not promised yet: what this node has locked.
    #[must_use]
    pub const fn rest(&self) -> Nano {
        self.asked.saturating_minus(self.cumulative)
    }

    /// Whether what was asked for on the deposit covers every job that runs on it.
    #[must_use]
    pub fn is_covered(&self) -> bool {
        self.cumulative.saturating_plus(self.reserved) <= self.asked
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
        (cumulative > Nano::ZERO).then_some(Voucher { account: self.account(), epoch, cumulative })
    }

    /// The provider shows the newest voucher that it has, verified by the caller. After a restart the first one is gone on
    /// from, with what was promised since on top: it may be newer than what this node remembers. Returns what the store
    /// did not know; the promise may have changed then. (`CH-8`, `CH-24`)
    pub fn recover(&mut self, newest: Option<&Voucher>) -> Option<Mismatch> {
        let Some(voucher) = newest else {
            self.unconfirmed = false;
            return None;
        };
        // Before the ledger has shown the funding nobody can say whether the voucher is for it.
        let known = self.epoch?;
        if voucher.epoch > known {
            self.want_close();
            return Some(Mismatch::Epoch { known, shown: voucher.epoch });
        }
        // One of an earlier funding is void: it says that the provider has none of this one.
        let mismatch = if voucher.epoch == known { self.shown(voucher.cumulative) } else { None };
        self.unconfirmed = false;
        mismatch
    }

    /// A voucher of this node over `total` exists.
    fn shown(&mut self, total: Nano) -> Option<Mismatch> {
        if self.unconfirmed {
            // Never cut at the deposit that is known: a promise above it was made for a top-up that the store forgot.
            let known = self.cumulative.saturating_minus(self.since_start);
            let behind = total > known;
            if behind {
                self.cumulative = total.saturating_plus(self.since_start);
            }
            behind.then_some(Mismatch::Behind { known, shown: total })
        } else {
            let known = self.cumulative;
            let foreign = total > known;
            if foreign {
                self.cumulative = total;
                self.want_close();
            }
            foreign.then_some(Mismatch::Voucher { known, shown: total })
        }
    }

    /// Takes what the ledger shows.
    pub fn observe(&mut self, now: Time, state: &ChannelState) -> Observed {
        if state.epoch == 0 {
            return Observed::default();
        }
        let mut observed = Observed::default();
        let first = self.epoch.is_none();
        if let Some(known) = self.epoch.filter(|known| *known != state.epoch) {
            // What was promised in the earlier funding is void. What was in this one, nobody here knows: nothing is
            // signed in it, and the rest asked back.
            observed.mismatch = Some(Mismatch::Epoch { known, shown: state.epoch });
            self.cumulative = Nano::ZERO;
            self.since_start = Nano::ZERO;
            self.deposit = Nano::ZERO;
            self.asked = Nano::ZERO;
            self.close = Close::Wanted;
        }
        self.epoch = Some(state.epoch);
        if first || state.deposit > self.deposit {
            observed.changed = true;
            self.deposit = state.deposit;
            self.asked = self.asked.max(state.deposit);
        }
        self.settled = state.settled;
        observed.mismatch = observed.mismatch.or_else(|| self.shown(state.settled));
        if let Some(closing) = state.closing {
            observed.changed |= self.close == Close::No;
            self.close = Close::Until(now + closing);
        }
        observed.changed |= observed.mismatch.is_some();
        observed
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
        Some(CloseRequest { account: self.account(), epoch })
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
