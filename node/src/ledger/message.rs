//! What messages and states of both contracts are made of.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::Signature;
use tycho_types::cell::{Cell, CellBuilder, CellFamily as _, CellSlice, Load as _, Store as _};
use tycho_types::error::Error;
use tycho_types::models::{
    CurrencyCollection, ExtInMsgInfo, IntAddr, MsgInfo, OwnedMessage, OwnedRelaxedMessage, RelaxedIntMsgInfo,
    RelaxedMsgInfo, StateInit,
};
use tycho_types::num::Tokens;

use super::chain::{Account, ChainError, address_of, nano, std_address};

/// Nobody asks which answer belongs to which message: the effect is looked for on the ledger.
const QUERY_ID: u64 = 0;

/// Returns a message from outside the ledger.
pub(super) fn external(account: Address, body: Result<Cell, Error>) -> Result<Cell, Error> {
    CellBuilder::build_from(&OwnedMessage {
        info: MsgInfo::ExtIn(ExtInMsgInfo {
            src: None,
            dst: IntAddr::Std(std_address(account)),
            import_fee: Tokens::ZERO,
        }),
        init: None,
        body: body?.into(),
        layout: None,
    })
}

/// Returns a message for a wallet to send.
pub(super) fn internal(
    account: Address,
    value: Nano,
    init: Option<StateInit>,
    body: Result<Cell, Error>,
) -> Result<Cell, Error> {
    CellBuilder::build_from(&OwnedRelaxedMessage {
        info: RelaxedMsgInfo::Int(RelaxedIntMsgInfo {
            bounce: true,
            dst: IntAddr::Std(std_address(account)),
            value: CurrencyCollection::new(u128::from(value.0)),
            ..Default::default()
        }),
        init,
        body: body?.into(),
        layout: None,
    })
}

pub(super) fn store_coins(builder: &mut CellBuilder, amount: Nano) -> Result<(), Error> {
    Tokens::new(u128::from(amount.0)).store_into(builder, Cell::empty_context())
}

/// Returns the beginning of a body: operation and query id.
pub(super) fn start(operation: u32) -> Result<CellBuilder, Error> {
    let mut body = CellBuilder::new();
    body.store_u32(operation)?;
    body.store_u64(QUERY_ID)?;
    Ok(body)
}

/// Returns the end of a closing body: the last total, its voucher (zeros when it is settled
/// already) and the provider's order.
pub(super) fn store_close(
    body: &mut CellBuilder,
    cumulative: Nano,
    voucher: Option<Signature>,
    order: Option<Signature>,
) -> Result<(), Error> {
    store_coins(body, cumulative)?;
    body.store_raw(&voucher.map_or([0; 64], |signature| signature.0), 512)?;
    body.store_bit(order.is_some())?;
    if let Some(order) = order {
        let mut cell = CellBuilder::new();
        cell.store_raw(&order.0, 512)?;
        body.store_reference(cell.build()?)?;
    }
    Ok(())
}

/// Returns the data of the contract of this code at `address`; `None` if nothing lives there.
pub(super) fn data_of<'account>(
    account: &'account Account,
    address: Address,
    code: &[u8; 32],
    what: &str,
) -> Result<Option<&'account Cell>, ChainError> {
    let Some(contract) = &account.contract else { return Ok(None) };
    if contract.code.repr_hash().0 != *code {
        let found = format!("the contract at {address} is not {what} of this version");
        return Err(ChainError::unreadable(found));
    }
    Ok(Some(&contract.data))
}

pub(super) fn load_coins(slice: &mut CellSlice<'_>) -> Result<Nano, ChainError> {
    nano(Tokens::load_from(slice).map_err(ChainError::unreadable)?.into_inner())
}

pub(super) fn load_address(slice: &mut CellSlice<'_>) -> Result<Address, ChainError> {
    let address = IntAddr::load_from(slice).map_err(ChainError::unreadable)?;
    address_of(&address).ok_or_else(|| ChainError::unreadable("a variable-length address"))
}
