//! A purse: one client's coins on one account, divided into lanes. Its terms, its address, and the orders of its client.
//!
//! The payment machines use a channel per provider; the purse is the second contract, for clients with many providers.

use ed25519_dalek::SigningKey;

use super::cell::{CellBuilder, CellHash};
use super::terms::{Address, CHALLENGE_S_MAX, TermsError};
use super::voucher::{SignatureError, sign, verify};
use crate::amount::Nano;
use crate::ident::{Signature, strong_key};

/// Hash and depth of the compiled contract, `protocol/contracts/purse.boc`.
pub const PURSE_CODE: CellHash = CellHash {
    hash: [
        0x99, 0xb2, 0xe1, 0xc7, 0xab, 0x7e, 0x16, 0x65, 0x3d, 0x7e, 0x64, 0xa4, 0x8f, 0x74, 0x1d, 0x3b, 0x44,
        0xc1, 0x60, 0x67, 0xbe, 0x9a, 0xcf, 0x4c, 0x8b, 0x55, 0xe6, 0xc7, 0x76, 0x78, 0x88, 0xf2,
    ],
    depth: 9,
};

/// The compiled contract as a bag of cells, for those who deploy it.
pub const PURSE_CODE_BOC: &[u8] = include_bytes!("../../contracts/purse.boc");

const TAG_PURSE_ORDER: u32 = 0x4258_5613;

/// Bits that a cell holds.
const CELL_BITS: u32 = 1_023;

/// The terms of one purse; they never change during its life. Who is paid is a matter of its lanes. (`ST-1`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PurseTerms {
    /// The network's global id (mainnet -239, testnet -3): the same terms give another address elsewhere.
    pub network_id: i32,
    /// Any number; tells apart several purses of one client.
    pub salt: u64,
    /// Seconds between the client's wish to shrink a lane and the earliest moment when it shrinks.
    pub challenge_s: u32,
    /// Public key under which the client signs vouchers and orders. Never the key of its wallet.
    pub client_key: [u8; 32],
    /// Where what no lane holds returns; may order by message.
    pub client: Address,
}

impl PurseTerms {
    /// Returns the account that a purse with these terms lives at.
    #[must_use]
    pub fn account(&self) -> Address {
        // Turn (64 bits), number of lanes (16), what is locked (a zero amount), ..., no lanes.
        let data = CellBuilder::new()
            .uint(0, 64)
            .uint(0, 16)
            .uint(0, 4)
            .uint(u64::from(self.network_id.cast_unsigned()), 32)
            .uint(self.salt, 64)
            .uint(u64::from(self.challenge_s), 32)
            .bytes32(&self.client_key)
            .address(self.client.workchain, &self.client.hash)
            .uint(0, 1)
            .finish();
        // A state init with code and data, and nothing else.
        let init = CellBuilder::new().uint(0b00110, 5).reference(PURSE_CODE).reference(data);
        Address::basechain(init.finish().hash)
    }

    /// Returns whether a careful party may use a purse of these terms, on the network it is on.
    /// (`ST-2`)
    ///
    /// # Errors
    /// [`TermsError`] names the first term that is not acceptable.
    pub fn check(&self, network_id: i32) -> Result<(), TermsError> {
        if self.network_id != network_id {
            return Err(TermsError::Network { theirs: self.network_id, ours: network_id });
        }
        if self.client.workchain != 0 {
            return Err(TermsError::Workchain);
        }
        if self.challenge_s == 0 || self.challenge_s > CHALLENGE_S_MAX {
            return Err(TermsError::Challenge { seconds: self.challenge_s });
        }
        strong_key(&self.client_key).map(drop).ok_or(TermsError::ClientKey)
    }
}

