//! The door: which peers may connect, and which have to leave when all places are taken.
//!
//! There is a number of places for strangers and another, besides, for those whom this node chose: its friends, the
//! nodes that it joined through and those that it dialled itself. A stranger who finds all places taken gets that of
//! another one when there is one who can be asked to leave: of the prefix with the most connections the youngest that
//! says nothing, and of those who have no more than the newcomer's prefix only one that says nothing. (`NE-3`)

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bombyx_protocol::ident::Prefix;
use libp2p::core::transport::PortUse;
use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure, ListenFailure};
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};
use web_time::Instant;

use super::excess::Excess;
use super::friends::Friends;
use super::places::{Place, Places};
use super::streams::InboundLimiter;
use super::{limits, prefix};

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, thiserror::Error)]
enum DoorRefusal {
    #[error("too many connections are shaking hands")]
    HalfOpen,
    #[error("too many dials are under way")]
    Dials,
    #[error("the peer holds too many connections")]
    Peer,
    #[error("the node is full")]
    Full,
}

fn refuse(why: DoorRefusal) -> ConnectionDenied {
    ConnectionDenied::new(why)
}

/// Admits connections, and closes those whose place somebody else gets.
pub(super) struct Door {
    friends: Friends,
    limiter: Arc<InboundLimiter>,
    strangers_max: usize,
    half_open: Places,
    knocking: BTreeMap<ConnectionId, Place>,
    /// Dials under way, and whether this node chose the peer itself.
    dials: BTreeMap<ConnectionId, bool>,
    /// Dials of this node's own choice that are about to begin.
    chosen: BTreeSet<ConnectionId>,
    guests: BTreeMap<PeerId, Guest>,
    leaving: VecDeque<PeerId>,
    waker: Option<Waker>,
    full: Excess,
}

/// A connected peer.
#[derive(Debug)]
struct Guest {
    since: Instant,
    /// Those that stand, in the order of their coming: the peer is where the oldest leads.
    connections: Vec<Connection>,
    /// This node dialled it of its own choice, and its prefix has a share of the places for such peers left.
    is_chosen: bool,
    /// The number of its start, as it said last.
    start: Option<u64>,
    /// It was asked to leave; its place is free.
    is_leaving: bool,
}

#[derive(Debug)]
struct Connection {
    id: ConnectionId,
    remote: Multiaddr,
    /// When it came, if the peer opened it itself.
    came_at: Option<Instant>,
}

impl Guest {
    fn remote(&self) -> Option<&Multiaddr> {
        self.connections.first().map(|oldest| &oldest.remote)
    }

    /// An address that is gone buys no share of another prefix. (`NE-2`)
    fn prefix(&self) -> Prefix {
        self.remote().map_or(Prefix::UNKNOWN, prefix::of)
    }
}

impl Door {
    /// Creates a door with this many places for strangers.
    pub(super) fn new(strangers_max: usize, friends: Friends, limiter: Arc<InboundLimiter>) -> Self {
        Self {
            friends,
            limiter,
            strangers_max,
            half_open: Places::new(
                "inbound connections that shake hands",
                limits::PENDING_IN_MAX,
                0,
                usize::MAX,
            ),
            knocking: BTreeMap::new(),
            dials: BTreeMap::new(),
            chosen: BTreeSet::new(),
            guests: BTreeMap::new(),
            leaving: VecDeque::new(),
            waker: None,
            full: Excess::of("connections"),
        }
    }

    /// Notes that the dial that is about to begin is of this node's own choice.
    pub(super) fn choose(&mut self, dial: ConnectionId) {
        self.chosen.insert(dial);
    }

    /// Takes the number of a peer's start. Another one than before means that it was killed and is back, on a connection beside
    /// one that has not timed out: all of them begin anew. (`NE-13`)
    pub(super) fn on_start_of(&mut self, peer: PeerId, start: u64) {
        let Some(guest) = self.guests.get_mut(&peer) else { return };
        let before = guest.start.replace(start);
        if before.is_some_and(|before| before != start) && !guest.is_leaving {
            self.show_out(peer);
        }
    }

    /// Returns the address that a peer's oldest connection comes from or goes to.
    pub(super) fn remote(&self, peer: &PeerId) -> Option<&Multiaddr> {
        self.guests.get(peer).and_then(Guest::remote)
    }

