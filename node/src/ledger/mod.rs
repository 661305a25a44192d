//! Channels on a real ledger: open, claim, close, and what it cost, over any [`Chain`].
//!
//! ```text
//! Ledger ── channel operations, waits, refusals
//!   ├─ wallet     the node's coins; only opening and topping up need them
//!   ├─ contract   messages to and state of the channel contract
//!   ├─ purse      the same of the second contract, which no operation uses yet
//!   │    └─ message    what both are made of
//!   └─ chain      the few calls that every backend offers
//!        ├─ devnet       a TVM in this process, with the two faces of a network
//!        └─ endpoints    several connections as one: fail-over, answers checked against each other
//!             ├─ toncenter    over HTTP: a devnet elsewhere, testnet, mainnet
//!             └─ liteserver   the same over ADNL, from full nodes themselves
//! ```
//!
//! Claims, closes and finalizes travel as external messages that the channel pays for, so a provider needs no coins.
//! Every operation returns when its effect is seen on the ledger, when the contract refused, or at a deadline.

mod adnl;
pub mod chain;
mod coin;
pub mod contract;
pub mod devnet;
pub mod endpoints;
mod error;
mod lite;
pub mod liteserver;
mod message;
mod payment;
pub mod purse;
pub mod toncenter;
mod wait;
pub mod wallet;

use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use bombyx_protocol::ident::Signature;

use self::chain::{Account, Chain, Transaction};
pub use self::coin::{CoinName, CoinNameError};
use self::contract::{
    ChannelMessage, ChannelState, EXTERNAL_CLAIM_MIN, MESSAGE_GAS, OPEN_SURPLUS, Refusal, TOP_UP_SURPLUS,
};
pub use self::error::LedgerError;
use self::wallet::Wallet;

/// The global id of TON's main network.
pub const MAINNET_ID: i32 = -239;
/// The global id of TON's test network.
pub const TESTNET_ID: i32 = -3;
/// How long an operation waits for its effect unless told otherwise. Blocks come every 0.4 s.
const DEADLINE: Duration = Duration::from_secs(60);

/// The channel operations of one node on one ledger.
pub struct Ledger {
    chain: Arc<dyn Chain>,
    network_id: i32,
    wallet: Option<Wallet>,
    /// Held over a transfer: the wallet executes one numbered message after the other.
    transferring: tokio::sync::Mutex<()>,
    deadline: Duration,
}

/// A channel that was just funded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Its account.
    pub account: Address,
    /// Logical time of the funding.
    pub epoch: u64,
    /// What was deposited.
    pub deposit: Nano,
}

impl Ledger {
    /// The ledger behind `chain`, whose global id is `network_id`. Without a wallet, channels cannot be opened or topped up.
    #[must_use]
    pub fn new(chain: Arc<dyn Chain>, network_id: i32, wallet: Option<Wallet>) -> Self {
        let transferring = tokio::sync::Mutex::new(());
        Self { chain, network_id, wallet, transferring, deadline: DEADLINE }
    }

    /// The same with another deadline for each operation.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The network's global id.
    #[must_use]
    pub fn network_id(&self) -> i32 {
        self.network_id
    }