/// One change to one lane. (`ST-5`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Cut {
    /// A new lane on a free index.
    Open {
        /// Its index.
        lane: u8,
        /// Account in workchain 0 that is paid.
        provider: [u8; 32],
        /// Public key under which the provider signs its close order.
        provider_key: [u8; 32],
        /// What the lane may pay.
        amount: Nano,
    },
    /// More for a lane, at once; calls off a shrink.
    Grow {
        /// Its index.
        lane: u8,
        /// How much more.
        amount: Nano,
    },
    /// Less for a lane, after the challenge time.
    Shrink {
        /// Its index.
        lane: u8,
        /// The deposit that is to be left, counted like vouchers from the lane's opening; zero ends the lane.
        keep: Nano,
    },
    /// Carries out a shrink whose time has come. What is settled by then stays in the lane's deposit.
    Finalize {
        /// Its index.
        lane: u8,
    },
}

impl Cut {
    fn bits(&self) -> u32 {
        let coins = |amount: &Nano| {
            let bytes = 64u32.saturating_sub(amount.0.leading_zeros()).div_ceil(8);
            bytes.saturating_mul(8).saturating_add(4)
        };
        let rest = match self {
            Self::Open { amount, .. } => coins(amount).saturating_add(512),
            Self::Grow { amount, .. } => coins(amount),
            Self::Shrink { keep, .. } => coins(keep),
            Self::Finalize { .. } => 0,
        };
        rest.saturating_add(10)
    }

    fn store(&self, cell: CellBuilder) -> CellBuilder {
        let start = |kind, lane: u8| cell.uint(kind, 2).uint(u64::from(lane), 8);
        match self {
            Self::Open { lane, provider, provider_key, amount } => {
                start(0b00, *lane).bytes32(provider).bytes32(provider_key).coins(*amount)
            }
            Self::Grow { lane, amount } => start(0b01, *lane).coins(*amount),
            Self::Shrink { lane, keep } => start(0b10, *lane).coins(*keep),
            Self::Finalize { lane } => start(0b11, *lane),
        }
    }
}

/// What a client orders: cuts one after the other, then a withdrawal or the end of the purse. All of it happens, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PurseOrder {
    /// Returns all coins and deletes the account. No lane may be left.
    pub end: bool,
    /// Returns this much of what no lane holds; zero for nothing.
    pub withdraw: Nano,
    /// Changes to lanes.
    pub cuts: Vec<Cut>,
}

impl PurseOrder {
    /// Returns the cuts as they share cells: each group stands in one cell, behind the order's
    /// first words in the first, and refers to the next. There is at least one group, and the first
    /// may be empty.
    #[must_use]
    pub fn groups(&self) -> Vec<&[Cut]> {
        let mut groups = Vec::new();
        let mut rest = self.cuts.as_slice();
        // The flag, and an amount of at most eight bytes.
        let mut used = 69u32;
        loop {
            let fits = rest.iter().take_while(|cut| {
                used = used.saturating_add(cut.bits());
                used <= CELL_BITS
            });
            let (group, more) = rest.split_at(fits.count());
            groups.push(group);
            if more.is_empty() {
                return groups;
            }
            (rest, used) = (more, 0);
        }
    }

    /// Returns the hash of the order's first cell.
    #[must_use]
    pub fn content_hash(&self) -> [u8; 32] {
        let groups = self.groups();
        let mut next = None;
        for (index, group) in groups.iter().enumerate().rev() {
            let mut cell = CellBuilder::new();
            if index == 0 {
                cell = cell.uint(u64::from(self.end), 1).coins(self.withdraw);
            }
            cell = group.iter().fold(cell, |cell, cut| cut.store(cell));
            if let Some(next) = next {
                cell = cell.reference(next);
            }
            next = Some(cell.finish());
        }
        next.map_or([0; 32], |first| first.hash)
    }

    /// Returns what is signed to give this order from outside: it counts once, in the purse's present turn. (`ST-8`)
    #[must_use]
    pub fn hash(&self, account: &[u8; 32], turn: u64) -> [u8; 32] {
        CellBuilder::new()
            .uint(u64::from(TAG_PURSE_ORDER), 32)
            .bytes32(account)
            .uint(turn, 64)
            .bytes32(&self.content_hash())
            .finish()
            .hash
    }

