//! The swarm loop: the one task that owns libp2p's swarm. It routes, and waits for nobody.

use std::collections::HashMap;
use std::sync::Arc;

use futures::StreamExt as _;
use libp2p::core::ConnectedPoint;
use libp2p::kad::{self, QueryResult, RoutingUpdate};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{PeerId, StreamProtocol, Swarm, identify};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use web_time::Instant;

use super::behaviour::{self, Behaviour, BehaviourEvent};
use super::config::{NetConfig, NetError, Scope};
use super::dial::Dialer;
use super::discover::Discovery;
use super::gossip::{self, Talk};
use super::join::Joins;
use super::listen::{self, bind, full_address, note_listening};
use super::outbox::Outbox;
use super::penalty::Penalties;
use super::prefix::Prefixes;
use super::pump::Pumps;
use super::records::Records;
use super::streams::{self, Gate};
use super::{Fault, NetCommand, NetEvent, NetHandle, NetStatus, Undelivered, Verdict, address, limits};

/// What stream tasks ask of the swarm.
pub(super) enum Request {
    /// Connect to a peer and say so.
    Reach {
        /// The peer.
        peer: PeerId,
        /// Told the outcome.
        answer: oneshot::Sender<Result<(), Undelivered>>,
    },
    /// Hold a fault against a peer.
    Penalise {
        /// The peer.
        peer: PeerId,
        /// What it did.
        fault: Fault,
    },
}

/// Starts a node's swarm: binds its listen addresses, then joins in the background.
///
/// Returns when every listen address is bound, with the handle for commands and the queue of events, which must be
/// read: see the module's page on backpressure.
///
/// # Errors
/// [`NetError`] when the configuration is not usable or an address cannot be bound.
pub async fn start(config: NetConfig) -> Result<(NetHandle, mpsc::Receiver<NetEvent>), NetError> {
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=32).contains(&config.network.len()) || !config.network.bytes().all(named) {
        return Err(NetError::Network(config.network));
    }
    let now = Instant::now();
    let (keypair, node) = behaviour::identity(&config.identity_seed)?;
    let joins = Joins::read(&config, keypair.public().to_peer_id(), now)?;
    let listen = listen::read_all("listen", &config.listen, address::read_listenable)?;
    let external = listen::read_all("external", &config.external, address::read_external)?;

    let mut swarm = behaviour::build(&config, keypair)?;
    let (events, events_out) = mpsc::channel(limits::EVENTS_MAX);
    let mut out = Outbox::new(events.clone());
    let mut status = NetStatus::default();
    for (_, address) in external {
        swarm.add_external_address(address);
    }
    bind(&mut swarm, listen, &mut status, &mut out).await?;

    let (commands_in, commands) = mpsc::channel(limits::COMMANDS_MAX);
    let (requests_in, requests) = mpsc::channel(limits::REQUESTS_MAX);
    let (status_in, status_out) = watch::channel(status.clone());
    let (stop_in, stop) = watch::channel(false);
    let (gate, prefixes) = (Arc::new(Gate::default()), Prefixes::default());
    let mut control = swarm.behaviour().stream.new_control();
    let incoming = control
        .accept(streams::MESSAGES)
        .map_err(|why| NetError::Setup { part: "direct messages", why: why.to_string() })?;
    tokio::spawn(streams::accept(incoming, events.clone(), requests_in.clone(), Arc::clone(&gate)));

    let state = State {
        version: behaviour::network_version(&config.network),
        kad_protocol: behaviour::kad_protocol(&config.network)?,
        scope: config.scope,
        connections_high: config.connections_high.max(8),
        pumps: Pumps::new(node, control, events.clone(), requests_in),
        dialer: Dialer::new(config.scope),
        talk: Talk::new(&config.network),
        discovery: Discovery::new(config.announce_topics, now),
        records: Records::new(config.scope),
        penalties: Penalties::default(),
        strangers: HashMap::new(),
        connected: HashMap::new(),
        prefixes: prefixes.clone(),
        gate,
        joins,
        status,
        published: status_in,
        events,
        out,
    };
    tokio::spawn(state.run(swarm, commands, requests, stop));
    Ok((NetHandle { node, commands: commands_in, prefixes, status: status_out, stop: stop_in }, events_out))
}

