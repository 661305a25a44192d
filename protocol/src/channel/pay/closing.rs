//! The close of a channel as its client sees it: how long the challenge lasts, and when the client brings its own voucher.

use crate::limits;
use crate::time::{Span, Time};

/// The close that the ledger last showed in this life, true or not.
#[derive(Debug, Default)]
pub(super) struct Closing {
    /// When the challenge is over; nothing while the ledger shows no close.
    until: Option<Time>,
    /// When this node last brought its own voucher in it, and how often.
    brought: Option<(Time, u32)>,
}

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

impl Closing {
    /// Takes what the ledger shows: how much of the challenge is left, if the channel closes.
    pub(super) fn observe(&mut self, now: Time, left: Option<Span>) {
        self.until = left.map(|left| now + left);
        if left.is_none() {
            self.brought = None;
        }
    }

    /// Returns whether the ledger shows a close under way.
    pub(super) const fn is_under_way(&self) -> bool {
        self.until.is_some()
    }

    /// Returns what to do about it at this time, where this node owes the provider more than is settled or not. Half of the
    /// challenge time is the provider's to claim for itself; then an honest client claims for it, so that a dead provider is
    /// not robbed. (`CH-11`)
    pub(super) fn step(&self, now: Time, owes: bool, challenge: Span) -> ClosingStep {
        let Some(until) = self.until else { return ClosingStep::Wait };
        if self.claims_at(owes, challenge).is_some_and(|at| now >= at) {
            ClosingStep::ClaimForProvider
        } else if now >= until && (self.brought.is_some() || !owes) {
            ClosingStep::Finalize
        } else {
            ClosingStep::Wait
        }
    }

    /// Notes that the voucher was brought to the ledger for the provider.
    pub(super) fn brought(&mut self, now: Time) {
        let times = self.brought.map_or(0, |(_, times)| times);
        self.brought = Some((now, times.saturating_add(1)));
    }

    /// Returns when [`Self::step`] has something new to say.
    pub(super) fn wake_at(&self, owes: bool, challenge: Span) -> Option<Time> {
        self.claims_at(owes, challenge).or(self.until)
    }

    /// Returns when the voucher is brought next in this close, each time after twice the wait: what the ledger does not show may
    /// be settled, and a claim can cost a fee. Once at least, and not again when the challenge is over.
    fn claims_at(&self, owes: bool, challenge: Span) -> Option<Time> {
        let until = self.until.filter(|_| owes)?;
        let from = Time(until.0.saturating_sub(challenge.half().0));
        match self.brought {
            None => Some(from),
            Some((at, times)) => {
                let wait = limits::LEDGER_WAIT.0.saturating_mul(1 << times.saturating_sub(1).min(16));
                Some(from.max(at + Span(wait))).filter(|at| *at < until)
            }
        }
    }
}
