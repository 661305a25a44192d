//! What is signed for one lane of a purse: a client's voucher and a provider's close order.
//!
//! Each is the hash of one cell: a tag of 32 bits, the purse's account (256), the lane (8), its epoch (64), the cumulative
//! amount (coins). The tags are not those of a channel, so no signature counts for both.

use ed25519_dalek::SigningKey;

use super::cell::CellBuilder;
use super::voucher::{SignatureError, sign, verify};
use crate::amount::Nano;
use crate::ident::Signature;

const TAG_LANE_VOUCHER: u32 = 0x4258_5611;
const TAG_LANE_CLOSE: u32 = 0x4258_5612;

/// The client's promise that the lane's provider may take `cumulative` from the lane, in all. (`ST-7`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct LaneVoucher {
    /// Hash of the purse's account.
    pub account: [u8; 32],
    /// Index of the lane.
    pub lane: u8,
    /// Logical time of the transaction that opened the lane.
    pub epoch: u64,
    /// Everything paid from the lane since then.
    pub cumulative: Nano,
}

/// The provider's order to close its lane now with `cumulative` as the last total. (`ST-7`)
///
/// Anyone may bring it to the ledger at any later time: a provider signs it only when it serves no more in this epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct LaneClose {
    /// Hash of the purse's account.
    pub account: [u8; 32],
    /// Index of the lane.
    pub lane: u8,
    /// Logical time of the transaction that opened the lane.
    pub epoch: u64,
    /// The last total, covered by a voucher unless it is settled already.
    pub cumulative: Nano,
}

impl LaneVoucher {
    /// Returns what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        signed_hash(TAG_LANE_VOUCHER, &self.account, self.lane, self.epoch, self.cumulative)
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

impl LaneClose {
    /// Returns what is signed.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        signed_hash(TAG_LANE_CLOSE, &self.account, self.lane, self.epoch, self.cumulative)
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

fn signed_hash(tag: u32, account: &[u8; 32], lane: u8, epoch: u64, cumulative: Nano) -> [u8; 32] {
    CellBuilder::new()
        .uint(u64::from(tag), 32)
        .bytes32(account)
        .uint(u64::from(lane), 8)
        .uint(epoch, 64)
        .coins(cumulative)
        .finish()
        .hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::voucher::Voucher;

    #[test]
    fn a_voucher_counts_for_its_own_lane_epoch_purse_amount_and_key_only() {
        let key = |seed: u8| SigningKey::from_bytes(&[seed; 32]);
        let public = |seed| key(seed).verifying_key().to_bytes();
        let voucher = LaneVoucher { account: [1; 32], lane: 3, epoch: 5, cumulative: Nano(300) };
        let signature = voucher.sign(&key(1));
        assert_eq!(voucher.verify(&public(1), &signature), Ok(()));
        for other in [
            LaneVoucher { account: [2; 32], ..voucher },
            LaneVoucher { lane: 4, ..voucher },
            LaneVoucher { epoch: 6, ..voucher },
            LaneVoucher { cumulative: Nano(301), ..voucher },
        ] {
            assert_eq!(other.verify(&public(1), &signature), Err(SignatureError::Mismatch), "{other:?}");
        }
        assert_eq!(voucher.verify(&public(2), &signature), Err(SignatureError::Mismatch));
        let LaneVoucher { account, lane, epoch, cumulative } = voucher;
        let order = LaneClose { account, lane, epoch, cumulative };
        assert_eq!(order.verify(&public(1), &signature), Err(SignatureError::Mismatch));
        let channel = Voucher { account: crate::channel::id::ChannelId(account), epoch, cumulative };
        assert_eq!(channel.verify(&public(1), &signature), Err(SignatureError::Mismatch));
    }
}
