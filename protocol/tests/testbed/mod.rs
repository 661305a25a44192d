//! A small testbed in memory: role machines joined by queues, on virtual time, over a network that loses, copies and
//! reorders what is sent, with a ledger and an engine in integers.
#![allow(clippy::wildcard_enum_match_arm, dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod chain;
pub mod channel;
pub mod engine;
pub mod guest;
mod outages;
mod plan;
mod run;
pub mod scene;
pub mod thief;

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{
    Bill, ChannelNews, Command, Crowd, Failure, Input, JobReport, Machine, Offer, PeerFault, PersistId,
};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::wire::message::Message;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::{
    ChatMessage, Generate, ModelId, Order, OrderId, Role, Sampling, Task, TaskKind, Tier,
};
use bombyx_protocol::work::price::{InputTokens, Price, Tariff, Weights};

use chain::Chain;
use engine::Engine;
use run::Happening;

pub const MODEL: ModelId = ModelId([0xab; 32]);

/// How bad the network is.
#[derive(Debug, Clone, Copy)]
pub struct Weather {
    pub lost_permille: u64,
    pub copied_permille: u64,
    pub delay_us: u64,
    pub jitter_us: u64,
    pub commit_us: u64,
}

pub const CALM: Weather =
    Weather { lost_permille: 0, copied_permille: 0, delay_us: 10_000, jitter_us: 0, commit_us: 2_000 };
pub const STORM: Weather = Weather {
    lost_permille: 150,
    copied_permille: 150,
    delay_us: 20_000,
    jitter_us: 60_000,
    commit_us: 5_000,
};

enum HostRole {
    Client(Box<Client>),
    Provider(Box<Provider>),
    Watcher(Box<Watcher>),
    Other(Box<dyn Machine>),
}

struct Host {
    role: HostRole,
    alive: bool,
    life: u32,
    disk: BTreeMap<RecordKey, Record>,
    unsynced: Vec<(PersistId, Record)>,
    engine: Engine,
    stepping: bool,
    ticking_at: Option<Time>,
    watcher: Option<NodeId>,
}

impl Host {
    fn machine(&mut self) -> &mut dyn Machine {
        match &mut self.role {
            HostRole::Client(client) => client.as_mut(),
            HostRole::Provider(provider) => provider.as_mut(),
            HostRole::Watcher(watcher) => watcher.as_mut(),
            HostRole::Other(other) => other.as_mut(),
        }
    }
}

/// What became of one order.
#[derive(Debug, Default, Clone)]
pub struct Outcome {
    pub text: String,
    pub ids: Vec<u32>,
    pub rows: BTreeMap<u32, usize>,
    pub failed_over: Vec<Failure>,
    pub end: Option<Result<Bill, (Failure, Bill)>>,
    pub bids: Vec<bombyx_protocol::market::auction::BidReport>,
}

pub struct Testbed {
    pub now: Time,
    pub chain: Chain,
    pub weather: Weather,
    pub outcomes: BTreeMap<OrderId, Outcome>,
    pub served: Vec<(NodeId, JobReport)>,
    pub faults: Vec<(NodeId, PeerFault)>,
    pub news: Vec<(NodeId, ChannelNews)>,
    pub crowds: Vec<Crowd>,
    /// What was sent to each that is no host, but played by a test.
    pub outsiders: BTreeMap<NodeId, Vec<Message>>,
    /// How many messages of each kind were sent to providers.
    pub to_providers: BTreeMap<&'static str, u32>,
    /// Slots of what is offered from now on.
    pub slots: u16,
    /// Input tokens that it says it reads in a second.
    pub read_tps: u32,
    /// Its context, and its longest answer.
    pub context_tokens: u32,
    hosts: BTreeMap<NodeId, Host>,
    queue: BTreeMap<(Time, u64), Happening>,
    sequence: u64,
    random: u64,
    cut: BTreeSet<NodeId>,
    /// Hosts that share an address with others.
    pub shared: BTreeMap<NodeId, Prefix>,
    clients: BTreeMap<NodeId, ClientConfig>,
    providers: BTreeMap<NodeId, ProviderConfig>,
    pub events: u64,
    /// Microseconds that messages from and to a host take longer.
    pub slow_us: BTreeMap<NodeId, u64>,
}

