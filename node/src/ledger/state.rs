//! One node's connection to one ledger, and what is known over it between two operations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tycho_types::cell::HashBytes;

use super::chain::{Account, Chain, Priority, Transaction};
use super::contract::ChannelAccount;
use super::departures::Departures;
use super::error::LedgerError;
use super::prices::Prices;
use super::wallet::{TRANSFER_LIFE, Wallet};

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
    pub(super) chain: Arc<dyn Chain>,
    /// The same connection for operations, which go before all looks.
    pub(super) acting: Arc<dyn Chain>,
    pub(super) network_id: i32,
    pub(super) wallet: Option<Arc<Wallet>>,
    /// Held over what the wallet pays: it executes one numbered message after the other. In it is the last transfer whose
    /// fate is open.
    pub(super) transfers: Arc<tokio::sync::Mutex<Option<Transfer>>>,
    pub(super) transfer_life: Duration,
    /// Whether coins may be leaving the wallet, and when they last did.
    pub(super) departures: Departures,
    /// What the network charged when it was last asked, and until when that counts.
    pub(super) prices: Arc<tokio::sync::Mutex<Option<(Instant, Prices)>>>,
    pub(super) deadline: Duration,
}

/// A signed transfer that may be on its way.
#[derive(Debug, Clone)]
pub(super) struct Transfer {
    pub(super) operation: &'static str,
    pub(super) seqno: u32,
    pub(super) valid_until_s: u32,
    /// The wallet's newest transaction when it was signed.
    pub(super) since_lt: u64,
    /// How many messages it carries.
    pub(super) carries: usize,
    pub(super) boc: Vec<u8>,
    /// What names it in the wallet's history.
    pub(super) body: HashBytes,
}

impl Ledger {
    /// Creates the ledger behind `chain`, whose global id is `network_id`. Without a wallet,
    /// channels cannot be opened or topped up.
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
            departures: Departures::default(),
            prices: Arc::default(),
            deadline: DEADLINE,
        }
    }

    /// Returns the same ledger, whose looks (channels, balances, histories) take their turns with
    /// this priority. They are [`Priority::Look`] at first. Operations go before them in any case.
    #[must_use]
    pub fn with_priority(&self, priority: Priority) -> Self {
        Self { chain: self.acting.with_priority(priority), ..self.clone() }
    }

    /// Returns the same with another deadline for each operation.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Returns the same with another time, in whole seconds, for which a signed transfer can be
    /// executed.
    #[must_use]
    pub fn with_transfer_life(self, transfer_life: Duration) -> Self {
        Self { transfer_life, ..self }
    }

    /// Returns the network's global id.
    #[must_use]
    pub fn network_id(&self) -> i32 {
        self.network_id
    }

    /// Returns which endpoints it is reached through.
    #[must_use]
    pub fn endpoint(&self) -> String {
        self.chain.name()
    }

    /// Returns the least time between two requests that the endpoints want; zero where they do not
    /// count.
    #[must_use]
    pub fn spacing(&self) -> Duration {
        self.chain.spacing()
    }

    /// Returns the wallet's address, if there is a wallet.
    #[must_use]
    pub fn wallet_address(&self) -> Option<Address> {
        self.wallet.as_deref().map(Wallet::address)
    }

    /// Returns whether coins may be leaving the wallet, and when they last did.
    pub(crate) fn departures(&self) -> &Departures {
        &self.departures
    }

    /// Returns the channel at `account`; `None` if no contract is there.
    ///
    /// # Errors
    /// [`super::chain::ChainError::Unreachable`] if nothing is known, [`super::chain::ChainError::Unreadable`] if another contract is there.
    pub async fn channel(&self, account: Address) -> Result<Option<ChannelAccount>, LedgerError> {
        let raw = self.chain.account(account).await?;
        Ok(ChannelAccount::read(account, &raw)?)
    }

    /// Coins on an account; zero for one that nobody used.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn balance(&self, address: Address) -> Result<Nano, LedgerError> {
        Ok(self.chain.account(address).await?.balance)
    }

    /// Returns whether an account holds nothing and has no contract: the ledger has never seen it, or has begun anew.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn is_unused(&self, address: Address) -> Result<bool, LedgerError> {
        let account = self.chain.account(address).await?;
        Ok(account.balance == Nano::ZERO && account.contract.is_none())
    }

    /// Returns the chain time in unix seconds, as of the newest block.
    ///
    /// # Errors
    /// [`LedgerError::Chain`].
    pub async fn now_s(&self) -> Result<u32, LedgerError> {
        let anyone = self.wallet_address().unwrap_or(Address::basechain([0; 32]));
        Ok(self.chain.account(anyone).await?.chain_time_s)
    }

    /// Returns the newest transactions of an account, newest first: amounts, fees, hashes.
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

    /// Returns what the network charges. Where nobody tells, what it charged last, or twice the
    /// usual.
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

    pub(super) fn wallet_for(&self, operation: &'static str) -> Result<&Wallet, LedgerError> {
        self.wallet.as_deref().ok_or(LedgerError::NoWallet { operation })
    }

    /// Looks at a channel for an operation.
    pub(super) async fn look(
        &self,
        account: Address,
    ) -> Result<(Account, Option<ChannelAccount>), LedgerError> {
        let raw = self.acting.account(account).await?;
        let state = ChannelAccount::read(account, &raw)?;
        Ok((raw, state))
    }

    pub(super) async fn open_channel(
        &self,
        account: Address,
    ) -> Result<(Account, ChannelAccount), LedgerError> {
        match self.look(account).await? {
            (raw, Some(state)) if state.epoch != 0 => Ok((raw, state)),
            _ => Err(LedgerError::NotOpen { account }),
        }
    }
}
