//! The time of day, which statements that strangers keep and repeat are dated by.

use crate::limits;
use crate::time::Time;

/// What a machine knows of the time of day: how it follows from the machine's own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WallClock {
    /// Unix seconds at the machine's time zero.
    zero_s: u64,
}

impl WallClock {
    /// Creates the clock of a machine whose time zero was this Unix second.
    #[must_use]
    pub const fn new(zero_s: u64) -> Self {
        Self { zero_s }
    }

    /// Returns the clock by which it is now this Unix second: the one to go on with after the machine slept, or its owner
    /// put the clock right.
    #[must_use]
    pub const fn at(now: Time, unix_s: u64) -> Self {
        Self { zero_s: unix_s.saturating_sub(now.0 / 1_000_000) }
    }

    /// Returns the Unix second that it is now.
    #[must_use]
    pub const fn unix_s(self, now: Time) -> u64 {
        self.zero_s.saturating_add(now.0 / 1_000_000)
    }
}

/// Returns whether a statement of this Unix second is acted upon by a clock that shows this one. (`WI-18`)
#[must_use]
pub const fn is_fresh(made_s: u64, unix_s: u64) -> bool {
    made_s.abs_diff(unix_s) <= limits::CLOCK_SKEW_S_MAX
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Span;

    #[test]
    fn the_time_of_day_follows_from_the_own_clock_and_is_put_right() {
        let clock = WallClock::new(1_000);
        assert_eq!(clock.unix_s(Time(0) + Span::from_ms(2_999)), 1_002);
        let now = Time(0) + Span::from_s(10);
        assert_eq!(WallClock::at(now, 5_000).unix_s(now + Span::from_s(3)), 5_003);
        assert_eq!(WallClock::at(now, 3).unix_s(now), 10, "before 1970 there is no clock");
    }

    /// (`WI-18`)
    #[test]
    fn a_statement_is_fresh_for_two_minutes_either_way() {
        for (made_s, fresh) in
            [(880, true), (879, false), (1_120, true), (1_121, false), (0, false), (u64::MAX, false)]
        {
            assert_eq!(is_fresh(made_s, 1_000), fresh, "{made_s}");
        }
    }
}
