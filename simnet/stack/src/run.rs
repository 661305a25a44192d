//! One run: the node's swarms under the hosts of a world, on one thread and on virtual time.

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Message, ToProvider};
use bombyx_simnet::host::{Host, Profile};
use bombyx_simnet::kernel::{Draws, Purpose};
use bombyx_simnet::network::Links;
use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::{AttackKind, Regions, Scenario, model_id};
use bombyx_simnet::workload::population::{followers, hosts};
use bombyx_simnet::world::{Inbound, InvariantError, Parcel, World};
use libp2p::identity::{PublicKey, ed25519};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use zeroize::Zeroizing;

use crate::early_gossip::EarlyGossip;
use crate::fabric::{self, Fabric};
use crate::net::{self, NetCommand, NetConfig, NetError, NetEvent, NetHandle, NetStopped, topic};
use crate::samples::{Connections, LookupSample, Samples};
use crate::{cpu_s, ears, entropy};

/// The name of the network.
const NETWORK: &str = "simnet";
/// Between two hosts that join.
const JOIN_EVERY: Duration = Duration::from_millis(50);
/// From the last host that joins to the first lookup, and from the last lookup to the first order: meshes stand by then.
const FORMING: Duration = Duration::from_secs(75);
/// Lookups that are measured, one of each host in turn.
pub(crate) const LOOKUPS: u32 = 60;
/// Lookups at one time; their hosts differ.
const LOOKUPS_AT_ONCE: u32 = 6;
/// A lookup that takes longer counts as this long.
const LOOKUP_DEADLINE: Duration = Duration::from_secs(20);
/// Hosts that everyone knows when it joins.
const BOOTSTRAPS: u32 = 3;
/// News from all swarms that wait for the world.
const NEWS_MAX: usize = 4_096;

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    /// The scenario asks for something that this fidelity does not do.
    #[error("the stack fidelity cannot run this scenario: {0}; run it with `simnet run`")]
    Unsupported(&'static str),
    /// A swarm did not start.
    #[error("host {host}: {why}")]
    Start {
        /// Which.
        host: u32,
        /// Why.
        why: NetError,
    },
    /// A swarm stopped.
    #[error("a swarm stopped before its time")]
    Stopped(#[from] NetStopped),
    /// An invariant is broken.
    #[error(transparent)]
    Broken(#[from] Box<InvariantError>),
    /// The program's randomness is not its own.
    #[error("randomness still comes from the operating system: the linker dropped this program's own source")]
    Entropy,
    /// No runtime, or no thread.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// The thread of the run panicked.
    #[error("the run panicked; this is a bug")]
    Panicked,
}

/// Returns whether this fidelity can run a scenario. (`SI-8`)
pub(crate) fn check(scenario: &Scenario) -> Result<(), RunError> {
    let faults = scenario.network.faults;
    let attacked = |with: AttackKind| scenario.attack.iter().any(|attack| attack.kind == with);
    let churn = &scenario.churn;
    let comes_and_goes = churn.share > 0.0 || churn.late_share > 0.0 || churn.leave_share > 0.0;
    let unsupported = [
        (
            faults.drop > 0.0 || faults.duplicate > 0.0,
            "`network.faults` (connections neither lose nor repeat)",
        ),
        (scenario.network.uplink_queues, "`network.uplink_queues`"),
        (!scenario.partition.is_empty(), "`[[partition]]`"),
        (!scenario.crash.is_empty(), "`[[crash]]`"),
        (!scenario.outage.is_empty(), "`[[outage]]`"),
        (comes_and_goes, "`[churn]`"),
        (attacked(AttackKind::FreeRider), "the attack `free-rider`"),
        (attacked(AttackKind::Eclipse), "the attack `eclipse`"),
    ];
    match unsupported.into_iter().find(|(asked, _)| *asked) {
        Some((_, what)) => Err(RunError::Unsupported(what)),
        None => Ok(()),
    }
}

/// Runs a scenario on a fresh thread, so that everything that a thread draws for itself follows from the seed. (`SI-7`)
pub(crate) fn run(scenario: Scenario) -> Result<Samples, RunError> {
    check(&scenario)?;
    entropy::seed(scenario.seed);
    let run = std::thread::Builder::new().spawn(move || {
        let asked = entropy::asked();
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
        let outcome = runtime.block_on(Stack::start(scenario))?;
        let samples = runtime.block_on(outcome.play())?;
        if entropy::asked() == asked { Err(RunError::Entropy) } else { Ok(samples) }
    })?;
    run.join().map_err(|_| RunError::Panicked)?
}

/// A formed network and the world above it.
struct Stack {
    scenario: Scenario,
    world: World,
    swarms: Vec<NetHandle>,
    numbers: BTreeMap<NodeId, u32>,
    news: mpsc::Receiver<(u32, NetEvent)>,
    /// By host.
    early: BTreeMap<u32, EarlyGossip<Vec<u8>>>,
    /// What was gossiped, by the name that gossipsub gives it.
    gossiped: BTreeMap<String, Vec<u8>>,
    lookups: Vec<LookupSample>,
    /// Connections of a mean host before the first lookup.
    connections: f64,
    cpu_began_s: f64,
}

impl Stack {
    /// Starts every host's swarm and waits until the network has formed.
    async fn start(scenario: Scenario) -> Result<Self, RunError> {
        let cpu_began_s = cpu_s();
        let draws = Draws::new(scenario.seed);
        let hosts = hosts(&scenario, &draws);
        let links = Links::new(&Regions::shipped(), &scenario.network, Vec::new());
        let peers: Vec<_> =
            hosts.iter().filter_map(|host| Some((peer_of(host.node)?, host.location))).collect();
        Fabric::install(links, draws, peers);

        let (into_news, news) = mpsc::channel(NEWS_MAX);
        let mut swarms = Vec::new();
        for (number, host) in (0u32..).zip(&hosts) {
            let (swarm, events) = net::start(config(number, host))
                .await
                .map_err(|why| RunError::Start { host: number, why })?;
            swarms.push(swarm);
            tokio::spawn(forward(number, events, into_news.clone()));
            sleep(JOIN_EVERY).await;
        }
        let mut stack = Self {
            world: World::carried_outside(&scenario),
            swarms,
            numbers: (0u32..).zip(&hosts).map(|(number, host)| (host.node, number)).collect(),
            news,
            early: BTreeMap::new(),
            gossiped: BTreeMap::new(),
            lookups: Vec::new(),
            connections: 0.0,
            cpu_began_s,
            scenario,
        };
        stack.announce(&hosts).await?;
        stack.pause(FORMING).await;
        stack.connections = stack.connections_of_a_mean_host();
        stack.look_up(&draws).await?;
        stack.pause(FORMING).await;
        Ok(stack)
    }

    /// Listens, announces and follows as the node's driver does: a client meets providers of the models that it follows
    /// before it calls, for they answer over the connections that it made.
    async fn announce(&self, hosts: &[Host]) -> Result<(), RunError> {
        for (model, listeners) in (0u32..).zip(followers(&self.scenario, hosts)) {
            for host in listeners {
                self.command(host, NetCommand::Subscribe(topic(Topic::Model(model_id(model))))).await?;
            }
        }
        for (number, host) in (0u32..).zip(hosts) {
            match &host.profile {
                Profile::Provider { model, .. } => {
                    self.command(number, NetCommand::Provide(model_id(*model).0)).await?;
                }
                Profile::Client { models, .. } => {
                    for model in models {
                        self.command(number, NetCommand::Meet(model_id(*model).0)).await?;
                    }
                }
                Profile::Watcher { .. } => {}
            }
        }
        Ok(())
    }

    async fn command(&self, host: u32, command: NetCommand) -> Result<(), RunError> {
        Ok(self.swarms[host as usize].send(command).await?)
    }

    fn connections_of_a_mean_host(&self) -> f64 {
        let peers: usize = self.swarms.iter().map(|swarm| swarm.peers().len()).sum();
        peers as f64 / self.swarms.len() as f64
    }

    /// Lets time pass while nothing is at stake.
    async fn pause(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while timeout(until - Instant::now(), self.news.recv()).await.is_ok_and(|news| news.is_some()) {}
        ears::duplicates();
    }

    /// Measures lookups of keys that nobody provides: each goes to the nodes closest to the key, and ends there.
    async fn look_up(&mut self, draws: &Draws) -> Result<(), RunError> {
        let hosts = self.swarms.len() as u32;
        let at_once = LOOKUPS_AT_ONCE.min(hosts);
        for round in 0..LOOKUPS / at_once {
            let mut running = BTreeMap::new();
            for place in 0..at_once {
                let number = round * at_once + place;
                let host = number % hosts;
                let key = draws.seed32(Purpose::LookupKey, &[u64::from(number)]);
                running.insert((host, key), (Instant::now(), fabric::requests(host)));
                self.command(host, NetCommand::FindProviders(key)).await?;
            }
            let until = Instant::now() + LOOKUP_DEADLINE;
            while !running.is_empty() {
                let Ok(Some((host, news))) = timeout(until - Instant::now(), self.news.recv()).await else {
                    break;
                };
                if let NetEvent::Providers { key, .. } = news
                    && let Some((began, before)) = running.remove(&(host, key))
                {
                    let requests = fabric::requests(host) - before;
                    self.lookups.push(LookupSample { requests, ms: began.elapsed().as_secs_f64() * 1e3 });
                }
            }
        }
        Ok(())
    }

    /// Runs the world above the network to its end.
    async fn play(mut self) -> Result<Samples, RunError> {
        let connections = Connections {
            before_lookups: self.connections,
            before_orders: self.connections_of_a_mean_host(),
        };
        // Orders bear the date, and swarms judge them by theirs: both count from the moment at which the world begins.
        web_time::begin_calendar();
        let began = Instant::now();
        let now = || Time(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        self.world.probe_gossip(Samples::measured_from(&self.scenario));
        let is_over = self.world.run_until(now())?;
        let mut is_over = is_over;
        while !is_over {
            self.hand_out().await?;
            let next = self.world.next_at().map_or(Duration::from_secs(1), |at| Duration::from_micros(at.0));
            let news = tokio::select! {
                biased;
                news = self.news.recv() => news,
                () = sleep_until(began + next) => None,
            };
            is_over = self.world.run_until(now())?;
            if let Some((host, news)) = news {
                self.heard(now(), host, news)?;
            }
            for name in ears::duplicates() {
                if let Some(bytes) = self.gossiped.get(&name) {
                    self.world.duplicate(bytes);
                }
            }
        }
        let report = Report::of(&self.world, cpu_s() - self.cpu_began_s);
        Ok(Samples::of(&self.world, &report, self.lookups, connections))
    }

    /// Gives the swarms what the world's hosts want carried.
    async fn hand_out(&mut self) -> Result<(), RunError> {
        for parcel in self.world.parcels() {
            match parcel {
                Parcel::Direct { from, to, bytes } => {
                    let to = self.swarms[to as usize].node();
                    let command = if is_answer(&bytes) {
                        NetCommand::Answer { to, bytes }
                    } else {
                        NetCommand::Send { to, bytes }
                    };
                    self.command(from, command).await?;
                }
                Parcel::Gossip { from, model, bytes } => {
                    let topic = topic(Topic::Model(model_id(model)));
                    self.gossiped.insert(name(&topic, &bytes), bytes.clone());
                    self.command(from, NetCommand::Meet(model_id(model).0)).await?;
                    self.command(from, NetCommand::Publish { topic, bytes }).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells the world what a swarm says.
    fn heard(&mut self, now: Time, host: u32, news: NetEvent) -> Result<(), RunError> {
        match news {
            NetEvent::Received { from, bytes } => {
                if let Some(from) = self.numbers.get(&from).copied() {
                    self.world.bring(now, Inbound::Direct { from, to: host, bytes })?;
                }
            }
            NetEvent::Gossip { gossip, bytes } => {
                let author = gossip.author();
                match self.swarms[host as usize].prefix(&author) {
                    Some(_) => self.world.bring(now, Inbound::Gossip { at: host, bytes })?,
                    None => self.early.entry(host).or_default().hold(now, author, bytes),
                }
            }
            NetEvent::Connected(peer) => {
                let early = self.early.get_mut(&host).map(|early| early.take(now, &peer)).unwrap_or_default();
                for bytes in early {
                    self.world.bring(now, Inbound::Gossip { at: host, bytes })?;
                }
            }
            NetEvent::Undelivered { to, .. } => {
                if let Some(to) = self.numbers.get(&to).copied() {
                    self.world.bring(now, Inbound::Undelivered { from: host, to })?;
                }
            }
            NetEvent::Disconnected(peer) => {
                // As far as its peers know, a host that is gone did not receive what was sent to it last.
                if let Some(to) = self.numbers.get(&peer).copied() {
                    self.world.bring(now, Inbound::Undelivered { from: host, to })?;
                }
            }
            NetEvent::Listening(_)
            | NetEvent::Joined { .. }
            | NetEvent::JoinFailed { .. }
            | NetEvent::Unpublished { .. }
            | NetEvent::Unsubscribable { .. }
            | NetEvent::Met { .. }
            | NetEvent::Providers { .. }
            | NetEvent::Manifest { .. }
            | NetEvent::ProviderVisited(_)
            | NetEvent::Surveyed => {}
        }
        Ok(())
    }
}

/// Returns whether a message goes to connected peers only, as in the node's driver.
fn is_answer(bytes: &[u8]) -> bool {
    let message = codec::decode::<Message>(bytes);
    matches!(message, Ok(Message::ToClient(_) | Message::ToProvider(ToProvider::Release(_))))
}

async fn forward(host: u32, mut events: mpsc::Receiver<NetEvent>, news: mpsc::Sender<(u32, NetEvent)>) {
    while let Some(event) = events.recv().await {
        if news.send((host, event)).await.is_err() {
            return;
        }
    }
}

fn config(number: u32, host: &Host) -> NetConfig {
    let (seed, announces) = match &host.profile {
        Profile::Client { config, .. } => (config.identity_seed, false),
        Profile::Provider { config, .. } => (config.identity_seed, true),
        Profile::Watcher { identity_seed, .. } => (*identity_seed, false),
    };
    let joins = (0..BOOTSTRAPS.min(number))
        .filter_map(|known| Some(format!("{}/p2p/{}", fabric::address(known), fabric::peer(known)?)));
    NetConfig {
        listen: vec![fabric::address(number).to_string()],
        join: joins.collect(),
        announce_topics: announces,
        ..NetConfig::new(Zeroizing::new(seed), NETWORK)
    }
}

/// Returns the peer id of a node.
pub(crate) fn peer_of(node: NodeId) -> Option<libp2p::PeerId> {
    Some(PublicKey::from(ed25519::PublicKey::try_from_bytes(&node.0).ok()?).to_peer_id())
}

/// Returns what gossipsub calls a message: a hash of its topic and its bytes.
fn name(topic: &str, bytes: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("bombyx/{NETWORK}/{topic}\0"));
    hash.update(bytes);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
