//! Channels on a real ledger: open, claim, close, and what it cost, over any [`Chain`].
//!
//! ```text
//! Ledger ── channel operations, waits, refusals
//!   ├─ wallet     the node's coins; only opening and topping up need them
//!   ├─ contract   messages to and state of the channel contract
//!   ├─ purse      the same of the second contract, which no operation uses yet
//!   │    └─ message    what both are made of
//!   ├─ prices     what the network charges, and what the contracts ask for at that
//!   └─ chain      the few calls that every backend offers
//!        ├─ devnet       a TVM in this process, with the two faces of a network
//!        └─ endpoints    several connections as one: fail-over, answers checked against each other
//!             ├─ toncenter    over HTTP: a devnet elsewhere, testnet, mainnet
//!             └─ liteserver   the same over ADNL, from full nodes themselves
//! ```
//!
//! Claims, closes and finalizes travel as external messages that the channel pays for, so a provider needs no coins.
//! Every operation returns when its effect is seen on the ledger, when the contract refused, or at a deadline; what an
//! endpoint answers to a message decides nothing. (`LE-6`)

mod adnl;
pub mod chain;
mod coin;
pub mod contract;
pub mod devnet;
pub mod endpoints;
mod error;
pub mod limits;
mod lite;
pub mod liteserver;
mod message;
mod payment;
pub mod prices;
pub mod purse;
pub mod toncenter;
mod transfer;
mod turns;
mod wait;
pub mod wallet;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, Voucher};
use bombyx_protocol::ident::Signature;

use self::chain::{Account, Chain, Priority, Transaction};
pub use self::coin::{CoinName, CoinNameError};
use self::contract::{ChannelMessage, ChannelState, Refusal};
pub use self::error::LedgerError;
use self::prices::Prices;
use self::transfer::Transfer;
use self::wait::Sent;
use self::wallet::{TRANSFER_LIFE, Wallet};

/// The global id of TON's main network.
pub const MAINNET_ID: i32 = -239;
/// The global id of TON's test network.
pub const TESTNET_ID: i32 = -3;
/// How long an operation waits for its effect unless told otherwise. Blocks come every 0.4 s.
const DEADLINE: Duration = Duration::from_secs(60);
/// How long prices count as known: they change by a vote of validators, which takes days.
const PRICES_AGE_MAX: Duration = Duration::from_secs(3_600);
/// For how long a node that heard no prices does not ask again.
const PRICES_REST: Duration = Duration::from_secs(60);
/// Where no endpoint tells prices, and none ever did, a node reckons with this many times [`Prices::TODAY`].
const PRICES_MARGIN: u64 = 2;