/// Every host has an address far from all others'.
fn prefix(node: &NodeId) -> Prefix {
    let [a, b, c, d, ..] = node.0;
    Prefix::of_ipv4([a, b, c, d])
}

impl Testbed {
    pub fn new(seed: u64, weather: Weather) -> Self {
        Self {
            now: Time(1),
            chain: Chain::default(),
            weather,
            outcomes: BTreeMap::new(),
            served: Vec::new(),
            faults: Vec::new(),
            news: Vec::new(),
            crowds: Vec::new(),
            outsiders: BTreeMap::new(),
            to_providers: BTreeMap::new(),
            slots: 4,
            slow_us: BTreeMap::new(),
            read_tps: u32::MAX,
            context_tokens: 4_096,
            hosts: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            cut: BTreeSet::new(),
            shared: BTreeMap::new(),
            clients: BTreeMap::new(),
            providers: BTreeMap::new(),
            events: 0,
        }
    }

    fn prefix_of(&self, node: &NodeId) -> Prefix {
        self.shared.get(node).copied().unwrap_or_else(|| prefix(node))
    }

    pub fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    pub fn client(&mut self, number: u64, coins: Nano) -> NodeId {
        self.client_with(ClientConfig::for_tests(number), coins)
    }

    pub fn client_with(&mut self, config: ClientConfig, coins: Nano) -> NodeId {
        self.chain.fund(config.wallet.hash, coins);
        let client = Client::new(config.clone(), Vec::new());
        let id = client.node_id();
        self.clients.insert(id, config);
        self.place(id, HostRole::Client(Box::new(client)));
        id
    }

    /// Coins come to the wallet of a client.
    pub fn fund(&mut self, client: NodeId, coins: Nano) {
        self.chain.fund(self.clients[&client].wallet.hash, coins);
    }

    pub fn provider(&mut self, number: u64, price: Price, token_us: u64) -> NodeId {
        self.provider_with(ProviderConfig::for_tests(number), price, token_us)
    }

    pub fn provider_with(&mut self, config: ProviderConfig, price: Price, token_us: u64) -> NodeId {
        let provider = Provider::new(config.clone(), Vec::new());
        let id = provider.node_id();
        self.providers.insert(id, config);
        self.place(id, HostRole::Provider(Box::new(provider)));
        self.hosts.get_mut(&id).unwrap().engine.token_us = token_us;
        self.offer(id, price, TaskKind::Generate, MODEL);
        id
    }

    pub fn offer(&mut self, id: NodeId, price: Price, kind: TaskKind, model: ModelId) {
        self.offer_at(id, sheet(price), kind, model);
    }

    pub fn offer_at(&mut self, id: NodeId, cost: CostSheet, kind: TaskKind, model: ModelId) {
        let token_us = self.hosts.get(&id).unwrap().engine.token_us;
        let offer = Offer {
            model,
            name: "counter".into(),
            kind,
            cost,
            weights: Weights::DEFAULT,
            slots: self.slots,
            start_ms: 10,
            read_tps: self.read_tps,
            write_tps: u32::try_from(1_000_000 / token_us.max(1)).unwrap(),
            context_tokens: self.context_tokens,
            output_max: self.context_tokens,
        };
        self.feed(id, Input::Command(Command::Offer(offer)));
    }

    /// A host with a machine of the test's own, perhaps at an address that it shares.
    pub fn stranger(&mut self, id: NodeId, machine: Box<dyn Machine>, address: Option<Prefix>) {
        self.place(id, HostRole::Other(machine));
        self.shared.extend(address.map(|address| (id, address)));
    }

    /// A watcher that is told of every voucher `provider` writes.
    pub fn watcher(&mut self, provider: NodeId) -> NodeId {
        let id = NodeId([0xee; 32]);
        self.place(id, HostRole::Watcher(Box::new(Watcher::new())));
        self.hosts.get_mut(&provider).unwrap().watcher = Some(id);
        id
    }

