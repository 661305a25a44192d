//! What two parties agree on before money is locked, and the address that follows from it.
//!
//! The account's address is the hash of the contract's code and of these terms. A party computes it
//! and never trusts an address it was told: with one wrong term it would look at another account.

use core::ops::Deref;
use std::sync::Arc;

pub use super::address::{Address, AddressError};
use super::cell::{CellBuilder, CellHash};
use super::id::ChannelId;
use crate::ident::is_strong;

/// Hash and depth of the compiled contract, `protocol/contracts/channel.boc`.
pub const CHANNEL_CODE: CellHash = CellHash {
    hash: [
        0xa4, 0x58, 0x4e, 0xde, 0xf1, 0x59, 0xb7, 0x73, 0x9f, 0x94, 0xce, 0x7c, 0x7f, 0x0b, 0x8b, 0xfb, 0x40,
        0x9a, 0xc6, 0x3e, 0x25, 0x65, 0x81, 0xd2, 0x8d, 0x37, 0x23, 0x08, 0xb4, 0x68, 0x7a, 0x85,
    ],
    depth: 7,
};

/// The compiled contract as a bag of cells, for those who deploy it.
pub const CHANNEL_CODE_BOC: &[u8] = include_bytes!("../../contracts/channel.boc");

/// Longest challenge period that a party accepts, in seconds: two weeks. A longer one would lock a client's money at
/// the will of a silent provider.
pub const CHALLENGE_S_MAX: u32 = 14 * 24 * 3600;

/// The terms of one channel; they never change during its life.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChannelTerms {
    /// The network's global id (mainnet -239, testnet -3): the same terms give another address elsewhere.
    pub network_id: i32,
    /// Any number; tells apart several channels of one pair.
    pub salt: u64,
    /// Public key under which the client signs vouchers. Never the key of its wallet.
    pub client_key: [u8; 32],
    /// Public key under which the provider signs its close order. Never the key of its wallet.
    pub provider_key: [u8; 32],
    /// Where the rest of the deposit returns; may request the close by message.
    pub client: Address,
    /// Where earnings go; may close by message.
    pub provider: Address,
    /// Seconds between the client's request and the earliest finalize.
    pub challenge_s: u32,
}

#[cfg(any(test, feature = "test-util"))]
impl ChannelTerms {
    /// Returns terms between two keys: the client's is of the seed `[1; 32]`, the provider's of `[2; 32]`.
    #[must_use]
    pub fn for_tests() -> Self {
        let key = |seed: u8| ed25519_dalek::SigningKey::from_bytes(&[seed; 32]).verifying_key().to_bytes();
        Self {
            network_id: -3,
            salt: 1,
            client_key: key(1),
            provider_key: key(2),
            client: Address::basechain([3; 32]),
            provider: Address::basechain([4; 32]),
            challenge_s: 60,
        }
    }
}

impl ChannelTerms {
    /// Returns the account that a contract with these terms lives at.
    #[must_use]
    pub fn account(&self) -> Address {
        let parties = CellBuilder::new()
            .bytes32(&self.provider_key)
            .address(self.client.workchain, &self.client.hash)
            .address(self.provider.workchain, &self.provider.hash)
            .uint(u64::from(self.challenge_s), 32)
            .finish();
        // Epoch (64 bits), time of closing (32), deposit and settled (zero amounts, four bits each).
        let data = CellBuilder::new()
            .uint(0, 64)
            .uint(0, 32)
            .uint(0, 8)
            .uint(u64::from(self.network_id.cast_unsigned()), 32)
            .uint(self.salt, 64)
            .bytes32(&self.client_key)
            .reference(parties)
            .finish();
        // A state init with code and data, and nothing else.
        let init = CellBuilder::new().uint(0b00110, 5).reference(CHANNEL_CODE).reference(data);
        Address::basechain(init.finish().hash)
    }

    /// Returns the channel that these terms make.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        ChannelId(self.account().hash)
    }

    /// Returns whether a careful party may sign these terms, on the network it is on. (`CH-15`)
    ///
    /// # Errors
    /// [`TermsError`] names the first term that is not acceptable.
    pub fn check(&self, network_id: i32) -> Result<(), TermsError> {
        if self.network_id != network_id {
            return Err(TermsError::Network { theirs: self.network_id, ours: network_id });
        }
        if self.client.workchain != 0 || self.provider.workchain != 0 {
            return Err(TermsError::Workchain);
        }
        if self.challenge_s == 0 || self.challenge_s > CHALLENGE_S_MAX {
            return Err(TermsError::Challenge { seconds: self.challenge_s });
        }
        if !is_strong(&self.client_key) {
            return Err(TermsError::ClientKey);
        }
        if !is_strong(&self.provider_key) {
            return Err(TermsError::ProviderKey);
        }
        Ok(())
    }
}

