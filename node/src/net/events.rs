//! What the swarm reports, and who is told of it.

use libp2p::core::ConnectedPoint;
use libp2p::kad::{self, QueryResult};
use libp2p::swarm::{ConnectionId, DialError, SwarmEvent};
use libp2p::{PeerId, Swarm, gossipsub, identify};
use web_time::Instant;

use super::behaviour::{Behaviour, BehaviourEvent, start_of};
use super::joint::{Fault, NetEvent};
use super::judge::Objection;
use super::listen::{full_address, note_listening};
use super::swarm::SwarmLoop;
use super::{address, gossip};

impl SwarmLoop {
    pub(super) fn on_swarm_event(&mut self, swarm: &mut Swarm<Behaviour>, event: SwarmEvent<BehaviourEvent>) {
        let now = Instant::now();
        match event {
            SwarmEvent::Behaviour(event) => self.on_behaviour_event(swarm, event, now),
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, endpoint, .. } => {
                self.on_connected(swarm, (peer_id, connection_id), &endpoint, now);
            }
            SwarmEvent::ConnectionClosed { peer_id, connection_id, num_established, .. } => {
                if let Some(node) = address::node_of(&peer_id) {
                    self.prefixes.closed(&node, connection_id);
                }
                if num_established == 0 {
                    self.on_disconnected(&peer_id, now);
                }
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
                let from = self.prefixes.of(address::node_of(&peer_id));
                self.dialer.book.note(peer_id, &address, from, now);
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => {
                tracing::warn!(?addresses, ?reason, "a listen address is lost");
            }
            SwarmEvent::ListenerError { error, .. } => tracing::debug!(%error, "a listener has trouble"),
            SwarmEvent::IncomingConnectionError { error, .. } => {
                tracing::trace!(%error, "an inbound connection failed");
            }
            SwarmEvent::IncomingConnection { .. }
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
        (peer, connection): (PeerId, ConnectionId),
        endpoint: &ConnectedPoint,
        now: Instant,
    ) {
        let Some(node) = address::node_of(&peer) else {
            // Only ed25519 keys are node ids. It may have closed by itself meanwhile.
            let _ = swarm.disconnect_peer_id(peer);
            return;
        };
        self.prefixes.connected(node, connection, endpoint.get_remote_address());
        self.dialer.on_connected(peer, endpoint, now);
    }

    fn on_disconnected(&mut self, peer: &PeerId, now: Instant) {
        self.joins.on_disconnected(peer, now, &mut self.out);
        self.pumps.disconnected(peer);
        let Some(node) = address::node_of(peer) else { return };
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
            BehaviourEvent::Gossip(event) => self.on_gossip(swarm, event, now),
            BehaviourEvent::Identify(_)
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
        if let Some(theirs) = self.foreigners.recognise(peer, info, now) {
            self.joins.on_other_network(peer, &theirs, now, &mut self.out);
            return;
        }
        if let Some(start) = start_of(&info.agent_version) {
            swarm.behaviour_mut().door.on_start_of(peer, start);
        }
        if self.routes.add_peer(swarm, &mut self.dialer.book, peer, info, now) {
            // Counted in full on the next tick; until then it is enough to know that there is somebody.
            self.status.routes = self.status.routes.max(1);
        }
        let from = self.prefixes.of(address::node_of(&peer));
        if let Some(address) = self.dialer.book.proven(&peer) {
            self.joins.known.answered(peer, address);
        } else if let Some(address) = self.dialer.book.claim(&peer, &info.listen_addrs, from) {
            self.joins.known.came(peer, address);
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
            } => self.routes.add_record(swarm, &self.dialer.book, record, now),
            kad::Event::InboundRequest { .. }
            | kad::Event::RoutingUpdated { .. }
            | kad::Event::UnroutablePeer { .. }
            | kad::Event::RoutablePeer { .. }
            | kad::Event::PendingRoutablePeer { .. }
            | kad::Event::ModeChanged { .. } => {}
        }
    }

    fn on_gossip(&mut self, swarm: &mut Swarm<Behaviour>, event: gossipsub::Event, now: Instant) {
        if let gossipsub::Event::Subscribed { .. } = event {
            // What waits for its first listener need not wait for the clock.
            self.topics.retry(&mut swarm.behaviour_mut().gossip, now, &mut self.out);
        }
        let Some(mut message) = self.topics.on_event(event) else { return };
        let verdict = self.gossip_validator.validate(&mut message, now);
        if verdict == Err(Objection::Flood) {
            self.penalise(swarm, message.forwarder, Fault::Flooding);
        }
        gossip::report(&mut swarm.behaviour_mut().gossip, &message, verdict);
    }
}
