//! Keys of `[[attack]]`: hosts that do not follow the protocol.

use serde::{Deserialize, Serialize};

use super::coins::Coins;
use super::power::RoleName;

/// Hosts of one role that follow a plan of their own instead of the protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackSpec {
    /// What they do.
    pub kind: AttackKind,
    /// Which share of the role takes part.
    pub share: f64,
    /// What the wallet of each of them holds at the start, instead of the ledger's `wallet`; all names of a `sybil`
    /// share it.
    #[serde(default)]
    pub budget: Option<Coins>,
    /// When they begin, in seconds.
    #[serde(default)]
    pub start_s: f64,
    /// Which share of the clients an `eclipse` is aimed at.
    #[serde(default = "a_tenth")]
    pub victims: f64,
    /// When they behave again, in seconds; never where it is missing.
    #[serde(default)]
    pub stop_s: Option<f64>,
}

const fn a_tenth() -> f64 {
    0.1
}

/// A way not to follow the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttackKind {
    /// Client: closes with what is settled and keeps the vouchers that it owes to itself.
    StaleState,
    /// Client: never opens a channel, and lives off the credit of one provider after the other.
    NonPaying,
    /// Client: gossips five calls a second and wants no answer.
    Spammer,
    /// Provider: bids half of its price and never takes an award.
    FalseBidder,
    /// Provider: bids half of its price and answers at once with text that cost it nothing.
    Garbage,
    /// Provider: all who take part ask half as much again as they would alone.
    Cartel,
    /// Provider: hears gossip and forwards none.
    FreeRider,
    /// Provider: all who take part are names of one owner with one card, at four price levels.
    Sybil,
    /// Provider: owns every peer that its victims gossip to, keeps their calls to itself and asks three times the price.
    Eclipse,
    /// Provider: serves a model that costs it a quarter and is three times as fast, a tenth below the price of the real
    /// one.
    Substitution,
    /// Provider: bids as late as it can.
    Sniper,
    /// Client: buys from a provider of its own, which answers with nothing of worth.
    WashTrader,
}

impl AttackKind {
    /// Returns who can do it.
    #[must_use]
    pub const fn role(self) -> RoleName {
        match self {
            Self::StaleState | Self::NonPaying | Self::Spammer | Self::WashTrader => RoleName::Client,
            Self::FalseBidder
            | Self::Garbage
            | Self::Cartel
            | Self::FreeRider
            | Self::Sybil
            | Self::Eclipse
            | Self::Substitution
            | Self::Sniper => RoleName::Provider,
        }
    }

    /// Returns whether its answers are not what was ordered.
    #[must_use]
    pub const fn answers_falsely(self) -> bool {
        matches!(self, Self::Garbage | Self::Substitution | Self::WashTrader)
    }

    /// Returns whether it forwards less gossip than others.
    #[must_use]
    pub const fn keeps_gossip(self) -> bool {
        matches!(self, Self::FreeRider | Self::Eclipse)
    }

    /// Returns its name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StaleState => "stale-state",
            Self::NonPaying => "non-paying",
            Self::Spammer => "spammer",
            Self::FalseBidder => "false-bidder",
            Self::Garbage => "garbage",
            Self::Cartel => "cartel",
            Self::FreeRider => "free-rider",
            Self::Sybil => "sybil",
            Self::Eclipse => "eclipse",
            Self::Substitution => "substitution",
            Self::Sniper => "sniper",
            Self::WashTrader => "wash-trader",
        }
    }
}
