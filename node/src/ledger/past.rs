//! Channels that are gone from the ledger: what they cost, from the wallet's own history.

use std::collections::BTreeSet;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;

use super::chain::Message;
use super::contract;
use super::error::LedgerError;
use super::state::Ledger;

/// Channels that are looked up at the most, the newest ones.
const CLOSED_MAX: usize = 32;
/// Transactions of one channel's life whose fees are added up.
const TRANSACTIONS_MAX: usize = 50;

impl Ledger {
    /// Returns the fees that channels took which this wallet has paid into among its newest `limit` transactions and which are
    /// gone; nothing where the ledger tells no history of one of them any more.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger does not answer.
    pub async fn fees_of_closed(&self, limit: usize) -> Result<Option<Nano>, LedgerError> {
        let Some(wallet) = self.wallet_address() else { return Ok(Some(Nano::ZERO)) };
        let history = self.transactions(wallet, limit).await?;
        let sent = history.iter().filter(|transaction| !transaction.aborted);
        let paid_into = sent.flat_map(|transaction| &transaction.outgoing).filter_map(deposited_to);
        let (mut fees, mut counted) = (Nano::ZERO, BTreeSet::new());
        for account in paid_into {
            if counted.len() >= CLOSED_MAX || !counted.insert(account) {
                continue;
            }
            if self.chain.account(account.address()).await?.contract.is_some() {
                continue;
            }
            let life = self.transactions(account.address(), TRANSACTIONS_MAX).await?;
            if life.is_empty() {
                return Ok(None);
            }
            fees = fees.saturating_plus(life.iter().map(|transaction| transaction.fee).sum());
        }
        Ok(Some(fees))
    }
}

/// Returns the account that a message brings a deposit to, if it does.
pub(crate) fn deposited_to(message: &Message) -> Option<ChannelId> {
    let to = message.to.filter(|to| to.workchain == 0)?;
    let code = message.body.as_slice().ok()?.load_u32().ok()?;
    (contract::operation(code) == Some("top up")).then_some(ChannelId(to.hash))
}
