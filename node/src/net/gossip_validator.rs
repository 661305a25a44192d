//! What is gossiped, on its way in: looked at within bounds, judged, and handed to the reader of events.

use bombyx_protocol::ident::NodeId;
use libp2p::PeerId;
use tokio::sync::mpsc;
use web_time::Instant;

use super::calendar::unix_s;
use super::flow::{Flow, Full};
use super::friends::Friends;
use super::gossip::IncomingGossip;
use super::joint::NetEvent;
use super::judge::{Judge, Objection};
use super::prefix::Prefixes;
use super::{address, limits};

/// Judges what peers gossip, one message at a time.
///
/// A message is dropped, not queued, when the reader lags: what is not judged is not forwarded either, so that an overloaded
/// node does not add to the load.
pub(super) struct GossipValidator {
    flow: Flow,
    judge: Judge,
    prefixes: Prefixes,
    friends: Friends,
    events: mpsc::Sender<NetEvent>,
    dropped: u64,
}

impl GossipValidator {
    /// Creates a validator that tells the reader of `events`.
    pub(super) fn new(prefixes: Prefixes, friends: Friends, events: mpsc::Sender<NetEvent>) -> Self {
        let flow =
            Flow::new("gossip", limits::GOSSIP_PER_S, limits::GOSSIP_PER_PEER_PER_S, limits::GOSSIP_BURST);
        Self { flow, judge: Judge::default(), prefixes, friends, events, dropped: 0 }
    }

    /// Judges a message, and tells the reader of events what it says unless something speaks against it.
    pub(super) fn validate(&mut self, message: &mut IncomingGossip, now: Instant) -> Result<(), Objection> {
        let forwarder = address::node_of(&message.forwarder);
        self.look(message.forwarder, forwarder, now)?;
        let Ok(place) = self.events.try_reserve() else {
            self.dropped += 1;
            return Err(Objection::Excess);
        };
        let gossip = self.judge.judge(&message.topic, &message.bytes, forwarder, now, unix_s())?;
        place.send(NetEvent::Gossip { gossip, bytes: std::mem::take(&mut message.bytes) });
        Ok(())
    }

    /// Decides whether a message is looked at at all; it costs next to nothing to ask. (`NE-7`)
    fn look(&mut self, peer: PeerId, node: Option<NodeId>, now: Instant) -> Result<(), Objection> {
        let passes = self.flow.pass(peer, self.prefixes.of(node), self.friends.has(&peer), now);
        passes.map_err(|full| if full == Full::Peer { Objection::Flood } else { Objection::Excess })
    }

    /// Returns how many messages were dropped because events were read too slowly.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Returns how many were dropped unread because more came than is looked at.
    pub(super) fn refused(&self) -> u64 {
        self.flow.refused()
    }
}
