//! Reaching a peer: known addresses first, then the hash table, within one deadline.

use std::collections::HashMap;

use bombyx_protocol::ident::Prefix;
use libp2p::core::{ConnectedPoint, Multiaddr};
use libp2p::kad::{GetClosestPeersError, GetClosestPeersOk, PeerInfo, QueryId};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{PeerId, Swarm};
use tokio::sync::oneshot;
use web_time::Instant;

use super::address_book::AddressBook;
use super::behaviour::Behaviour;
use super::joint::DeliveryError;
use super::limits;
use super::scope::Scope;

/// Told when a peer is connected, or why it is not.
pub(super) type DialAnswer = oneshot::Sender<Result<(), DeliveryError>>;

/// The peers that are being reached, and the addresses known.
pub(super) struct Dialer {
    pub(super) book: AddressBook,
    reaching: HashMap<PeerId, PendingDial>,
}

struct PendingDial {
    since: Instant,
    waiters: Vec<DialAnswer>,
    dials: Vec<ConnectionId>,
    /// Another behaviour was dialling the peer already; a second dial would only make a second connection.
    dialled_by_other: bool,
    lookup: Lookup,
    had_address: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lookup {
    NotYet,
    Running(QueryId),
    Done,
}

impl Dialer {
    pub(super) fn new(scope: Scope) -> Self {
        Self { book: AddressBook::new(scope), reaching: HashMap::new() }
    }

    /// Returns whether a peer is being reached.
    pub(super) fn is_reaching(&self, peer: &PeerId) -> bool {
        self.reaching.contains_key(peer)
    }

    /// Connects to a peer at the addresses that are known of it, unless it is connected. One whose address is known is not
    /// looked up, because its id came from a stranger.
    pub(super) fn reach_known(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId, now: Instant) {
        let has_address = !self.book.of(&peer).is_empty();
        self.reach(swarm, peer, None, now);
        if has_address && let Some(reaching) = self.reaching.get_mut(&peer) {
            reaching.lookup = Lookup::Done;
        }
    }

    /// Connects to a peer, unless it is connected; `waiter` is told the outcome within
    /// [`limits::REACH_DEADLINE`].
    pub(super) fn reach(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        waiter: Option<DialAnswer>,
        now: Instant,
    ) {
        if swarm.is_connected(&peer) {
            answer(waiter, Ok(()));
        } else if swarm.behaviour().blocked.blocked_peers().contains(&peer) {
            answer(waiter, Err(DeliveryError::Blocked));
        } else if let Some(reaching) = self.reaching.get_mut(&peer) {
            reaching.waiters.extend(waiter);
        } else if self.reaching.len() >= limits::REACHING_MAX {
            answer(waiter, Err(DeliveryError::Busy));
        } else {
            let reaching = PendingDial {
                since: now,
                waiters: waiter.into_iter().collect(),
                dials: Vec::new(),
                dialled_by_other: false,
                lookup: Lookup::NotYet,
                had_address: false,
            };
            self.reaching.insert(peer, reaching);
            self.dial(swarm, peer, PeerCondition::DisconnectedAndNotDialing);
            self.proceed(swarm, peer);
        }
    }

    fn dial(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId, condition: PeerCondition) {
        let Some(reaching) = self.reaching.get_mut(&peer) else { return };
        let options = DialOpts::peer_id(peer)
            .condition(condition)
            .addresses(self.book.of(&peer))
            .extend_addresses_through_behaviour()
            .build();
        let dial = options.connection_id();
        swarm.behaviour_mut().door.choose(dial);
        match swarm.dial(options) {
            Ok(()) => {
                reaching.had_address = true;
                reaching.dials.push(dial);
            }
            Err(DialError::DialPeerConditionFalse(_)) => {
                reaching.had_address = true;
                reaching.dialled_by_other = true;
            }
            Err(why) => tracing::debug!(%peer, %why, "not dialled"),
        }
    }

