//! The one loop of a node: it owns the role machines, and everything that happens passes through here.
//!
//! Each turn takes one event (from the swarm, the engine, the ledger, the store, the user or the clock), gives it to the
//! machine it is for, and does what the machine says until it says `Wake`. The loop never computes and never waits for
//! anything but a queue whose other end always drains: the swarm takes commands at all times, the store is bound by the
//! disk alone, the ledger desk and the engine's inbox never wait for this loop.

mod end;
mod intake;
pub(crate) mod ledger;
mod limits;
mod meet;
mod orders;
pub(crate) mod request;
mod route;
mod view;
pub mod watcher;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerEvent;
use bombyx_protocol::channel::pace::Pace;
use bombyx_protocol::channel::watch::Guarded;
use bombyx_protocol::client::Client;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Command, EngineReport, Input, Machine, Offer, Output, PersistId};
use bombyx_protocol::provider::Provider;
use bombyx_protocol::time::Time;
use bombyx_protocol::watcher::Watcher;
use bombyx_protocol::work::order::{JobId, ModelId};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use self::request::Request;
use crate::engine::{EngineHandle, Reports};
use crate::error::NodeError;
use crate::net::{NetCommand, NetEvent, NetHandle, topic};
use crate::status::LedgerStatus;
use crate::store::Store;

use self::end::Ending;
use self::ledger::LedgerDesk;
use self::meet::{Early, Friends, Meetings};
use self::orders::Orders;
use crate::role::{PerRole, Role};

pub(crate) use self::route::guarded;

/// Models whose topics a node follows at the most; the swarm takes a few more.
const FOLLOWED_MAX: usize = 64;

/// What the driver is made of.
pub(crate) struct Parts {
    pub(crate) network: String,
    pub(crate) net: NetHandle,
    pub(crate) net_events: mpsc::Receiver<NetEvent>,
    pub(crate) join_failure: watch::Sender<Option<String>>,
    pub(crate) store: Store,
    pub(crate) desk: LedgerDesk,
    pub(crate) ledger: LedgerStatus,
    pub(crate) requests: mpsc::Receiver<Request>,
    pub(crate) client: Client,
    pub(crate) watcher: Watcher,
    pub(crate) selling: Option<Selling>,
    /// Models whose offers are listened to from the start.
    pub(crate) follow: Vec<ModelId>,
    /// Channels that the watcher guards from the start.
    pub(crate) guard: Vec<Guarded>,
}

/// What a provider needs beside the rest.
pub(crate) struct Selling {
    pub(crate) provider: Provider,
    pub(crate) engine: EngineHandle,
    pub(crate) reports: Reports,
    pub(crate) offers: Vec<Offer>,
}

/// The loop with all that it owns.
pub(crate) struct Driver {
    started: Instant,
    network: String,
    net: NetHandle,
    net_events: mpsc::Receiver<NetEvent>,
    join_failure: watch::Sender<Option<String>>,
    store: Store,
    durable: watch::Receiver<PerRole<PersistId>>,
    /// The newest record that each machine gave to the store.
    written: PerRole<PersistId>,
    desk: LedgerDesk,
    ledger: LedgerStatus,
    requests: mpsc::Receiver<Request>,
    client: Client,
    provider: Option<Provider>,
    watcher: Watcher,
    engine: Option<EngineHandle>,
    reports: Option<Reports>,
    offers: Vec<Offer>,
    /// What vouchers read back from disk come to, until the ledger service was told.
    restored: Vec<([u8; 32], Nano)>,
    wakes: PerRole<Time>,
    /// Inputs that follow from what a machine said; taken before anything else.
    pending: VecDeque<(Role, Input)>,
    orders: Orders,
    meetings: Meetings,
    early: Early,
    friends: Friends,
    followed: BTreeSet<ModelId>,
    served: Served,
    ending: Ending,
}

/// Counts of the provider's jobs.
#[derive(Default)]
struct Served {
    /// Jobs that were started and are neither paid nor given up.
    open: BTreeSet<JobId>,
    jobs: u64,
    refused: u64,
    nano: u64,
}

