//! The one scoring function: what a bid costs its buyer, waiting and locked coins included. Lower is better.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::limits;
use crate::market::bid::Bid;
use crate::market::call::Classes;
use crate::work::price::{InputTokens, Price, Weights};

/// What a bid costs in nano: what the client expects to be billed, and what waiting and locking are worth to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u64);

impl Score {
    /// Returns by how many thousandths of a better score this one is higher, rounded up; `None` where it is none the better.
    #[must_use]
    pub fn margin(self, better: Self) -> Option<u32> {
        let above = u128::from(self.0.checked_sub(better.0)?).saturating_mul(1_000);
        Some(u32::try_from(above.div_ceil(u128::from(better.0.max(1)))).unwrap_or(u32::MAX))
    }
}

/// What became of one bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It won; paid as much as the second score allows, within what was paid lately. (`MK-8`)
    Won {
        /// The best score among the other proven and independent bidders, if there was one.
        second: Option<Score>,
    },
    /// Another bid scored lower.
    Outscored {
        /// By how many nano.
        by: u64,
    },
    /// It can cost more than the order allows.
    OverBudget,
    /// It asks more than a bid may. (`MK-52`)
    OverCeiling {
        /// What a bid may ask at the most.
        most: Price,
    },
    /// It offers less protection than asked for.
    WeakerTier,
    /// Its provider failed this order before, or is being left alone after others. (`MK-31`)
    FailedBefore,
    /// The order's user does not want its provider. (`MK-13`)
    NotWanted,
    /// Its provider cannot be paid for the order by its channel's terms, or out of what may be locked with it. (`CH-31`)
    Unpayable {
        /// Why not.
        why: PaymentFault,
        /// The most that a job with it could cost.
        most: Nano,
    },
}

impl Fate {
    /// Returns whether a bid was set aside for what it asks, and for nothing else.
    pub(super) const fn is_for_price(self) -> bool {
        matches!(self, Self::OverBudget | Self::OverCeiling { .. })
    }
}

/// In which turn a bidder is asked; within a turn the score decides. (`MK-32`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It has served this client well and not failed it since.
    Proven,
    /// It has served this client once, and the task is larger than most; or it has let tasks wait and then refused them.
    Tried,
    /// Nothing is known of it.
    Unknown,
    /// It failed before, or a provider of its prefix is being left alone that never served this client.
    Doubtful,
    /// It is being left alone, but has earned to be asked where nobody else bids.
    Last,
    /// It is being left alone.
    Barred,
}

/// How fast a provider was when this client measured it, in microseconds a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Speed {
    /// Of input.
    pub read_us: u64,
    /// Of output.
    pub write_us: u64,
}

/// What the client itself knows of a bidder, beyond what the bid says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// In which turn the order's user wants it asked.
    pub turn: usize,
    /// In which turn it is asked among those.
    pub place: Place,
    /// Good jobs for this client since it last failed.
    pub level: u8,
    /// How fast it was; of a stranger, how fast the others were.
    pub speed: Speed,
    /// What this order would lock with it, beyond what is locked already.
    pub locks: Nano,
    /// Seconds in which a close of its channel can be challenged.
    pub challenge_s: u32,
    /// Why it is not asked at all.
    pub refused: Option<Fate>,
}

impl Standing {
    /// An old acquaintance whose channel holds enough and whose speed nobody measured: its bid counts for what it says.
    pub const SETTLED: Self = Self {
        turn: 0,
        place: Place::Proven,
        level: u8::MAX,
        speed: Speed { read_us: 0, write_us: 0 },
        locks: Nano::ZERO,
        challenge_s: 0,
        refused: None,
    };
}

/// What is bid for: the task that is left of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// What the model's tokens count.
    pub weights: Weights,
    /// Its input.
    pub input: InputTokens,
    /// Its output at the most.
    pub output_tokens_max: u64,
}

impl Lot {
    /// Returns the most that the task can cost at this price. `None` where the amount does not fit. (`WR-8`)
    #[must_use]
    pub fn cost_max(&self, price: Price) -> Option<Nano> {
        price.bill(self.units_max())
    }

    /// Returns the size classes that a price for it must be for.
    #[must_use]
    pub fn classes(&self) -> Classes {
        Classes::of(self.input.count(), self.output_tokens_max)
    }

    /// Returns the units of a whole answer of the greatest length.
    #[must_use]
    pub fn units_max(&self) -> u128 {
        self.weights.units(self.input, self.output_tokens_max)
    }

    /// Returns the most output tokens that a budget pays for at the price by which the task has this ceiling.
    #[must_use]
    pub fn affordable(&self, budget: Nano, ceiling: Nano) -> u64 {
        let units = u128::from(budget.0).saturating_mul(self.units_max()).checked_div(u128::from(ceiling.0));
        let for_output = units.unwrap_or(0).saturating_sub(self.weights.units(self.input, 0));
        let tokens = for_output.checked_div(u128::from(self.weights.output)).unwrap_or(0);
        u64::try_from(tokens).unwrap_or(u64::MAX)
    }

