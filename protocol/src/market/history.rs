//! What a client has bought of one model lately: the measure of what comes, made of its own jobs alone.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::ident::Prefix;
use crate::limits;
use crate::market::ranking::ceiling;
use crate::market::score::Speed;
use crate::time::Time;
use crate::work::price::Price;

/// The newest good jobs of one model, with all providers together.
#[derive(Debug, Clone, Default)]
pub struct History {
    won: VecDeque<(Price, Prefix)>,
    answers: BTreeMap<u8, VecDeque<u32>>,
    timings: VecDeque<Timing>,
    units: VecDeque<u64>,
    /// How often orders have ended because all bids asked more than a bid may, since one won that did not; and when last.
    refused: u32,
    refused_at: Option<Time>,
}

/// How long one job took, or several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Timing {
    /// Microseconds from the task to the first content, less the start that was promised.
    pub reading_us: u64,
    /// Input tokens that were read in them.
    pub input_tokens: u64,
    /// Microseconds from the first content to the end.
    pub writing_us: u64,
    /// Output tokens that came in them.
    pub output_tokens: u64,
}

impl Timing {
    /// Returns the sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            reading_us: self.reading_us.saturating_add(other.reading_us),
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            writing_us: self.writing_us.saturating_add(other.writing_us),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
        }
    }

    /// Returns it without one part in `parts`, so that a sum of jobs forgets the older ones.
    #[must_use]
    pub fn faded(self, parts: u64) -> Self {
        let fade = |sum: u64| sum.saturating_sub(sum.checked_div(parts).unwrap_or(0));
        Self {
            reading_us: fade(self.reading_us),
            input_tokens: fade(self.input_tokens),
            writing_us: fade(self.writing_us),
            output_tokens: fade(self.output_tokens),
        }
    }

    /// Returns the speed of a provider with these jobs, among the `crowd`'s: a half of a median job counts as its own, so that
    /// one of whom nothing is known is as fast as the median. (`MK-7`)
    #[must_use]
    pub fn speed(&self, crowd: &Self) -> Speed {
        let rate = |own_us: u64, own: u64, us: u64, tokens: u64| {
            let us = own_us.saturating_mul(2).saturating_add(us);
            us.checked_div(own.saturating_mul(2).saturating_add(tokens)).unwrap_or(0)
        };
        Speed {
            read_us: rate(self.reading_us, self.input_tokens, crowd.reading_us, crowd.input_tokens),
            write_us: rate(self.writing_us, self.output_tokens, crowd.writing_us, crowd.output_tokens),
        }
    }
}

impl History {
    /// Notes a bid that won an auction and served well. (`MK-8`)
    ///
    /// While others have won as well, only the four newest of a prefix are kept: one owner does not make the median.
    pub fn won(&mut self, price: Price, prefix: Prefix) {
        if self.median_bid().is_some_and(|median| price <= ceiling(median)) {
            (self.refused, self.refused_at) = (0, None);
        }
        push(&mut self.won, (price, prefix));
        let prefixes: BTreeSet<Prefix> = self.won.iter().map(|(_, prefix)| *prefix).collect();
        if prefixes.len() < 2 {
            return;
        }
        for prefix in prefixes {
            while self.won.iter().filter(|won| won.1 == prefix).count() > limits::WON_A_PREFIX_MAX
                && let Some(oldest) = self.won.iter().position(|won| won.1 == prefix)
            {
                self.won.remove(oldest);
            }
        }
    }

    /// Returns the median of the bids that won lately, once there are four. (`MK-8`)
    #[must_use]
    pub fn median_bid(&self) -> Option<Price> {
        let prices = self.won.iter().map(|(price, _)| *price);
        (self.won.len() >= limits::WON_MIN).then(|| median(prices)).flatten()
    }

    /// Notes that an order has ended because all bids asked more than a bid may: once in a while, so that who asks more each time waits
    /// for it. (`MK-52`)
    pub fn refused(&mut self, now: Time) {
        if self.refused_at.is_none_or(|at| now >= at + limits::CEILING_LIFTED_EVERY) {
            self.refused = self.refused.saturating_add(1);
            self.refused_at = Some(now);
        }
    }

    /// Returns how often that was, since one won that asked no more.
    #[must_use]
    pub const fn refusals(&self) -> u32 {
        self.refused
    }

    /// Notes a job that ended well: the class of its `max_tokens`, its answer and its units.
    pub fn served(&mut self, output_log2: u8, output_tokens: u32, units: u64) {
        push(self.answers.entry(output_log2).or_default(), output_tokens);
        push(&mut self.units, units);
    }

    /// Returns the output that is to be expected of a task of at most so many tokens: the mean answer of such tasks, else a
    /// quarter of the most. (`MK-7`)
    #[must_use]
    pub fn output_tokens(&self, output_log2: u8, most: u64) -> u64 {
        let known = self.answers.get(&output_log2).filter(|answers| !answers.is_empty());
        let mean = known.and_then(|answers| {
            let sum = answers.iter().fold(0u64, |sum, answer| sum.saturating_add(u64::from(*answer)));
            sum.checked_div(answers.len() as u64)
        });
        mean.unwrap_or(most / 4).min(most)
    }

    /// Returns whether so many units are no more than those of the median job. They are, where there was none. (`MK-31`)
    #[must_use]
    pub fn is_small(&self, units: u128) -> bool {
        median(self.units.iter().copied()).is_none_or(|median| units <= u128::from(median))
    }

