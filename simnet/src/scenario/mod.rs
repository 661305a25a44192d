//! What a run simulates, as a TOML file: every key has a default, an unknown or impossible one is refused by name.

mod error;
mod feasible;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::{Span, Time};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::sweep::Sweep;
use error::locate;

pub use error::ScenarioError;

/// The scenario that runs when no file is named.
pub const FIRST: &str = include_str!("../../scenarios/first.toml");

/// The scenarios that ship, by name.
pub const SHIPPED: [(&str, &str); 9] = [
    ("first", FIRST),
    ("mechanisms", include_str!("../../scenarios/mechanisms.toml")),
    ("leases", include_str!("../../scenarios/leases.toml")),
    ("cartel", include_str!("../../scenarios/cartel.toml")),
    ("no-shows", include_str!("../../scenarios/no-shows.toml")),
    ("unpaid", include_str!("../../scenarios/unpaid.toml")),
    ("stale-close", include_str!("../../scenarios/stale-close.toml")),
    ("spam", include_str!("../../scenarios/spam.toml")),
    ("stack", include_str!("../../scenarios/stack.toml")),
];

/// An amount of money, written as a decimal number of coins in quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coins(pub Nano);

impl<'de> Deserialize<'de> for Coins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Nano::from_coins(&text).map(Self).map_err(|fault| D::Error::custom(format!("{text:?} is {fault}")))
    }
}

impl Serialize for Coins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_string())
    }
}

fn coins(nano: u64) -> Coins {
    Coins(Nano(nano))
}

/// Everything about a run except its command line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// A short name.
    pub title: String,
    /// The question that the scenario answers.
    pub question: String,
    /// Seed of all randomness.
    pub seed: u64,
    /// Hosts.
    pub nodes: u32,
    /// Who they are.
    pub population: Population,
    /// What is ordered.
    pub workload: Workload,
    /// How both sides trade.
    pub market: Market,
    /// Links and faults.
    pub network: Network,
    /// Blocks and wallets.
    pub ledger: Ledger,
    /// Disks.
    pub disk: Disks,
    /// Regions that are cut off for a while.
    pub partition: Vec<PartitionSpec>,
    /// Hosts that lose power.
    pub crash: Vec<CrashSpec>,
    /// Hosts that do not follow the protocol.
    pub attack: Vec<AttackSpec>,
    /// What `simnet sweep` varies; a single run does not read it.
    pub sweep: Sweep,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            title: String::new(),
            question: String::new(),
            seed: 1,
            nodes: 100,
            population: Population::default(),
            workload: Workload::default(),
            market: Market::default(),
            network: Network::default(),
            ledger: Ledger::default(),
            disk: Disks::default(),
            partition: Vec::new(),
            crash: Vec::new(),
            attack: Vec::new(),
            sweep: Sweep::default(),
        }
    }
}

/// Who the hosts are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Population {
    /// Share of hosts that buy; all others sell.
    pub clients: f64,
    /// Models that exist.
    pub models: u32,
    /// Models that one client orders from.
    pub models_per_client: u32,
    /// Zipf exponent of the models' popularity with clients; 0 is even.
    pub demand_zipf: f64,
    /// Zipf exponent of the models' popularity with providers; 0 is even.
    pub supply_zipf: f64,
    /// Spread of the logarithm of providers' prices within a GPU class.
    pub price_sigma: f64,
    /// GPU classes.
    pub gpu: Vec<GpuClass>,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            clients: 0.1,
            models: 20,
            models_per_client: 2,
            demand_zipf: 0.9,
            supply_zipf: 0.0,
            price_sigma: 0.2,
            gpu: vec![GpuClass::default()],
        }
    }
}

/// A class of providers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuClass {
    /// Its name.
    pub name: String,
    /// Its weight among the classes.
    pub share: f64,
    /// Jobs at a time.
    pub slots: u16,
    /// Input tokens a second.
    pub prefill_per_s: u64,
    /// Output tokens a second of one job.
    pub decode_per_s: u64,
    /// Milliseconds until the first token with an empty prompt.
    pub start_ms: u64,
    /// Median price of a job.
    pub per_job: Coins,
    /// Median price of 1,000 input tokens.
    pub input_per_k: Coins,
    /// Median price of 1,000 output tokens.
    pub output_per_k: Coins,
}