    /// Takes the next step when nothing more is under way: look the peer up, or give it up.
    fn proceed(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) {
        let Some(reaching) = self.reaching.get_mut(&peer) else { return };
        if !reaching.dials.is_empty() || reaching.dialled_by_other {
            return;
        }
        match reaching.lookup {
            Lookup::NotYet => {
                reaching.lookup = Lookup::Running(swarm.behaviour_mut().kad.get_closest_peers(peer));
            }
            Lookup::Running(_) => {}
            Lookup::Done => self.give_up(&peer),
        }
    }

    fn give_up(&mut self, peer: &PeerId) {
        if let Some(reaching) = self.reaching.remove(peer) {
            let why =
                if reaching.had_address { DeliveryError::Unreachable } else { DeliveryError::NoAddress };
            reaching.waiters.into_iter().for_each(|waiter| answer(Some(waiter), Err(why)));
        }
    }

    pub(super) fn on_connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint, now: Instant) {
        if let ConnectedPoint::Dialer { address, .. } = endpoint {
            self.book.note_trusted(peer, without_peer(address), now);
        }
        if let Some(reaching) = self.reaching.remove(&peer) {
            reaching.waiters.into_iter().for_each(|waiter| answer(Some(waiter), Ok(())));
        }
    }

    pub(super) fn on_dial_failed(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        peer: PeerId,
        dial: ConnectionId,
        error: &DialError,
    ) {
        if let DialError::Transport(failures) = error {
            for (address, _) in failures {
                self.book.remove(&peer, &without_peer(address));
            }
        }
        if let Some(reaching) = self.reaching.get_mut(&peer) {
            reaching.dials.retain(|own| *own != dial);
            if std::mem::take(&mut reaching.dialled_by_other) {
                // The other's addresses failed; this node may know better ones.
                self.dial(swarm, peer, PeerCondition::DisconnectedAndNotDialing);
            }
        }
        self.proceed(swarm, peer);
    }

    /// Dials the addresses that a lookup found. Lookups of others are none of the dialer's business.
    pub(super) fn on_lookup(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        query: QueryId,
        result: Result<GetClosestPeersOk, GetClosestPeersError>,
        now: Instant,
    ) {
        let found = match result {
            Ok(GetClosestPeersOk { peers, .. }) | Err(GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        let own = self.reaching.iter().find(|(_, reaching)| reaching.lookup == Lookup::Running(query));
        let Some(peer) = own.map(|(peer, _)| *peer) else { return };
        let mut news = false;
        for PeerInfo { peer_id, addrs } in found {
            for address in addrs.iter().take(limits::ADDRESSES_PER_PEER) {
                let fresh = self.book.note(peer_id, address, Prefix::UNKNOWN, now);
                news |= fresh && peer_id == peer;
            }
        }
        if let Some(reaching) = self.reaching.get_mut(&peer) {
            reaching.lookup = Lookup::Done;
            if news {
                // Beside a dial of older addresses, which may take all the time there is to fail.
                self.dial(swarm, peer, PeerCondition::Disconnected);
            }
            self.proceed(swarm, peer);
        }
    }

    /// Looks up peers that are slow to answer, no longer waits for dials of others, and gives up those whose time is over.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        let (mut over, mut alone) = (Vec::new(), Vec::new());
        for (peer, reaching) in &mut self.reaching {
            let spent = now.saturating_duration_since(reaching.since);
            if spent >= limits::REACH_DEADLINE {
                over.push(*peer);
            } else if spent >= limits::REACH_PATIENCE && reaching.lookup == Lookup::NotYet {
                if std::mem::take(&mut reaching.dialled_by_other) {
                    alone.push(*peer);
                }
                reaching.lookup = Lookup::Running(swarm.behaviour_mut().kad.get_closest_peers(*peer));
            }
        }
        over.iter().for_each(|peer| self.give_up(peer));
        alone.into_iter().for_each(|peer| self.dial(swarm, peer, PeerCondition::Disconnected));
    }
}

fn answer(waiter: Option<DialAnswer>, result: Result<(), DeliveryError>) {
    if let Some(waiter) = waiter {
        // Its task may have met its own deadline meanwhile.
        let _ = waiter.send(result);
    }
}

/// Returns the address without the `/p2p/` that libp2p appends when it dials.
fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, libp2p::multiaddr::Protocol::P2p(_))).collect()
}