    /// Notes how long a job took.
    pub fn timed(&mut self, timing: Timing) {
        push(&mut self.timings, timing);
    }

    /// Returns the reading of the job that was read at the median speed, and the writing of the one that was written so.
    #[must_use]
    pub fn median_timing(&self) -> Timing {
        let by = |us: fn(&Timing) -> u64, tokens: fn(&Timing) -> u64| {
            let rate = |timing: &Timing| us(timing).checked_div(tokens(timing));
            let mut timed: Vec<(u64, Timing)> =
                self.timings.iter().filter_map(|timing| Some((rate(timing)?, *timing))).collect();
            timed.sort_by_key(|(rate, _)| *rate);
            timed.get(timed.len().saturating_sub(1) / 2).map(|(_, timing)| *timing).unwrap_or_default()
        };
        let read = by(|timing| timing.reading_us, |timing| timing.input_tokens);
        let wrote = by(|timing| timing.writing_us, |timing| timing.output_tokens);
        Timing { writing_us: wrote.writing_us, output_tokens: wrote.output_tokens, ..read }
    }
}

/// Keeps the newest [`limits::HISTORY_JOBS`].
fn push<T>(newest: &mut VecDeque<T>, item: T) {
    newest.push_back(item);
    while newest.len() > limits::HISTORY_JOBS {
        newest.pop_front();
    }
}

/// Returns the lower median.
#[must_use]
pub fn median<T: Ord + Copy>(items: impl Iterator<Item = T>) -> Option<T> {
    let mut items: Vec<T> = items.collect();
    items.sort_unstable();
    items.get(items.len().saturating_sub(1) / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Prefix = Prefix::of_ipv4([192, 0, 2, 1]);
    const OTHER: Prefix = Prefix::of_ipv4([198, 51, 100, 1]);

    /// (`MK-8`)
    #[test]
    fn the_median_needs_four_bids_and_one_owner_does_not_make_it() {
        let mut history = History::default();
        for price in 1..=3 {
            history.won(Price(price), ONE);
            assert_eq!(history.median_bid(), None);
        }
        history.won(Price(4), ONE);
        assert_eq!(history.median_bid(), Some(Price(2)));
        (5..=30).for_each(|price| history.won(Price(price), ONE));
        assert_eq!(history.median_bid(), Some(Price(22)), "of the sixteen newest");
        history.won(Price(100), OTHER);
        assert_eq!(history.median_bid(), Some(Price(29)), "27 to 30, and 100");
        (0..3).for_each(|_| history.won(Price(100), OTHER));
        assert_eq!(history.median_bid(), Some(Price(30)));
        (0..40).for_each(|_| history.won(Price(1_000), ONE));
        assert_eq!(history.median_bid(), Some(Price(100)), "four of each");
    }

    /// (`MK-7`)
    #[test]
    fn an_answer_is_expected_to_be_as_long_as_those_before() {
        let mut history = History::default();
        assert_eq!(history.output_tokens(8, 200), 50);
        history.served(8, 30, 1_000);
        history.served(8, 33, 3_000);
        assert_eq!([history.output_tokens(8, 200), history.output_tokens(8, 10)], [31, 10]);
        assert_eq!(history.output_tokens(9, 400), 100, "each class for itself");
        assert!(history.is_small(1_000) && !history.is_small(1_001));
        (0..16).for_each(|_| history.served(8, 7, 5_000));
        assert_eq!(history.output_tokens(8, 200), 7, "the sixteen newest");
        assert!(history.is_small(5_000));
    }

    /// (`MK-7`)
    #[test]
    fn a_stranger_is_as_fast_as_the_median_and_a_measured_one_as_fast_as_it_was() {
        let timing =
            |reading_us, writing_us| Timing { reading_us, input_tokens: 100, writing_us, output_tokens: 10 };
        let mut history = History::default();
        assert_eq!(Timing::default().speed(&history.median_timing()), Speed::default());
        for (reading, writing) in [(1_000, 90_000), (3_000, 10_000), (90_000, 50_000)] {
            history.timed(timing(reading, writing));
        }
        let crowd = history.median_timing();
        assert_eq!(Timing::default().speed(&crowd), Speed { read_us: 30, write_us: 5_000 });
        // Half of a median job, and one of its own: (1,500 + 12,000) / (50 + 100).
        assert_eq!(timing(12_000, 0).speed(&crowd), Speed { read_us: 90, write_us: 1_666 });
        let many = (0..32).fold(Timing::default(), |sum, _| sum.plus(timing(12_000, 0)));
        assert_eq!(many.speed(&crowd).read_us, 118);
        assert_eq!(many.faded(32), (0..31).fold(Timing::default(), |sum, _| sum.plus(timing(12_000, 0))));
    }

    /// What a flood of extremes leaves is a number.
    #[test]
    fn no_timing_overflows() {
        let most = Timing { reading_us: u64::MAX, input_tokens: 1, writing_us: u64::MAX, output_tokens: 0 };
        let mut history = History::default();
        history.timed(most);
        history.served(64, u32::MAX, u64::MAX);
        assert_eq!(
            most.plus(most).speed(&history.median_timing()).write_us,
            0,
            "without tokens there is no speed"
        );
        assert!(most.speed(&most).read_us > 0);
    }
}