    /// Returns whether a peer is connected that this node has no reason of its own to keep.
    fn is_stranger(&self, peer: &PeerId, guest: &Guest) -> bool {
        !guest.is_leaving && !guest.is_chosen && !self.friends.has(peer)
    }

    fn strangers(&self) -> impl Iterator<Item = (&PeerId, &Guest)> {
        self.guests.iter().filter(|(peer, guest)| self.is_stranger(peer, guest))
    }

    fn kept(&self) -> usize {
        let here = self.guests.values().filter(|guest| !guest.is_leaving).count();
        here - self.strangers().count()
    }

    /// Returns whether a peer of this prefix that this node dialled has one of the places for those that it chose. It often chose
    /// by what a record says, and an owner of many keys must not be able to fill these places, which nobody else gets. (`NE-2`)
    fn has_kept_place(&self, prefix: Prefix) -> bool {
        let of_prefix =
            self.guests.values().filter(|guest| guest.is_chosen && guest.prefix() == prefix).count();
        of_prefix < limits::CONNECTIONS_KEPT.saturating_sub(self.kept())
    }

    /// Returns when a guest last said something, or came.
    fn heard_at(&self, peer: &PeerId, guest: &Guest) -> Instant {
        self.limiter.heard_at(peer).map_or(guest.since, |at| at.max(guest.since))
    }

    /// Returns the stranger whose place a newcomer of this prefix gets.
    fn whose_place(&self, newcomer: Prefix, now: Instant) -> Option<PeerId> {
        let counts = prefix::counts(self.strangers().map(|(_, guest)| guest.prefix()));
        let own = counts.get(&newcomer).copied().unwrap_or(0);
        let most = counts.values().copied().max().unwrap_or(0);
        let silent = |(peer, guest): &(&PeerId, &Guest)| {
            now.saturating_duration_since(self.heard_at(peer, guest)) >= limits::TURN_MIN
        };
        let youngest = |of: &dyn Fn(&Guest) -> bool, must_be_silent: bool| {
            let candidates = self.strangers().filter(|(_, guest)| of(guest));
            let candidates = candidates.filter(|each| !must_be_silent || silent(each));
            candidates.max_by_key(|(_, guest)| guest.since).map(|(peer, _)| *peer)
        };
        let count = |guest: &Guest| counts.get(&guest.prefix()).copied().unwrap_or(0);
        if most >= own + 2 {
            let of_the_most = |guest: &Guest| count(guest) == most;
            return youngest(&of_the_most, true).or_else(|| youngest(&of_the_most, false));
        }
        let no_better_off = |guest: &Guest| guest.prefix() == newcomer || count(guest) > own;
        youngest(&no_better_off, true).or_else(|| {
            // Neighbours that all talk have their turns one after the other.
            let neighbours = self.strangers().filter(|(_, guest)| guest.prefix() == newcomer);
            let over = neighbours
                .filter(|(_, guest)| now.saturating_duration_since(guest.since) >= limits::TURN_MAX);
            over.min_by_key(|(_, guest)| guest.since).map(|(peer, _)| *peer)
        })
    }

    /// Closes connections of strangers that say nothing, the youngest first, when there are more than `high`, down to half.
    pub(super) fn make_room(&mut self, high: usize, spared: impl Fn(&PeerId) -> bool, now: Instant) {
        let count = self.strangers().count();
        if count <= high {
            return;
        }
        let mut idle: Vec<(Instant, PeerId)> = self
            .strangers()
            .filter(|(peer, guest)| {
                now.saturating_duration_since(self.heard_at(peer, guest)) > limits::CONNECTION_GRACE
            })
            .filter(|(peer, _)| !spared(peer))
            .map(|(peer, guest)| (guest.since, *peer))
            .collect();
        idle.sort_unstable();
        for (_, peer) in idle.into_iter().rev().take(count - high / 2) {
            self.show_out(peer);
        }
    }

