//! Joining: the configured addresses are tried, ever more slowly, until one of them leads into the network.

use std::time::Duration;

use bombyx_protocol::ident::NodeId;
use libp2p::core::{Multiaddr, transport::TransportError};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError};
use libp2p::{PeerId, Swarm};
use web_time::Instant;

use super::behaviour::Behaviour;
use super::config::NetConfig;
use super::error::NetError;
use super::joint::{JoinError, NetEvent};
use super::outbox::Outbox;
use super::{address, cause, limits};

/// The join addresses and what became of them.
pub(super) struct Joins {
    entries: Vec<Join>,
    joined: bool,
}

struct Join {
    text: String,
    peer: PeerId,
    address: Multiaddr,
    dial: Option<ConnectionId>,
    next: Instant,
    backoff: Duration,
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
                let backoff = limits::JOIN_BACKOFF_MIN;
                entries.push(Join { text: text.clone(), peer, address, dial: None, next: now, backoff });
            }
        }
        Ok(Self { entries, joined: false })
    }

    /// Returns the addresses that the user wrote.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &Multiaddr> {
        self.entries.iter().map(|join| &join.address)
    }

    /// Dials what is due, for as long as this node is not part of the network.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant, out: &mut Outbox) {
        if self.joined && swarm.connected_peers().next().is_none() {
            self.joined = false;
        }
        if self.joined {
            return;
        }
        for join in &mut self.entries {
            if join.dial.is_none() && join.next <= now && !swarm.is_connected(&join.peer) {
                let options = DialOpts::peer_id(join.peer)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .addresses(vec![join.address.clone()])
                    .build();
                let dial = options.connection_id();
                swarm.behaviour_mut().door.choose(dial);
                match swarm.dial(options) {
                    Ok(()) => join.dial = Some(dial),
                    // Another address of the same node is being tried: this one has its turn when that fails.
                    Err(DialError::DialPeerConditionFalse(_)) => {}
                    Err(error) => join.fail(failure(&error), now, out),
                }
            }
        }
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
    }

    /// Notes that a connected peer turned out to be of this network.
    pub(super) fn on_same_network(&mut self, peer: PeerId, node: NodeId, out: &mut Outbox) {
        let mut through = false;
        for join in self.entries.iter_mut().filter(|join| join.peer == peer) {
            join.dial = None;
            join.backoff = limits::JOIN_BACKOFF_MIN;
            through = true;
        }
        if through && !self.joined {
            self.joined = true;
            out.push(NetEvent::Joined { via: node });
        }
    }

    /// Notes that a connected peer turned out to be of another network, or of none.
    pub(super) fn on_other_network(&mut self, peer: PeerId, theirs: &str, now: Instant, out: &mut Outbox) {
        for join in self.entries.iter_mut().filter(|join| join.peer == peer) {
            join.fail(JoinError::OtherNetwork { theirs: theirs.to_owned() }, now, out);
        }
    }

    /// Notes that a connection ended, perhaps before the peer's network was known.
    pub(super) fn on_disconnected(&mut self, peer: &PeerId, now: Instant, out: &mut Outbox) {
        let unfinished = |join: &&mut Join| join.peer == *peer && join.dial.is_some();
        for join in self.entries.iter_mut().filter(unfinished) {
            join.fail(JoinError::Closed, now, out);
        }
    }
}

impl Join {
    fn fail(&mut self, why: JoinError, now: Instant, out: &mut Outbox) {
        self.dial = None;
        // Up to a quarter more, so that nodes that lost the same peer do not return in step.
        self.next = now + self.backoff.mul_f64(1.0 + rand::random::<f64>() / 4.0);
        self.backoff = (self.backoff * 2).min(limits::JOIN_BACKOFF_MAX);
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
