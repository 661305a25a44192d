//! What the tasks of streams ask of the swarm's loop.

use libp2p::PeerId;
use tokio::sync::oneshot;

use super::joint::{DeliveryError, Fault};

/// Whether a peer that is not connected is dialled for a message. (`NE-1`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DialPolicy {
    /// The peer is found and dialled if need be.
    Dial,
    /// Over a connection that stands, or not at all.
    ConnectedOnly,
}

/// What stream tasks ask of the swarm.
pub(super) enum StreamRequest {
    /// Connect to a peer and say so.
    Connect {
        /// The peer.
        peer: PeerId,
        /// Whether it may be dialled.
        policy: DialPolicy,
        /// Told the outcome.
        answer: oneshot::Sender<Result<(), DeliveryError>>,
    },
    /// Hold a fault against a peer.
    Penalise {
        /// The peer.
        peer: PeerId,
        /// What it did.
        fault: Fault,
    },
}