/// One thing that happened.
enum Happened {
    Net(NetEvent),
    Engine(JobId, EngineReport),
    Ledger(Role, LedgerEvent),
    Pace(Pace),
    Durable,
    Asked(Request),
    Tick,
}

impl Driver {
    pub(crate) fn new(parts: Parts) -> Self {
        let durable = parts.store.durable();
        let (provider, engine, reports, offers) = match parts.selling {
            Some(Selling { provider, engine, reports, offers }) => {
                (Some(provider), Some(engine), Some(reports), offers)
            }
            None => (None, None, None, Vec::new()),
        };
        let total = |guarded: &Guarded| (guarded.voucher.account, guarded.voucher.cumulative);
        let restored = parts.guard.iter().map(total).collect();
        let guards = parts.guard.into_iter().map(|guarded| (Role::Watcher, Command::Guard(guarded)));
        let offered = offers.iter().cloned().map(|offer| (Role::Provider, Command::Offer(offer)));
        let pace = *parts.desk.pace.borrow();
        let paced = std::iter::once((Role::Provider, Command::Pace(pace)));
        let pending = paced
            .chain(guards)
            .chain(offered)
            .map(|(role, command)| (role, Input::Command(command)))
            .collect();
        Self {
            started: Instant::now(),
            network: parts.network,
            net: parts.net,
            net_events: parts.net_events,
            join_failure: parts.join_failure,
            store: parts.store,
            durable,
            written: PerRole::default(),
            desk: parts.desk,
            ledger: parts.ledger,
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
            meetings: Meetings::default(),
            early: Early::default(),
            friends: Friends::default(),
            followed: parts.follow.into_iter().collect(),
            served: Served::default(),
            ending: Ending::default(),
        }
    }

    /// Runs the node until it is told to end, or a part of it fails.
    pub(crate) async fn run(mut self) -> Result<(), NodeError> {
        let ran = self.turn_until_end().await;
        self.net.shutdown().await;
        // The engine's thread may be computing; it ends by itself once its inbox and reports are gone.
        drop((self.engine, self.reports, self.desk));
        let closed = tokio::task::spawn_blocking(|| self.store.close());
        let closed = closed.await.map_err(|_| NodeError::Stopped("store"))?;
        // A store that failed is the cause, and "the store has stopped" only its trace.
        closed.map_err(NodeError::from).and(ran)
    }

    async fn turn_until_end(&mut self) -> Result<(), NodeError> {
        self.announce().await?;
        // Before the machines have them watched: what there is a voucher for was funded.
        for (account, cumulative) in std::mem::take(&mut self.restored) {
            let told = self.desk.voucher(account, cumulative).await;
            told.map_err(|_| NodeError::Stopped("ledger desk"))?;
        }
        self.meet_old_friends();
        for role in Role::ALL {
            self.pending.push_back((role, Input::Tick));
        }
        loop {
            self.work_off().await?;
            let now = self.now();
            let cancelled = self.orders.due(now);
            // Before it can be cancelled, the client must know of it.
            self.go_on_after_waiting(!cancelled.is_empty() || self.ending.is_ending());
            for command in cancelled {
                self.pending.push_back((Role::Client, Input::Command(command)));
            }
            self.befriend().await?;
            self.end_step();
            if !self.pending.is_empty() {
                continue;
            }
            if self.ending.is_over() {
                return Ok(());
            }
            match self.next().await? {
                Happened::Net(event) => self.heard(event).await?,
                Happened::Engine(job, report) => {
                    self.pending.push_back((Role::Provider, Input::Engine { job, report }));
                }
                Happened::Ledger(role, event) => self.pending.push_back((role, Input::Ledger(event))),
                Happened::Pace(pace) => {
                    self.pending.push_back((Role::Provider, Input::Command(Command::Pace(pace))));
                }
                Happened::Durable => self.persisted(),
                Happened::Asked(request) => self.asked(request).await?,
                Happened::Tick => {
                    let now = self.now();
                    for role in Role::ALL.into_iter().filter(|role| *self.wakes.get(*role) <= now) {
                        self.pending.push_back((role, Input::Tick));
                    }
                }
            }
        }
    }

