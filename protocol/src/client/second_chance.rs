//! When a provider that is being left alone is asked all the same, where nobody else bids: the only seller there is must not
//! be lost for minutes because it was started again. (`MK-31`)

use crate::limits;
use crate::time::{Span, Time};

/// The second chances of one provider since it last served well.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SecondChance {
    due: Time,
    failed_at: Time,
    failures: u32,
    is_hastened: bool,
}

impl SecondChance {
    /// Returns when it may be asked again.
    pub(super) const fn due(&self) -> Time {
        self.due
    }

    /// Returns whether a job that began then began after the last failure: its end is news, and not one of several that a
    /// provider had on hand when it died.
    pub(super) fn is_news(&self, began: Time) -> bool {
        self.failures == 0 || began > self.failed_at
    }

    /// Notes a failure: the next chance comes twice as late as the one before.
    pub(super) fn failed(&mut self, now: Time) {
        let pause = limits::SECOND_CHANCE.0.saturating_mul(1 << self.failures.min(16));
        self.due = now + Span(pause).min(limits::SECOND_CHANCE_MAX);
        self.failed_at = now;
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that it has served well.
    pub(super) fn served(&mut self) {
        *self = Self::default();
    }

    /// Notes that it answers again: its chance is now. Once between two good jobs, since an answer costs nothing.
    pub(super) fn is_back(&mut self, now: Time) {
        if self.due > now && !core::mem::replace(&mut self.is_hastened, true) {
            self.due = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`MK-31`)
    #[test]
    fn each_pause_is_twice_the_last_up_to_half_a_minute_and_a_return_ends_one_of_them() {
        let (mut chance, mut now, mut pauses) = (SecondChance::default(), Time(1), Vec::new());
        for _ in 0..6 {
            chance.failed(now);
            pauses.push(chance.due().since(now).as_ms() / 1_000);
            now = chance.due();
        }
        assert_eq!(pauses, [4, 8, 16, 32, 32, 32]);
        chance.failed(now);
        chance.is_back(now);
        assert_eq!(chance.due(), now);
        chance.failed(now);
        chance.is_back(now);
        assert_eq!(chance.due(), now + limits::SECOND_CHANCE_MAX, "once");
        chance.served();
        chance.failed(now);
        assert_eq!(chance.due(), now + limits::SECOND_CHANCE);
    }

    /// (`MK-31`)
    #[test]
    fn jobs_that_were_on_hand_when_it_died_are_one_failure() {
        let mut chance = SecondChance::default();
        assert!(chance.is_news(Time(0)));
        chance.failed(Time(5));
        assert!(!chance.is_news(Time(4)) && !chance.is_news(Time(5)) && chance.is_news(Time(6)));
    }
}
