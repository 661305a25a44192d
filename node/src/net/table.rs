//! The hash table at a bounded rate: Kademlia answers every question that it is asked, so questions above a peer's rate or
//! its prefix's share do not reach it, or do so later. (`NE-2`)

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

use super::flow::{Flow, Full};
use super::places::{Place, Places};
use super::records::Records;
use super::scope::Scope;
use super::{address, limits, prefix};

type Kademlia = kad::Behaviour<Records>;

/// Kademlia and what of it a peer may use.
pub(super) struct Table {
    kademlia: Kademlia,
    scope: Scope,
    prefixes: BTreeMap<ConnectionId, Prefix>,
    flow: Flow,
    /// Questions that wait for their prefix's share. One that is dropped would stay open for as long as its connection.
    waiting: Vec<HeldRequest>,
    places: Places,
    retry_at: Option<Instant>,
}

struct HeldRequest {
    peer: PeerId,
    connection: ConnectionId,
    prefix: Prefix,
    place: Place,
    event: THandlerOutEvent<Kademlia>,
}

impl Table {
    pub(super) fn new(kademlia: Kademlia, scope: Scope) -> Self {
        let flow = Flow::new(
            "questions to the hash table",
            limits::TABLE_PER_S,
            limits::TABLE_PER_PEER_PER_S,
            limits::TABLE_BURST,
        );
        let places = Places::new(
            "questions to the hash table that wait",
            limits::TABLE_WAITING_MAX,
            0,
            limits::TABLE_WAITING_PER_PEER,
        );
        Self { kademlia, scope, prefixes: BTreeMap::new(), flow, waiting: Vec::new(), places, retry_at: None }
    }

    /// Hands on what waited and has a share by now, and forgets what came over connections that are gone.
    fn go_on(&mut self, now: Instant) {
        if self.retry_at.is_some_and(|at| now < at) {
            return;
        }
        self.retry_at = Some(now + limits::TABLE_RETRY);
        for waiting in std::mem::take(&mut self.waiting) {
            let is_there = self.prefixes.contains_key(&waiting.connection);
            if is_there && !self.flow.take_share(waiting.prefix, now) {
                self.waiting.push(waiting);
                continue;
            }
            self.places.give_back(&waiting.place);
            if is_there {
                let HeldRequest { peer, connection, event, .. } = waiting;
                self.kademlia.on_connection_handler_event(peer, connection, event);
            }
        }
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
            // Answers would tell it to strangers, who have no use for an inner address. (`NE-8`)
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
        let now = Instant::now();
        match self.flow.pass(peer, prefix, false, now) {
            Ok(()) => self.kademlia.on_connection_handler_event(peer, connection, event),
            Err(Full::Share) => {
                if let Some(place) = self.places.take(Some(peer), prefix, false, now) {
                    self.waiting.push(HeldRequest { peer, connection, prefix, place, event });
                }
            }
            Err(Full::Peer) => {}
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // The swarm is polled with each tick of its loop.
        self.go_on(Instant::now());
        self.kademlia.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt as _;
    use libp2p::swarm::{self, SwarmEvent};
    use libp2p::{Swarm, identity};

    use super::*;
    use crate::net::internet;

    fn start(mut table: impl FnMut(&mut Table)) -> Swarm<Table> {
        let keypair = identity::Keypair::generate_ed25519();
        let id = keypair.public().to_peer_id();
        let settings = kad::Config::new(libp2p::StreamProtocol::new("/bombyx/test/kad/1"));
        let mut kad = kad::Behaviour::with_config(id, Records::new(id, &[0; 32]), settings);
        kad.set_mode(Some(kad::Mode::Server));
        let mut behaviour = Table::new(kad, Scope::Private);
        table(&mut behaviour);
        let transport = internet::transport(&keypair).unwrap();
        let settings = swarm::Config::with_tokio_executor();
        Swarm::new(transport, behaviour, id, settings)
    }

    /// More questions than one connection may have open, at a time when there is hardly a share left for any. (`NE-2`)
    #[tokio::test]
    async fn questions_that_find_no_share_left_wait_for_one() {
        let mut server = start(|table| table.flow = Flow::new("test", 16, 64, Duration::from_secs(1)));
        server.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
        let at = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = server.select_next_some().await {
                break address;
            }
        };
        let server_id = *server.local_peer_id();
        let mut client = start(|_| {});
        client.behaviour_mut().add_address(&server_id, at);
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(limits::TICK);
            loop {
                tokio::select! {
                    _ = server.select_next_some() => {}
                    _ = ticks.tick() => {}
                }
            }
        });
        // As many as wait at a time; then one that waits behind none.
        for round in [30, 30, 1] {
            for _ in 0..round {
                client.behaviour_mut().get_closest_peers(PeerId::random());
            }
            let mut answered = 0;
            while answered < round {
                let event = tokio::time::timeout(Duration::from_secs(30), client.select_next_some()).await;
                if let SwarmEvent::Behaviour(kad::Event::OutboundQueryProgressed {
                    result: kad::QueryResult::GetClosestPeers(result),
                    ..
                }) = event.expect("an answer in time")
                {
                    assert!(
                        result.is_ok_and(|found| found.peers.iter().any(|peer| peer.peer_id == server_id))
                    );
                    answered += 1;
                }
            }
        }
    }
}
