//! A small testbed in memory: role machines joined by queues, on virtual time, over a network that loses, copies and
//! reorders what is sent, with a ledger and an engine in integers.
#![allow(clippy::wildcard_enum_match_arm, dead_code, unreachable_pub, missing_docs, clippy::unwrap_used)]

pub mod chain;
pub mod engine;
pub mod guest;
pub mod thief;

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::client::{Client, ClientConfig};
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{
    Bill, ChannelNews, Command, Crowd, Event, Failure, Input, JobReport, Machine, Offer, OrderNews, Output,
    PeerFault, PersistId,
};
use bombyx_protocol::provider::{Provider, ProviderConfig};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Content, Gossip, Message};
use bombyx_protocol::work::order::{
    ChatMessage, Generate, ModelId, Order, OrderId, Role, Sampling, Task, TaskKind, Tier,
};
use bombyx_protocol::work::price::PriceSheet;

use chain::Chain;
use engine::Engine;

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

enum Happening {
    Message { to: NodeId, from: NodeId, bytes: Vec<u8> },
    Gossip { to: NodeId, from: NodeId, bytes: Vec<u8> },
    Persisted { node: NodeId, id: PersistId, life: u32 },
    Engine { node: NodeId, life: u32 },
    Chain,
    Tick { node: NodeId },
}

enum Role_ {
    Client(Box<Client>),
    Provider(Box<Provider>),
    Watcher(Box<Watcher>),
    Other(Box<dyn Machine>),
}