    /// Which endpoints it is reached through.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.chain.name()
    }

    /// The least time between two requests that the endpoints want; zero where they do not count.
    #[must_use]
    pub fn spacing(&self) -> Duration {
        self.chain.spacing()
    }

    /// The wallet's address, if there is a wallet.
    #[must_use]
    pub fn wallet_address(&self) -> Option<Address> {
        self.wallet.as_ref().map(Wallet::address)
    }

    /// Locks `deposit` under `terms`.
    ///
    /// # Errors
    /// Any [`LedgerError`]; nothing was sent unless it is `Refused`, `Expired` or `Deadline`.
    pub async fn open(&self, terms: &ChannelTerms, deposit: Nano) -> Result<Opened, LedgerError> {
        let opened = self.open_all(&[(terms.clone(), deposit)]).await?;
        opened.first().copied().ok_or(LedgerError::NotOpen { account: terms.account() })
    }

    /// Opens several channels with one transfer, which costs less than half of opening them singly.
    ///
    /// # Errors
    /// As [`Self::open`], for the first channel that fails; the others may be open.
    pub async fn open_all(&self, channels: &[(ChannelTerms, Nano)]) -> Result<Vec<Opened>, LedgerError> {
        const OPERATION: &str = "open a channel";
        let wallet = self.wallet_for(OPERATION)?.address();
        let mut messages = Vec::new();
        let mut spent = Nano::ZERO;
        let mut before = Vec::new();
        for (terms, deposit) in channels {
            terms.check(self.network_id)?;
            if terms.client != wallet {
                return Err(LedgerError::ForeignRefund { client: terms.client, wallet });
            }
            let account = terms.account();
            let (raw, state) = self.look(account).await?;
            if state.is_some_and(|state| state.epoch != 0) {
                return Err(LedgerError::AlreadyOpen { account });
            }
            before.push((account, raw.last_lt, *deposit));
            let value = deposit.saturating_plus(OPEN_SURPLUS);
            spent = spent.saturating_plus(value);
            let message = ChannelMessage::TopUp { amount: *deposit };
            messages.push(message.internal(account, value, Some(terms)));
        }
        self.transfer(OPERATION, &messages, spent).await?;
        let mut opened = Vec::new();
        for (account, since_lt, deposit) in before {
            let funded = |state: Option<&ChannelState>| {
                state.is_some_and(|state| state.epoch != 0 && state.deposit >= deposit)
            };
            let state = self
                .reach(OPERATION, account, Some(since_lt), funded)
                .await?
                .ok_or(LedgerError::NotOpen { account })?;
            opened.push(Opened { account, epoch: state.epoch, deposit: state.deposit });
        }
        Ok(opened)
    }

    /// Adds `amount` to the deposit of an open channel.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` with [`contract::Refusal::Closing`] during a challenge period.
    pub async fn top_up(&self, account: Address, amount: Nano) -> Result<(), LedgerError> {
        const OPERATION: &str = "top up a channel";
        let (raw, before) = self.open_channel(account).await?;
        let value = amount.saturating_plus(TOP_UP_SURPLUS);
        let message = ChannelMessage::TopUp { amount }.internal(account, value, None);
        self.transfer(OPERATION, &[message], value).await?;
        let deposit = before.deposit.saturating_plus(amount);
        let added = |state: Option<&ChannelState>| {
            state.is_some_and(|state| state.epoch == before.epoch && state.deposit >= deposit)
        };
        self.reach(OPERATION, account, Some(raw.last_lt), added).await?;
        Ok(())
    }

    /// Has the provider paid up to a voucher. A claim too small for an external message goes through the wallet.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` names what is wrong with the voucher.
    pub async fn claim(&self, voucher: &Voucher, signature: Signature) -> Result<(), LedgerError> {
        const OPERATION: &str = "claim a voucher";
        let account = Address::basechain(voucher.account);
        let (raw, before) = self.open_channel(account).await?;
        let message = ChannelMessage::Claim { cumulative: voucher.cumulative, voucher: signature };
        let small = voucher.cumulative.saturating_minus(before.settled) < EXTERNAL_CLAIM_MIN;
        let since_lt = if small && voucher.cumulative > before.settled && self.wallet.is_some() {
            let message = message.internal(account, MESSAGE_GAS, None);
            self.transfer(OPERATION, &[message], MESSAGE_GAS).await?;
            Some(raw.last_lt)
        } else {
            self.send_external(OPERATION, account, message).await?;
            None
        };
        let paid = |state: Option<&ChannelState>| {
            state.is_none_or(|state| state.epoch != before.epoch || state.settled >= voucher.cumulative)
        };
        self.reach(OPERATION, account, since_lt, paid).await?;
        Ok(())
    }

    /// Closes at once for the provider: pays up to `order.cumulative`, refunds the rest, deletes the account.
    ///
    /// `voucher` is the client's signature over that total; `None` if it is settled already.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` names what is wrong with a signature or the total.
    pub async fn provider_close(
        &self,
        order: &CloseOrder,
        order_signature: Signature,
        voucher: Option<Signature>,
    ) -> Result<(), LedgerError> {
        const OPERATION: &str = "close a channel";
        let account = Address::basechain(order.account);
        let message = ChannelMessage::ProviderClose {
            cumulative: order.cumulative,
            voucher,
            order: Some(order_signature),
        };
        self.send_external(OPERATION, account, message).await?;
        self.reach(OPERATION, account, None, gone(order.epoch)).await?;
        Ok(())
    }

    /// Starts the challenge period, paid by this node's wallet, which must be the client of the terms. Returns the unix
    /// time from which [`Self::finalize`] works.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` with [`contract::Refusal::Sender`] for a stranger's wallet.
    pub async fn request_close(&self, account: Address) -> Result<u32, LedgerError> {
        const OPERATION: &str = "request the close of a channel";
        let (raw, before) = self.open_channel(account).await?;
        let message = ChannelMessage::RequestClose { request: None };
        let message = message.internal(account, MESSAGE_GAS, None);
        self.transfer(OPERATION, &[message], MESSAGE_GAS).await?;
        self.await_closing(OPERATION, account, Some(raw.last_lt), before.epoch).await
    }

    /// The same with a signature of the client's voucher key, for a client whose wallet is empty: the channel's reserve
    /// pays. Where rent has eaten the reserve, the wallet does.
    ///
    /// # Errors
    /// Any [`LedgerError`].
    pub async fn request_close_signed(
        &self,
        request: &CloseRequest,
        signature: Signature,
    ) -> Result<u32, LedgerError> {
        const OPERATION: &str = "request the close of a channel";
        let account = Address::basechain(request.account);
        let message = ChannelMessage::RequestClose { request: Some(signature) };
        match self.send_external(OPERATION, account, message).await {
            Err(LedgerError::Refused { refusal: Refusal::Value, .. }) if self.wallet.is_some() => {
                return self.request_close(account).await;
            }
            sent => sent?,
        }
        self.await_closing(OPERATION, account, None, request.epoch).await
    }

    /// Refunds the client and deletes the account, once the challenge period is over. Anyone may.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` with [`contract::Refusal::TooEarly`] before the time.
    pub async fn finalize(&self, account: Address) -> Result<(), LedgerError> {
        const OPERATION: &str = "finalize a channel";
        let (_, before) = self.open_channel(account).await?;
        self.send_external(OPERATION, account, ChannelMessage::Finalize).await?;
        self.reach(OPERATION, account, None, gone(before.epoch)).await?;
        Ok(())
    }

    /// The channel at `account`; `None` if no contract is there.
    ///
    /// # Errors
    /// [`chain::ChainError::Unreachable`] if nothing is known, [`chain::ChainError::Unreadable`] if another contract is there.
    pub async fn channel(&self, account: Address) -> Result<Option<ChannelState>, LedgerError> {
        Ok(self.look(account).await?.1)
    }

    /// Coins on an account; zero for one that nobody used.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn balance(&self, address: Address) -> Result<Nano, LedgerError> {
        Ok(self.chain.account(address).await?.balance)
    }

    /// Chain time in unix seconds, as of the newest block.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn now_s(&self) -> Result<u32, LedgerError> {
        let anyone = self.wallet_address().unwrap_or(Address::basechain([0; 32]));
        Ok(self.chain.account(anyone).await?.chain_time_s)
    }

    /// The newest transactions of an account, newest first: amounts, fees, hashes.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn transactions(
        &self,
        address: Address,
        limit: usize,
    ) -> Result<Vec<Transaction>, LedgerError> {
        Ok(self.chain.transactions(address, limit).await?)
    }

    /// What an account paid to the network in its newest `limit` transactions.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn fees_paid(&self, address: Address, limit: usize) -> Result<Nano, LedgerError> {
        Ok(self.transactions(address, limit).await?.iter().map(|transaction| transaction.fee).sum())
    }

    fn wallet_for(&self, operation: &'static str) -> Result<&Wallet, LedgerError> {
        self.wallet.as_ref().ok_or(LedgerError::NoWallet { operation })
    }

    async fn look(&self, account: Address) -> Result<(Account, Option<ChannelState>), LedgerError> {
        let raw = self.chain.account(account).await?;
        let state = ChannelState::read(account, &raw)?;
        Ok((raw, state))
    }

    async fn open_channel(&self, account: Address) -> Result<(Account, ChannelState), LedgerError> {
        match self.look(account).await? {
            (raw, Some(state)) if state.epoch != 0 => Ok((raw, state)),
            _ => Err(LedgerError::NotOpen { account }),
        }
    }

    async fn await_closing(
        &self,
        operation: &'static str,
        account: Address,
        since_lt: Option<u64>,
        epoch: u64,
    ) -> Result<u32, LedgerError> {
        let closing = |state: Option<&ChannelState>| {
            state.is_none_or(|state| state.epoch != epoch || state.close_at_s != 0)
        };
        self.reach(operation, account, since_lt, closing)
            .await?
            .filter(|state| state.epoch == epoch)
            .map(|state| state.close_at_s)
            .ok_or(LedgerError::NotOpen { account })
    }
}

/// Whether this life of the channel is over.
fn gone(epoch: u64) -> impl Fn(Option<&ChannelState>) -> bool {
    move |state| state.is_none_or(|state| state.epoch != epoch)
}
