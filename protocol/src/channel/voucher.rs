//! The three things that channel keys sign: a voucher, the provider's close order, the client's close request.
//!
//! Each is the hash of one cell, which the contract rebuilds: a tag of 32 bits, the account (256), the epoch (64), the
//! cumulative amount (coins). The account's hash covers code, keys, network and salt, and the epoch is the logical time
//! of the funding, so a signature is worth nothing for any other account, purpose or life of the account. (`ST-12`)

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::cell::CellBuilder;
use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::ident::{Signature, strong_key, verifies_strictly};

const TAG_VOUCHER: u32 = 0x4258_5601;
const TAG_CLOSE_ORDER: u32 = 0x4258_5602;
const TAG_CLOSE_REQUEST: u32 = 0x4258_5603;

/// The client's promise that the provider may take `cumulative` from this channel, in all. (`CH-12`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Voucher {
    /// Hash of the channel's account.
    pub account: ChannelId,
    /// Logical time of the funding that this voucher draws on.
    pub epoch: u64,
    /// Everything paid since that funding.
    pub cumulative: Nano,
}

/// The provider's order to close now with `cumulative` as the last total. (`CH-13`)
///
/// Anyone may bring it to the ledger at any later time: a provider signs it only when it serves no more in this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CloseOrder {
    /// Hash of the channel's account.
    pub account: ChannelId,
    /// Logical time of the funding.
    pub epoch: u64,
    /// The last total, covered by a voucher unless it is settled already.
    pub cumulative: Nano,
}

/// The client's request to close after the challenge period, for a client whose wallet is empty. (`CH-14`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct CloseRequest {
    /// Hash of the channel's account.
    pub account: ChannelId,
    /// Logical time of the funding.
    pub epoch: u64,
}

/// A voucher with the client's signature: what lies on disk, is watched, and is brought to the ledger. On the wire it is a
/// [`Payment`](crate::wire::message::Payment), whose account the receiver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignedVoucher {
    /// What is signed.
    pub voucher: Voucher,
    /// By the client's voucher key.
    pub signature: Signature,
}

impl core::ops::Deref for SignedVoucher {
    type Target = Voucher;

    fn deref(&self) -> &Voucher {
        &self.voucher
    }
}

impl Voucher {
    /// Returns what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        signed_hash(TAG_VOUCHER, self.account, self.epoch, self.cumulative)
    }

    /// Puts the signature of the client's voucher key beside it.
    #[must_use]
    pub fn signed(self, client_key: &SigningKey) -> SignedVoucher {
        SignedVoucher { voucher: self, signature: self.sign(client_key) }
    }

    /// Signs with the client's voucher key.
    #[must_use]
    pub fn sign(&self, client_key: &SigningKey) -> Signature {
        sign(&self.hash(), client_key)
    }

    /// Checks a signature by the client's voucher key.
    ///
    /// # Errors
    /// [`SignatureError`] says whether the key or the signature is at fault.
    pub fn verify(&self, client_key: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        verify(&self.hash(), client_key, signature)
    }
}

impl CloseOrder {
    /// Returns what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        signed_hash(TAG_CLOSE_ORDER, self.account, self.epoch, self.cumulative)
    }

    /// Signs with the provider's close key.
    #[must_use]
    pub fn sign(&self, provider_key: &SigningKey) -> Signature {
        sign(&self.hash(), provider_key)
    }

    /// Checks a signature by the provider's close key.
    ///
    /// # Errors
    /// [`SignatureError`] says whether the key or the signature is at fault.
    pub fn verify(&self, provider_key: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        verify(&self.hash(), provider_key, signature)
    }
}

impl CloseRequest {
    /// Returns what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        signed_hash(TAG_CLOSE_REQUEST, self.account, self.epoch, Nano::ZERO)
    }

    /// Signs with the client's voucher key.
    #[must_use]
    pub fn sign(&self, client_key: &SigningKey) -> Signature {
        sign(&self.hash(), client_key)
    }

    /// Checks a signature by the client's voucher key.
    ///
    /// # Errors
    /// [`SignatureError`] says whether the key or the signature is at fault.
    pub fn verify(&self, client_key: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
        verify(&self.hash(), client_key, signature)
    }
}

