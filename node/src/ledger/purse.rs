//! The purse contract from outside: its messages and its state.
//!
//! The node's payments use channels. This is what a client with many providers needs to use a purse instead.

use std::collections::BTreeMap;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::purse::{Cut, PURSE_CODE, PURSE_CODE_BOC, PurseOrder, PurseTerms};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::Signature;
use tycho_types::boc::Boc;
use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, CellSlice, HashBytes, Load as _, Store as _};
use tycho_types::dict::Dict;
use tycho_types::error::Error;
use tycho_types::models::StateInit;

use super::chain::{Account, ChainError, std_address};
use super::message::{
    data_of, external, internal, load_address, load_coins, start, store_close, store_coins,
};
use super::prices::Prices;

const OP_ARRANGE: u32 = 0x4258_0101;
const OP_CLAIM: u32 = 0x4258_0102;
const OP_CLOSE_LANE: u32 = 0x4258_0103;

const OP_PAYOUT: u32 = 0x4258_0111;
const OP_REFUND: u32 = 0x4258_0112;

/// Returns what a message with this number asks of a purse, or tells for it.
#[must_use]
pub(crate) fn operation(code: u32) -> Option<&'static str> {
    Some(match code {
        OP_ARRANGE => "arrange lanes",
        OP_CLAIM => "claim from a lane",
        OP_CLOSE_LANE => "close a lane",
        OP_PAYOUT => "payout of a lane",
        OP_REFUND => "refund of a purse",
        _ => return None,
    })
}

/// Everything that can be said to the contract. (`ST-1`)
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PurseMessage {
    /// Plain coins.
    TopUp,
    /// The client's order.
    Arrange {
        /// What it wants.
        order: PurseOrder,
        /// Its signature, unless its wallet is the sender.
        signature: Option<Signature>,
    },
    /// Pays a lane's provider up to a voucher.
    Claim {
        /// Index of the lane.
        lane: u8,
        /// The voucher's total.
        cumulative: Nano,
        /// The client's signature under it.
        voucher: Signature,
    },
    /// Last payment of a lane, and its end.
    CloseLane {
        /// Index of the lane.
        lane: u8,
        /// The last total.
        cumulative: Nano,
        /// The client's signature, unless the total is settled already.
        voucher: Option<Signature>,
        /// The provider's signature, unless its account is the sender.
        order: Option<Signature>,
    },
}

impl PurseMessage {
    /// Returns this message from outside the ledger; nobody pays for sending it.
    #[must_use]
    pub fn external(&self, account: Address) -> Cell {
        external(account, self.body()).expect("the messages of the contract fit into cells")
    }

    /// Returns this message from a wallet, with `value` attached. `terms` deploy the contract on
    /// the way.
    #[must_use]
    pub fn internal(&self, account: Address, value: Nano, terms: Option<&PurseTerms>) -> Cell {
        let init = terms.map(state_init).transpose();
        init.and_then(|init| internal(account, value, init, self.body()))
            .expect("the messages of the contract fit into cells")
    }

    pub(super) fn body(&self) -> Result<Cell, Error> {
        let mut body;
        match self {
            Self::TopUp => return Ok(Cell::default()),
            Self::Arrange { order, signature } => {
                body = start(OP_ARRANGE)?;
                body.store_reference(order_cell(order)?)?;
                body.store_bit(signature.is_some())?;
                if let Some(signature) = signature {
                    body.store_raw(&signature.0, 512)?;
                }
            }
            Self::Claim { lane, cumulative, voucher } => {
                body = start(OP_CLAIM)?;
                body.store_u8(*lane)?;
                store_coins(&mut body, *cumulative)?;
                body.store_raw(&voucher.0, 512)?;
            }
            Self::CloseLane { lane, cumulative, voucher, order } => {
                body = start(OP_CLOSE_LANE)?;
                body.store_u8(*lane)?;
                store_close(&mut body, *cumulative, *voucher, *order)?;
            }
        }
        body.build()
    }
}

fn order_cell(order: &PurseOrder) -> Result<Cell, Error> {
    let mut next: Option<Cell> = None;
    for (index, group) in order.groups().iter().enumerate().rev() {
        let mut cell = CellBuilder::new();
        if index == 0 {
            cell.store_bit(order.end)?;
            store_coins(&mut cell, order.withdraw)?;
        }
        for cut in *group {
            store_cut(&mut cell, cut)?;
        }
        if let Some(next) = next {
            cell.store_reference(next)?;
        }
        next = Some(cell.build()?);
    }
    next.ok_or(Error::InvalidData)
}

fn store_cut(cell: &mut CellBuilder, cut: &Cut) -> Result<(), Error> {
    let mut start = |kind, lane: u8| -> Result<(), Error> {
        cell.store_small_uint(kind, 2)?;
        cell.store_u8(lane)
    };
    match cut {
        Cut::Open { lane, provider, provider_key, amount } => {
            start(0b00, *lane)?;
            cell.store_u256(&HashBytes(*provider))?;
            cell.store_u256(&HashBytes(*provider_key))?;
            store_coins(cell, *amount)
        }
        Cut::Grow { lane, amount } => {
            start(0b01, *lane)?;
            store_coins(cell, *amount)
        }
        Cut::Shrink { lane, keep } => {
            start(0b10, *lane)?;
            store_coins(cell, *keep)
        }
        Cut::Finalize { lane } => start(0b11, *lane),
    }
}

