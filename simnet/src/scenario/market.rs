//! Keys of `[market]`: how both sides trade.

use bombyx_protocol::limits;
use serde::{Deserialize, Serialize};

use super::coins::{Coins, coins};

/// How an order finds its provider and its price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// The protocol's own: lowest score, paid by the second within nine eighths of what won lately.
    #[default]
    Reserve,
    /// Lowest score, paid by the next, whoever that is.
    SecondScore,
    /// Lowest score, paid its own bid.
    FirstPrice,
    /// Lowest price, however long it takes, paid its own bid.
    Cheapest,
    /// Anyone who can, paid its own bid.
    Random,
    /// One cost sheet for everybody, the mean of the GPU classes' times `posted_markup`; who would lose by it does not
    /// offer, and the fastest of the others is taken.
    Posted,
}

/// How both sides trade.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Market {
    /// How an order finds its provider and its price.
    pub mechanism: Mechanism,
    /// The posted price over the mean of the classes' median prices.
    pub posted_markup: f64,
    /// How long bids are gathered, in milliseconds.
    pub bid_window_ms: u64,
    /// How many bids end the gathering early, and about how many of a crowd are invited.
    pub enough_bids: usize,
    /// Whether times that a client measured count where they are longer than what is promised.
    pub measures: bool,
    /// Whether strangers come after those that served, and are tried by turns.
    pub quota: bool,
    /// Whether a bid may ask no more than twice what won lately.
    pub ceiling: bool,
    /// Whether those that are known to sell are called before everybody is.
    pub direct: bool,
    /// Whether a provider that served well is used again without an auction.
    pub leases: bool,
    /// What a new channel is given.
    pub deposit: Coins,
    /// What a provider serves before it sees the channel on the ledger.
    pub credit: Coins,
    /// The most of that to all clients together in an hour.
    pub credit_per_hour: Coins,
    /// A provider claims when this much is covered by vouchers and not paid out.
    pub settle_at: Coins,
    /// Seconds between a client's request to close and the earliest payout.
    pub challenge_s: u32,
    /// Hosts that watch channels for providers that are away; every provider hands its vouchers to one of them.
    pub watchers: u32,
}

impl Default for Market {
    fn default() -> Self {
        Self {
            mechanism: Mechanism::Reserve,
            posted_markup: 1.2,
            bid_window_ms: 400,
            enough_bids: limits::BIDS_WANTED,
            measures: true,
            quota: true,
            ceiling: true,
            direct: true,
            leases: true,
            deposit: coins(50_000_000),
            credit: coins(5_000_000),
            credit_per_hour: coins(40_000_000),
            settle_at: coins(1_000_000_000),
            challenge_s: 60,
            watchers: 0,
        }
    }
}