/// Terms with the account that follows from them, shared by all that is kept of one channel: the account is three hashes,
/// too many for each of its records. Encoded as the terms alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgreedTerms(Arc<TermsAndAccount>);

#[derive(Debug, PartialEq, Eq)]
struct TermsAndAccount {
    terms: ChannelTerms,
    account: Address,
}

impl AgreedTerms {
    /// Returns [`ChannelTerms::account`] without working it out again.
    #[must_use]
    pub fn account(&self) -> Address {
        self.0.account
    }

    /// Returns [`ChannelTerms::id`] without working it out again.
    #[must_use]
    pub fn id(&self) -> ChannelId {
        ChannelId(self.0.account.hash)
    }
}

impl From<ChannelTerms> for AgreedTerms {
    fn from(terms: ChannelTerms) -> Self {
        let account = terms.account();
        Self(Arc::new(TermsAndAccount { terms, account }))
    }
}

impl Deref for AgreedTerms {
    type Target = ChannelTerms;

    fn deref(&self) -> &ChannelTerms {
        &self.0.terms
    }
}

/// Why terms are not acceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The channel would live on another network.
    #[error("channel terms name network {theirs}, but this node is on {ours}")]
    Network {
        /// The network of the terms.
        theirs: i32,
        /// The network of this node.
        ours: i32,
    },
    /// A payout address outside workchain 0 could make the close fail.
    #[error("channel terms need both payout addresses in workchain 0")]
    Workchain,
    /// No challenge period, or a longer one than [`CHALLENGE_S_MAX`].
    #[error("a challenge period of {seconds} s is outside 1 to {CHALLENGE_S_MAX} s")]
    Challenge {
        /// The period of the terms.
        seconds: u32,
    },
    /// The client's key is not a point of full order: anyone could sign for it.
    #[error("the client's voucher key is not a usable ed25519 key")]
    ClientKey,
    /// The provider's key is not a point of full order: anyone could sign for it.
    #[error("the provider's close key is not a usable ed25519 key")]
    ProviderKey,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn terms() -> ChannelTerms {
        ChannelTerms { network_id: -239, challenge_s: 3600, ..ChannelTerms::for_tests() }
    }

    #[test]
    fn every_term_changes_the_account() {
        let base = terms();
        let changes: [fn(&mut ChannelTerms); 7] = [
            |t| t.network_id = -3,
            |t| t.salt = 2,
            |t| t.client_key[0] ^= 1,
            |t| t.provider_key[0] ^= 1,
            |t| t.client.hash[31] ^= 1,
            |t| t.provider.hash[31] ^= 1,
            |t| t.challenge_s += 1,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = base.clone();
            change(&mut other);
            assert_ne!(other.account(), base.account(), "term {index}");
        }
    }

    /// (`CH-15`)
    #[test]
    fn careless_terms_are_refused() {
        assert_eq!(terms().check(-239), Ok(()));
        assert_eq!(terms().check(-3), Err(TermsError::Network { theirs: -239, ours: -3 }));
        let with = |change: fn(&mut ChannelTerms)| {
            let mut terms = terms();
            change(&mut terms);
            terms.check(-239)
        };
        assert_eq!(with(|t| t.client.workchain = -1), Err(TermsError::Workchain));
        assert_eq!(with(|t| t.challenge_s = 0), Err(TermsError::Challenge { seconds: 0 }));
        assert_eq!(
            with(|t| t.challenge_s = CHALLENGE_S_MAX + 1),
            Err(TermsError::Challenge { seconds: CHALLENGE_S_MAX + 1 })
        );
        // The neutral element verifies a trivial signature under a lenient check.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = ChannelTerms { client_key: neutral, ..terms() };
        assert_eq!(weak.check(-239), Err(TermsError::ClientKey));
        let weak = ChannelTerms { provider_key: [0; 32], ..terms() };
        assert_eq!(weak.check(-239), Err(TermsError::ProviderKey));
    }

    #[test]
    fn an_address_survives_its_text_form() {
        let address = terms().account();
        assert_eq!(address.to_string().parse(), Ok(address));
        for text in ["", "0", "0:", "x:00", "0:zz", &"0".repeat(66)] {
            assert_eq!(text.parse::<Address>(), Err(AddressError), "{text}");
        }
    }
}