    /// Signs with the client's voucher key, for a client whose wallet is empty.
    #[must_use]
    pub fn sign(&self, account: &[u8; 32], turn: u64, client_key: &SigningKey) -> Signature {
        sign(&self.hash(account, turn), client_key)
    }

    /// Checks a signature by the client's voucher key.
    ///
    /// # Errors
    /// [`SignatureError`] says whether the key or the signature is at fault.
    pub fn verify(
        &self,
        account: &[u8; 32],
        turn: u64,
        client_key: &[u8; 32],
        signature: &Signature,
    ) -> Result<(), SignatureError> {
        verify(&self.hash(account, turn), client_key, signature)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn terms() -> PurseTerms {
        PurseTerms {
            network_id: -239,
            salt: 1,
            challenge_s: 3600,
            client_key: SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes(),
            client: Address::basechain([3; 32]),
        }
    }

    #[test]
    fn every_term_changes_the_account() {
        let changes: [fn(&mut PurseTerms); 5] = [
            |t| t.network_id = -3,
            |t| t.salt = 2,
            |t| t.challenge_s += 1,
            |t| t.client_key[0] ^= 1,
            |t| t.client.hash[31] ^= 1,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = terms();
            change(&mut other);
            assert_ne!(other.account(), terms().account(), "term {index}");
        }
    }

    /// (`ST-2`)
    #[test]
    fn careless_terms_are_refused() {
        let with = |change: fn(&mut PurseTerms)| {
            let mut terms = terms();
            change(&mut terms);
            terms.check(-239)
        };
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|t| t.network_id = -3), Err(TermsError::Network { theirs: -3, ours: -239 }));
        assert_eq!(with(|t| t.client.workchain = -1), Err(TermsError::Workchain));
        assert_eq!(with(|t| t.challenge_s = 0), Err(TermsError::Challenge { seconds: 0 }));
        let seconds = CHALLENGE_S_MAX + 1;
        assert_eq!(with(|t| t.challenge_s = CHALLENGE_S_MAX + 1), Err(TermsError::Challenge { seconds }));
        assert_eq!(with(|t| t.client_key = [0; 32]), Err(TermsError::ClientKey));
    }

    /// (`ST-8`)
    #[test]
    fn an_order_counts_for_its_own_content_purse_and_turn_only() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let public = key.verifying_key().to_bytes();
        let order = PurseOrder { cuts: vec![Cut::Finalize { lane: 1 }], ..PurseOrder::default() };
        let signature = order.sign(&[1; 32], 7, &key);
        assert_eq!(order.verify(&[1; 32], 7, &public, &signature), Ok(()));
        assert_eq!(order.verify(&[2; 32], 7, &public, &signature), Err(SignatureError::Mismatch));
        assert_eq!(order.verify(&[1; 32], 8, &public, &signature), Err(SignatureError::Mismatch));
        for other in [
            PurseOrder { end: true, ..order.clone() },
            PurseOrder { withdraw: Nano(1), ..order.clone() },
            PurseOrder { cuts: vec![Cut::Finalize { lane: 2 }], ..order.clone() },
            PurseOrder { cuts: vec![Cut::Shrink { lane: 1, keep: Nano::ZERO }], ..order.clone() },
        ] {
            assert_eq!(other.verify(&[1; 32], 7, &public, &signature), Err(SignatureError::Mismatch));
        }
    }

    #[test]
    fn cuts_fill_one_cell_after_the_other() {
        let open = Cut::Open { lane: 0, provider: [1; 32], provider_key: [2; 32], amount: Nano(u64::MAX) };
        let order = |cuts| PurseOrder { cuts, ..PurseOrder::default() };
        assert_eq!(order(vec![]).groups(), [&[][..]]);
        assert_eq!(order(vec![open; 3]).groups().iter().map(|group| group.len()).collect::<Vec<_>>(), [1; 3]);
        let small = order(vec![Cut::Finalize { lane: 9 }; 200]);
        assert_eq!(small.groups().iter().map(|group| group.len()).collect::<Vec<_>>(), [95, 102, 3]);
    }
}
