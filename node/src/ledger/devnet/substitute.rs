//! Another code in a contract's place, so that tests can be tested: the account keeps the address of the original.
//!
//! A message that deploys the original deploys the substitute instead, and an account is shown with the original.

use tycho_types::cell::{Cell, CellBuilder, HashBytes, Lazy};
use tycho_types::error::Error;
use tycho_types::models::{
    Account, AccountState, CurrencyCollection, Message, OptionalAccount, ShardAccount, StateInit, StdAddr,
    StorageInfo,
};

pub(super) struct Substitute {
    pub(super) original: Cell,
    pub(super) code: Cell,
}

impl Substitute {
    /// Returns the account `to` as the executor is to see it when `message` arrives: with the
    /// substitute's code, where the message would deploy the original.
    pub(super) fn prepare(
        &self,
        shard: ShardAccount,
        message: &Cell,
        to: &StdAddr,
        now_s: u32,
    ) -> Result<ShardAccount, Error> {
        let account = shard.load_account()?;
        let active = account.as_ref().is_some_and(|account| matches!(account.state, AccountState::Active(_)));
        let Some(init) = message.parse::<Message<'_>>()?.init.filter(|_| !active) else { return Ok(shard) };
        let deploys = init.code.as_ref().is_some_and(|code| code.repr_hash() == self.original.repr_hash());
        let address: HashBytes = *CellBuilder::build_from(&init)?.repr_hash();
        if !deploys || address != to.address {
            return Ok(shard);
        }
        let empty = Account {
            address: to.clone().into(),
            storage_stat: StorageInfo { last_paid: now_s, ..Default::default() },
            last_trans_lt: 0,
            balance: CurrencyCollection::ZERO,
            state: AccountState::Uninit,
        };
        let init = StateInit { code: Some(self.code.clone()), ..init };
        let account = Account { state: AccountState::Active(init), ..account.unwrap_or(empty) };
        Ok(ShardAccount { account: Lazy::new(&OptionalAccount(Some(account)))?, ..shard })
    }

    /// Returns what others see where `code` is.
    pub(super) fn shown(&self, code: Cell) -> Cell {
        if code.repr_hash() == self.code.repr_hash() { self.original.clone() } else { code }
    }
}
