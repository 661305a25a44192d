//! The swarm loop: the one task that owns libp2p's swarm. It routes, and waits for nobody.

use std::collections::BTreeSet;
use std::sync::Arc;

use bombyx_protocol::ident::NodeId;
use futures::StreamExt as _;
use libp2p::{PeerId, Swarm};
use libp2p_stream::Control;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use web_time::Instant;

use super::behaviour::Behaviour;
use super::dial::Dialer;
use super::discover::Discovery;
use super::foreigners::Foreigners;
use super::friends::Friends;
use super::gossip::{self, Topics};
use super::gossip_validator::GossipValidator;
use super::join::Joins;
use super::joint::{DeliveryError, Fault, NetCommand, NetEvent, NetStatus};
use super::manifests::{self, Shelf};
use super::outbox::Outbox;
use super::penalty::Penalties;
use super::prefix::Prefixes;
use super::pump::Pumps;
use super::queues::DirectSends;
use super::request::{DialPolicy, StreamRequest};
use super::routes::Routes;
use super::streams::InboundLimiter;
use super::{address, limits};

/// Everything the loop knows, apart from the swarm.
pub(super) struct SwarmLoop {
    pub(super) connections_high: usize,
    pub(super) shelf: Shelf,
    /// A place for each manifest that is being fetched.
    pub(super) fetches: Arc<Semaphore>,
    pub(super) control: Control,
    pub(super) pumps: Pumps,
    pub(super) direct: DirectSends,
    pub(super) dialer: Dialer,
    pub(super) topics: Topics,
    pub(super) discovery: Discovery,
    pub(super) gossip_validator: GossipValidator,
    pub(super) penalties: Penalties,
    pub(super) foreigners: Foreigners,
    pub(super) routes: Routes,
    pub(super) prefixes: Prefixes,
    pub(super) friends: Friends,
    pub(super) limiter: Arc<InboundLimiter>,
    pub(super) joins: Joins,
    pub(super) status: NetStatus,
    pub(super) published: watch::Sender<NetStatus>,
    pub(super) events: mpsc::Sender<NetEvent>,
    pub(super) out: Outbox,
}

