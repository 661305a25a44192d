//! How fast looks can follow each other, and how long each takes: what the ledger allows, corrected by what was measured.

use std::time::Duration;

use bombyx_protocol::channel::pace::Pace;
use bombyx_protocol::time::Span;
use tokio::time::Instant;

use super::limits::{LOOK_GUESS, LOOK_GUESS_NEAR, LOOKS_APART_MIN, LOOKS_AT_A_TIME, SATURATED, SILENCE};

/// Parts of the whole in which the share of looks that succeed is counted.
const WHOLE: u64 = 1_000;
/// The share below which it is not taken to fall.
const SUCCESS_MIN: u64 = 50;
/// Failures before one success that count with it: those of an outage say nothing about the time after it.
const FAILURES_COUNTED: u64 = 8;

/// What is known about looks.
pub(super) struct Gauge {
    /// Between two requests, as the ledger's endpoints want it.
    spacing: Duration,
    average: Duration,
    deviation: Duration,
    measured: bool,
    success: u64,
    failures: u64,
    /// When the first look began that has had no answer, nor any look since.
    unanswered_since: Option<Instant>,
    saturated_at: Option<Instant>,
}

impl Gauge {
    pub(super) fn new(spacing: Duration) -> Self {
        Self {
            spacing,
            average: if spacing.is_zero() { LOOK_GUESS_NEAR } else { LOOK_GUESS },
            deviation: Duration::ZERO,
            measured: false,
            success: WHOLE,
            failures: 0,
            unanswered_since: None,
            saturated_at: None,
        }
    }

    /// Notes that a look that began at `began` has ended, with an answer or without.
    pub(super) fn ended(&mut self, began: Instant, now: Instant, answered: bool) {
        if !answered {
            self.failures = (self.failures + 1).min(FAILURES_COUNTED);
            self.unanswered_since.get_or_insert(began);
            return;
        }
        let took = now.saturating_duration_since(began);
        if self.measured {
            // As round trips are averaged for retransmissions.
            self.deviation = (self.deviation * 3 + self.average.abs_diff(took)) / 4;
            self.average = (self.average * 7 + took) / 8;
        } else {
            (self.average, self.deviation, self.measured) = (took, took / 2, true);
        }
        for _ in 0..std::mem::take(&mut self.failures) {
            self.success -= self.success / 32;
        }
        self.success += (WHOLE - self.success).div_ceil(32);
        self.unanswered_since = None;
    }

    /// Notes that the ledger counts as answering: it has answered something else, or there is nothing to look at that could
    /// show it.
    pub(super) fn forget_silence(&mut self) {
        self.unanswered_since = None;
    }

    /// Notes that a look would have begun, had not as many as may be been under way.
    pub(super) fn saturated(&mut self, now: Instant) {
        self.saturated_at = Some(now);
    }

    /// Returns how long after the beginning of one look the next one begins. It leaves every fifth
    /// request of a ledger that counts them to calls and pages.
    pub(super) fn apart(&self, now: Instant) -> Duration {
        let full = self.saturated_at.is_some_and(|at| now.saturating_duration_since(at) < SATURATED);
        let at_a_time = u32::try_from(LOOKS_AT_A_TIME).unwrap_or(u32::MAX);
        let by_number = if full { self.average / at_a_time } else { Duration::ZERO };
        (self.spacing + self.spacing / 4).max(LOOKS_APART_MIN).max(by_number)
    }

    /// Returns the pace that can be promised.
    pub(super) fn pace(&self, now: Instant) -> Pace {
        if self.unanswered_since.is_some_and(|since| now.saturating_duration_since(since) > SILENCE) {
            return Pace::BLIND;
        }
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let apart = micros(self.apart(now));
        let every = apart.saturating_mul(WHOLE) / self.success.max(SUCCESS_MIN);
        Pace {
            every: Span(every),
            delay: Span(micros(self.average + self.deviation * 4).saturating_add(apart)),
        }
    }
}

/// Returns whether two paces differ enough to be told.
pub(super) fn differ(one: Pace, other: Pace) -> bool {
    let far = |a: Span, b: Span| a.0.abs_diff(b.0) > a.0.min(b.0) / 4;
    one.is_blind() != other.is_blind() || far(one.every, other.every) || far(one.delay, other.delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_ledger_that_counts_requests_sets_the_pace_and_failures_slow_it() {
        let start = Instant::now();
        let mut gauge = Gauge::new(SECOND);
        assert_eq!(gauge.apart(start), SECOND * 5 / 4);
        for _ in 0..100 {
            gauge.ended(start, start + SECOND / 10, true);
        }
        let quick = gauge.pace(start);
        assert_eq!(quick.every, Span::from_ms(1_250));
        assert!(quick.delay < Span::from_ms(1_500), "{quick:?}");
        for _ in 0..200 {
            gauge.ended(start, start + SECOND / 10, false);
            gauge.ended(start, start + SECOND / 10, true);
        }
        let slow = gauge.pace(start).every;
        assert!(
            slow > Span::from_ms(2_300) && slow < Span::from_ms(2_700),
            "every other look fails: {slow:?}"
        );
    }

    #[test]
    fn one_look_that_hangs_changes_little_and_a_silent_ledger_blinds() {
        let start = Instant::now();
        let mut gauge = Gauge::new(Duration::ZERO);
        for _ in 0..100 {
            gauge.ended(start, start + SECOND / 100, true);
        }
        let before = gauge.pace(start);
        gauge.ended(start, start + SECOND * 15, false);
        assert_eq!(gauge.pace(start + SILENCE), before, "an outage that may be over in a moment");
        assert!(gauge.pace(start + SILENCE + SECOND).is_blind());
        gauge.ended(start, start + SILENCE + SECOND, true);
        assert!(!gauge.pace(start + SILENCE + SECOND * 2).is_blind());
    }

    /// A node without channels asks nothing: that nobody answers says nothing of the ledger.
    #[test]
    fn a_ledger_that_was_not_asked_is_not_silent() {
        let start = Instant::now();
        let mut gauge = Gauge::new(Duration::ZERO);
        assert!(!gauge.pace(start + SILENCE * 100).is_blind());
        gauge.ended(start, start + SECOND, false);
        gauge.ended(start + SECOND * 30, start + SECOND * 31, false);
        assert!(gauge.pace(start + SILENCE * 2).is_blind());
        gauge.forget_silence();
        assert!(!gauge.pace(start + SILENCE * 2).is_blind(), "the last channel is gone");
    }

    #[test]
    fn more_looks_than_can_be_under_way_wait_for_each_other() {
        let start = Instant::now();
        let mut gauge = Gauge::new(Duration::ZERO);
        for _ in 0..100 {
            gauge.ended(start, start + SECOND * 4, true);
        }
        assert_eq!(gauge.apart(start), LOOKS_APART_MIN);
        gauge.saturated(start);
        assert!(gauge.apart(start) > SECOND / 5);
        assert_eq!(gauge.apart(start + SATURATED), LOOKS_APART_MIN);
    }
}
