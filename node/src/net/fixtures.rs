//! Peers and addresses for tests.
#![allow(clippy::unwrap_used)]

use libp2p::{Multiaddr, PeerId, identity};

pub(super) fn peer(seed: u8) -> PeerId {
    identity::Keypair::ed25519_from_bytes([seed; 32]).unwrap().public().to_peer_id()
}

pub(super) fn at(text: &str) -> Multiaddr {
    text.parse().unwrap()
}
