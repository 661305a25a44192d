//! A channel between one client and one provider, for tests of one side alone.

use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::NodeId;
use ed25519_dalek::SigningKey;

/// The other side.
pub const PEER: NodeId = NodeId([9; 32]);

/// The client's key.
pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub fn terms(challenge_s: u32) -> ChannelTerms {
    ChannelTerms { challenge_s, ..ChannelTerms::for_tests() }
}
