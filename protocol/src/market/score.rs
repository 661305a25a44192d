//! The one scoring function: what a bid costs its buyer, waiting included. Lower is better.

use crate::amount::Nano;
use crate::market::bid::Bid;
use crate::work::order::Order;

/// What a bid costs in nano: the most it can be billed and what the wait is worth to the buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score(pub u64);

/// The most that the order can cost at this bid's price. `None` where the amount does not fit.
#[must_use]
pub fn cost(order: &Order, bid: &Bid) -> Option<Nano> {
    bid.price.cost_max(&order.task)
}

/// What the buyer's wait until the first token is worth.
#[must_use]
pub fn wait_cost(order: &Order, bid: &Bid) -> Nano {
    Nano(order.nano_per_ms.saturating_mul(u64::from(bid.first_token_ms)))
}

/// The score of a bid. (`MK-7`)
#[must_use]
pub fn score(order: &Order, bid: &Bid) -> Option<Score> {
    Some(Score(cost(order, bid)?.plus(wait_cost(order, bid))?.0))
}
