//! Joining: the configured addresses are tried, ever more slowly, until one of them leads into the network.

use bombyx_protocol::ident::NodeId;
use libp2p::core::{Multiaddr, transport::TransportError};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{PeerId, Swarm};
use web_time::Instant;

use super::backoff::Backoff;
use super::behaviour::Behaviour;
use super::config::NetConfig;
use super::error::NetError;
use super::joint::{JoinError, NetEvent};
use super::known::KnownPeers;
use super::outbox::Outbox;
use super::way_back::{Attempt, WayBack};
use super::{address, cause, limits};

/// The join addresses and what became of them, and the peers that answered before, which are tried beside them.
pub(super) struct Joins {
    entries: Vec<Join>,
    pub(super) known: KnownPeers,
    way_back: WayBack,
    /// Whether this node is part of the network.
    joined: bool,
    /// Whether a join address led there: what its user named is tried until then, whoever else was found meanwhile.
    led: bool,
    refresh_at: Instant,
}

struct Join {
    text: String,
    peer: PeerId,
    address: Multiaddr,
    dial: Option<ConnectionId>,
    backoff: Backoff,
}

impl Joins {
    /// Reads the join addresses. This node's own are left out, so that all nodes may share one list.
    pub(super) fn read(config: &NetConfig, own: PeerId, now: Instant) -> Result<Self, NetError> {
        let mut entries = Vec::new();
        for text in &config.join {
            let (peer, address) = address::read_dialable(text).map_err(|why| NetError::Address {
                list: "join",
                address: text.clone(),
                why,
            })?;
            if peer != own {
                entries.push(Join::new(text.clone(), peer, address, now));
            }
        }
        let known = KnownPeers::read(&config.known, own);
        let way_back = WayBack::new(now);
        Ok(Self { entries, known, way_back, joined: false, led: false, refresh_at: now })
    }

    /// Adds an address that its user names later. It is tried at once; what is known stays.
    pub(super) fn add(&mut self, text: String, own: PeerId, now: Instant) {
        let Ok((peer, address)) = address::read_dialable(&text) else { return };
        let is_there = self.entries.iter().any(|join| join.peer == peer && join.address == address);
        if peer != own && !is_there && self.entries.len() < limits::JOINS_MAX {
            self.entries.push(Join::new(text, peer, address, now));
            self.led = false;
        }
    }

