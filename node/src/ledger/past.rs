//! What accounts paid, received and sent, from the ledger's own records: also those of channels that are gone.

use std::collections::BTreeSet;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tycho_types::error::Error;

use super::chain::{Message, Transaction};
use super::contract;
use super::error::LedgerError;
use super::message::load_coins;
use super::state::Ledger;

/// The wallet's newest transactions that are read: what one request to every kind of endpoint brings.
const WALLET_TRANSACTIONS_MAX: usize = 100;
/// Transactions of one channel's life that are read; a channel has a handful.
const CHANNEL_TRANSACTIONS_MAX: usize = 50;
/// Channels that a wallet's past names at the most, the newest ones.
const PAID_INTO_MAX: usize = 32;

/// What an account's newest transactions did to its coins, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Past {
    entries: Vec<Entry>,
    /// Whether there may be older ones.
    is_cut: bool,
}

/// What one of them did.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    lt: u64,
    /// What it cost whoever owns the account.
    fee: Nano,
    /// What the provider had been paid after it, where it was paid by it.
    settled: Option<Nano>,
    came: Option<Coins>,
    left: Vec<Coins>,
    /// The channels that it paid into.
    deposited_to: Vec<ChannelId>,
    /// Whether a contract was there after it.
    stands: bool,
}

/// Coins that a message brings from one account to another. Its time names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Coins {
    other: Address,
    lt: u64,
    value: Nano,
}

/// Coins between accounts, by what the past of both tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Crossing {
    /// Sent, and not seen to have arrived: on no account.
    pub(crate) on_its_way: Nano,
    /// Arrived, and not seen to have left, since the sender was looked at earlier: on both accounts.
    pub(crate) twice: Nano,
}

/// A wallet at one moment.
#[derive(Debug, Clone)]
pub(crate) struct WalletView {
    pub(crate) address: Address,
    pub(crate) balance: Nano,
    /// What has led to it; nothing where the ledger does not tell.
    pub(crate) past: Option<Past>,
}

impl Past {
    /// Reads an account's newest transactions, newest first, of which `limit` were asked for.
    fn of(transactions: &[Transaction], limit: usize) -> Self {
        let is_cut = transactions.len() >= limit;
        let mut entries = Vec::new();
        let mut before = (!is_cut).then_some(Nano::ZERO);
        for one in transactions.iter().rev() {
            let settled = settled_by(one);
            entries.push(Entry {
                lt: one.lt,
                fee: settled.map_or(one.fee, |settled| fee_beside(one, settled, before)),
                settled,
                came: one.incoming.as_ref().and_then(|message| Coins::of(message.from, message)),
                left: one.outgoing.iter().filter_map(|message| Coins::of(message.to, message)).collect(),
                deposited_to: one.outgoing.iter().filter_map(deposited_to).collect(),
                stands: one.stands,
            });
            before = settled.or(before);
        }
        entries.reverse();
        Self { entries, is_cut }
    }

    /// Returns what has led to the account whose newest transaction is of this time; nothing where it is not among these.
    pub(crate) fn until(mut self, lt: u64) -> Option<Self> {
        self.entries.retain(|entry| entry.lt <= lt);
        (self.entries.first().map_or(0, |entry| entry.lt) == lt).then_some(self)
    }

    /// Returns what has led to an account without a contract.
    pub(crate) fn until_gone(mut self) -> Self {
        let newer = self.entries.iter().take_while(|entry| entry.stands).count();
        self.entries.drain(..newer);
        self
    }

    /// Returns whether nothing is told of the account.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns whether the account had a contract, and has none any more.
    fn is_over(&self) -> bool {
        self.entries.first().is_some_and(|entry| !entry.stands)
    }

    /// Returns what the account paid to the network, for gas, rent, and the forwarding of what it sent; without what its provider bore.
    pub(crate) fn fees(&self) -> Nano {
        self.entries.iter().map(|entry| entry.fee).sum()
    }

    /// Returns the part of these fees that came after what an earlier past of the account tells.
    pub(crate) fn fees_since(&self, earlier: Option<&Self>) -> Nano {
        let known = earlier.and_then(|earlier| earlier.entries.first()).map_or(0, |entry| entry.lt);
        self.entries.iter().filter(|entry| entry.lt > known).map(|entry| entry.fee).sum()
    }

    /// Returns what the account of a channel paid to its provider.
    pub(crate) fn settled(&self) -> Nano {
        self.entries.iter().filter_map(|entry| entry.settled).max().unwrap_or(Nano::ZERO)
    }

    /// Returns the channels that a wallet paid into.
    pub(crate) fn paid_into(&self) -> BTreeSet<ChannelId> {
        let mut accounts = BTreeSet::new();
        for account in self.entries.iter().flat_map(|entry| &entry.deposited_to) {
            if accounts.len() < PAID_INTO_MAX {
                accounts.insert(*account);
            }
        }
        accounts
    }

