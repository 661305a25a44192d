//! What an order would cost, said before anything is asked. (`MK-64`)

use crate::amount::Nano;
use crate::ident::NodeId;
use crate::market::score::Lot;
use crate::work::price::Price;

/// What an order would cost at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Providers that offer the model and could take the order.
    pub sellers: usize,
    /// Prefixes that they are of: the many nodes of one owner in one prefix are one seller.
    pub prefixes: usize,
    /// The provider that a lease stands with, or that asks least.
    pub provider: NodeId,
    /// Whether a lease stands with it, so that the price is agreed and not only asked.
    pub is_leased: bool,
    /// Its price.
    pub price: Price,
    /// The middle one of the lowest prices of each prefix.
    pub usual: Price,
    /// The median of the bids that won lately, where there were enough. (`MK-8`)
    pub won_lately: Option<Price>,
    /// Input tokens, as this node counts or estimates them.
    pub input_tokens: u64,
    /// The answer that is expected. (`MK-7`)
    pub output_tokens: u64,
    /// The largest answer that the order allows and somebody gives.
    pub output_tokens_max: u64,
    /// The bill at the provider's price.
    pub bill: QuotedBill,
    /// The bill at the usual price.
    pub usual_bill: QuotedBill,
    /// Whether a channel would have to be opened.
    pub opens_channel: bool,
    /// What would be locked beyond what is locked. (`CH-31`)
    pub locks: Nano,
}

/// What whole answers of three lengths cost at one price. None where an amount does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotedBill {
    /// Of an answer without a token.
    pub empty: Option<Nano>,
    /// Of the expected one.
    pub expected: Option<Nano>,
    /// Of the largest.
    pub largest: Option<Nano>,
}

impl QuotedBill {
    /// Returns the bills at a price, where an answer of so many tokens is expected.
    #[must_use]
    pub fn at(price: Price, lot: &Lot, expected: u64) -> Self {
        let of = |output_tokens: u64| price.bill(lot.weights.units(lot.input, output_tokens));
        Self { empty: of(0), expected: of(expected), largest: of(lot.output_tokens_max) }
    }
}