    fn show_out(&mut self, peer: PeerId) {
        if let Some(guest) = self.guests.get_mut(&peer) {
            guest.is_leaving = true;
            self.leaving.push_back(peer);
            self.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    fn enter(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        is_chosen: bool,
        now: Instant,
    ) -> Result<(), ConnectionDenied> {
        if let Some(guest) = self.guests.get(&peer).filter(|guest| !guest.is_leaving) {
            let most = limits::CONNECTIONS_PER_PEER;
            return if guest.connections.len() < most { Ok(()) } else { Err(refuse(DoorRefusal::Peer)) };
        }
        let from = prefix::of(address);
        let is_kept = self.friends.has(&peer) || (is_chosen && self.has_kept_place(from));
        let here = self.guests.values().filter(|guest| !guest.is_leaving).count();
        let kept = self.kept();
        // Those that this node chose beyond their own places take up those of strangers.
        let others = here - kept.min(limits::CONNECTIONS_KEPT);
        if (is_kept && kept < limits::CONNECTIONS_KEPT) || others < self.strangers_max {
            return Ok(());
        }
        let place = self.whose_place(from, now).filter(|_| self.leaving.len() < limits::LEAVING_MAX);
        let Some(whose) = place else {
            self.full.note(from, now);
            return Err(refuse(DoorRefusal::Full));
        };
        tracing::debug!(peer = %whose, newcomer = %peer, %connection, "a silent stranger makes room");
        self.show_out(whose);
        Ok(())
    }
}

impl NetworkBehaviour for Door {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let place = self.half_open.take(None, prefix::of(remote), false, Instant::now());
        self.knocking.insert(connection, place.ok_or_else(|| refuse(DoorRefusal::HalfOpen))?);
        Ok(())
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if let Some(place) = self.knocking.remove(&connection) {
            self.half_open.give_back(&place);
        }
        self.enter(connection, peer, remote, false, Instant::now())?;
        Ok(dummy::ConnectionHandler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _peer: Option<PeerId>,
        _addresses: &[Multiaddr],
        _role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let is_chosen = self.chosen.remove(&connection);
        let alike = self.dials.values().filter(|chosen| **chosen == is_chosen).count();
        if alike >= if is_chosen { limits::PENDING_OUT_MAX } else { limits::PENDING_LOOKUPS_MAX } {
            return Err(refuse(DoorRefusal::Dials));
        }
        self.dials.insert(connection, is_chosen);
        Ok(Vec::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _role: Endpoint,
        _port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let is_chosen = self.dials.get(&connection).copied().unwrap_or(false);
        self.enter(connection, peer, remote, is_chosen, Instant::now())?;
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished {
                peer_id,
                connection_id,
                endpoint,
                ..
            }) => {
                let is_chosen = self.dials.remove(&connection_id).unwrap_or(false);
                let remote: &Multiaddr = match endpoint {
                    ConnectedPoint::Dialer { address, .. } => address,
                    ConnectedPoint::Listener { send_back_addr, .. } => send_back_addr,
                };
                let comes = matches!(endpoint, ConnectedPoint::Listener { .. });
                let came_before = self.guests.get(&peer_id).is_some_and(|guest| {
                    let mut came = guest.connections.iter().filter_map(|connection| connection.came_at);
                    came.any(|at| at.elapsed() >= limits::RETURN_AFTER)
                        || guest.since.elapsed() >= limits::RETURN_AFTER_DIAL
                });
                if comes && came_before {
                    // It has lost the connection that it has: it was killed and is back, before that one has timed out. Gossip tells
                    // its topics over the first connection only, so what it says and hears would stay half: both begin anew. (`NE-13`)
                    self.show_out(peer_id);
                }
                let is_kept = is_chosen && self.has_kept_place(prefix::of(remote));
                let guest = self.guests.entry(peer_id).or_insert_with(|| Guest {
                    since: Instant::now(),
                    connections: Vec::new(),
                    is_chosen: false,
                    start: None,
                    is_leaving: false,
                });
                guest.is_chosen |= is_kept;
                // One that was shown out and came back, by then with a right to.
                guest.is_leaving &= self.leaving.contains(&peer_id);
                guest.connections.push(Connection {
                    id: connection_id,
                    remote: remote.clone(),
                    came_at: comes.then(Instant::now),
                });
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { peer_id, connection_id, .. }) => {
                if let Some(guest) = self.guests.get_mut(&peer_id) {
                    guest.connections.retain(|connection| connection.id != connection_id);
                    if guest.connections.is_empty() {
                        self.guests.remove(&peer_id);
                    }
                }
            }
            FromSwarm::DialFailure(DialFailure { connection_id, .. }) => {
                self.dials.remove(&connection_id);
                self.chosen.remove(&connection_id);
            }
            FromSwarm::ListenFailure(ListenFailure { connection_id, .. }) => {
                if let Some(place) = self.knocking.remove(&connection_id) {
                    self.half_open.give_back(&place);
                }
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(peer_id) = self.leaving.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection { peer_id, connection: CloseConnection::All });
        }
        self.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
