//! Friends: the peers that have a channel with this node. Strangers cannot take what is kept for them.

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
