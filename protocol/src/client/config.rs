//! What a client is made of, and how far it binds its coins.

use crate::amount::Nano;
use crate::channel::terms::{Address, CHALLENGE_S_MAX};
use crate::market::ranking::Rule;
use crate::time::Span;

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Seed of the node's identity.
    pub identity_seed: [u8; 32],
    /// Seed of the key that signs vouchers.
    pub channel_seed: [u8; 32],
    /// Seed of everything random.
    pub entropy_seed: [u8; 32],
    /// The ledger's network id.
    pub network_id: i32,
    /// The account that funds channels and gets their rest back.
    pub wallet: Address,
    /// Unix seconds at time zero of the machine's clock: calls and seeks are dated, and so is what is remembered of
    /// providers, which outlives a run.
    pub clock_s: u64,
    /// The usual deposit of a channel to a provider that has served well. (`CH-31`)
    pub deposit: Nano,
    /// How long bids are gathered.
    pub bid_window: Span,
    /// How many bids end the gathering early. Of a crowd, only about as many providers are invited.
    /// (`MK-17`)
    pub enough_bids: usize,
    /// The challenge time that this client proposes; a provider may ask for more.
    pub challenge_s: u32,
    /// How far it binds its coins.
    pub policy: ChannelPolicy,
    /// Whether a provider that served well is used again without an auction.
    pub leases: bool,
    /// How it buys.
    pub market: MarketPolicy,
}

/// How a client buys. What is usual is the specification's; the other ways are there to be compared with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarketPolicy {
    /// How bids are ranked and paid. (`MK-7`, `MK-8`)
    pub rule: Rule,
    /// Whether measured times count where they are longer than what is promised. (`MK-7`)
    pub measures: bool,
    /// Whether strangers enter by turns only, and else after those that have served. (`MK-32`, `MK-33`)
    pub quota: bool,
    /// Whether no bid may ask more than twice what won lately, where the order does not say what it may. (`MK-52`)
    pub ceiling: bool,
    /// Whether those that are known to sell are called directly before everybody is. (`MK-66`)
    pub direct: bool,
}

impl Default for MarketPolicy {
    fn default() -> Self {
        Self { rule: Rule::Reserve, measures: true, quota: true, ceiling: true, direct: true }
    }
}

/// How far a client binds its coins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelPolicy {
    /// The most that one channel holds beyond what is promised: a provider could keep that locked for a
    /// challenge time.
    pub deposit_max: Nano,
    /// The longest challenge time that the client agrees to, in seconds.
    pub challenge_s_max: u32,
    /// The most that is locked with all providers together that never finished a job for this client.
    /// (`CH-31`)
    pub strangers_locked_max: Nano,
    /// How long a channel may be unused before it is closed; none keeps it for ever.
    pub idle_close: Option<Span>,
}

impl Default for ChannelPolicy {
    /// Returns no bounds but those of the protocol.
    fn default() -> Self {
        Self {
            deposit_max: Nano(u64::MAX),
            challenge_s_max: CHALLENGE_S_MAX,
            strangers_locked_max: Nano(u64::MAX),
            idle_close: None,
        }
    }
}

#[cfg(any(test, feature = "test-util"))]
impl ClientConfig {
    /// Returns a configuration for tests, different for every `number`.
    #[must_use]
    pub fn for_tests(number: u64) -> Self {
        let seed = |purpose: &str| {
            *blake3::keyed_hash(blake3::hash(purpose.as_bytes()).as_bytes(), &number.to_le_bytes()).as_bytes()
        };
        Self {
            identity_seed: seed("client identity"),
            channel_seed: seed("client channel"),
            entropy_seed: seed("client entropy"),
            network_id: -3,
            wallet: Address::basechain(seed("client wallet")),
            clock_s: 0,
            deposit: Nano(50_000_000),
            bid_window: crate::limits::BID_WINDOW,
            enough_bids: crate::limits::BIDS_WANTED,
            challenge_s: 60,
            policy: ChannelPolicy::default(),
            leases: true,
            market: MarketPolicy::default(),
        }
    }
}
