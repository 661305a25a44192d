//! Everything that a node can be told, with its defaults.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bombyx_gpu::runtime::ExecutionProvider;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::work::cost::CostSheet;
use serde::Deserialize;

use crate::ledger::CoinName;

/// Where a provider listens unless told otherwise, over QUIC and over TCP.
const PORT: u16 = 4101;
/// The least challenge time in seconds of channels with a provider on a devnet, unless it says otherwise.
pub const CHALLENGE_DEVNET_S: u32 = 60;
/// The least challenge time in seconds of channels with a provider on a public network.
pub const CHALLENGE_PUBLIC_S: u32 = 3_600;

/// Everything a node is told.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// Where keys, records and the configuration are. Set by flag or variable, never by the file in it.
    #[serde(skip)]
    pub home: PathBuf,
    /// The swarm.
    pub network: NetworkConfig,
    /// The ledger.
    pub ledger: LedgerConfig,
    /// What this node sells.
    pub provide: ProvideConfig,
    /// How this node buys.
    pub client: BuyConfig,
    /// The OpenAI-compatible gateway.
    pub gateway: GatewayConfig,
}

/// How the node takes part in the swarm.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// The network's name; nodes of different names never meet.
    pub name: String,
    /// Which addresses of other nodes are believed.
    pub scope: Scope,
    /// Multiaddrs to listen on; none: [`ProvideConfig`] decides, see [`NodeConfig::listen`].
    pub listen: Vec<String>,
    /// Multiaddrs under which others reach this node, where they differ from `listen`.
    pub external: Vec<String>,
    /// Multiaddrs of nodes to join through.
    pub join: Vec<String>,
}

/// Which addresses of other nodes are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// This machine and the local network.
    Private,
    /// The Internet.
    Public,
}

/// Which ledger, and how to reach it.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerConfig {
    /// Which network the ledger is.
    pub network: LedgerNetwork,
    /// Endpoints, separated by commas: as [`crate::ledger::endpoints::connect`] reads them.
    pub url: String,
    /// API keys of the endpoints in the same order, separated by commas; empty for none.
    pub api_key: String,
    /// The most requests per second to each HTTP endpoint in the same order, separated by commas: 0 for any number, empty for
    /// what suits the endpoint.
    pub requests_per_s: String,
    /// The least milliseconds between two looks at a channel that nothing urges, where the ledger allows so many.
    pub poll_ms: u64,
    /// What the coin is called where an amount is shown.
    pub coin: CoinName,
}

/// The ledgers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LedgerNetwork {
    /// The in-process chain of `bombyx devnet`; its coins are worth nothing.
    Devnet,
    /// TON's test network.
    Testnet,
    /// TON itself.
    Mainnet,
}

/// What a node sells and at which price.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProvideConfig {
    /// Models by name, id or folder; none: this node only buys.
    pub models: Vec<String>,
    /// Coins for each job.
    pub price_job: Coins,
    /// Coins for 1,000 input tokens.
    pub price_in: Coins,
    /// Coins for 1,000 output tokens.
    pub price_out: Coins,
    /// Jobs of one model at a time.
    pub slots: u16,
    /// Cap on tokens per second of the whole engine; 0 for none.
    pub pace: u32,
    /// ONNX Runtime's execution provider.
    pub ep: ExecutionProvider,
    /// Path of the ONNX Runtime library; empty: it is searched for.
    pub runtime: String,
    /// What is served to a client before its channel is seen on the ledger.
    pub credit: Credit,
    /// The most of that to all clients together in an hour.
    pub credit_per_hour: Coins,
    /// Unsettled coins on one channel at which it is settled.
    pub settle_at: Coins,
    /// The least challenge time in seconds that a channel must have; 0 for what suits the network. A provider with many
    /// channels, or a slow ledger, asks new clients for more.
    pub challenge_s: u32,
}

