//! The salts of a client's channels: made of its seed, so that a lost store does not hide an account from its owner.

use crate::channel::terms::{Address, ChannelTerms};
use crate::limits;
use crate::market::bid::Payee;

/// Separates this use of the seed from every other.
const CONTEXT: &str = "bombyx/1/channel-salt";

/// Returns the salt of the `index`-th channel between the client with this seed and the provider with this key. (`CH-28`)
///
/// Without the seed nobody can tell which accounts belong to one client.
#[must_use]
pub fn salt(channel_seed: &[u8; 32], provider_key: &[u8; 32], index: u32) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT);
    hasher.update(channel_seed).update(provider_key).update(&index.to_le_bytes());
    let mut salt = [0; 8];
    hasher.finalize_xof().fill(&mut salt);
    u64::from_le_bytes(salt)
}

/// Lists the terms of every channel that the client with this seed and wallet can have with a provider, by index: those
/// whose accounts are looked for when the store is lost. (`CH-28`)
///
/// `challenge_s` is the client's own; the provider's counts where it is longer.
pub fn candidates(
    channel_seed: [u8; 32],
    wallet: Address,
    payee: Payee,
    challenge_s: u32,
) -> impl Iterator<Item = ChannelTerms> {
    let client_key = ed25519_dalek::SigningKey::from_bytes(&channel_seed).verifying_key().to_bytes();
    (0..limits::SALTS_PER_PROVIDER).map(move |index| ChannelTerms {
        network_id: payee.network_id,
        salt: salt(&channel_seed, &payee.key, index),
        client_key,
        provider_key: payee.key,
        client: wallet,
        provider: payee.address,
        challenge_s: challenge_s.max(payee.challenge_s),
    })
}