impl Default for GpuClass {
    fn default() -> Self {
        Self {
            name: "gpu".to_owned(),
            share: 1.0,
            slots: 4,
            prefill_per_s: 2_000,
            decode_per_s: 40,
            start_ms: 50,
            per_job: coins(0),
            input_per_k: coins(500_000),
            output_per_k: coins(4_000_000),
        }
    }
}

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Orders in all.
    pub jobs: u32,
    /// Orders a second, as a Poisson process.
    pub rate_per_s: f64,
    /// Seconds before the first order.
    pub warm_up_s: f64,
    /// Median prompt, in tokens.
    pub prompt_tokens: f64,
    /// Spread of the logarithm of a prompt's length.
    pub prompt_sigma: f64,
    /// Median answer, in tokens.
    pub answer_tokens: f64,
    /// Spread of the logarithm of an answer's length.
    pub answer_sigma: f64,
    /// Output tokens at the most.
    pub max_tokens: u32,
    /// The most that an order may cost.
    pub max_cost: Coins,
    /// Seconds until an order fails.
    pub deadline_s: f64,
    /// What one millisecond less until the first token is worth to a buyer, in nano.
    pub nano_per_ms: u64,
    /// Output tokens that an engine reports at a time.
    pub report_tokens: u32,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            jobs: 100,
            rate_per_s: 5.0,
            warm_up_s: 2.0,
            prompt_tokens: 120.0,
            prompt_sigma: 0.8,
            answer_tokens: 100.0,
            answer_sigma: 0.6,
            max_tokens: 400,
            max_cost: coins(20_000_000),
            deadline_s: 60.0,
            nano_per_ms: 100,
            report_tokens: 8,
        }
    }
}

/// How an order finds its provider and its price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// The protocol's own: lowest score, paid by the second.
    #[default]
    SecondScore,
    /// Lowest score, paid its own bid.
    FirstPrice,
    /// Lowest price, however long it takes, paid its own bid.
    Cheapest,
    /// Anyone who can, paid its own bid.
    Random,
    /// One price sheet for everybody, the mean of the GPU classes' times `posted_markup`; who would lose by it does not
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
    /// How many bids end the gathering early.
    pub enough_bids: usize,
    /// Whether a provider that served well is used again without an auction.
    pub leases: bool,
    /// Whether clients follow the topics of their models and hear standing asks.
    pub follow_asks: bool,
    /// What a new channel is given.
    pub deposit: Coins,
    /// What a provider serves before it sees the channel on the ledger.
    pub credit: Coins,
    /// A provider claims when this much is covered by vouchers and not paid out.
    pub settle_at: Coins,
    /// Seconds between a client's request to close and the earliest payout.
    pub challenge_s: u32,
    /// Hosts that guard channels for providers that are away; every provider hands its vouchers to one of them.
    pub watchers: u32,
}

impl Default for Market {
    fn default() -> Self {
        Self {
            mechanism: Mechanism::SecondScore,
            posted_markup: 1.2,
            bid_window_ms: 400,
            enough_bids: 64,
            leases: true,
            follow_asks: false,
            deposit: coins(50_000_000),
            credit: coins(5_000_000),
            settle_at: coins(1_000_000_000),
            challenge_s: 60,
            watchers: 0,
        }
    }
}

/// Links and faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Mean number of gossip links of a host in one topic.
    pub mesh_degree: u32,
    /// How providers are connected.
    pub provider_access: Access,
    /// How clients are connected.
    pub client_access: Access,
    /// Delay variation.
    pub jitter: Jitter,
    /// What goes wrong on the way.
    pub faults: Faults,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            mesh_degree: 8,
            provider_access: Access { dc: 0.5, fibre: 0.35, cable: 0.15, ..Access::default() },
            client_access: Access { dc: 0.1, fibre: 0.4, cable: 0.3, dsl: 0.1, lte: 0.1 },
            jitter: Jitter::default(),
            faults: Faults::default(),
        }
    }
}

/// Weights of the access classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Data centre.
    pub dc: f64,
    /// Fibre to the home.
    pub fibre: f64,
    /// Cable.
    pub cable: f64,
    /// DSL.
    pub dsl: f64,
    /// Mobile.
    pub lte: f64,
}

impl Access {
    /// The weights in the order of [`crate::net::ACCESS_CLASSES`].
    #[must_use]
    pub fn shares(&self) -> [f64; 5] {
        [self.dc, self.fibre, self.cable, self.dsl, self.lte]
    }
}

/// Delay variation of messages: a lognormal part of the path, and rare long delays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jitter {
    /// Median, as a share of the path's delay.
    pub median_share: f64,
    /// Spread of its logarithm.
    pub sigma: f64,
    /// Probability of a burst.
    pub burst_probability: f64,
    /// Shortest burst, in milliseconds.
    pub burst_min_ms: u64,
    /// Longest burst, in milliseconds.
    pub burst_max_ms: u64,
}

impl Default for Jitter {
    fn default() -> Self {
        Self { median_share: 0.03, sigma: 0.8, burst_probability: 0.001, burst_min_ms: 50, burst_max_ms: 500 }
    }
}

/// Faults that the transport does not repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Probability that a message vanishes and nobody is told.
    pub drop: f64,
    /// Probability that a message arrives twice.
    pub duplicate: f64,
}

/// Blocks and wallets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// Milliseconds between two blocks.
    pub block_ms: u64,
    /// Milliseconds to and from the ledger's interface.
    pub rpc_ms: u64,
    /// What every wallet holds at the start.
    pub wallet: Coins,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { block_ms: 400, rpc_ms: 80, wallet: coins(5_000_000_000) }
    }
}

/// Disks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disks {
    /// Median duration of one commit, in milliseconds.
    pub commit_ms: f64,
    /// Spread of its logarithm.
    pub commit_sigma: f64,
}

