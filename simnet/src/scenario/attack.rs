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
    #[serde(default)]
    pub share: f64,
    /// How many hosts of the role take part, instead of a share.
    #[serde(default)]
    pub count: Option<u32>,
    /// Whether they behave all the same: the honest twin of the attack, which a sweep runs beside each of its arms.
    #[serde(default)]
    pub honest: bool,
    /// What the wallet of each of them holds at the start, instead of the ledger's `wallet`; all names of one owner share it.
    #[serde(default)]
    pub budget: Option<Coins>,
    /// When they begin, in seconds.
    #[serde(default)]
    pub start_s: f64,
    /// When they behave again, in seconds; never where it is missing.
    #[serde(default)]
    pub stop_s: Option<f64>,
    /// Which share of the clients an `eclipse` is aimed at.
    #[serde(default = "a_tenth")]
    pub victims: f64,
    /// Providers: what they ask over what they would ask alone; each kind has its own where it is missing.
    #[serde(default)]
    pub bid_factor: Option<f64>,
    /// Providers: whether they ask one price for all calls, that of a typical one, instead of one for each call's classes.
    #[serde(default)]
    pub one_price: bool,
    /// Providers: the time to the first token that they promise over the true one, and the true speed over the promised.
    #[serde(default)]
    pub promise_factor: Option<f64>,
    /// Providers: their card's speed over that of an honest one.
    #[serde(default)]
    pub speed_factor: Option<f64>,
    /// Providers: the slots that they offer over those of their card.
    #[serde(default)]
    pub slots_factor: Option<f64>,
    /// Providers: the input tokens that they count over those that there are.
    #[serde(default)]
    pub input_factor: Option<f64>,
    /// Providers: at which share of the window a `sniper` bids; without it 200 ms before its end.
    #[serde(default)]
    pub window_share: Option<f64>,
    /// Providers: all who take part are names of one owner, of which this many are in use at a time.
    #[serde(default)]
    pub names: Option<u32>,
    /// Providers: after so many jobs a name is left and another one taken.
    #[serde(default)]
    pub jobs_per_name: Option<u32>,
    /// Jobs that a `thief` serves whole under each name before it steals.
    #[serde(default)]
    pub honest_jobs: Option<u32>,
    /// Tokens of a job that a `thief` delivers all the same, and is paid for.
    #[serde(default)]
    pub cut_tokens: Option<u32>,
    /// Network prefixes that all who take part share; without it each has one of its own.
    #[serde(default)]
    pub prefixes: Option<u32>,
    /// Providers: whether they are nearer to every client than anybody else can be: in a data centre.
    #[serde(default)]
    pub near: bool,
    /// Clients: calls a second of a `spammer`.
    #[serde(default)]
    pub rate_per_s: Option<f64>,
    /// Clients: the length of their answers over that of others.
    #[serde(default)]
    pub answer_factor: Option<f64>,
}

const fn a_tenth() -> f64 {
    0.1
}

impl AttackSpec {
    /// Creates an attack of a kind by a share of its role, with nothing else said.
    #[must_use]
    pub const fn new(kind: AttackKind, share: f64) -> Self {
        Self {
            kind,
            share,
            count: None,
            honest: false,
            budget: None,
            start_s: 0.0,
            stop_s: None,
            victims: a_tenth(),
            bid_factor: None,
            one_price: false,
            promise_factor: None,
            speed_factor: None,
            slots_factor: None,
            input_factor: None,
            window_share: None,
            names: None,
            jobs_per_name: None,
            honest_jobs: None,
            cut_tokens: None,
            prefixes: None,
            near: false,
            rate_per_s: None,
            answer_factor: None,
        }
    }