    fn place(&mut self, id: NodeId, role: HostRole) {
        self.hosts.insert(
            id,
            Host {
                role,
                alive: true,
                life: 0,
                disk: BTreeMap::new(),
                unsynced: Vec::new(),
                engine: Engine::default(),
                stepping: false,
                ticking_at: None,
                watcher: None,
            },
        );
    }

    pub fn order(&mut self, client: NodeId, id: u64, task: Task, max_cost: Nano, deadline: Span) {
        self.place_order(client, id, order(task, max_cost, deadline));
    }

    pub fn place_order(&mut self, client: NodeId, id: u64, order: Order) {
        // It is waited for from now on, also while nothing is told of it.
        self.outcomes.entry(OrderId(id)).or_default();
        self.command(client, Command::Order { id: OrderId(id), order: Box::new(order) });
    }

    pub fn command(&mut self, node: NodeId, command: Command) {
        self.feed(node, Input::Command(command));
    }

    pub fn engine(&self, id: NodeId) -> &Engine {
        &self.hosts.get(&id).unwrap().engine
    }

    pub fn engine_mut(&mut self, id: NodeId) -> &mut Engine {
        &mut self.hosts.get_mut(&id).unwrap().engine
    }

    pub fn outcome(&self, id: u64) -> Outcome {
        self.outcomes.get(&OrderId(id)).cloned().unwrap_or_default()
    }

    pub fn client_at(&self, id: NodeId) -> &Client {
        match &self.hosts.get(&id).unwrap().role {
            HostRole::Client(client) => client,
            HostRole::Provider(_) | HostRole::Watcher(_) | HostRole::Other(_) => panic!("not a client"),
        }
    }

    pub fn provider_at(&self, id: NodeId) -> &Provider {
        match &self.hosts.get(&id).unwrap().role {
            HostRole::Provider(provider) => provider,
            HostRole::Client(_) | HostRole::Watcher(_) | HostRole::Other(_) => panic!("not a provider"),
        }
    }

    pub fn disk(&self, id: NodeId) -> impl Iterator<Item = &Record> {
        self.hosts.get(&id).unwrap().disk.values()
    }

    /// How often each provider that has failed a client did so, as the client's disk says.
    pub fn failures(&self, client: NodeId) -> Vec<u8> {
        let of = |record: &Record| {
            if let Record::Reputation(known) = record { Some(known.failures) } else { None }
        };
        self.disk(client).filter_map(of).filter(|failures| *failures > 0).collect()
    }
}

pub fn chat(prompt: &str, max_tokens: u32) -> Task {
    Task::Generate(Generate {
        messages: vec![ChatMessage { role: Role::User, content: prompt.into() }],
        max_tokens,
        sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 1 },
        prefix: vec![],
        stop: vec![],
    })
}

pub fn order(task: Task, max_cost: Nano, deadline: Span) -> Order {
    let (tier, weights, input) = (Tier::Open, Weights::DEFAULT, engine::counted(&task));
    Order {
        model: MODEL,
        task,
        max_cost,
        deadline,
        tier,
        nano_per_ms: Some(0),
        price_max: None,
        dims: None,
        weights,
        input,
        preferences: bombyx_protocol::Preferences::default(),
    }
}

/// The price at which 1,000 output tokens cost about so much, and of which the parts of a sheet are whole nano.
pub fn price(output_per_k: u64) -> Price {
    Price(output_per_k.div_ceil(60 * 125) * 125)
}

/// What an owner wants whose bids are to ask this price for tasks of any size.
pub fn sheet(price: Price) -> CostSheet {
    let per_k = |weight: u32| Nano(price.0 * u64::from(weight));
    let Weights { input, output, .. } = Weights::DEFAULT;
    CostSheet {
        per_job: Nano(price.0 * u64::from(Weights::JOB) / 1_000),
        input_per_k: per_k(input),
        output_per_k: per_k(output),
    }
}

/// The most that a task can cost.
pub fn ceiling(price: Price, task: &Task) -> Nano {
    let input = InputTokens::fresh(engine::input_tokens(task));
    Tariff { price, weights: Weights::DEFAULT }.cost(input, task.output_tokens_max()).unwrap()
}