impl Default for Disks {
    fn default() -> Self {
        Self { commit_ms: 4.4, commit_sigma: 0.3 }
    }
}

/// Regions that are cut off from all others for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionSpec {
    /// When it begins, in seconds.
    pub from_s: f64,
    /// When it is over, in seconds.
    pub until_s: f64,
    /// Names of the regions on one side.
    pub regions: Vec<String>,
}

/// Hosts that lose power and come back with what was durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashSpec {
    /// When, in seconds.
    pub at_s: f64,
    /// For how long, in seconds.
    pub for_s: f64,
    /// Who.
    pub role: RoleName,
    /// Which share of them.
    pub share: f64,
}

/// A role in a scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Those who buy.
    Client,
    /// Those who sell.
    Provider,
}

/// Hosts of one role that follow a plan of their own instead of the protocol.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackSpec {
    /// What they do.
    pub kind: AttackKind,
    /// Which share of the role takes part.
    pub share: f64,
    /// What the wallet of each of them holds at the start, instead of the ledger's `wallet`.
    #[serde(default)]
    pub budget: Option<Coins>,
    /// When they begin, in seconds.
    #[serde(default)]
    pub start_s: f64,
    /// When they behave again, in seconds; never where it is missing.
    #[serde(default)]
    pub stop_s: Option<f64>,
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
}

impl AttackKind {
    /// Who can do it.
    #[must_use]
    pub const fn role(self) -> RoleName {
        match self {
            Self::StaleState | Self::NonPaying | Self::Spammer => RoleName::Client,
            Self::FalseBidder | Self::Garbage | Self::Cartel | Self::FreeRider => RoleName::Provider,
        }
    }

    /// Its name in scenarios.
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
        }
    }
}

/// A point in time given in seconds.
#[must_use]
pub fn at(seconds: f64) -> Time {
    Time((seconds * 1e6) as u64)
}

/// A length of time given in seconds.
#[must_use]
pub fn span(seconds: f64) -> Span {
    Span((seconds * 1e6) as u64)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`ScenarioError`] names the file, the line and, for an unknown key, the nearest one that exists.
    pub fn parse(file: &str, text: &str) -> Result<Self, ScenarioError> {
        let scenario: Self =
            toml::from_str(text).map_err(|error| ScenarioError::of_toml(file, text, &error))?;
        scenario.check().map_err(|(path, what)| ScenarioError {
            file: file.to_owned(),
            line: locate(text, &path),
            what,
            nearest: None,
        })?;
        Ok(scenario)
    }

    /// How many hosts buy.
    #[must_use]
    pub fn client_count(&self) -> u32 {
        ((f64::from(self.nodes) * self.population.clients) as u32).clamp(1, self.nodes - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        Scenario::parse("try.toml", text).expect_err("it must be refused").to_string()
    }

    #[test]
    fn the_shipped_scenario_is_read_and_an_empty_one_is_all_defaults() {
        let first = Scenario::parse("first.toml", FIRST).expect("it ships");
        assert_eq!((first.nodes, first.client_count(), first.population.gpu.len()), (1_000, 100, 3));
        assert_eq!(Scenario::parse("empty.toml", "").ok(), Some(Scenario::default()));
    }

    #[test]
    fn every_shipped_scenario_asks_a_question_and_plans_a_sweep() {
        for (name, text) in SHIPPED {
            let scenario = Scenario::parse(name, text).expect(name);
            assert_eq!(scenario.title, name);
            assert!(scenario.question.trim().ends_with('?'), "{name}");
            scenario.planned().expect(name);
        }
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_key() {
        let shown = refused("seed = 1\n[workload]\njobs = 3\nrate_pers = 4.0\n");
        assert!(shown.contains("try.toml, line 4"), "{shown}");
        assert!(shown.contains("`rate_pers`") && shown.contains("did you mean `rate_per_s`?"), "{shown}");
        let shown = refused("noodles = 5\n");
        assert!(shown.contains("line 1") && shown.contains("did you mean `nodes`?"), "{shown}");
        let far = refused("quux = 5\n");
        assert!(!far.contains("did you mean"), "{far}");
    }

    #[test]
    fn an_impossible_value_names_its_line() {
        for (text, line, word) in [
            ("nodes = 10\n\n[population]\nclients = 1.5\n", 4, "share"),
            ("[workload]\nmax_cost = 5\n", 2, "string"),
            ("[workload]\nmax_cost = \"five\"\n", 2, "amount"),
            ("[[partition]]\nfrom_s = 1.0\nuntil_s = 2.0\nregions = [\"ATL\"]\n", 4, "ATL"),
            ("nodes = 1\n", 1, "sell"),
            ("[network.faults]\ndrop = 2.0\n", 1, "probabilities"),
            ("[ledger]\nwallet = \"9000000000\"\n", 2, "together"),
        ] {
            let shown = refused(text);
            assert!(shown.contains(&format!("line {line}:")) && shown.contains(word), "{text}: {shown}");
        }
    }
}
