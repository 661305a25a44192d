//! What a provider is made of.

use crate::amount::Nano;
use crate::channel::terms::Address;

use super::credit::CreditLimits;

/// What a provider is made of.
#[derive(Debug, Clone)]
pub struct ProviderConfig {
    /// Seed of the node's identity.
    pub identity_seed: [u8; 32],
    /// Seed of the key that sessions are opened to.
    pub session_seed: [u8; 32],
    /// Seed of the key that signs close orders.
    pub close_seed: [u8; 32],
    /// Seed of everything random.
    pub entropy_seed: [u8; 32],
    /// Unix seconds at time zero of the machine's clock.
    pub clock_s: u64,
    /// Which ledger.
    pub network_id: i32,
    /// The account that earnings go to.
    pub payout: Address,
    /// The least challenge time that it accepts.
    pub challenge_s: u32,
    /// What it serves to clients whose channel the ledger has not shown; zero serves nothing unseen.
    pub credit: CreditLimits,
    /// Settles a channel when this much is covered by vouchers and not paid out.
    pub settle_at: Nano,
}

#[cfg(any(test, feature = "test-util"))]
impl ProviderConfig {
    /// Returns a configuration for tests, different for every `number`.
    #[must_use]
    pub fn for_tests(number: u64) -> Self {
        let seed = |purpose: &str| {
            *blake3::keyed_hash(blake3::hash(purpose.as_bytes()).as_bytes(), &number.to_le_bytes()).as_bytes()
        };
        Self {
            identity_seed: seed("provider identity"),
            session_seed: seed("provider session"),
            close_seed: seed("provider close"),
            entropy_seed: seed("provider entropy"),
            clock_s: 0,
            network_id: -3,
            payout: Address::basechain(seed("provider wallet")),
            challenge_s: 60,
            credit: CreditLimits { per_client: Nano(5_000_000), per_hour: Nano(40_000_000) },
            settle_at: Nano(1_000_000_000),
        }
    }
}