/// Everything the loop knows, apart from the swarm.
struct State {
    version: String,
    kad_protocol: StreamProtocol,
    scope: Scope,
    connections_high: usize,
    pumps: Pumps,
    dialer: Dialer,
    talk: Talk,
    discovery: Discovery,
    records: Records,
    penalties: Penalties,
    /// Peers of other networks, and when each was found out.
    strangers: HashMap<PeerId, Instant>,
    /// When each connected peer was first connected.
    connected: HashMap<PeerId, Instant>,
    prefixes: Prefixes,
    gate: Arc<Gate>,
    joins: Joins,
    status: NetStatus,
    published: watch::Sender<NetStatus>,
    events: mpsc::Sender<NetEvent>,
    out: Outbox,
}

impl State {
    async fn run(
        mut self,
        mut swarm: Swarm<Behaviour>,
        mut commands: mpsc::Receiver<NetCommand>,
        mut requests: mpsc::Receiver<Request>,
        mut stop: watch::Receiver<bool>,
    ) {
        let events = self.events.clone();
        let mut ticks = interval(limits::TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => {
                    let Some(command) = command else { break };
                    self.on_command(&mut swarm, command);
                }
                Some(request) = requests.recv() => self.on_request(&mut swarm, request),
                event = swarm.select_next_some(), if !self.out.is_filling() => {
                    self.on_swarm_event(&mut swarm, event);
                }
                _ = ticks.tick() => self.on_tick(&mut swarm),
                // It changes once, to true, and ends when every handle is gone.
                _ = stop.changed() => break,
                () = events.closed() => break,
            }
            self.publish_status();
        }
        farewell(swarm).await;
    }

    fn publish_status(&mut self) {
        self.status.notices_dropped = self.out.dropped();
        self.published.send_if_modified(|published| {
            let changed = *published != self.status;
            if changed {
                published.clone_from(&self.status);
            }
            changed
        });
    }

    fn on_command(&mut self, swarm: &mut Swarm<Behaviour>, command: NetCommand) {
        let now = Instant::now();
        match command {
            NetCommand::Send { to, bytes } => {
                if let Err(why) = self.pumps.send(to, bytes) {
                    self.out.push(NetEvent::Undelivered { to, why });
                }
            }
            NetCommand::Publish { topic, bytes } => {
                self.discovery.published(&topic, now);
                let gossip = &mut swarm.behaviour_mut().gossip;
                self.talk.publish(gossip, topic, bytes, now, &mut self.out);
            }
            NetCommand::Subscribe(topic) => {
                if self.talk.subscribe(&mut swarm.behaviour_mut().gossip, &topic) {
                    self.discovery.subscribed(&self.talk, &topic, now);
                } else {
                    self.out.push(NetEvent::Unsubscribable { topic });
                }
            }
            NetCommand::Unsubscribe(topic) => {
                self.talk.unsubscribe(&mut swarm.behaviour_mut().gossip, &topic);
                self.discovery.unsubscribed(swarm, &self.talk, &topic);
            }
            NetCommand::Provide(key) => self.discovery.provide(key, now),
            NetCommand::Withdraw(key) => self.discovery.withdraw(swarm, &key),
            NetCommand::FindProviders(key) => self.discovery.find(swarm, key, &mut self.out),
            NetCommand::Verdict { message, verdict } => {
                gossip::judge(&mut swarm.behaviour_mut().gossip, &message, verdict);
            }
            NetCommand::Penalise { peer, fault } => {
                if let Some(peer) = address::peer_of(peer) {
                    self.penalise(swarm, peer, fault);
                }
            }
        }
    }

    fn on_request(&mut self, swarm: &mut Swarm<Behaviour>, request: Request) {
        match request {
            Request::Reach { peer, answer } => {
                self.dialer.reach(swarm, peer, Some(answer), Instant::now());
            }
            Request::Penalise { peer, fault } => self.penalise(swarm, peer, fault),
        }
    }

    fn penalise(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId, fault: Fault) {
        tracing::debug!(%peer, ?fault, "a fault is held against a peer");
        if self.penalties.add(peer, fault, Instant::now()) {
            tracing::info!(%peer, ?fault, "a peer is blocked");
            swarm.behaviour_mut().blocked.block_peer(peer);
        }
    }

    fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>) {
        let now = Instant::now();
        let routes = swarm.behaviour_mut().kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        self.status.routes = routes;
        self.joins.on_tick(swarm, now, &mut self.out);
        self.dialer.on_tick(swarm, now);
        self.discovery.on_tick(swarm, &self.talk, routes, now);
        self.talk.retry(&mut swarm.behaviour_mut().gossip, now, &mut self.out);
        self.records.sweep(swarm.behaviour_mut().kad.store_mut(), now);
        for peer in self.penalties.forgive(now) {
            swarm.behaviour_mut().blocked.unblock_peer(peer);
        }
        self.send_away_strangers(swarm, now);
        self.make_room(swarm, now);
    }

    /// Disconnects peers of other networks, a moment after they were found out: they are to learn of it too.
    fn send_away_strangers(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        self.strangers.retain(|peer, since| {
            let waits = now.saturating_duration_since(*since) < limits::STRANGER_GRACE;
            if !waits {
                // It may have closed by itself meanwhile.
                let _ = swarm.disconnect_peer_id(*peer);
            }
            waits
        });
    }

    /// Closes the oldest idle connections when there are many, so that newcomers find an open door.
    fn make_room(&self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        if self.connected.len() <= self.connections_high {
            return;
        }
        let mesh: Vec<PeerId> = swarm.behaviour().gossip.all_mesh_peers().copied().collect();
        let mut idle: Vec<(Instant, PeerId)> = self
            .connected
            .iter()
            .filter(|(_, since)| now.saturating_duration_since(**since) > limits::CONNECTION_GRACE)
            .filter(|(peer, _)| !mesh.contains(peer) && !self.pumps.serves(peer) && !self.gate.is_in(peer))
            .map(|(peer, since)| (*since, *peer))
            .collect();
        idle.sort_unstable();
        for (_, peer) in idle.into_iter().take(self.connected.len() - self.connections_high / 2) {
            // It may have closed by itself meanwhile.
            let _ = swarm.disconnect_peer_id(peer);
        }
    }

    fn on_swarm_event(&mut self, swarm: &mut Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(swarm, event, now),
            SwarmEvent::ConnectionEstablished { peer_id, endpoint, .. } => {
                self.on_connected(swarm, peer_id, &endpoint, now);
            }
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.on_disconnected(&peer_id, now);
            }
            SwarmEvent::OutgoingConnectionError { connection_id, peer_id, error } => {
                self.on_dial_failed(swarm, connection_id, peer_id, &error, now);
            }
            SwarmEvent::NewListenAddr { address, .. } => {
                note_listening(*swarm.local_peer_id(), address, &mut self.status, &mut self.out);
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.status.listening.remove(&full_address(*swarm.local_peer_id(), address));
            }
            SwarmEvent::NewExternalAddrOfPeer { peer_id, address } => {
                self.dialer.book.note(peer_id, &address, now);
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listen address is lost");
            }
            SwarmEvent::ListenerError { error, .. } => tracing::debug!(%error, "a listener has trouble"),
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::trace!(%error, "an inbound connection failed");
            }
            SwarmEvent::ConnectionClosed { .. }
            | SwarmEvent::IncomingConnection { .. }
            | SwarmEvent::Dialing { .. }
            | SwarmEvent::NewExternalAddrCandidate { .. }
            | SwarmEvent::ExternalAddrConfirmed { .. }
            | SwarmEvent::ExternalAddrExpired { .. } => {}
            _ => {}
        }
    }

    fn on_connected(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        endpoint: &ConnectedPoint,
        now: Instant,
    ) {
        let Some(node) = address::node_of(&peer) else {
            // Only ed25519 keys are node ids. It may have closed by itself meanwhile.
            let _ = swarm.disconnect_peer_id(peer);
            return;
        };
        self.prefixes.connected(node, endpoint.get_remote_address());
        self.dialer.on_connected(peer, endpoint, now);
        self.connected.entry(peer).or_insert(now);
    }

    fn on_disconnected(&mut self, peer: &PeerId, now: Instant) {
        self.joins.on_disconnected(peer, now, &mut self.out);
        self.pumps.forget_ended();
        self.connected.remove(peer);
        let Some(node) = address::node_of(peer) else { return };
        self.prefixes.disconnected(&node);
        if self.status.peers.remove(&node) {
            self.out.push(NetEvent::Disconnected(node));
        }
    }

    fn on_dial_failed(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        dial: ConnectionId,
        peer: Option<PeerId>,
        error: &DialError,
        now: Instant,
    ) {
        self.joins.on_dial_failed(dial, error, now, &mut self.out);
        if let Some(peer) = peer {
            self.dialer.on_dial_failed(swarm, peer, dial, error);
        }
    }

    fn on_behaviour_event(&mut self, swarm: &mut Swarm<Behaviour>, event: BehaviourEvent, now: Instant) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(swarm, peer_id, &info, now);
            }
            BehaviourEvent::Kad(event) => self.on_kad_event(swarm, event, now),
            BehaviourEvent::Gossip(event) => self.on_gossip(swarm, event),
            BehaviourEvent::Identify(_)
            | BehaviourEvent::Limits(_)
            | BehaviourEvent::Blocked(_)
            | BehaviourEvent::Ping(_)
            | BehaviourEvent::Stream(()) => {}
        }
    }

    /// Peers of other networks are sent away; peers of this one that serve the hash table enter the routing table
    /// with the addresses that may be believed.
    fn on_identified(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        info: &identify::Info,
        now: Instant,
    ) {
        if info.protocol_version != self.version {
            let theirs: String = info.protocol_version.chars().filter(|c| !c.is_control()).take(64).collect();
            self.joins.on_other_network(peer, &theirs, now, &mut self.out);
            self.strangers.entry(peer).or_insert(now);
            return;
        }
        let serves = info.protocols.contains(&self.kad_protocol);
        for claimed in info.listen_addrs.iter().take(limits::ADDRESSES_PER_PEER) {
            let Some(address) = address::believed(self.scope, &peer, claimed) else { continue };
            self.dialer.book.note(peer, &address, now);
            if serves && swarm.behaviour_mut().kad.add_address(&peer, address) == RoutingUpdate::Failed {
                tracing::trace!(%peer, "no place in the routing table");
            }
        }
        if let Some(node) = address::node_of(&peer) {
            if self.status.peers.insert(node) {
                self.out.push(NetEvent::Connected(node));
            }
            self.joins.on_same_network(peer, node, &mut self.out);
        }
    }

    fn on_kad_event(&mut self, swarm: &mut Swarm<Behaviour>, event: kad::Event, now: Instant) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => match result {
                QueryResult::GetProviders(result) => {
                    let (dialer, out) = (&mut self.dialer, &mut self.out);
                    self.discovery.on_providers(swarm, dialer, id, result, step.last, out);
                }
                QueryResult::GetClosestPeers(result) if step.last => {
                    self.dialer.on_lookup(swarm, id, result, now);
                }
                QueryResult::GetClosestPeers(_)
                | QueryResult::Bootstrap(_)
                | QueryResult::StartProviding(_)
                | QueryResult::RepublishProvider(_)
                | QueryResult::GetRecord(_)
                | QueryResult::PutRecord(_)
                | QueryResult::RepublishRecord(_) => {}
            },
            kad::Event::InboundRequest {
                request: kad::InboundRequest::AddProvider { record: Some(record) },
            } => self.records.admit(swarm.behaviour_mut().kad.store_mut(), record, now),
            kad::Event::InboundRequest { .. }
            | kad::Event::RoutingUpdated { .. }
            | kad::Event::UnroutablePeer { .. }
            | kad::Event::RoutablePeer { .. }
            | kad::Event::PendingRoutablePeer { .. }
            | kad::Event::ModeChanged { .. } => {}
        }
    }

    /// Gossip is dropped, not queued, when the reader lags: what is not judged is not forwarded either, so that an
    /// overloaded node does not add to the load.
    fn on_gossip(&mut self, swarm: &mut Swarm<Behaviour>, event: libp2p::gossipsub::Event) {
        let Some(notice) = self.talk.on_event(event) else { return };
        if let Err(TrySendError::Full(notice)) = self.events.try_send(notice) {
            self.drop_gossip(swarm, &notice);
        }
    }

    fn drop_gossip(&mut self, swarm: &mut Swarm<Behaviour>, notice: &NetEvent) {
        self.status.gossip_dropped += 1;
        if let NetEvent::Gossip { message, .. } = notice {
            gossip::judge(&mut swarm.behaviour_mut().gossip, message, Verdict::Ignore);
        }
    }
}

/// Closes the connections in order, so that peers learn of it at once instead of by a timeout.
async fn farewell(mut swarm: Swarm<Behaviour>) {
    let peers: Vec<PeerId> = swarm.connected_peers().copied().collect();
    for peer in peers {
        // It may have closed by itself meanwhile.
        let _ = swarm.disconnect_peer_id(peer);
    }
    let closing = async {
        while swarm.connected_peers().next().is_some() {
            swarm.select_next_some().await;
        }
    };
    // What is not closed by then, peers notice by their own timeouts.
    let _ = timeout(limits::FAREWELL, closing).await;
}
