//! What channels cost and paid out, from the ledger's own records: also those that are gone.

use std::collections::BTreeSet;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use tycho_types::error::Error;

use super::chain::{Message, Transaction};
use super::contract;
use super::error::LedgerError;
use super::message::load_coins;
use super::state::Ledger;

/// Channels that are looked up at the most, the newest ones.
const OTHERS_MAX: usize = 32;
/// Transactions of one channel's life that are read; a channel has a handful.
const TRANSACTIONS_MAX: usize = 50;

/// What the account of a channel paid in its life.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChannelLife {
    /// To the network: gas, rent, and the forwarding of what it sent.
    pub fees: Nano,
    /// To the provider.
    pub settled: Nano,
}

impl ChannelLife {
    /// Adds up an account's transactions; nothing where there are none, because the ledger has forgotten them or never had any.
    #[must_use]
    pub fn of(transactions: &[Transaction]) -> Option<Self> {
        (!transactions.is_empty()).then(|| Self {
            fees: transactions.iter().map(|transaction| transaction.fee).sum(),
            settled: transactions.iter().filter_map(settled_by).max().unwrap_or(Nano::ZERO),
        })
    }
}

impl Ledger {
    /// Returns what a channel's account has paid; nothing where the ledger tells no transaction of it.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger does not answer.
    pub async fn life(&self, account: ChannelId) -> Result<Option<ChannelLife>, LedgerError> {
        Ok(ChannelLife::of(&self.transactions(account.address(), TRANSACTIONS_MAX).await?))
    }

    /// Returns the fees of the channels that this wallet has paid into among its newest `limit` transactions, but for those that
    /// are `listed` and counted there; nothing where the ledger tells no history of one of them any more. So each channel counts
    /// once, whatever is known of it: open, closing, closed or forgotten.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger does not answer.
    pub async fn fees_of_others(
        &self,
        listed: &BTreeSet<ChannelId>,
        limit: usize,
    ) -> Result<Option<Nano>, LedgerError> {
        let Some(wallet) = self.wallet_address() else { return Ok(Some(Nano::ZERO)) };
        let history = self.transactions(wallet, limit).await?;
        let sent = history.iter().filter(|transaction| !transaction.aborted);
        let paid_into = sent.flat_map(|transaction| &transaction.outgoing).filter_map(deposited_to);
        let (mut fees, mut counted) = (Nano::ZERO, BTreeSet::new());
        for account in paid_into.filter(|account| !listed.contains(account)) {
            if counted.len() >= OTHERS_MAX || !counted.insert(account) {
                continue;
            }
            let Some(life) = self.life(account).await? else { return Ok(None) };
            fees = fees.saturating_plus(life.fees);
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

/// Returns what had been settled after a transaction that paid the provider.
fn settled_by(transaction: &Transaction) -> Option<Nano> {
    let told: Vec<(&str, Nano)> = transaction.outgoing.iter().filter_map(cumulative).collect();
    match told.as_slice() {
        // A close without a payout sends the refund alone.
        [("refund", _)] | [] => None,
        [(_, cumulative), ..] => Some(*cumulative),
    }
}

/// Returns the total that a channel tells a party whom it pays, with what it is paid for.
fn cumulative(message: &Message) -> Option<(&'static str, Nano)> {
    let read = || {
        let mut body = message.body.as_slice()?;
        let operation = contract::operation(body.load_u32()?).ok_or(Error::InvalidTag)?;
        // The number of the query that it answers.
        body.load_u64()?;
        Ok::<_, Error>((operation, body))
    };
    let (operation, mut body) = read().ok()?;
    matches!(operation, "payout" | "refund").then(|| Some((operation, load_coins(&mut body).ok()?))).flatten()
}
