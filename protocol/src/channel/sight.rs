//! What the ledger showed of a channel when its provider looked last, and for how long that counts. (`CH-57`)
//!
//! A close that nobody has asked for when a look is taken cannot be over before the challenge time is. A provider therefore
//! serves on a look for half of that time: what is left is for its vouchers to reach the ledger. Where the look was taken by an
//! earlier life, its age is known from the time of day alone, so that a clock which went back makes it worth nothing.

use crate::amount::Nano;
use crate::channel::ledger::ChannelState;
use crate::limits::WATCH_TIMES_LEAST;
use crate::time::{Span, Time};

/// A look at an open channel, as it is kept on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SightRecord {
    /// The Unix second of the look.
    pub at_s: u64,
    /// Which funding it showed.
    pub epoch: u64,
    /// Everything deposited.
    pub deposit: Nano,
    /// Everything paid out to the provider.
    pub settled: Nano,
}

/// The newest look at a channel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sight {
    state: ChannelState,
    at_s: u64,
    /// Until when it counts.
    until: Time,
    /// Whether that time is over, as far as anybody has checked.
    is_old: bool,
    /// Whether an earlier life has looked.
    is_remembered: bool,
}

impl Sight {
    /// Returns a look that is taken now.
    pub(super) fn new(now: Time, unix_s: u64, state: ChannelState, challenge_s: u32) -> Self {
        let until = now + lifetime(challenge_s);
        Self { state, at_s: unix_s, until, is_old: false, is_remembered: false }
    }

    /// Returns a look that is read back from disk, where the machine's time zero is this second: it counts until it would have
    /// counted in the life that took it, and no longer.
    pub(super) fn remembered(record: SightRecord, zero_s: u64, challenge_s: u32) -> Self {
        let SightRecord { at_s, epoch, deposit, settled } = record;
        let state = ChannelState { epoch, deposit, settled, closing: None };
        // A second that has begun counts as a whole one.
        let end =
            Span::from_s(at_s).0.saturating_add(lifetime(challenge_s).0).saturating_sub(Span::from_s(1).0);
        let until = Time(end.saturating_sub(Span::from_s(zero_s).0));
        Self { state, at_s, until, is_old: until == Time(0), is_remembered: true }
    }

    /// Returns what is kept of it on disk.
    pub(super) const fn record(&self) -> SightRecord {
        let ChannelState { epoch, deposit, settled, .. } = self.state;
        SightRecord { at_s: self.at_s, epoch, deposit, settled }
    }

    /// Returns what it showed.
    pub(super) const fn state(&self) -> ChannelState {
        self.state
    }

    /// Returns whether an earlier life has taken it.
    pub(super) const fn is_remembered(&self) -> bool {
        self.is_remembered
    }

    /// Returns whether it counts.
    pub(super) const fn counts(&self) -> bool {
        !self.is_old
    }

    /// Returns until when it counts.
    pub(super) const fn until(&self) -> Time {
        self.until
    }

    /// Notes that it is now this late. One from the future does not count: nobody knows how old it is.
    pub(super) fn age(&mut self, now: Time, unix_s: u64) {
        self.is_old |= now >= self.until || self.at_s > unix_s;
    }

    /// Notes that it is this second now, and was taken to be another. Where the clock went on, the machine has slept, perhaps, and
    /// the look is older by that. Where it went back, the age of one that an earlier life took is not known.
    pub(super) fn put_clock(&mut self, before_s: u64, unix_s: u64) {
        let skipped = Span::from_s(unix_s.saturating_sub(before_s));
        self.until = Time(self.until.0.saturating_sub(skipped.0));
        if unix_s < before_s {
            if self.is_remembered {
                self.until = Time(0);
            } else {
                self.at_s = self.at_s.saturating_sub(before_s.saturating_sub(unix_s));
            }
        }
    }

    /// Counts it no more.
    pub(super) fn distrust(&mut self) {
        (self.until, self.is_old) = (Time(0), true);
    }
}

/// Returns how long a look counts: for the part of the challenge time in which a close must be seen, or is the watcher's to
/// answer.
pub(crate) const fn lifetime(challenge_s: u32) -> Span {
    Span(Span::from_s(challenge_s as u64).0 / WATCH_TIMES_LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: ChannelState = ChannelState { epoch: 7, deposit: Nano(9), settled: Nano(2), closing: None };
    const HALF: Span = Span::from_s(1_800);

    /// A look of second 10,000, in a life that begins so many seconds later.
    fn remembered(age_s: i64) -> Sight {
        let record = Sight::new(Time(0), 10_000, OPEN, 3_600).record();
        Sight::remembered(record, 10_000_u64.saturating_add_signed(age_s), 3_600)
    }

    fn counts_at(mut sight: Sight, now: Time, unix_s: u64) -> bool {
        sight.age(now, unix_s);
        sight.counts()
    }

    /// (`CH-57`)
    #[test]
    fn a_look_counts_for_half_of_the_challenge_and_a_restart_makes_that_no_longer() {
        let sight = Sight::new(Time(5), 10_000, OPEN, 3_600);
        assert!(counts_at(sight, Time(4) + HALF, 11_800) && !counts_at(sight, Time(5) + HALF, 11_800));
        for age_s in [0, 1, 900, 1_798] {
            let left = Span(HALF.0 - Span::from_s(age_s + 1).0);
            let again = remembered(i64::try_from(age_s).unwrap());
            assert!(counts_at(again, Time(left.0 - 1), 11_799), "{age_s}");
            assert!(!counts_at(again, Time(left.0), 11_799), "{age_s}");
            assert_eq!((again.state(), again.record().at_s), (OPEN, 10_000), "a restart makes it no younger");
        }
        for age_s in [1_799, 1_800, 1_000_000] {
            assert!(!remembered(age_s).counts(), "{age_s}: too old");
        }
        for age_s in [-1, -10_000] {
            let unix_s = 10_000_u64.saturating_add_signed(age_s);
            assert!(!counts_at(remembered(age_s), Time(0), unix_s), "{age_s}: from the future");
        }
        let first = SightRecord { at_s: 0, ..sight.record() };
        assert!(!Sight::remembered(first, u64::MAX, u32::MAX).counts());
        let last = SightRecord { at_s: u64::MAX, ..sight.record() };
        assert!(!counts_at(Sight::remembered(last, 5, u32::MAX), Time(0), 5));
    }

    /// (`CH-57`)
    #[test]
    fn a_clock_that_goes_on_makes_a_look_older_and_one_that_goes_back_a_remembered_one_unknown() {
        let after = |mut sight: Sight, now, before_s, unix_s| {
            sight.put_clock(before_s, unix_s);
            counts_at(sight, now, unix_s)
        };
        let now = Time(0) + Span::from_s(60);
        let fresh = Sight::new(now, 10_000, OPEN, 3_600);
        assert!(after(fresh, now, 10_000, 11_799) && !after(fresh, now, 10_000, 11_800));
        assert!(after(fresh, now + Span::from_s(1_799), 10_000, 4_000), "it was seen in this life");
        let mut back = fresh;
        back.put_clock(10_000, 4_000);
        assert_eq!(back.record().at_s, 4_000, "the next life reads it by the clock as it is now");
        assert!(!after(remembered(100), Time(0), 10_100, 10_099));
        assert!(after(remembered(100), Time(0), 10_100, 10_200));
        assert!(!after(remembered(100), Time(0), 10_100, 11_800));
    }
}
