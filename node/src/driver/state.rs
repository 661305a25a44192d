//! What the loop owns: the role machines, the ends of everything around them, and what is known between two turns.

use std::collections::{BTreeSet, VecDeque};

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::watch::WatchedVoucher;
use bombyx_protocol::client::Client;
use bombyx_protocol::clock::WallClock;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, Input, Machine, Offer, PersistId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::provider::Provider;
use bombyx_protocol::time::Time;
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::wire::message::VerifiedGossip;
use bombyx_protocol::work::order::{JobId, ModelId};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::early_gossip::EarlyGossip;
use super::ending::Ending;
use super::ledger::LedgerService;
use super::market::Market;
use super::meetings::{FriendList, WaitingOrders};
use super::orders::Orders;
use super::request::NodeRequest;
use super::unsaid::UnsaidAnswers;
use crate::engine::manifests::Manifests;
use crate::engine::{EngineHandle, Reports};
use crate::error::NodeError;
use crate::net::{NetCommand, NetEvent, NetHandle, topic, unix_s};
use crate::role::{PerRole, Role};
use crate::status::LedgerStatus;
use crate::status::last_list::LastList;
use crate::store::Store;

/// Models whose topics a node follows at the most; the swarm takes a few more.
const FOLLOWED_MAX: usize = 64;

/// What the driver is made of.
pub(crate) struct Parts {
    pub(crate) started_s: u64,
    pub(crate) network: String,
    pub(crate) net: NetHandle,
    pub(crate) net_events: mpsc::Receiver<NetEvent>,
    pub(crate) join_failure: watch::Sender<Option<String>>,
    pub(crate) store: Store,
    pub(crate) ledger_service: LedgerService,
    pub(crate) ledger: LedgerStatus,
    pub(crate) requests: mpsc::Receiver<NodeRequest>,
    pub(crate) client: Client,
    pub(crate) watcher: Watcher,
    pub(crate) selling: Option<ProviderParts>,
    /// Models whose offers are listened to from the start.
    pub(crate) follow: Vec<ModelId>,
    /// What is known of models.
    pub(crate) manifests: Manifests,
    /// Channels that the watcher watches from the start.
    pub(crate) watched: Vec<WatchedVoucher>,
}

/// What a provider needs beside the rest.
pub(crate) struct ProviderParts {
    pub(crate) provider: Provider,
    pub(crate) engine: EngineHandle,
    pub(crate) reports: Reports,
    pub(crate) offers: Vec<Offer>,
    /// The canonical JSON of each model's manifest.
    pub(crate) manifests: Vec<(ModelId, Vec<u8>)>,
}

/// The loop with all that it owns.
pub(crate) struct Driver {
    pub(super) started: Instant,
    /// What the roles take the time of day for.
    pub(super) clock: WallClock,
    /// The same as unix time.
    pub(super) started_s: u64,
    pub(super) network: String,
    pub(super) net: NetHandle,
    pub(super) net_events: mpsc::Receiver<NetEvent>,
    pub(super) join_failure: watch::Sender<Option<String>>,
    /// What was said of joins since the last one that succeeded: as many as there are addresses and reasons.
    pub(super) join_failures: BTreeSet<String>,
    /// When a peer last left.
    pub(super) peer_left_at: Time,
    pub(super) store: Store,
    pub(super) durable: watch::Receiver<PerRole<PersistId>>,
    /// The newest record that each machine gave to the store.
    pub(super) written: PerRole<PersistId>,
    pub(super) unsaid: UnsaidAnswers,
    pub(super) ledger_service: LedgerService,
    pub(super) ledger: LedgerStatus,
    /// Channels that the ledger was asked to open, and of which nothing was heard since.
    pub(super) openings: BTreeSet<ChannelId>,
    pub(super) requests: mpsc::Receiver<NodeRequest>,
    pub(super) client: Client,
    pub(super) provider: Option<Provider>,
    pub(super) watcher: Watcher,
    pub(super) engine: Option<EngineHandle>,
    pub(super) reports: Option<Reports>,
    pub(super) offers: Vec<Offer>,
    /// What vouchers read back from disk come to, until the ledger service was told.
    pub(super) restored: Vec<(ChannelId, Nano)>,
    pub(super) wakes: PerRole<Time>,
    /// Inputs that follow from what a machine said; taken before anything else.
    pub(super) pending: VecDeque<(Role, Input)>,
    pub(super) orders: Orders,
    pub(super) waiting_orders: WaitingOrders,
    pub(super) early: EarlyGossip<VerifiedGossip>,
    pub(super) friends: FriendList,
    pub(super) followed: BTreeSet<ModelId>,
    pub(super) served: JobCounts,
    pub(super) market: Market,
    /// The manifests of what is sold here, until the swarm has them.
    pub(super) sold: Vec<(ModelId, Vec<u8>)>,
    pub(super) ending: Ending,
}