/// The channel operations of one node on one ledger. Clones share the wallet, and the turns at each service.
#[derive(Clone)]
pub struct Ledger {
    /// For looks that somebody asks for.
    chain: Arc<dyn Chain>,
    /// The same connection for operations, which go before all looks.
    acting: Arc<dyn Chain>,
    network_id: i32,
    wallet: Option<Arc<Wallet>>,
    /// Held over what the wallet pays: it executes one numbered message after the other. In it is the last transfer whose
    /// fate is open.
    transfers: Arc<tokio::sync::Mutex<Option<Transfer>>>,
    transfer_life: Duration,
    /// What the network charged when it was last asked, and until when that counts.
    prices: Arc<tokio::sync::Mutex<Option<(Instant, Prices)>>>,
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
        let (looking, acting) = (chain.with_priority(Priority::Look), chain.with_priority(Priority::Act));
        let wallet = wallet.map(Arc::new);
        Self {
            chain: looking,
            acting,
            network_id,
            wallet,
            transfers: Arc::default(),
            transfer_life: TRANSFER_LIFE,
            prices: Arc::default(),
            deadline: DEADLINE,
        }
    }

    /// The same ledger, whose looks (channels, balances, histories) take their turns with this priority. They are
    /// [`Priority::Look`] at first. Operations go before them in any case.
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { chain: self.acting.with_priority(priority), ..self.clone() }
    }

    /// The same with another deadline for each operation.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// The same with another time, in whole seconds, for which a signed transfer can be executed.
    #[must_use]
    pub fn with_transfer_life(self, transfer_life: Duration) -> Self {
        Self { transfer_life, ..self }
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
        self.wallet.as_deref().map(Wallet::address)
    }

    /// Locks `deposit` under `terms`.
    ///
    /// One that this wallet has sent already and that has not arrived yet is waited for and not sent again. (`LE-9`)
    ///
    /// # Errors
    /// Any [`LedgerError`]; [`LedgerError::may_be_sent`] tells whether the coins may have left.
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
        for (terms, _) in channels {
            terms.check(self.network_id)?;
            if terms.client != wallet {
                return Err(LedgerError::ForeignRefund { client: terms.client, wallet });
            }
        }
        let mut turn = self.turn(OPERATION).await?;
        let surplus = self.prices().await.open_surplus();
        let mut messages = Vec::new();
        let mut spent = Nano::ZERO;
        let mut before = Vec::new();
        for (terms, deposit) in channels {
            let account = terms.account();
            let (raw, state) = self.look(account).await?;
            if state.is_some_and(|state| state.epoch != 0) {
                return Err(LedgerError::AlreadyOpen { account });
            }
            before.push((account, raw.last_lt, *deposit));
            if self.is_on_its_way(account, &raw).await? {
                continue;
            }
            let value = deposit.saturating_plus(surplus);
            spent = spent.saturating_plus(value);
            let message = ChannelMessage::TopUp { amount: *deposit };
            messages.push(message.internal(account, value, Some(terms)));
        }
        if !messages.is_empty() {
            self.transfer(&mut turn, OPERATION, &messages, spent).await?;
        }
        drop(turn);
        let mut opened = Vec::new();
        for (account, since_lt, deposit) in before {
            let funded = |state: Option<&ChannelState>| {
                state.is_some_and(|state| state.epoch != 0 && state.deposit >= deposit)
            };
            let state = self
                .reach(OPERATION, account, Sent::ByWallet { since_lt }, funded)
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
        let mut turn = self.turn(OPERATION).await?;
        let (raw, before) = self.open_channel(account).await?;
        let value = amount.saturating_plus(self.prices().await.top_up_surplus());
        let message = ChannelMessage::TopUp { amount }.internal(account, value, None);
        self.transfer(&mut turn, OPERATION, &[message], value).await?;
        drop(turn);
        let deposit = before.deposit.saturating_plus(amount);
        let added = |state: Option<&ChannelState>| {
            state.is_some_and(|state| state.epoch == before.epoch && state.deposit >= deposit)
        };
        self.reach(OPERATION, account, Sent::ByWallet { since_lt: raw.last_lt }, added).await?;
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
        let prices = self.prices().await;
        let small = voucher.cumulative.saturating_minus(before.settled) < prices.claim_min();
        let sent = if small && voucher.cumulative > before.settled && self.wallet.is_some() {
            let gas = prices.message_gas();
            let message = message.internal(account, gas, None);
            let mut turn = self.turn(OPERATION).await?;
            self.transfer(&mut turn, OPERATION, &[message], gas).await?;
            Sent::ByWallet { since_lt: raw.last_lt }
        } else {
            self.send_external(OPERATION, account, message).await?
        };
        // Where rent has left less than a voucher proves, what was there is paid and counts.
        let paid = |state: Option<&ChannelState>| {
            state.is_none_or(|state| {
                let emptied = state.settled > before.settled && state.balance == Nano::ZERO;
                state.epoch != before.epoch || state.settled >= voucher.cumulative || emptied
            })
        };
        self.reach(OPERATION, account, sent, paid).await?;
        Ok(())
    }

    /// Closes at once for the provider: pays up to `order.cumulative`, refunds the rest, deletes the account.
    ///
    /// `voucher` is the client's signature over that total; `None` if it is settled already. Where rent has eaten what pays
    /// for a close, the wallet does.
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
        let sent = match self.send_external(OPERATION, account, message).await {
            Err(LedgerError::Refused { refusal: Refusal::Value, .. }) if self.wallet.is_some() => {
                let message =
                    ChannelMessage::ProviderClose { cumulative: order.cumulative, voucher, order: None };
                self.send_by_wallet(OPERATION, account, message).await?
            }
            sent => sent?,
        };
        self.reach(OPERATION, account, sent, gone(order.epoch)).await?;
        Ok(())
    }

    /// What the channel could not pay for from outside, with coins of the wallet.
    async fn send_by_wallet(
        &self,
        operation: &'static str,
        account: Address,
        message: ChannelMessage,
    ) -> Result<Sent, LedgerError> {
        let (raw, _) = self.open_channel(account).await?;
        let gas = self.prices().await.message_gas();
        let mut turn = self.turn(operation).await?;
        self.transfer(&mut turn, operation, &[message.internal(account, gas, None)], gas).await?;
        Ok(Sent::ByWallet { since_lt: raw.last_lt })
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
        let gas = self.prices().await.message_gas();
        let message = message.internal(account, gas, None);
        let mut turn = self.turn(OPERATION).await?;
        self.transfer(&mut turn, OPERATION, &[message], gas).await?;
        drop(turn);
        self.await_closing(OPERATION, account, Sent::ByWallet { since_lt: raw.last_lt }, before.epoch).await
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
        let sent = match self.send_external(OPERATION, account, message).await {
            Err(LedgerError::Refused { refusal: Refusal::Value, .. }) if self.wallet.is_some() => {
                return self.request_close(account).await;
            }
            sent => sent?,
        };
        self.await_closing(OPERATION, account, sent, request.epoch).await
    }

    /// Refunds the client and deletes the account, once the challenge period is over. Anyone may. Where rent has eaten what
    /// pays for it, the wallet does.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` with [`contract::Refusal::TooEarly`] before the time.
    pub async fn finalize(&self, account: Address) -> Result<(), LedgerError> {
        const OPERATION: &str = "finalize a channel";
        let (_, before) = self.open_channel(account).await?;
        let sent = match self.send_external(OPERATION, account, ChannelMessage::Finalize).await {
            Err(LedgerError::Refused { refusal: Refusal::Value, .. }) if self.wallet.is_some() => {
                self.send_by_wallet(OPERATION, account, ChannelMessage::Finalize).await?
            }
            sent => sent?,
        };
        self.reach(OPERATION, account, sent, gone(before.epoch)).await?;
        Ok(())
    }

    /// The channel at `account`; `None` if no contract is there.
    ///
    /// # Errors
    /// [`chain::ChainError::Unreachable`] if nothing is known, [`chain::ChainError::Unreadable`] if another contract is there.
    pub async fn channel(&self, account: Address) -> Result<Option<ChannelState>, LedgerError> {
        let raw = self.chain.account(account).await?;
        Ok(ChannelState::read(account, &raw)?)
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

    /// What the network charges. Where nobody tells, what it charged last, or twice the usual.
    pub async fn prices(&self) -> Prices {
        let mut known = self.prices.lock().await;
        if let Some((until, prices)) = *known
            && Instant::now() < until
        {
            return prices;
        }
        let (age, prices) = match self.acting.prices().await {
            Ok(Some(prices)) => (PRICES_AGE_MAX, prices.believed()),
            outcome => {
                tracing::debug!(?outcome, "the network's prices are unknown");
                let margin = || Prices::TODAY.times(PRICES_MARGIN, 1);
                (PRICES_REST, known.map_or_else(margin, |(_, prices)| prices))
            }
        };
        *known = Some((Instant::now() + age, prices));
        prices
    }

    fn wallet_for(&self, operation: &'static str) -> Result<&Wallet, LedgerError> {
        self.wallet.as_deref().ok_or(LedgerError::NoWallet { operation })
    }

    /// Looks at a channel for an operation.
    async fn look(&self, account: Address) -> Result<(Account, Option<ChannelState>), LedgerError> {
        let raw = self.acting.account(account).await?;
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
        sent: Sent,
        epoch: u64,
    ) -> Result<u32, LedgerError> {
        let closing = |state: Option<&ChannelState>| {
            state.is_none_or(|state| state.epoch != epoch || state.close_at_s != 0)
        };
        self.reach(operation, account, sent, closing)
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
