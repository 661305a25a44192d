//! What a liteserver shows in cells: an account, with the part of the shard's state that names it.

use bombyx_protocol::channel::terms::Address;
use tycho_types::boc::Boc;
use tycho_types::boc::de::{BocHeader, Options};
use tycho_types::cell::{Cell, CellFamily as _, CellSlice, HashBytes, Load};
use tycho_types::dict::AugDict;
use tycho_types::error::Error;
use tycho_types::merkle::MerkleProof;
use tycho_types::models::{AccountState, DepthBalanceInfo, OptionalAccount};

use crate::ledger::chain::{Account, ChainError, Contract, nano};

/// Roots of one bag of cells; a list of transactions has the most.
pub(super) const ROOTS_MAX: usize = 100;
/// What a state of a whole shard begins with.
const SHARD_STATE_TAG: u32 = 0x9023_afe2;

/// What a server shows of an account.
pub(super) struct AccountReading {
    pub(super) account: Account,
    pub(super) network_id: i32,
    /// Logical time and hash of the newest transaction; zero for none.
    pub(super) last: (u64, HashBytes),
}

impl AccountReading {
    /// Reads an account from the part of the shard's state that names it.
    pub(super) fn read(
        address: Address,
        time_s: u32,
        proof: &[u8],
        state: &[u8],
    ) -> Result<Self, ChainError> {
        let unreadable =
            |error| ChainError::unreadable(format!("the shard's state of a liteserver: {error}"));
        // The head of the block, then the state that it leads to.
        let proofs = roots(proof)?;
        let root =
            proofs.get(1).ok_or_else(|| ChainError::unreadable("an account without its shard's state"))?;
        let shard = root.parse_exotic::<MerkleProof>().map_err(unreadable)?.cell;
        let shard = Cell::virtualize(shard);
        let (network_id, entry) = named_in(&shard, address).map_err(unreadable)?;
        let mut account =
            Account { balance: Default::default(), contract: None, last_lt: 0, chain_time_s: time_s };
        let Some(entry) = entry else {
            return Ok(Self { account, network_id, last: (0, HashBytes::ZERO) });
        };
        let state = Boc::decode(state).map_err(|_| ChainError::unreadable("an account's state"))?;
        if state.repr_hash() != entry.account.repr_hash() {
            return Err(ChainError::unreadable(
                "an account's state: it is not the one that the shard's state names",
            ));
        }
        account.last_lt = entry.last_lt;
        if let OptionalAccount(Some(raw)) = state.parse().map_err(unreadable)? {
            account.balance = nano(raw.balance.tokens.into_inner())?;
            if let AccountState::Active(state) = raw.state {
                let (code, data) = (state.code.unwrap_or_default(), state.data.unwrap_or_default());
                account.contract = Some(Contract { code, data });
            }
        }
        Ok(Self { account, network_id, last: (entry.last_lt, entry.last_hash) })
    }
}

/// An account in a shard's state. A proof has no more of the account itself than its hash.
struct Entry {
    account: Cell,
    last_hash: HashBytes,
    last_lt: u64,
}

impl<'a> Load<'a> for Entry {
    fn load_from(slice: &mut CellSlice<'a>) -> Result<Self, Error> {
        Ok(Self {
            account: slice.load_reference_cloned()?,
            last_hash: slice.load_u256()?,
            last_lt: slice.load_u64()?,
        })
    }
}

/// Returns the network of a shard's state, and the account's entry in it. Reads no more than a proof has: the head, and the
/// way to the account.
fn named_in(shard: &Cell, address: Address) -> Result<(i32, Option<Entry>), Error> {
    let mut head = shard.as_slice()?;
    if head.load_u32()? != SHARD_STATE_TAG {
        return Err(Error::InvalidTag);
    }
    let network_id = head.load_u32()?.cast_signed();
    let accounts = shard.reference_cloned(1).ok_or(Error::CellUnderflow)?;
    let accounts = AugDict::<HashBytes, DepthBalanceInfo, Entry>::load_from(&mut accounts.as_slice()?)?;
    let entry = accounts.get(HashBytes(address.hash))?;
    Ok((network_id, entry.map(|(_, entry)| entry)))
}

/// Returns the roots of a bag of cells, in their order.
pub(super) fn roots(boc: &[u8]) -> Result<Vec<Cell>, ChainError> {
    let unreadable = |_| ChainError::unreadable("a bag of cells of a liteserver");
    let options = Options { min_roots: None, max_roots: Some(ROOTS_MAX) };
    let header = BocHeader::decode(boc, &options).map_err(unreadable)?;
    let cells = header.finalize(Cell::empty_context()).map_err(unreadable)?;
    Ok(header.roots().iter().filter_map(|root| cells.get(*root)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_in_place_of_an_account_is_an_error() {
        let address = Address::basechain([1; 32]);
        let empty = Boc::encode(Cell::default());
        let two = Boc::encode_pair((Cell::default(), Cell::default()));
        for proof in [&[][..], &[0xb5; 40], &empty, &two] {
            assert!(AccountReading::read(address, 0, proof, &empty).is_err());
        }
    }
}
