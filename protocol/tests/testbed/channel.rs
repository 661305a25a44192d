//! A channel between one client and one provider, for tests of one side alone.

use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::ident::NodeId;
use ed25519_dalek::SigningKey;

/// The other side.
pub const PEER: NodeId = NodeId([9; 32]);

/// The client's key.
pub fn key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

pub fn terms(challenge_s: u32) -> ChannelTerms {
    ChannelTerms {
        network_id: -3,
        salt: 1,
        client_key: key().verifying_key().to_bytes(),
        provider_key: SigningKey::from_bytes(&[2; 32]).verifying_key().to_bytes(),
        client: Address::basechain([3; 32]),
        provider: Address::basechain([4; 32]),
        challenge_s,
    }
}
