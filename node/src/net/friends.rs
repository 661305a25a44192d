//! Peers that this node does business with: whoever has a channel with it. What is kept for them, strangers cannot take.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use libp2p::PeerId;

/// The friends, shared by all who have something to give away. The loop writes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Friends(Arc<RwLock<BTreeSet<PeerId>>>);

impl Friends {
    /// Replaces the friends.
    pub(super) fn become_these(&self, peers: BTreeSet<PeerId>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = peers;
    }

    /// Returns whether a peer is a friend.
    pub(super) fn has(&self, peer: &PeerId) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(peer)
    }
}
