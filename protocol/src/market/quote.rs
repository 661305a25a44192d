//! What an order would cost, said before anything is asked. (`MK-64`)

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::ident::NodeId;
use crate::market::call::Classes;
use crate::market::score::Lot;
use crate::work::price::{InputTokens, Price, Weights};

/// What an order would cost at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// Providers that offer the model and could take the order.
    pub sellers: usize,
    /// Prefixes that they are of: the many nodes of one owner in one prefix are one seller.
    pub prefixes: usize,
    /// The provider that would be asked first: that a lease stands with, or that comes first by place and price. (`MK-32`)
    pub provider: NodeId,
    /// What its price is known from.
    pub basis: Basis,
    /// What it is expected to be paid.
    pub price: Price,
    /// What it may be paid, as far as that can be told from here.
    pub price_most: Price,
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
    /// The answer that would be asked for at the provider's price: the largest, or what it is cut to by what the order may cost and what
    /// may be locked for it. None where nothing would be served. (`MK-13`)
    pub output_tokens_served: Option<u64>,
    /// The least that the order must be allowed to cost, and lock, for anything to be served at that price.
    pub least: Nano,
    /// The bill at the provider's price.
    pub bill: QuotedBill,
    /// The bill at the most that it may be paid.
    pub most_bill: QuotedBill,
    /// The bill at the usual price.
    pub usual_bill: QuotedBill,
    /// The most that a bid may ask, where that is bounded by more than the budget. (`MK-52`)
    pub price_max: Option<Price>,
    /// What the order would ask of the channel to its provider, at the price that this is expected to be paid. (`CH-31`)
    pub channel: QuotedChannel,
    /// The same at the most that it may be paid.
    pub most_channel: QuotedChannel,
}

/// What an order would ask of a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotedChannel {
    /// How the channel stands.
    pub state: QuotedState,
    /// What it must be given at the least.
    pub needs: Nano,
    /// What would be locked beyond what is locked.
    pub locks: Nano,
    /// The most that a job on it may cost.
    pub room: Nano,
    /// Why the order could not be paid as it is: it would be cut to what can be, or refused. (`MK-13`)
    pub fault: Option<PaymentFault>,
}

/// How the channel to a provider stands before an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuotedState {
    /// One would have to be opened.
    Opens,
    /// One was asked for, and the ledger has not shown it.
    Opening,
    /// One stands.
    Open,
}

/// What a price is known from, the surest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Basis {
    /// A lease: it is agreed.
    Lease,
    /// What was bid lately for tasks of the same classes.
    Bid,
    /// An ask, for tasks of the same classes where the seller was asked for those.
    Ask,
}

/// A price rises by a quarter from an idle provider to a full one, and by a sixteenth with what a job teaches: a third together.
const RISE_PARTS: u64 = 3;

impl Basis {
    /// Returns the most that a price for tasks of the classes `of`, known from this, may have become for a task of these classes: as
    /// agreed; what was bid or asked, if the seller is full now; or, where it was asked for others, if all of it is for what weighs
    /// most in this task.
    #[must_use]
    pub fn most(self, price: Price, of: Classes, weights: &Weights, classes: Classes) -> Price {
        let most = match self {
            Self::Lease => return price,
            Self::Ask if of != classes => most_for(price, weights, of, classes),
            Self::Bid | Self::Ask => price,
        };
        Price(most.0.saturating_add(most.0.div_ceil(RISE_PARTS)))
    }
}

/// Returns the most that one who asks a price for a task of the classes `of` would bid for one of the classes `wanted`: what it
/// wants may be for the job alone, for input alone, or for output alone.
fn most_for(price: Price, weights: &Weights, of: Classes, wanted: Classes) -> Price {
    let input = |classes: Classes| u128::from(classes.input_tokens());
    let output = |classes: Classes| u128::from(classes.output_tokens_max() / 4);
    let units = weights.units(InputTokens::fresh(of.input_tokens()), of.output_tokens_max() / 4);
    let least = weights.units(InputTokens::fresh(wanted.input_tokens()), 0).max(1);
    let with_output =
        weights.units(InputTokens::fresh(wanted.input_tokens()), wanted.output_tokens_max()).max(1);
    let asked = u128::from(price.0).saturating_mul(units);
    let share = |times: u128, of: u128, units: u128| {
        asked.saturating_mul(times).checked_div(of.saturating_mul(units).max(1)).unwrap_or(u128::MAX)
    };
    let for_job = share(1, 1, least);
    let for_input = share(input(wanted), input(of), least);
    let for_output = share(u128::from(wanted.output_tokens_max()), output(of), with_output);
    let most = for_job.max(for_input).max(for_output);
    Price(u64::try_from(most).unwrap_or(u64::MAX)).max(price)
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
