//! The hash table at a bounded rate: Kademlia answers every question that it is asked, so questions above a peer's rate or
//! its prefix's share do not reach it. (`NE-2`)

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::task::{Context, Poll};

use bombyx_protocol::ident::Prefix;
use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::kad;
use libp2p::swarm::behaviour::ConnectionClosed;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use web_time::Instant;

use super::budget::Flow;
use super::config::Scope;
use super::records::Records;
use super::{address, limits, prefix};

type Kademlia = kad::Behaviour<Records>;

/// Kademlia and what of it a peer may use.
pub(super) struct Table {
    kademlia: Kademlia,
    scope: Scope,
    prefixes: BTreeMap<ConnectionId, Prefix>,
    flow: Flow,
}

impl Table {
    pub(super) fn new(kademlia: Kademlia, scope: Scope) -> Self {
        let flow = Flow::new(
            "questions to the hash table",
            limits::TABLE_PER_S,
            limits::TABLE_PER_PEER_PER_S,
            limits::TABLE_BURST,
        );
        Self { kademlia, scope, prefixes: BTreeMap::new(), flow }
    }
}

impl Deref for Table {
    type Target = Kademlia;

    fn deref(&self) -> &Kademlia {
        &self.kademlia
    }
}

impl DerefMut for Table {
    fn deref_mut(&mut self) -> &mut Kademlia {
        &mut self.kademlia
    }
}

impl NetworkBehaviour for Table {
    type ConnectionHandler = <Kademlia as NetworkBehaviour>::ConnectionHandler;
    type ToSwarm = kad::Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.prefixes.insert(connection, prefix::of(remote));
        self.kademlia.handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.kademlia.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.prefixes.insert(connection, prefix::of(remote));
        self.kademlia.handle_established_outbound_connection(connection, peer, remote, role, port)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            // Told to whoever asks who provides what this node provides: of no use outside, and nobody's business. (`NE-8`)
            FromSwarm::NewListenAddr(listening) if !address::is_usable(self.scope, listening.addr) => return,
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.prefixes.remove(connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.prefixes.remove(&failure.connection_id);
            }
            FromSwarm::DialFailure(failure) => {
                self.prefixes.remove(&failure.connection_id);
            }
            // Everything else is the hash table's alone.
            _ => {}
        }
        self.kademlia.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        let prefix = self.prefixes.get(&connection).copied().unwrap_or(Prefix::UNKNOWN);
        // Answers to this node's own questions count along; there are few of them.
        if self.flow.pass(peer, prefix, false, Instant::now()).is_ok() {
            self.kademlia.on_connection_handler_event(peer, connection, event);
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.kademlia.poll(context)
    }
}