impl SwarmLoop {
    /// Runs until it is told to stop, or until nobody is left to tell.
    pub(super) async fn run(
        mut self,
        mut swarm: Swarm<Behaviour>,
        mut commands: mpsc::Receiver<NetCommand>,
        mut requests: mpsc::Receiver<StreamRequest>,
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
            if self.discovery.meetings.is_waiting() {
                self.go_on_meeting(&mut swarm);
            }
            if self.discovery.survey.is_wanted(Instant::now()) {
                self.go_on_surveying(&mut swarm);
            }
            self.publish_status();
        }
        farewell(swarm).await;
    }

    fn publish_status(&mut self) {
        self.status.notices_dropped = self.out.dropped();
        self.status.gossip_dropped = self.gossip_validator.dropped();
        self.status.gossip_refused = self.gossip_validator.refused();
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
                let is_connected = self.prefixes.get(&to).is_some();
                if let Err(why) = self.pumps.send(to, bytes, DialPolicy::Dial, is_connected) {
                    self.out.push(NetEvent::Undelivered { to, why });
                }
                self.direct.seen_to();
            }
            NetCommand::Answer { to, bytes } => {
                self.answer(to, bytes);
                self.direct.seen_to();
            }
            NetCommand::Publish { topic, bytes } => {
                self.discovery.published(&topic, now);
                let gossip = &mut swarm.behaviour_mut().gossip;
                self.topics.publish(gossip, topic, bytes, now, &mut self.out);
            }
            NetCommand::Subscribe(topic) => {
                if self.topics.subscribe(&mut swarm.behaviour_mut().gossip, &topic) {
                    self.discovery.subscribed(&self.topics, &topic, now);
                } else {
                    self.out.push(NetEvent::Unsubscribable { topic });
                }
            }
            NetCommand::Unsubscribe(topic) => {
                self.topics.unsubscribe(&mut swarm.behaviour_mut().gossip, &topic);
                self.discovery.unsubscribed(swarm, &self.topics, &topic);
            }
            NetCommand::Provide(key) => self.discovery.provide(key, now),
            NetCommand::Withdraw(key) => self.discovery.withdraw(swarm, &key),
            NetCommand::FindProviders(key) => self.discovery.find(swarm, key, &mut self.out),
            NetCommand::Meet(key) => self.discovery.meetings.meet(key, now),
            NetCommand::Join(address) => self.joins.add(address, *swarm.local_peer_id(), now),
            NetCommand::Survey => self.discovery.survey.want(now),
            NetCommand::ShowManifest { model, json } => self.shelf.put(model, &json),
            NetCommand::FetchManifest { from, model } => self.fetch_manifest(from, model),
            NetCommand::Befriend(nodes) => {
                self.friends.become_these(nodes.into_iter().filter_map(address::peer_of).collect());
            }
            NetCommand::Penalise { peer, fault } => {
                if let Some(peer) = address::peer_of(peer) {
                    self.penalise(swarm, peer, fault);
                }
            }
        }
    }

    fn on_request(&mut self, swarm: &mut Swarm<Behaviour>, request: StreamRequest) {
        match request {
            StreamRequest::Connect { peer, policy: DialPolicy::Dial, answer } => {
                self.dialer.reach(swarm, peer, Some(answer), Instant::now());
            }
            StreamRequest::Connect { peer, policy: DialPolicy::ConnectedOnly, answer } => {
                let is_there = swarm.is_connected(&peer);
                // Its task may have met its own deadline meanwhile.
                let _ = answer.send(if is_there { Ok(()) } else { Err(DeliveryError::Unconnected) });
            }
            StreamRequest::Penalise { peer, fault } => self.penalise(swarm, peer, fault),
        }
    }

    /// Answers a peer that is connected; what is for anybody else is dropped. (`NE-1`)
    fn answer(&mut self, to: NodeId, bytes: Vec<u8>) {
        let sent = match self.prefixes.get(&to) {
            Some(_) => self.pumps.send(to, bytes, DialPolicy::ConnectedOnly, true),
            None => Err(DeliveryError::Unconnected),
        };
        if let Err(why) = sent {
            self.status.answers_dropped += 1;
            let dropped = self.status.answers_dropped;
            tracing::debug!(peer = ?to, %why, dropped, "an answer is dropped");
        }
    }

    fn go_on_meeting(&mut self, swarm: &mut Swarm<Behaviour>) {
        let peers = &self.status.peers;
        let is_ready = |swarm: &Swarm<Behaviour>, peer: &PeerId| {
            address::node_of(peer).is_some_and(|node| peers.contains(&node))
                && gossip::is_listening(&swarm.behaviour().gossip, peer)
        };
        let (dialer, limiter, routes) = (&mut self.dialer, &self.limiter, self.status.routes);
        self.discovery.go_on_meeting(swarm, dialer, limiter, &is_ready, routes, &mut self.out);
    }

    /// Asks a peer that is connected; nobody is dialled for it. (`NE-15`)
    fn fetch_manifest(&mut self, from: NodeId, model: [u8; 32]) {
        let connected = address::peer_of(from).filter(|_| self.prefixes.get(&from).is_some());
        match connected {
            Some(peer) => {
                let (control, events) = (self.control.clone(), self.events.clone());
                manifests::fetch(control, (peer, from), model, &self.fetches, events);
            }
            None => self.out.push(NetEvent::Manifest { from, model, json: Vec::new() }),
        }
    }

    fn go_on_surveying(&mut self, swarm: &mut Swarm<Behaviour>) {
        let (dialer, status, out) = (&mut self.dialer, &self.status, &mut self.out);
        self.discovery.go_on_surveying(swarm, dialer, &status.peers, status.routes, out);
    }

    pub(super) fn penalise(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId, fault: Fault) {
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
        self.discovery.on_tick(swarm, &self.topics, routes, now);
        self.go_on_meeting(swarm);
        self.topics.retry(&mut swarm.behaviour_mut().gossip, now, &mut self.out);
        swarm.behaviour_mut().kad.store_mut().sweep(now);
        for peer in self.penalties.forgive(now) {
            swarm.behaviour_mut().blocked.unblock_peer(peer);
        }
        self.foreigners.send_away(swarm, now);
        self.make_room(swarm, now);
    }

    /// Closes silent connections when there are many, so that newcomers find an open door.
    fn make_room(&self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        let mesh: BTreeSet<PeerId> = swarm.behaviour().gossip.all_mesh_peers().copied().collect();
        let spared = |peer: &PeerId| mesh.contains(peer) || self.pumps.serves(peer);
        swarm.behaviour_mut().door.make_room(self.connections_high, spared, now);
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
