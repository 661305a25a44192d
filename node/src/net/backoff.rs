//! When to try again: ever later.

use std::time::Duration;

use web_time::Instant;

use super::limits;

/// The time before which something that failed is not tried again.
pub(super) struct Backoff {
    next: Instant,
    wait: Duration,
}

/// Adds up to a quarter at random, so that nodes do not act in step.
pub(super) fn jittered(time: Duration) -> Duration {
    time.mul_f64(1.0 + rand::random::<f64>() / 4.0)
}

impl Backoff {
    /// Begins with what may be tried at once.
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now, wait: limits::JOIN_BACKOFF_MIN }
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// Puts the next try off, and doubles the wait.
    pub(super) fn put_off(&mut self, now: Instant) {
        self.next = now + jittered(self.wait);
        self.wait = (self.wait * 2).min(limits::JOIN_BACKOFF_MAX);
    }

    /// Lets the next wait be the shortest one again.
    pub(super) fn calm_down(&mut self) {
        self.wait = limits::JOIN_BACKOFF_MIN;
    }
}
