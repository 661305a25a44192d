//! What the tasks of streams ask of the swarm's loop.

use libp2p::PeerId;
use tokio::sync::oneshot;

use super::joint::{Fault, Undelivered};

/// How a message may get to its peer. (`NE-1`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The peer is found and dialled if need be.
    Dial,
    /// Over a connection that stands, or not at all.
    Connection,
}

/// What stream tasks ask of the swarm.
pub(super) enum Request {
    /// Connect to a peer and say so.
    Reach {
        /// The peer.
        peer: PeerId,
        /// Whether it may be dialled.
        way: Way,
        /// Told the outcome.
        answer: oneshot::Sender<Result<(), Undelivered>>,
    },
    /// Hold a fault against a peer.
    Penalise {
        /// The peer.
        peer: PeerId,
        /// What it did.
        fault: Fault,
    },
}