    /// Returns the honest twin: the same hosts, which keep to the protocol. What only says how they would attack is left
    /// out, so that arms that draw the same hosts share one twin.
    #[must_use]
    pub fn twin(&self) -> Self {
        Self {
            share: self.share,
            count: self.count,
            honest: true,
            budget: self.budget,
            // Who can only arrive while the attack lasts does so in the twin, too.
            start_s: if self.kind == AttackKind::Newcomer { self.start_s } else { 0.0 },
            victims: self.victims,
            // The card is the host's, whatever it promises of it.
            speed_factor: self.speed_factor,
            names: self.names.or(self.jobs_per_name.map(|_| 1)),
            prefixes: self.prefixes,
            near: self.near,
            ..Self::new(self.kind, self.share)
        }
    }

    /// Returns whether anybody may take part.
    #[must_use]
    pub fn takes_anybody(&self) -> bool {
        self.share > 0.0 || self.count.is_some_and(|count| count > 0)
    }

    /// Returns what an attacker asks over what it would ask alone.
    #[must_use]
    pub fn asks(&self) -> f64 {
        self.bid_factor.unwrap_or(match self.kind {
            AttackKind::Cartel => 1.5,
            AttackKind::Eclipse | AttackKind::Ring => 3.0,
            AttackKind::FalseBidder | AttackKind::Garbage | AttackKind::Thief => 0.5,
            AttackKind::Substitution => 0.9,
            AttackKind::Shill => 1.1,
            AttackKind::StaleState
            | AttackKind::NonPaying
            | AttackKind::Spammer
            | AttackKind::FreeRider
            | AttackKind::Sybil
            | AttackKind::Sniper
            | AttackKind::WashTrader
            | AttackKind::Deviant
            | AttackKind::Newcomer
            | AttackKind::OddClient => 1.0,
        })
    }

    /// Returns whether all who take part are names of one owner with one card.
    #[must_use]
    pub fn is_one_owner(&self) -> bool {
        matches!(self.kind, AttackKind::Sybil | AttackKind::Shill)
            || self.names.is_some()
            || self.jobs_per_name.is_some()
    }
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
    /// Provider: deviates by what the factors say and by nothing else.
    Deviant,
    /// Provider: bids half of its price, takes the job and delivers nothing, or not all.
    Thief,
    /// Provider: of all who take part, the cheapest of each model bids as ever and the others three times as much.
    Ring,
    /// Provider: one owner with one card, whose other names ask a tenth more than its first.
    Shill,
    /// Provider: offers nothing before the start, and then what the factors say.
    Newcomer,
    /// Client: its answers have another length than its calls let expect.
    OddClient,
}

impl AttackKind {
    /// Returns who can do it.
    #[must_use]
    pub const fn role(self) -> RoleName {
        match self {
            Self::StaleState | Self::NonPaying | Self::Spammer | Self::WashTrader | Self::OddClient => {
                RoleName::Client
            }
            Self::FalseBidder
            | Self::Garbage
            | Self::Cartel
            | Self::FreeRider
            | Self::Sybil
            | Self::Eclipse
            | Self::Substitution
            | Self::Sniper
            | Self::Deviant
            | Self::Thief
            | Self::Ring
            | Self::Shill
            | Self::Newcomer => RoleName::Provider,
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

    /// Returns why it can neither begin nor end while a world runs, where it cannot.
    #[must_use]
    pub const fn lasts(self) -> Option<&'static str> {
        match self {
            Self::Garbage | Self::Substitution => Some("its engine is another one for all of the run"),
            Self::WashTrader => Some("its provider's engine makes nothing for all of the run"),
            Self::Sybil | Self::Shill => Some("its names share one card for all of the run"),
            Self::OddClient => Some("its answers have their length for all of the run"),
            Self::StaleState
            | Self::NonPaying
            | Self::Spammer
            | Self::FalseBidder
            | Self::Cartel
            | Self::FreeRider
            | Self::Eclipse
            | Self::Sniper
            | Self::Deviant
            | Self::Thief
            | Self::Ring
            | Self::Newcomer => None,
        }
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
            Self::Deviant => "deviant",
            Self::Thief => "thief",
            Self::Ring => "ring",
            Self::Shill => "shill",
            Self::Newcomer => "newcomer",
            Self::OddClient => "odd-client",
        }
    }
}