    /// Subscribes to the topics of models that are sold or followed, and tells the hash table what is sold.
    async fn announce(&mut self) -> Result<(), NodeError> {
        for model in self.followed.clone() {
            self.command(NetCommand::Subscribe(topic(&model))).await?;
        }
        let sold: Vec<ModelId> = self.offers.iter().map(|offer| offer.model).collect();
        for model in sold {
            self.follow(model).await?;
            self.command(NetCommand::Provide(model.0)).await?;
        }
        Ok(())
    }

    /// Listens to a model's topic from now on.
    async fn follow(&mut self, model: ModelId) -> Result<(), NodeError> {
        if self.followed.len() < FOLLOWED_MAX && self.followed.insert(model) {
            self.command(NetCommand::Subscribe(topic(&model))).await?;
        }
        Ok(())
    }

    async fn command(&self, command: NetCommand) -> Result<(), NodeError> {
        self.net.send(command).await.map_err(|_| NodeError::Stopped("swarm"))
    }

    /// Gives the machines every input that waits, each drained before the next.
    async fn work_off(&mut self) -> Result<(), NodeError> {
        while let Some((role, input)) = self.pending.pop_front() {
            let now = self.now();
            match self.machine(role) {
                Some(machine) => machine.handle(now, input),
                None => continue,
            }
            loop {
                let output = self.machine(role).map(Machine::poll);
                match output {
                    None => break,
                    Some(Output::Wake(at)) => {
                        *self.wakes.get_mut(role) = at;
                        break;
                    }
                    Some(output) => self.route(role, output).await?,
                }
            }
        }
        Ok(())
    }

    fn machine(&mut self, role: Role) -> Option<&mut dyn Machine> {
        match role {
            Role::Client => Some(&mut self.client),
            Role::Provider => self.provider.as_mut().map(|provider| provider as &mut dyn Machine),
            Role::Watcher => Some(&mut self.watcher),
        }
    }

    async fn next(&mut self) -> Result<Happened, NodeError> {
        let wake = self.wake_at();
        let reports = async {
            match &mut self.reports {
                Some(reports) => reports.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = self.net_events.recv() => event.map(Happened::Net).ok_or(NodeError::Stopped("swarm")),
            report = reports => {
                report.map(|(job, report)| Happened::Engine(job, report)).ok_or(NodeError::Stopped("engine"))
            }
            event = self.desk.events.recv() => {
                event.map(|(role, event)| Happened::Ledger(role, event)).ok_or(NodeError::Stopped("ledger desk"))
            }
            changed = self.desk.pace.changed() => match changed {
                Ok(()) => Ok(Happened::Pace(*self.desk.pace.borrow_and_update())),
                Err(_) => Err(NodeError::Stopped("ledger desk")),
            },
            changed = self.durable.changed() => match changed {
                Ok(()) => Ok(Happened::Durable),
                // A node that cannot write must not speak.
                Err(_) => Err(NodeError::Stopped("store")),
            },
            request = self.requests.recv(), if !self.requests.is_closed() => {
                Ok(request.map_or(Happened::Tick, Happened::Asked))
            }
            () = sleep_until(wake) => Ok(Happened::Tick),
        }
    }

    fn wake_at(&self) -> Instant {
        let machines = Role::ALL.into_iter().map(|role| *self.wakes.get(role)).min();
        let next =
            [machines, self.orders.wake_at(), self.meetings.wake_at(), self.ending.wake_at(self.now())]
                .into_iter()
                .flatten()
                .min();
        // Far away is far enough: the longest sleep still ends.
        let next = next.map_or(IDLE_SLEEP_MAX, |at| {
            Duration::from_micros(at.0).saturating_sub(self.started.elapsed()).min(IDLE_SLEEP_MAX)
        });
        Instant::now() + next
    }

    fn persisted(&mut self) {
        let durable = *self.durable.borrow_and_update();
        for role in Role::ALL {
            let id = *durable.get(role);
            if id > PersistId(0) {
                self.pending.push_back((role, Input::Persisted(id)));
            }
        }
    }

    /// Time since the start, on a clock that never goes back.
    fn now(&self) -> Time {
        Time(u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    fn node(&self) -> NodeId {
        self.client.node_id()
    }
}

/// The longest sleep of the loop.
const IDLE_SLEEP_MAX: Duration = Duration::from_secs(60);
