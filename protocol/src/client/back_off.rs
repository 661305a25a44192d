//! When an order that nobody serves calls again: at once after its first failure, and ever later until something comes.

use crate::limits;
use crate::time::{Span, Time};

/// The calls of one order since something was last delivered.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    calls: u32,
    called_at: Option<Time>,
    failures: u32,
}

impl BackOff {
    /// Returns the span of this many doublings of the first one, [`limits::CALL_WAIT_MAX`] at the most.
    pub(super) fn span(first: Span, doublings: u32) -> Span {
        Span(first.0.saturating_mul(1 << doublings.min(16))).min(limits::CALL_WAIT_MAX.max(first))
    }

    /// Returns when the next call may go out, where the first wait is this long. (`MK-15`)
    pub(super) fn due(&self, first: Span) -> Time {
        let wait = Self::span(first, self.calls.saturating_sub(1));
        self.called_at.map_or(Time(0), |at| at + wait)
    }

    /// Notes that a call goes out.
    pub(super) fn called(&mut self, now: Time) {
        self.calls = self.calls.saturating_add(1);
        self.called_at = Some(now);
    }

    /// Takes the last call out of the count: only a part of the crowd was asked, and silent.
    pub(super) fn forget_call(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// Notes that a provider failed it.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Returns how many awards came to nothing.
    pub(super) const fn failures(&self) -> u32 {
        self.failures
    }

    /// Notes that something was delivered: the next failure is a first one.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