/// How a node buys.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BuyConfig {
    /// Coins deposited in each new channel.
    pub deposit: Coins,
    /// Milliseconds in which bids are gathered.
    pub bid_window_ms: u64,
    /// Bids that end the gathering early.
    pub enough_bids: usize,
    /// The most that one channel may hold beyond what is promised, in coins.
    pub deposit_max: Coins,
    /// The most that may be locked with all providers together that never finished a job for this node, in coins.
    pub strangers_locked_max: Coins,
    /// Challenge time in seconds of channels that this node opens.
    pub challenge_s: u32,
    /// The longest challenge time in seconds that a provider may ask for.
    pub challenge_max_s: u32,
    /// Seconds without a job after which a channel's rest is asked back; 0 for never.
    pub idle_close_s: u64,
    /// Whether the winner of an auction is used again for a while without another one.
    pub leases: bool,
    /// Whether those that are known to sell are called before everybody is.
    pub direct: bool,
}

/// The OpenAI-compatible gateway.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GatewayConfig {
    /// Whether it runs.
    pub enabled: bool,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Bearer key that callers must send; empty for none, which only an address of this machine allows.
    pub key: String,
    /// Names by which callers may call a gateway of this machine, beside localhost and its addresses.
    pub hosts: Vec<String>,
    /// Origins of web pages that may use the gateway, as browsers name them; where there are none, any that has the key.
    pub origins: Vec<String>,
    /// The most that one request may cost, in coins: a request can ask for less, never for more.
    pub max_cost: Coins,
    /// The most that all requests of an hour may cost, in coins; zero for no limit.
    pub budget_hour: Coins,
    /// The most that all requests of a day may cost, in coins; zero for no limit.
    pub budget_day: Coins,
    /// Seconds that one request may take, unless it says otherwise.
    pub deadline_s: u64,
    /// What one millisecond less of waiting is worth, in nano, unless a request says otherwise; without it, a second is worth a
    /// tenth of the usual bill.
    pub nano_per_ms: Option<u64>,
}

/// An amount that is written as a decimal number of coins, in quotes: `"0.05"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Coins(pub Nano);

impl TryFrom<String> for Coins {
    type Error = bombyx_protocol::amount::AmountError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Nano::from_coins(&text).map(Self)
    }
}

impl std::str::FromStr for Coins {
    type Err = bombyx_protocol::amount::AmountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Nano::from_coins(text).map(Self)
    }
}

/// What a provider serves on trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Credit {
    /// 0.001 coins on a devnet, nothing where coins are worth something.
    Auto,
    /// So much.
    Coins(Coins),
}

impl TryFrom<String> for Credit {
    type Error = bombyx_protocol::amount::AmountError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text == "auto" { Ok(Self::Auto) } else { Coins::try_from(text).map(Self::Coins) }
    }
}

impl LedgerNetwork {
    /// Returns TON's global id of the network, which is part of every channel's terms.
    #[must_use]
    pub const fn id(self) -> i32 {
        match self {
            Self::Mainnet => -239,
            Self::Testnet => -3,
            Self::Devnet => crate::ledger::devnet::DEVNET_ID,
        }
    }
}

impl NodeConfig {
    /// Returns where the node listens: as the configuration says, else a provider on port 4101, whose address others keep, and a
    /// node that only buys on any free port, so that it runs beside whatever runs on this machine.
    #[must_use]
    pub fn listen(&self) -> Vec<String> {
        if !self.network.listen.is_empty() {
            return self.network.listen.clone();
        }
        let port = if self.provide.models.is_empty() { 0 } else { PORT };
        vec![format!("/ip4/0.0.0.0/udp/{port}/quic-v1"), format!("/ip4/0.0.0.0/tcp/{port}")]
    }
}

impl LedgerConfig {
    /// Returns the least time between two looks at a channel that nothing urges.
    #[must_use]
    pub const fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }
}

impl GatewayConfig {
    /// Returns the key, if there is one: white space is none.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        Some(self.key.trim()).filter(|key| !key.is_empty())
    }
}