    /// Returns whether what happened at this time is older than what was read.
    fn is_before(&self, lt: u64) -> bool {
        self.is_cut && self.entries.last().is_some_and(|oldest| lt < oldest.lt)
    }

    /// Adds what an account with this past has sent to another with that past.
    fn send_to(&self, own: Address, other: Address, there: &Self, crossing: &mut Crossing) {
        let left = self.entries.iter().flat_map(|entry| &entry.left).filter(|coins| coins.other == other);
        let came = there.entries.iter().filter_map(|entry| entry.came.as_ref());
        let came = came.filter(|coins| coins.other == own);
        let left_at: BTreeSet<u64> = left.clone().map(|coins| coins.lt).collect();
        let came_at: BTreeSet<u64> = came.clone().map(|coins| coins.lt).collect();
        let under_way = left.filter(|coins| !came_at.contains(&coins.lt) && !there.is_before(coins.lt));
        let early = came.filter(|coins| !left_at.contains(&coins.lt) && !self.is_before(coins.lt));
        crossing.on_its_way =
            under_way.fold(crossing.on_its_way, |sum, coins| sum.saturating_plus(coins.value));
        crossing.twice = early.fold(crossing.twice, |sum, coins| sum.saturating_plus(coins.value));
    }
}

impl Coins {
    fn of(other: Option<Address>, message: &Message) -> Option<Self> {
        Some(Self { other: other?, lt: message.created_lt, value: message.value })
    }
}

impl WalletView {
    /// Adds what is between the wallet, which has this past, and a channel.
    pub(crate) fn cross(&self, own: &Past, channel: ChannelId, there: &Past, crossing: &mut Crossing) {
        own.send_to(self.address, channel.address(), there, crossing);
        there.send_to(channel.address(), self.address, own, crossing);
    }

    /// Returns whether a channel is closed and its coins have come back, so that it will not change any more.
    pub(crate) fn is_done_with(&self, channel: ChannelId, there: &Past) -> bool {
        let mut crossing = Crossing::default();
        self.past.as_ref().inspect(|own| self.cross(own, channel, there, &mut crossing));
        there.is_over() && self.past.is_some() && crossing == Crossing::default()
    }
}

impl Ledger {
    /// Returns what a channel's account has done.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger does not answer.
    pub(crate) async fn past(&self, account: ChannelId) -> Result<Past, LedgerError> {
        let transactions = self.transactions(account.address(), CHANNEL_TRANSACTIONS_MAX).await?;
        Ok(Past::of(&transactions, CHANNEL_TRANSACTIONS_MAX))
    }

    /// Returns a wallet with what has led to what it holds.
    ///
    /// # Errors
    /// [`LedgerError`] when the ledger does not tell what it holds.
    pub(crate) async fn wallet_view(&self, address: Address) -> Result<WalletView, LedgerError> {
        let account = self.chain.account(address).await?;
        let transactions = self.transactions(address, WALLET_TRANSACTIONS_MAX).await.ok();
        let past = transactions.map(|list| Past::of(&list, WALLET_TRANSACTIONS_MAX));
        let past = past.and_then(|past| past.until(account.last_lt));
        Ok(WalletView { address, balance: account.balance, past })
    }
}

/// Returns the account that a message brings a deposit to, if it does.
pub(crate) fn deposited_to(message: &Message) -> Option<ChannelId> {
    let to = message.to.filter(|to| to.workchain == 0)?;
    let code = message.body.as_slice().ok()?.load_u32().ok()?;
    (contract::operation(code) == Some("top up")).then_some(ChannelId(to.hash))
}

/// Returns what a transaction that paid the provider cost the client. A claim is paid for out of what is claimed, and by what its
/// sender attached. (`ST-11`)
fn fee_beside(one: &Transaction, settled: Nano, before: Option<Nano>) -> Nano {
    let Some(before) = before else { return Nano::ZERO };
    let value = |message: Option<&Message>| message.map_or(Nano::ZERO, |message| message.value);
    let left = one.fee.saturating_plus(value(one.outgoing.first()));
    left.saturating_minus(value(one.incoming.as_ref())).saturating_minus(settled.saturating_minus(before))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fees_of_what_happened_since_are_known_also_where_older_ones_drop_out_of_what_is_read() {
        let entry = |lt, fee| Entry {
            lt,
            fee: Nano(fee),
            settled: None,
            came: None,
            left: Vec::new(),
            deposited_to: Vec::new(),
            stands: true,
        };
        let before = Past { entries: vec![entry(3, 1), entry(2, 1), entry(1, 50)], is_cut: true };
        let after = Past { entries: vec![entry(4, 7), entry(3, 1), entry(2, 1)], is_cut: true };
        assert!(after.fees() < before.fees());
        assert_eq!(after.fees_since(Some(&before)), Nano(7));
        assert_eq!(after.fees_since(Some(&after)), Nano::ZERO);
        assert_eq!(after.fees_since(None), after.fees(), "an account that is new");
    }
}