/// Counts of the provider's jobs.
#[derive(Default)]
pub(super) struct JobCounts {
    /// Jobs that were started and are neither paid nor given up.
    pub(super) open: BTreeSet<JobId>,
    pub(super) jobs: u64,
    pub(super) refused: u64,
    pub(super) nano: u64,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let durable = parts.store.durable();
        let mut sold = Vec::new();
        let (provider, engine, reports, offers) = match parts.selling {
            Some(ProviderParts { provider, engine, reports, offers, manifests }) => {
                sold = manifests;
                (Some(provider), Some(engine), Some(reports), offers)
            }
            None => (None, None, None, Vec::new()),
        };
        let mut manifests = parts.manifests;
        manifests.sell(&sold);
        let total = |watched: &WatchedVoucher| (watched.voucher.account, watched.voucher.cumulative);
        let restored = parts.watched.iter().map(total).collect();
        let watches = parts.watched.into_iter().map(|watched| (Role::Watcher, Command::Watch(watched)));
        let offered = offers.iter().cloned().map(|offer| (Role::Provider, Command::Offer(offer)));
        let pace = *parts.ledger_service.pace.borrow();
        let paced = std::iter::once((Role::Provider, Command::Pace(pace)));
        let pending = paced
            .chain(watches)
            .chain(offered)
            .map(|(role, command)| (role, Input::Command(command)))
            .collect();
        Self {
            started: Instant::now(),
            clock: WallClock::new(unix_s()),
            started_s: parts.started_s,
            network: parts.network,
            net: parts.net,
            net_events: parts.net_events,
            join_failure: parts.join_failure,
            join_failures: BTreeSet::new(),
            peer_left_at: Time(0),
            store: parts.store,
            durable,
            written: PerRole::default(),
            unsaid: UnsaidAnswers::default(),
            ledger_service: parts.ledger_service,
            ledger: parts.ledger,
            openings: BTreeSet::new(),
            requests: parts.requests,
            client: parts.client,
            provider,
            watcher: parts.watcher,
            engine,
            reports,
            offers,
            restored,
            wakes: PerRole::default(),
            pending,
            orders: Orders::default(),
            waiting_orders: WaitingOrders::default(),
            early: EarlyGossip::default(),
            friends: FriendList::default(),
            followed: parts.follow.into_iter().collect(),
            served: JobCounts::default(),
            market: Market::new(manifests),
            sold,
            ending: Ending::default(),
        }
    }

    /// Returns where the last list of what is on offer can be read.
    pub(crate) fn last_list(&self) -> watch::Receiver<LastList> {
        self.market.last_list.subscribe()
    }

    /// Subscribes to the topics of models that are sold or followed, and tells the hash table what is sold.
    pub(super) async fn announce(&mut self) -> Result<(), NodeError> {
        for model in self.followed.clone() {
            self.command(NetCommand::Subscribe(topic(Topic::Model(model)))).await?;
        }
        if !self.offers.is_empty() {
            self.command(NetCommand::Subscribe(topic(Topic::Market))).await?;
        }
        for (model, json) in std::mem::take(&mut self.sold) {
            self.command(NetCommand::ShowManifest { model: model.0, json }).await?;
        }
        let sold: Vec<ModelId> = self.offers.iter().map(|offer| offer.model).collect();
        for model in sold {
            self.follow(model).await?;
            self.command(NetCommand::Provide(model.0)).await?;
        }
        Ok(())
    }

    /// Listens to a model's topic from now on.
    pub(super) async fn follow(&mut self, model: ModelId) -> Result<(), NodeError> {
        if self.followed.len() < FOLLOWED_MAX && self.followed.insert(model) {
            self.command(NetCommand::Subscribe(topic(Topic::Model(model)))).await?;
        }
        Ok(())
    }

    pub(super) async fn command(&self, command: NetCommand) -> Result<(), NodeError> {
        self.net.send(command).await.map_err(|_| NodeError::Stopped("swarm"))
    }

    pub(super) fn machine(&mut self, role: Role) -> Option<&mut dyn Machine> {
        match role {
            Role::Client => Some(&mut self.client),
            Role::Provider => self.provider.as_mut().map(|provider| provider as &mut dyn Machine),
            Role::Watcher => Some(&mut self.watcher),
        }
    }

    /// Returns since when no peer has been connected, if none is.
    pub(super) fn alone_since(&self) -> Option<Time> {
        self.net.peers().is_empty().then_some(self.peer_left_at)
    }

    /// Returns the time since the start, on a clock that never goes back.
    pub(super) fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    pub(super) fn node(&self) -> NodeId {
        self.client.node_id()
    }
}