impl ProvideConfig {
    /// Returns the least challenge time of a channel. Where coins are worth something it is an hour
    /// or more: time to see a close and to answer it with a slow ledger, a restart or an outage
    /// between. (`CH-35`)
    #[must_use]
    pub const fn challenge_least_s(&self, network: LedgerNetwork) -> u32 {
        match (self.challenge_s, network) {
            (0, LedgerNetwork::Devnet) => CHALLENGE_DEVNET_S,
            (0, LedgerNetwork::Testnet | LedgerNetwork::Mainnet) => CHALLENGE_PUBLIC_S,
            (configured, _) => configured,
        }
    }

    /// Returns what the owner wants for the work of every model; a bid asks one price that follows from it.
    #[must_use]
    pub const fn cost(&self) -> CostSheet {
        CostSheet { per_job: self.price_job.0, input_per_k: self.price_in.0, output_per_k: self.price_out.0 }
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            name: "bombyx-dev".into(),
            scope: Scope::Private,
            listen: Vec::new(),
            external: Vec::new(),
            join: Vec::new(),
        }
    }
}

impl Default for LedgerConfig {
    fn default() -> Self {
        Self {
            network: LedgerNetwork::Devnet,
            url: "devnet".into(),
            api_key: String::new(),
            requests_per_s: String::new(),
            poll_ms: 500,
            coin: CoinName::default(),
        }
    }
}

impl ProvideConfig {
    /// Returns what is served to a client before its channel is seen on the ledger: on a network
    /// whose coins are worth something, nothing unless the owner says so.
    pub(crate) fn credit(&self, network: LedgerNetwork) -> Nano {
        let unset = match network {
            LedgerNetwork::Devnet => Nano(1_000_000),
            LedgerNetwork::Testnet | LedgerNetwork::Mainnet => Nano::ZERO,
        };
        match self.credit {
            Credit::Auto => unset,
            Credit::Coins(Coins(amount)) => amount,
        }
    }
}

impl Default for ProvideConfig {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            // As a model's tokens count by default: an idle seller asks one price for everything then.
            price_job: Coins(Nano(5_120)),
            price_in: Coins(Nano(200_000)),
            price_out: Coins(Nano(1_200_000)),
            slots: 4,
            pace: 0,
            ep: ExecutionProvider::Cpu,
            runtime: String::new(),
            credit: Credit::Auto,
            credit_per_hour: Coins(Nano(8_000_000)),
            settle_at: Coins(Nano(500_000_000)),
            challenge_s: 0,
        }
    }
}

impl Default for BuyConfig {
    fn default() -> Self {
        Self {
            deposit: Coins(Nano(1_000_000_000)),
            bid_window_ms: 400,
            enough_bids: 8,
            deposit_max: Coins(Nano(10_000_000_000)),
            strangers_locked_max: Coins(Nano(100_000_000)),
            challenge_s: 3_600,
            challenge_max_s: 172_800,
            idle_close_s: 86_400,
            leases: true,
            direct: true,
        }
    }
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            listen: SocketAddr::from(([127, 0, 0, 1], 4180)),
            key: String::new(),
            hosts: Vec::new(),
            origins: Vec::new(),
            max_cost: Coins(Nano(50_000_000)),
            budget_hour: Coins(Nano(0)),
            budget_day: Coins(Nano(0)),
            deadline_s: 120,
            nano_per_ms: None,
        }
    }
}

// The keys of strangers' services stay out of traces.
impl std::fmt::Debug for LedgerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { network, url, api_key: _, requests_per_s: _, poll_ms, coin: _ } = self;
        write!(f, "LedgerConfig({network:?} at {url}, every {poll_ms} ms)")
    }
}

impl std::fmt::Debug for GatewayConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { enabled, listen, max_cost, deadline_s, .. } = self;
        let locked = self.key().is_some();
        write!(
            f,
            "GatewayConfig(enabled: {enabled}, {listen}, key: {locked}, {} coins and {deadline_s} s a request)",
            max_cost.0
        )
    }
}