/// Returns code and data of a purse before its first coins.
pub(super) fn state_init(terms: &PurseTerms) -> Result<StateInit, Error> {
    let mut data = CellBuilder::new();
    data.store_u64(0)?;
    data.store_u16(0)?;
    store_coins(&mut data, Nano::ZERO)?;
    data.store_u32(terms.network_id.cast_unsigned())?;
    data.store_u64(terms.salt)?;
    data.store_u32(terms.challenge_s)?;
    data.store_u256(&HashBytes(terms.client_key))?;
    std_address(terms.client).store_into(&mut data, Cell::empty_context())?;
    data.store_bit(false)?;
    Ok(StateInit {
        code: Some(Boc::decode(PURSE_CODE_BOC).map_err(|_| Error::InvalidData)?),
        data: Some(data.build()?),
        ..Default::default()
    })
}

/// A lane as the ledger holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneState {
    /// Account in workchain 0 that is paid.
    pub provider: [u8; 32],
    /// Public key of its close orders.
    pub provider_key: [u8; 32],
    /// Logical time of the transaction that opened it.
    pub epoch: u64,
    /// Everything deposited in this epoch.
    pub deposit: Nano,
    /// Everything paid to the provider in this epoch.
    pub settled: Nano,
    /// Unix time from which the client may shrink it; 0 while nothing is asked.
    pub shrink_at_s: u32,
    /// The deposit after that; zero ends the lane.
    pub keep: Nano,
}

/// A purse as the ledger holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurseState {
    /// What the account was made from; checked against its address.
    pub terms: PurseTerms,
    /// Logical time of the last order, which the next one from outside names; 0 while unfunded.
    pub turn: u64,
    /// What all lanes together may still pay.
    pub locked: Nano,
    /// The lanes by index.
    pub lanes: BTreeMap<u8, LaneState>,
    /// Coins on the account.
    pub balance: Nano,
    /// Unix time of the block that this was read from.
    pub chain_time_s: u32,
}

impl PurseState {
    /// Reads the purse at `address`; `None` if there is no contract.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if what lives there is not a purse made from its own terms.
    pub fn read(address: Address, account: &Account) -> Result<Option<Self>, ChainError> {
        let Some(data) = data_of(account, address, &PURSE_CODE.hash, "a purse")? else { return Ok(None) };
        let state = Self::parse(account, data)?;
        if state.terms.account() != address {
            return Err(ChainError::unreadable(format!(
                "the purse at {address} was not made from the terms it shows"
            )));
        }
        Ok(Some(state))
    }

    /// Returns what lanes may still be cut from, or be withdrawn: what neither they nor the
    /// reserves hold. The fee of the order itself comes out of it as well.
    #[must_use]
    pub fn free(&self, prices: &Prices) -> Nano {
        let reserves = prices.purse_reserve(self.lanes.len());
        self.balance.saturating_minus(self.locked).saturating_minus(reserves)
    }

    /// Returns what `provider` can still be sure to be paid from a lane: nothing unless the lane pays it, ends by its key, is not
    /// about to shrink, and all lanes are covered. (`ST-9`)
    #[must_use]
    pub fn headroom(&self, lane: u8, provider: Address, provider_key: &[u8; 32]) -> Nano {
        let covered = self.balance >= self.locked;
        let lane = self.lanes.get(&lane).filter(|lane| {
            Address::basechain(lane.provider) == provider
                && lane.provider_key == *provider_key
                && lane.shrink_at_s == 0
        });
        lane.filter(|_| covered).map_or(Nano::ZERO, |lane| lane.deposit.saturating_minus(lane.settled))
    }

    fn parse(account: &Account, data: &Cell) -> Result<Self, ChainError> {
        let unreadable = |error: Error| ChainError::unreadable(error);
        let mut slice = data.as_slice().map_err(unreadable)?;
        let turn = slice.load_u64().map_err(unreadable)?;
        let lane_count = slice.load_u16().map_err(unreadable)?;
        let locked = load_coins(&mut slice)?;
        let network_id = slice.load_u32().map_err(unreadable)?.cast_signed();
        let salt = slice.load_u64().map_err(unreadable)?;
        let challenge_s = slice.load_u32().map_err(unreadable)?;
        let client_key = slice.load_u256().map_err(unreadable)?.0;
        let client = load_address(&mut slice)?;
        let mut lanes = BTreeMap::new();
        let list = Dict::<u8, CellSlice<'_>>::load_from(&mut slice).map_err(unreadable)?;
        for entry in list.iter() {
            let (index, mut lane) = entry.map_err(unreadable)?;
            lanes.insert(index, LaneState::load(&mut lane)?);
        }
        if lanes.len() != usize::from(lane_count) {
            return Err(ChainError::unreadable("a purse with another number of lanes than it says"));
        }
        Ok(Self {
            terms: PurseTerms { network_id, salt, challenge_s, client_key, client },
            turn,
            locked,
            lanes,
            balance: account.balance,
            chain_time_s: account.chain_time_s,
        })
    }
}

impl LaneState {
    fn load(slice: &mut CellSlice<'_>) -> Result<Self, ChainError> {
        let unreadable = |error: Error| ChainError::unreadable(error);
        Ok(Self {
            provider: slice.load_u256().map_err(unreadable)?.0,
            provider_key: slice.load_u256().map_err(unreadable)?.0,
            epoch: slice.load_u64().map_err(unreadable)?,
            deposit: load_coins(slice)?,
            settled: load_coins(slice)?,
            shrink_at_s: slice.load_u32().map_err(unreadable)?,
            keep: load_coins(slice)?,
        })
    }
}