    /// Returns the most output tokens that are asked for where this is the most that can be paid, at the price by which the task has
    /// this ceiling. None where nothing would be served. (`MK-13`)
    #[must_use]
    pub fn served(&self, most: Nano, ceiling: Nano) -> Option<u64> {
        let cut = || cut(self.affordable(most, ceiling));
        if ceiling <= most { Some(self.output_tokens_max) } else { cut() }
    }

    /// Returns the least that must be payable for anything to be served, at the price by which the task has this ceiling. (`MK-13`)
    #[must_use]
    pub fn least(&self, ceiling: Nano) -> Nano {
        let shortest = self.output_tokens_max.min(SHORTEST_CUT);
        let units = self.weights.units(self.input, shortest);
        let least = u128::from(ceiling.0).saturating_mul(units).div_ceil(self.units_max().max(1));
        Nano(u64::try_from(least).unwrap_or(u64::MAX))
    }
}

/// An answer that can be paid for is cut by one part of so many, for prices that rise: one with a part for each request is higher for a
/// smaller answer. (`MK-13`)
const CUT_PARTS: u64 = 8;
/// The shortest answer that is payable and cut, not refused: less its part it is as long as a receipt covers.
const SHORTEST_CUT: u64 = (limits::RECEIPT_TOKENS * CUT_PARTS).div_ceil(CUT_PARTS - 1);

/// Returns the output tokens that are asked for where so many can be paid for and more were wanted. None where that is too short.
/// (`MK-13`)
#[must_use]
pub const fn cut(payable: u64) -> Option<u64> {
    if payable < SHORTEST_CUT { None } else { Some(payable.saturating_sub(payable.div_ceil(CUT_PARTS))) }
}

/// How a client weighs the bids for a lot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Valuation {
    /// What is bid for.
    pub lot: Lot,
    /// The output that the client expects, from its own history.
    pub output_tokens: u64,
    /// What one millisecond less of waiting is worth to it.
    pub nano_per_ms: u64,
}

impl Valuation {
    /// Returns the units that the client expects to be billed.
    #[must_use]
    pub fn units(&self) -> u128 {
        self.lot.weights.units(self.lot.input, self.output_tokens)
    }

    /// Returns how many milliseconds pass until the whole answer is there: as the bidder promises, or as it was measured if that
    /// is longer. (`MK-7`)
    #[must_use]
    pub fn wait_ms(&self, bid: &Bid, speed: Speed) -> u64 {
        // To find what was read before takes about an eighth of reading it.
        let InputTokens { fresh, cached } = self.lot.input;
        let reads = u64::from(fresh).saturating_add(u64::from(cached / 8));
        let reading_us = speed.read_us.saturating_mul(reads);
        let writing_us = speed.write_us.saturating_mul(self.output_tokens);
        let measured = reading_us.saturating_add(writing_us) / 1_000;
        let promised = bid.reading_ms(reads).saturating_add(bid.writing_ms(self.output_tokens));
        u64::from(bid.start_ms).saturating_add(promised.max(measured))
    }

    /// Returns what a bid costs beside its price: waiting, and coins that are locked.
    #[must_use]
    pub fn aside(&self, bid: &Bid, standing: &Standing) -> Nano {
        let waiting = self.nano_per_ms.saturating_mul(self.wait_ms(bid, standing.speed));
        Nano(waiting).saturating_plus(lock_cost(standing))
    }

    /// Returns the score of a bid. `None` where it does not fit. (`MK-7`)
    #[must_use]
    pub fn score(&self, bid: &Bid, standing: &Standing) -> Option<Score> {
        Some(Score(bid.price.bill(self.units())?.plus(self.aside(bid, standing))?.0))
    }
}

/// Returns what it is worth to the buyer that coins stay locked for a challenge time if it comes to
/// that. (`MK-7`)
#[must_use]
pub fn lock_cost(standing: &Standing) -> Nano {
    let nano_s = u128::from(standing.locks.0).saturating_mul(u128::from(standing.challenge_s));
    let cost = nano_s.checked_div(u128::from(limits::LOCK_NANO_S)).unwrap_or(0);
    Nano(u64::try_from(cost).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`MK-11`)
    #[test]
    fn a_margin_is_a_share_of_the_better_score_and_none_of_an_equal_or_worse_one() {
        let margin = |of, better| Score(of).margin(Score(better));
        assert_eq!([margin(1_012, 1_000), margin(1_000_001, 1_000_000)], [Some(12), Some(1)]);
        assert_eq!([margin(7, 7), margin(6, 7)], [Some(0), None]);
        assert_eq!([margin(u64::MAX, 0), margin(u64::MAX, 1)], [Some(u32::MAX), Some(u32::MAX)]);
    }
}