fn signed_hash(tag: u32, account: ChannelId, epoch: u64, cumulative: Nano) -> [u8; 32] {
    CellBuilder::new()
        .uint(u64::from(tag), 32)
        .bytes32(&account.0)
        .uint(epoch, 64)
        .coins(cumulative)
        .finish()
        .hash
}

pub(super) fn sign(message: &[u8], key: &SigningKey) -> Signature {
    #[cfg(feature = "fake-crypto")]
    if crate::fake::is_on() {
        return Signature(crate::fake::checksum(&[key.verifying_key().as_bytes(), message]));
    }
    Signature(key.sign(message).to_bytes())
}

pub(super) fn verify(message: &[u8], key: &[u8; 32], signature: &Signature) -> Result<(), SignatureError> {
    Checker::default().check(key, message, signature)
}

/// Checks signatures by one key of a channel, always the same. The key is read and judged at the first of them, which costs
/// an eighth of a check, and kept.
#[derive(Debug, Default)]
pub(super) struct Checker {
    key: Option<Box<VerifyingKey>>,
}

impl Checker {
    pub(super) fn check(
        &mut self,
        bytes: &[u8; 32],
        message: &[u8],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        #[cfg(feature = "fake-crypto")]
        if crate::fake::is_on() {
            let fits = crate::fake::checksum(&[bytes, message]) == signature.0;
            return if fits { Ok(()) } else { Err(SignatureError::Mismatch) };
        }
        let key = match &mut self.key {
            Some(key) => key,
            unread @ None => {
                let key = strong_key(bytes).ok_or(SignatureError::UnusableKey)?;
                unread.insert(Box::new(key))
            }
        };
        if verifies_strictly(key, message, signature) { Ok(()) } else { Err(SignatureError::Mismatch) }
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The public key is no point of the curve, or of small order.
    #[error("the key in the channel's terms is not a usable ed25519 key")]
    UnusableKey,
    /// Not a signature of this content by this key.
    #[error("the signature is not by the channel's key over what it stands for")]
    Mismatch,
}

/// The effect of a voucher whose signature verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It pays more than any before: write it before going on.
    More,
    /// It repeats, or is older than, what is known.
    Nothing,
    /// It verifies, and waits until the ledger shows the funding that it is for: write it.
    Early,
}

/// Why a voucher is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VoucherFault {
    /// Not the client's signature.
    #[error("the voucher's signature does not verify")]
    Signature,
    /// For another funding of the channel.
    #[error("the voucher is for another epoch of the channel")]
    Epoch,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn a_voucher_counts_for_its_own_content_and_key_only() {
        let voucher = Voucher { account: ChannelId([1; 32]), epoch: 5, cumulative: Nano(300) };
        let signature = voucher.sign(&key(1));
        let public = |seed| key(seed).verifying_key().to_bytes();
        assert_eq!(voucher.verify(&public(1), &signature), Ok(()));
        for other in [
            Voucher { account: ChannelId([2; 32]), ..voucher },
            Voucher { epoch: 6, ..voucher },
            Voucher { cumulative: Nano(301), ..voucher },
        ] {
            assert_eq!(other.verify(&public(1), &signature), Err(SignatureError::Mismatch));
        }
        assert_eq!(voucher.verify(&public(2), &signature), Err(SignatureError::Mismatch));
    }

    #[test]
    fn what_is_signed_for_one_purpose_is_worthless_for_another() {
        let voucher = Voucher { account: ChannelId([1; 32]), epoch: 5, cumulative: Nano::ZERO };
        let order = CloseOrder { account: ChannelId([1; 32]), epoch: 5, cumulative: Nano::ZERO };
        let request = CloseRequest { account: ChannelId([1; 32]), epoch: 5 };
        let public = key(1).verifying_key().to_bytes();
        assert_eq!(voucher.verify(&public, &order.sign(&key(1))), Err(SignatureError::Mismatch));
        assert_eq!(order.verify(&public, &request.sign(&key(1))), Err(SignatureError::Mismatch));
        assert_eq!(order.verify(&public, &order.sign(&key(1))), Ok(()));
    }

    #[test]
    fn a_key_of_small_order_signs_for_nobody() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut trivial = [0; 64];
        trivial[0] = 1;
        let voucher = Voucher { account: ChannelId([1; 32]), epoch: 5, cumulative: Nano(300) };
        assert_eq!(voucher.verify(&neutral, &Signature(trivial)), Err(SignatureError::UnusableKey));
    }
}