    /// Returns the addresses that the user wrote.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.entries.iter().map(|join| &join.address)
    }

    /// Dials what is due: join addresses until one of them led into the network, and known peers until enough of them did.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant, out: &mut Outbox) {
        if now >= self.refresh_at {
            self.refresh_at = now + limits::KNOWN_REFRESH;
            self.known.still_there(|peer| swarm.is_connected(peer));
        }
        if self.joined && swarm.connected_peers().next().is_none() {
            (self.joined, self.led) = (false, false);
            self.way_back.begin_anew(now);
        }
        if !self.led {
            self.try_written(swarm, now, out);
        }
        self.try_known(swarm, now);
    }

    fn try_written(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant, out: &mut Outbox) {
        for join in &mut self.entries {
            if join.dial.is_none() && join.backoff.is_over(now) && !swarm.is_connected(&join.peer) {
                match dial(swarm, join.peer, &join.address) {
                    Ok(dial) => join.dial = Some(dial),
                    // Another address of the same node is being tried: this one has its turn when that fails.
                    Err(DialError::DialPeerConditionFalse(_)) => {}
                    Err(error) => join.fail(failure(&error), now, out),
                }
            }
        }
    }

    /// Dials peers that answered before, a few at a time.
    fn try_known(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        self.way_back.go_on(&self.known, self.joined, now, |peer, address| {
            if swarm.is_connected(&peer) || swarm.behaviour().blocked.blocked_peers().contains(&peer) {
                return Attempt::Needless;
            }
            dial(swarm, peer, address).map_or(Attempt::NotNow, Attempt::Begun)
        });
    }

    pub(super) fn on_dial_failed(
        &mut self,
        dial: ConnectionId,
        error: &DialError,
        now: Instant,
        out: &mut Outbox,
    ) {
        if let Some(join) = self.entries.iter_mut().find(|join| join.dial == Some(dial)) {
            join.fail(failure(error), now, out);
        }
        if let Some(peer) = self.way_back.on_dial_failed(dial) {
            self.known.failed(&peer);
        }
    }

    /// Notes that a connected peer turned out to be of this network.
    pub(super) fn on_same_network(&mut self, peer: PeerId, node: NodeId, out: &mut Outbox) {
        let mut through = false;
        for join in self.entries.iter_mut().filter(|join| join.peer == peer) {
            join.dial = None;
            join.backoff.calm_down();
            self.way_back.add(peer, &join.address);
            through = true;
        }
        self.led |= through;
        through |= self.way_back.on_same_network(&peer);
        if through && !self.joined {
            self.joined = true;
            self.known.forget_failures();
            out.push(NetEvent::Joined { via: node });
        }
    }

    /// Notes that a connected peer turned out to be of another network, or of none.
    pub(super) fn on_other_network(&mut self, peer: PeerId, theirs: &str, now: Instant, out: &mut Outbox) {
        for join in self.entries.iter_mut().filter(|join| join.peer == peer) {
            join.fail(JoinError::OtherNetwork { theirs: theirs.to_owned() }, now, out);
        }
        self.lose(&peer);
    }

    /// Notes that a connection ended, perhaps before the peer's network was known.
    pub(super) fn on_disconnected(&mut self, peer: &PeerId, now: Instant, out: &mut Outbox) {
        let unfinished = |join: &&mut Join| join.peer == *peer && join.dial.is_some();
        for join in self.entries.iter_mut().filter(unfinished) {
            join.fail(JoinError::Closed, now, out);
        }
        self.lose(peer);
    }

    fn lose(&mut self, peer: &PeerId) {
        if self.way_back.on_lost(peer) {
            self.known.failed(peer);
        }
    }
}

/// Dials a peer at one address, as its user's choice.
fn dial(swarm: &mut Swarm<Behaviour>, peer: PeerId, address: &Multiaddr) -> Result<ConnectionId, DialError> {
    let options = DialOpts::peer_id(peer)
        .condition(PeerCondition::DisconnectedAndNotDialing)
        .addresses(vec![address.clone()])
        .build();
    let dial = options.connection_id();
    swarm.behaviour_mut().door.choose(dial);
    swarm.dial(options).map(|()| dial)
}

impl Join {
    fn new(text: String, peer: PeerId, address: Multiaddr, now: Instant) -> Self {
        Self { text, peer, address, dial: None, backoff: Backoff::new(now) }
    }

    fn fail(&mut self, why: JoinError, now: Instant, out: &mut Outbox) {
        self.dial = None;
        self.backoff.put_off(now);
        out.push(NetEvent::JoinFailed { address: self.text.clone(), why });
    }
}

/// Returns what a failed dial means to the user who wrote the address.
fn failure(error: &DialError) -> JoinError {
    match error {
        DialError::Transport(failures) => {
            let reasons: Vec<String> = failures.iter().map(|(_, why)| transport_failure(why)).collect();
            JoinError::Unreachable(reasons.join("; "))
        }
        DialError::WrongPeerId { obtained, .. } => JoinError::WrongNode { found: obtained.to_string() },
        DialError::LocalPeerId { .. } => JoinError::WrongNode { found: "this node itself".to_owned() },
        DialError::Denied { cause } => JoinError::Refused(cause.to_string()),
        DialError::NoAddresses | DialError::DialPeerConditionFalse(_) | DialError::Aborted => {
            JoinError::Refused(error.to_string())
        }
    }
}

fn transport_failure(error: &TransportError<std::io::Error>) -> String {
    match error {
        TransportError::Other(error) => cause::innermost(error).to_string(),
        TransportError::MultiaddrNotSupported(_) => "the transport is not supported".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_cause_is_what_the_user_reads() {
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let wrapped = std::io::Error::other(std::io::Error::other(refused));
        let error = DialError::Transport(vec![(Multiaddr::empty(), TransportError::Other(wrapped))]);
        assert_eq!(failure(&error), JoinError::Unreachable("connection refused".to_owned()));
    }
}
