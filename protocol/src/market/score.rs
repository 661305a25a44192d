//! The one scoring function: what a bid costs its buyer, waiting, locked coins and risk included. Lower is better.

use crate::amount::Nano;
use crate::limits;
use crate::market::bid::Bid;
use crate::market::call::Classes;
use crate::work::order::TaskKind;
use crate::work::price::{InputTokens, Price, Weights};

/// What a bid costs in nano: the most it can be billed, and what waiting, locking and trusting are worth to the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u64);

/// What became of one bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It won; paid as much as the runner-up's score allows.
    Won {
        /// The runner-up's score, if there was one.
        runner_up: Option<Score>,
    },
    /// Another bid scored lower.
    Outscored {
        /// By how many nano.
        by: u64,
    },
    /// It can cost more than the order allows.
    OverBudget,
    /// It offers less protection than asked for.
    WeakerTier,
    /// Its provider failed this order before, or is being left alone after others. (`MK-31`)
    FailedBefore,
    /// The order's user does not want its provider. (`MK-13`)
    NotWanted,
    /// It wants more time to answer a close than a client gives one that has not served it twice. (`CH-31`)
    LongChallenge {
        /// How long it wants, in seconds.
        asks_s: u32,
    },
}

/// In which turn a bidder is asked; within a turn the score decides. (`MK-32`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It has served this client well and not failed it since.
    Proven,
    /// Nothing is known of it.
    Unknown,
    /// It failed before, or a provider of its prefix is being left alone that never served this client.
    Doubtful,
    /// It is being left alone, but has earned to be asked where nobody else bids.
    Last,
    /// It is being left alone.
    Barred,
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
    /// What this order would lock with it, beyond what is locked already.
    pub locks: Nano,
    /// Seconds in which a close of its channel can be challenged.
    pub challenge_s: u32,
    /// Why it is not asked at all.
    pub refused: Option<Fate>,
}

impl Standing {
    /// An old acquaintance whose channel holds enough: its bid counts for what it says.
    pub const SETTLED: Self = Self {
        turn: 0,
        place: Place::Proven,
        level: u8::MAX,
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
    /// What kind of work it is.
    pub kind: TaskKind,
    /// Its input.
    pub input: InputTokens,
    /// Its output at the most.
    pub output_tokens_max: u64,
    /// What one millisecond less until the first token is worth to the buyer.
    pub nano_per_ms: u64,
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

    /// Returns the units that a provider can be paid at the most before it has delivered more than one step: all of the input
    /// and 32 tokens.
    #[must_use]
    pub fn first_step(&self) -> u128 {
        match self.kind {
            TaskKind::Embed => self.units_max(),
            TaskKind::Generate => {
                self.weights.units(self.input, self.output_tokens_max.min(limits::RECEIPT_TOKENS))
            }
        }
    }

    /// Returns what the buyer's wait until the first token is worth.
    #[must_use]
    pub fn wait_cost(&self, bid: &Bid) -> Nano {
        Nano(self.nano_per_ms.saturating_mul(bid.first_token_ms(self.input.count())))
    }

    /// Returns what a bid costs beside its price.
    #[must_use]
    pub fn aside(&self, bid: &Bid, standing: &Standing) -> Nano {
        self.wait_cost(bid).saturating_plus(lock_cost(standing))
    }

    /// Returns the score of a bid at a price, of a bidder whose first step counts so often. (`MK-7`)
    #[must_use]
    pub fn score(&self, bid: &Bid, standing: &Standing, weight: u64) -> Option<Score> {
        let risk = Nano(bid.price.bill(self.first_step())?.0.checked_mul(weight)?);
        let aside = self.wait_cost(bid).plus(lock_cost(standing))?;
        Some(Score(self.cost_max(bid.price)?.plus(aside)?.plus(risk)?.0))
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

/// Returns how often the first step is counted with a provider of this level: it is what a stranger
/// may be gone with.
#[must_use]
pub const fn step_weight(level: u8) -> u64 {
    if level == 0 { limits::FIRST_STEP_WEIGHT } else { 0 }
}
