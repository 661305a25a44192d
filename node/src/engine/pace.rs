//! A cap on an engine's own speed, so that an owner can leave room for other work.

use std::time::{Duration, Instant};

/// Spreads tokens over time: after some were made, says how long to rest.
pub(super) struct Pace {
    tokens_per_s: u32,
    ready_at: Instant,
}

impl Pace {
    /// Allows `tokens_per_s` at the most; 0: no cap.
    pub(super) fn new(tokens_per_s: u32, now: Instant) -> Self {
        Self { tokens_per_s, ready_at: now }
    }

    /// Tokens were made.
    pub(super) fn made(&mut self, now: Instant, tokens: u64) {
        if self.tokens_per_s > 0 {
            let micros = tokens.saturating_mul(1_000_000) / u64::from(self.tokens_per_s);
            self.ready_at = self.ready_at.max(now) + Duration::from_micros(micros);
        }
    }

    /// Returns how long to rest before the next step.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.ready_at.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_spread_at_the_cap() {
        let start = Instant::now();
        let mut pace = Pace::new(50, start);
        assert_eq!(pace.rest(start), Duration::ZERO);
        pace.made(start, 10);
        assert_eq!(pace.rest(start), Duration::from_millis(200));
        pace.made(start + Duration::from_millis(100), 5);
        assert_eq!(pace.rest(start + Duration::from_millis(100)), Duration::from_millis(200));
        assert_eq!(pace.rest(start + Duration::from_secs(1)), Duration::ZERO);
        let mut free = Pace::new(0, start);
        free.made(start, u64::MAX);
        assert_eq!(free.rest(start), Duration::ZERO);
    }
}
