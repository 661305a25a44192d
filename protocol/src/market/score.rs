//! The one scoring function: what a bid costs its buyer, waiting, locked coins and risk included. Lower is better.

use crate::amount::Nano;
use crate::limits;
use crate::market::bid::Bid;
use crate::work::order::{Order, TaskKind};
use crate::work::price::PriceSheet;

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
    /// In which turn it is asked.
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
    pub const SETTLED: Self =
        Self { place: Place::Proven, level: u8::MAX, locks: Nano::ZERO, challenge_s: 0, refused: None };
}

/// Returns the most that the order can cost at this bid's price. `None` where the amount does not
/// fit.
#[must_use]
pub fn cost(order: &Order, bid: &Bid) -> Option<Nano> {
    bid.price.cost_max(&order.task)
}

/// Returns what the buyer's wait until the first token is worth.
#[must_use]
pub fn wait_cost(order: &Order, bid: &Bid) -> Nano {
    Nano(order.nano_per_ms.saturating_mul(u64::from(bid.first_token_ms)))
}

/// Returns what it is worth to the buyer that coins stay locked for a challenge time if it comes to
/// that. (`MK-7`)
#[must_use]
pub fn lock_cost(standing: &Standing) -> Nano {
    let nano_s = u128::from(standing.locks.0).saturating_mul(u128::from(standing.challenge_s));
    let cost = nano_s.checked_div(u128::from(limits::LOCK_NANO_S)).unwrap_or(0);
    Nano(u64::try_from(cost).unwrap_or(u64::MAX))
}

/// Returns what a provider can be paid at the most before it has delivered more than one step: all
/// of the input and 32 tokens.
#[must_use]
pub fn first_step(order: &Order, price: &PriceSheet) -> Option<Nano> {
    match order.task.kind() {
        TaskKind::Embed => price.cost_max(&order.task),
        TaskKind::Generate => price
            .cost(order.task.input_tokens_max(), order.task.output_tokens_max().min(limits::RECEIPT_TOKENS)),
    }
}

/// Returns how often the first step is counted with a provider of this level: it is what a stranger
/// may be gone with.
#[must_use]
pub const fn step_weight(level: u8) -> u64 {
    if level == 0 { limits::FIRST_STEP_WEIGHT } else { 0 }
}

/// Returns the score of a bid, of a bidder whose first step counts so often. (`MK-7`)
#[must_use]
pub fn score(order: &Order, bid: &Bid, standing: &Standing, weight: u64) -> Option<Score> {
    let risk = Nano(first_step(order, &bid.price)?.0.checked_mul(weight)?);
    let aside = wait_cost(order, bid).plus(lock_cost(standing))?;
    Some(Score(cost(order, bid)?.plus(aside)?.plus(risk)?.0))
}
