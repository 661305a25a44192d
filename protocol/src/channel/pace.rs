//! How fast a node sees what happens to its channels, and which challenge times it can therefore accept.
//!
//! A close that a client asks for takes effect after the channel's challenge time. A provider that looks at its channels
//! too seldom would see it too late, with vouchers in its hands that nobody claims any more. So it accepts a channel only
//! where it can see a close [`WATCH_TIMES`] times within the challenge, beside all the channels that it has. (`CH-35`)
//!
//! Each channel needs one look in every [`Pace::gap`]. The looks that all of them need together may take
//! [`WATCH_SHARE_MAX`] of those that the ledger allows: the shell gives them three of four turns, and places each in the
//! second half of its gap, which costs half of the rest.

use crate::channel::terms::CHALLENGE_S_MAX;
use crate::limits::{WATCH_ROOM_PARTS, WATCH_SHARE_MAX, WATCH_TIMES};
use crate::time::Span;

/// All looks, in the unit of [`Pace::share`]: millionths.
pub const WHOLE: u64 = 1_000_000;

/// How fast the shell can look at channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// The time from the beginning of one look to that of the next, whichever channels they are at.
    pub every: Span,
    /// The longest time from the moment at which a look should begin to the moment at which its answer is known.
    pub delay: Span,
}

impl Pace {
    /// The pace of a shell to which the ledger does not answer: it sees nothing.
    pub const BLIND: Self = Self { every: Span::MAX, delay: Span::MAX };

    /// Returns whether nothing is seen at all, at any number of channels.
    #[must_use]
    pub const fn is_blind(self) -> bool {
        self.every.0 == u64::MAX
    }

    /// Returns the longest time that may pass between the beginnings of two looks at a channel with
    /// this challenge time, so that a close is known within a tenth of it. `None` where a look
    /// takes more than half of that time: there is one at a time.
    #[must_use]
    pub const fn gap(self, challenge_s: u32) -> Option<Span> {
        self.gap_within(challenge_s, WATCH_TIMES)
    }

    const fn gap_within(self, challenge_s: u32, times: u64) -> Option<Span> {
        let Some(known_by) = Span::from_s(challenge_s as u64).0.checked_div(times) else { return None };
        match known_by.checked_sub(self.delay.0) {
            Some(gap) if gap > 0 && gap / 2 >= self.delay.0 => Some(Span(gap)),
            _ => None,
        }
    }

    /// Returns the share of all looks that a channel with this challenge time needs, in millionths,
    /// rounded up.
    #[must_use]
    pub fn share(self, challenge_s: u32) -> u64 {
        self.share_within(challenge_s, WATCH_TIMES)
    }

    /// Returns [`Self::share`] for closes that must be known `times` times within the challenge.
    #[must_use]
    pub fn share_within(self, challenge_s: u32, times: u64) -> u64 {
        let gap = self.gap_within(challenge_s, times);
        gap.map_or(WHOLE, |gap| self.every.0.saturating_mul(WHOLE).div_ceil(gap.0).min(WHOLE))
    }

    /// Returns the least challenge time, in seconds, that a provider asks a new client for, where
    /// its channels need `taken` of the looks: one whose share leaves room for the channels to
    /// come. `None` where there is no room.
    #[must_use]
    pub fn least_challenge_s(self, taken: u64) -> Option<u32> {
        let part = WATCH_SHARE_MAX.saturating_sub(taken) / WATCH_ROOM_PARTS;
        let gap = self.every.0.checked_mul(WHOLE)?.div_ceil(part.max(1));
        let known_by = gap.max(self.delay.0.checked_mul(2)?).checked_add(self.delay.0)?;
        let seconds = known_by.checked_mul(WATCH_TIMES)?.div_ceil(Span::from_s(1).0);
        u32::try_from(seconds).ok().filter(|seconds| part > 0 && *seconds <= CHALLENGE_S_MAX)
    }
}

/// Returns whether channels that need `taken` of the looks together can all be watched as they must
/// be. (`CH-35`)
#[must_use]
pub const fn fits(taken: u64) -> bool {
    taken <= WATCH_SHARE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request a second, spaced as the node does.
    const SLOW: Pace = Pace { every: Span::from_ms(1_375), delay: Span::from_ms(1_700) };

    fn taken(pace: Pace, channels: usize, challenge_s: u32) -> u64 {
        pace.share(challenge_s) * channels as u64
    }

    /// (`CH-35`)
    #[test]
    fn sixty_channels_of_a_minute_are_too_many_for_one_request_a_second() {
        assert!(fits(taken(SLOW, 1, 60)));
        for channels in [2, 30, 60] {
            assert!(!fits(taken(SLOW, channels, 60)), "{channels}");
        }
        assert!(fits(taken(SLOW, 60, 3_600)));
        assert!(!fits(taken(SLOW, 4_096, 3_600)) && !fits(taken(SLOW, 1, 17)));
    }

    #[test]
    fn what_a_provider_asks_for_fits_and_grows_as_room_becomes_scarce() {
        let (mut taken, mut before, mut accepted) = (0, 0, 0);
        while let Some(challenge_s) = SLOW.least_challenge_s(taken) {
            assert!(challenge_s >= before, "{challenge_s} after {before}");
            before = challenge_s;
            taken += SLOW.share(challenge_s);
            assert!(fits(taken));
            accepted += 1;
        }
        assert!(accepted > 100, "{accepted} channels");
    }

    #[test]
    fn a_blind_shell_accepts_nothing_and_extremes_are_no_trouble() {
        assert!(Pace::BLIND.is_blind() && Pace::BLIND.gap(u32::MAX).is_none());
        assert_eq!(Pace::BLIND.share(CHALLENGE_S_MAX), WHOLE);
        assert_eq!(Pace::BLIND.least_challenge_s(0), None);
        let instant = Pace { every: Span(0), delay: Span(0) };
        assert_eq!((instant.share(1), instant.gap(0)), (0, None));
        assert_eq!(SLOW.least_challenge_s(u64::MAX), None);
    }
}
