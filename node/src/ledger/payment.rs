//! Plain payments of the node's wallet: coins to any address, without a contract behind it.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tycho_types::cell::{Cell, CellBuilder};
use tycho_types::models::{
    CurrencyCollection, IntAddr, OwnedRelaxedMessage, RelaxedIntMsgInfo, RelaxedMsgInfo,
};

use super::chain::std_address;
use super::error::LedgerError;
use super::state::Ledger;

const OPERATION: &str = "send coins";

impl Ledger {
    /// Sends coins from this node's wallet and waits until the wallet has done so. They do not come back from an address
    /// that nobody uses: such a message is not bounced.
    ///
    /// # Errors
    /// Any [`LedgerError`]; nothing was sent, and nothing will be, unless it is [`LedgerError::Unknown`].
    pub async fn send(&self, to: Address, amount: Nano) -> Result<(), LedgerError> {
        let mut turn = self.turn(OPERATION).await?;
        self.transfer(&mut turn, OPERATION, &[message(to, amount)], amount).await
    }

    /// Returns the most that [`Self::send`] can send now: what the wallet holds but for the fee.
    ///
    /// # Errors
    /// [`LedgerError::Balance`] when that is nothing, [`LedgerError::Chain`] when it is not known, [`LedgerError::NoWallet`].
    pub async fn sendable(&self) -> Result<Nano, LedgerError> {
        let wallet = self.wallet_for(OPERATION)?.address();
        let (have, need) = (self.balance(wallet).await?, self.transfer_fee_max(1).await);
        if have <= need {
            return Err(LedgerError::Balance { operation: OPERATION, wallet, have, need });
        }
        Ok(have.saturating_minus(need))
    }

    /// Checks that the wallet holds what opening a channel with this deposit takes.
    ///
    /// # Errors
    /// [`LedgerError::Balance`] says what is missing; [`LedgerError::Chain`] when nothing is known.
    pub async fn can_open(&self, deposit: Nano) -> Result<(), LedgerError> {
        self.can_spend("open a channel", deposit.saturating_plus(self.opening_surplus().await)).await
    }

    /// Checks that the wallet holds what adding this amount to a channel takes.
    ///
    /// # Errors
    /// As [`Self::can_open`].
    pub async fn can_add(&self, amount: Nano) -> Result<(), LedgerError> {
        self.can_spend("add to a channel", amount.saturating_plus(self.addition_surplus().await)).await
    }

    async fn can_spend(&self, operation: &'static str, need: Nano) -> Result<(), LedgerError> {
        let wallet = self.wallet_for(operation)?.address();
        let have = self.balance(wallet).await?;
        if have < need {
            return Err(LedgerError::Balance { operation, wallet, have, need });
        }
        Ok(())
    }
}

fn message(to: Address, amount: Nano) -> Cell {
    let message = OwnedRelaxedMessage {
        info: RelaxedMsgInfo::Int(RelaxedIntMsgInfo {
            bounce: false,
            dst: IntAddr::Std(std_address(to)),
            value: CurrencyCollection::new(u128::from(amount.0)),
            ..Default::default()
        }),
        init: None,
        body: Cell::default().into(),
        layout: None,
    };
    CellBuilder::build_from(&message).expect("a message without a body fits into a cell")
}