struct Host {
    role: Role_,
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
            Role_::Client(client) => client.as_mut(),
            Role_::Provider(provider) => provider.as_mut(),
            Role_::Watcher(watcher) => watcher.as_mut(),
            Role_::Other(other) => other.as_mut(),
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
    /// Slots of what is offered from now on.
    pub slots: u16,
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
            slots: 4,
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
        self.place(id, Role_::Client(Box::new(client)));
        id
    }

    pub fn provider(&mut self, number: u64, price: PriceSheet, token_us: u64) -> NodeId {
        self.provider_with(ProviderConfig::for_tests(number), price, token_us)
    }

    pub fn provider_with(&mut self, config: ProviderConfig, price: PriceSheet, token_us: u64) -> NodeId {
        let provider = Provider::new(config.clone(), Vec::new());
        let id = provider.node_id();
        self.providers.insert(id, config);
        self.place(id, Role_::Provider(Box::new(provider)));
        self.hosts.get_mut(&id).unwrap().engine.token_us = token_us;
        self.offer(id, price, TaskKind::Generate, MODEL);
        id
    }

    pub fn offer(&mut self, id: NodeId, price: PriceSheet, kind: TaskKind, model: ModelId) {
        let token_us = self.hosts.get(&id).unwrap().engine.token_us;
        let offer = Offer {
            model,
            name: "counter".into(),
            kind,
            price,
            slots: self.slots,
            first_token_ms: 10,
            tokens_per_s: u32::try_from(1_000_000 / token_us.max(1)).unwrap(),
            context_tokens: 4_096,
        };
        self.feed(id, Input::Command(Command::Offer(offer)));
    }

    /// A host with a machine of the test's own, perhaps at an address that it shares.
    pub fn stranger(&mut self, id: NodeId, machine: Box<dyn Machine>, address: Option<Prefix>) {
        self.place(id, Role_::Other(machine));
        self.shared.extend(address.map(|address| (id, address)));
    }

    /// A watcher that is told of every voucher `provider` writes.
    pub fn watcher(&mut self, provider: NodeId) -> NodeId {
        let id = NodeId([0xee; 32]);
        self.place(id, Role_::Watcher(Box::new(Watcher::new())));
        self.hosts.get_mut(&provider).unwrap().watcher = Some(id);
        id
    }

    fn place(&mut self, id: NodeId, role: Role_) {
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
        let order = Order { model: MODEL, task, max_cost, deadline, tier: Tier::Open, nano_per_ms: 0 };
        self.command(client, Command::Order { id: OrderId(id), order: Box::new(order) });
    }

    pub fn command(&mut self, node: NodeId, command: Command) {
        self.feed(node, Input::Command(command));
    }

    /// Kills a host: what was not on disk is gone, and nobody is told.
    pub fn kill(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).unwrap();
        host.alive = false;
        host.life += 1;
        host.unsynced.clear();
        host.engine.clear();
        host.stepping = false;
    }

    /// Starts a killed host again from its disk.
    pub fn restart(&mut self, id: NodeId) {
        let host = self.hosts.get_mut(&id).unwrap();
        let records: Vec<Record> = host.disk.values().cloned().collect();
        host.role = if let Some(config) = self.clients.get(&id) {
            let mut config = config.clone();
            config.entropy_seed[0] ^= host.life as u8;
            Role_::Client(Box::new(Client::new(config, records)))
        } else {
            let mut config = self.providers.get(&id).unwrap().clone();
            config.entropy_seed[0] ^= host.life as u8;
            Role_::Provider(Box::new(Provider::new(config, records)))
        };
        host.alive = true;
        host.ticking_at = None;
        self.feed(id, Input::Tick);
    }

    /// A provider's engine takes tasks and never says a word again.
    pub fn hang_engine(&mut self, id: NodeId) {
        self.hosts.get_mut(&id).unwrap().engine.hung = true;
    }

    /// Puts an earlier state of a killed host's disk in the place of the newest one.
    pub fn roll_back(&mut self, id: NodeId, records: Vec<Record>) {
        let host = self.hosts.get_mut(&id).unwrap();
        assert!(!host.alive, "a disk is exchanged while nobody uses it");
        host.disk = records.into_iter().map(|record| (record.key(), record)).collect();
    }

    /// Cuts a host off the network, or joins it again.
    pub fn set_cut(&mut self, id: NodeId, cut: bool) {
        if cut {
            self.cut.insert(id);
        } else {
            self.cut.remove(&id);
        }
    }

    pub fn outcome(&self, id: u64) -> Outcome {
        self.outcomes.get(&OrderId(id)).cloned().unwrap_or_default()
    }

    pub fn client_at(&self, id: NodeId) -> &Client {
        match &self.hosts.get(&id).unwrap().role {
            Role_::Client(client) => client,
            Role_::Provider(_) | Role_::Watcher(_) | Role_::Other(_) => panic!("not a client"),
        }
    }

    pub fn provider_at(&self, id: NodeId) -> &Provider {
        match &self.hosts.get(&id).unwrap().role {
            Role_::Provider(provider) => provider,
            Role_::Client(_) | Role_::Watcher(_) | Role_::Other(_) => panic!("not a provider"),
        }
    }

    pub fn disk(&self, id: NodeId) -> impl Iterator<Item = &Record> {
        self.hosts.get(&id).unwrap().disk.values()
    }

    /// Runs until `done` or until the virtual span is over.
    pub fn run(&mut self, span: Span, mut done: impl FnMut(&Self) -> bool) {
        let end = self.now + span;
        while !done(self) {
            let Some(((at, _), happening)) = self.queue.pop_first() else { break };
            if at > end {
                self.queue.insert((at, 0), happening);
                break;
            }
            self.now = at;
            self.events += 1;
            assert!(self.events < 3_000_000, "the testbed does not come to rest");
            self.happen(happening);
            self.chain.check();
        }
        if !done(self) {
            self.now = end;
        }
    }

    /// Runs until every order has ended, and then a little on.
    pub fn run_to_end(&mut self, span: Span) {
        self.run(span, |testbed| testbed.outcomes.values().all(|outcome| outcome.end.is_some()));
        self.run(Span::from_s(40), |_| false);
    }

    fn at(&mut self, delay: u64, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((self.now + Span(delay), self.sequence), happening);
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Message { to, from, bytes } => {
                if let Ok(message) = codec::decode::<Message>(&bytes) {
                    self.feed(to, Input::Received { from, prefix: self.prefix_of(&from), message });
                }
            }
            Happening::Gossip { to, from, bytes } => {
                let read = codec::decode_gossip::<Gossip>(&bytes);
                if let Some(gossip) = read.ok().and_then(|gossip| gossip.open().ok()) {
                    self.feed(to, Input::Gossip { prefix: self.prefix_of(&from), gossip });
                }
            }
            Happening::Persisted { node, id, life } => {
                let host = self.hosts.get_mut(&node).unwrap();
                if host.life != life {
                    return;
                }
                for (_, record) in host.unsynced.extract_if(.., |(record_id, _)| *record_id <= id) {
                    if let RecordKey::Gone(account) = record.key() {
                        host.disk.remove(&RecordKey::Payer(account));
                        host.disk.remove(&RecordKey::Earner(account));
                    } else {
                        host.disk.insert(record.key(), record);
                    }
                }
                self.feed(node, Input::Persisted(id));
            }
            Happening::Engine { node, life } => {
                let host = self.hosts.get_mut(&node).unwrap();
                if host.life != life {
                    return;
                }
                host.stepping = false;
                let (reports, busy) = host.engine.step();
                if busy {
                    self.step_engine(node);
                }
                for (job, report) in reports {
                    self.feed(node, Input::Engine { job, report });
                }
            }
            Happening::Chain => {
                for (node, event) in self.chain.block(self.now) {
                    self.feed(node, Input::Ledger(event));
                }
                if self.chain.is_busy() {
                    self.at(200_000, Happening::Chain);
                }
            }
            Happening::Tick { node } => {
                self.hosts.get_mut(&node).unwrap().ticking_at = None;
                self.feed(node, Input::Tick);
            }
        }
    }

    pub fn feed(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node).filter(|host| host.alive) else { return };
        host.machine().handle(now, input);
        loop {
            let host = self.hosts.get_mut(&node).unwrap();
            match host.machine().poll() {
                Output::Wake(at) => {
                    let soonest = host.ticking_at.is_none_or(|ticking| at < ticking);
                    if at.0 != u64::MAX && soonest {
                        host.ticking_at = Some(at);
                        let delay = at.since(now).0;
                        self.at(delay, Happening::Tick { node });
                    }
                    return;
                }
                output => self.act(node, output),
            }
        }
    }

    fn act(&mut self, node: NodeId, output: Output) {
        match output {
            Output::Send { to, message } => self.transmit(node, to, &message),
            Output::Broadcast { gossip, .. } => {
                let bytes = codec::encode(&gossip);
                let others: Vec<NodeId> = self.hosts.keys().copied().filter(|id| *id != node).collect();
                for to in others {
                    for _ in 0..self.copies() {
                        let delay = self.delay();
                        if !self.cut.contains(&to) && !self.cut.contains(&node) {
                            self.at(delay, Happening::Gossip { to, from: node, bytes: bytes.clone() });
                        }
                    }
                }
            }
            Output::Persist { id, record } => {
                let commit = self.weather.commit_us;
                let host = self.hosts.get_mut(&node).unwrap();
                host.unsynced.push((id, *record));
                let life = host.life;
                self.at(commit, Happening::Persisted { node, id, life });
            }
            Output::Run { job, task, .. } => {
                let host = self.hosts.get_mut(&node).unwrap();
                host.engine.run(job, task);
                self.step_engine(node);
            }
            Output::Allow { job, tokens } => {
                let host = self.hosts.get_mut(&node).unwrap();
                host.engine.allow(job, tokens);
                self.step_engine(node);
            }
            Output::Cancel { job } => self.hosts.get_mut(&node).unwrap().engine.cancel(job),
            Output::Ledger(call) => self.ledger(node, *call),
            Output::Watch(watched) => {
                if let Some(watcher) = self.hosts.get(&node).and_then(|host| host.watcher) {
                    self.feed(watcher, Input::Command(Command::Watch(*watched)));
                }
            }
            Output::Event(event) => self.note(node, event),
            Output::Fault { peer, fault } => self.faults.push((peer, fault)),
            Output::Wake(_) => {}
        }
    }

    fn step_engine(&mut self, node: NodeId) {
        let host = self.hosts.get_mut(&node).unwrap();
        if !core::mem::replace(&mut host.stepping, true) {
            let (delay, life) = (host.engine.token_us, host.life);
            self.at(delay, Happening::Engine { node, life });
        }
    }

    fn ledger(&mut self, node: NodeId, call: LedgerCall) {
        let wallet = self.clients.get(&node).map(|config| config.wallet.hash);
        let idle = !self.chain.is_busy();
        self.chain.call(node, wallet, call);
        if idle {
            self.at(200_000, Happening::Chain);
        }
    }

    fn transmit(&mut self, from: NodeId, to: NodeId, message: &Message) {
        if let Some(mail) = self.outsiders.get_mut(&to) {
            mail.push(message.clone());
            return;
        }
        let bytes = codec::encode(message);
        assert!(bytes.len() <= bombyx_protocol::limits::FRAME_BYTES_MAX);
        for _ in 0..self.copies() {
            let delay = self.delay();
            if !self.cut.contains(&to) && !self.cut.contains(&from) {
                self.at(delay, Happening::Message { to, from, bytes: bytes.clone() });
            }
        }
    }

    fn copies(&mut self) -> usize {
        if self.random() % 1_000 < self.weather.lost_permille {
            0
        } else if self.random() % 1_000 < self.weather.copied_permille {
            2
        } else {
            1
        }
    }

    fn delay(&mut self) -> u64 {
        let jitter = self.random() % (self.weather.jitter_us + 1);
        self.weather.delay_us + jitter
    }

    fn note(&mut self, node: NodeId, event: Event) {
        match event {
            Event::Order { id, news } => {
                let outcome = self.outcomes.entry(id).or_default();
                assert!(outcome.end.is_none(), "an order ends once");
                match news {
                    OrderNews::Bids(bids) => outcome.bids = bids,
                    OrderNews::Awarded { .. } => {}
                    OrderNews::Content(Content::Tokens { ids, text }) => {
                        outcome.ids.extend(ids);
                        outcome.text.push_str(&text);
                    }
                    OrderNews::Content(Content::Vectors { first, dims, bytes }) => {
                        let rows = bytes.len() / (dims as usize * 4);
                        for row in 0..rows {
                            *outcome.rows.entry(first + row as u32).or_default() += 1;
                        }
                    }
                    OrderNews::Content(Content::End { .. }) => {}
                    OrderNews::FailedOver { why, .. } => outcome.failed_over.push(why),
                    OrderNews::Done(bill) => outcome.end = Some(Ok(bill)),
                    OrderNews::Failed { why, bill } => outcome.end = Some(Err((why, bill))),
                }
            }
            Event::Served(served) => self.served.push((node, served)),
            Event::Channel(news) => self.news.push((node, news)),
            Event::Crowded(crowd) => self.crowds.push(crowd),
        }
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

pub fn price(output_per_k: u64) -> PriceSheet {
    PriceSheet { per_job: Nano(100), input_per_k: Nano(output_per_k / 4), output_per_k: Nano(output_per_k) }
}
