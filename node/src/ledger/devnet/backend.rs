//! The devnet as a [`Chain`] of this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bombyx_protocol::channel::terms::Address;
use futures::FutureExt as _;
use num_bigint::{BigInt, Sign};
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;
use tycho_vm::RcStackValue;

use super::chain::State;
use super::config::DEVNET_ID;
use super::substitute::Substitute;

use crate::ledger::chain::{Account, Chain, ChainError, Priority, Reply, Transaction};
use crate::ledger::coin::CoinName;
use crate::ledger::prices::Prices;

/// A handle on a devnet; clones share it.
#[derive(Clone)]
pub struct Devnet {
    state: Arc<Mutex<State>>,
    /// What its page calls the coin.
    coin: CoinName,
}

impl Devnet {
    /// Creates a devnet on the machine's clock.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if the built-in configuration does not load, which is a bug.
    pub fn new() -> Result<Self, ChainError> {
        Self::with(State::new(None)?)
    }

    /// Returns a devnet whose clock starts at `now_s` (unix seconds) and stands still but for
    /// [`Self::advance`].
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_manual_clock(now_s: u32) -> Result<Self, ChainError> {
        Self::with(State::new(Some(now_s))?)
    }

    fn with(state: State) -> Result<Self, ChainError> {
        Ok(Self { state: Arc::new(Mutex::new(state)), coin: CoinName::default() })
    }

    /// Returns the same with another name of the coin on its page.
    #[must_use]
    pub fn naming(self, coin: CoinName) -> Self {
        Self { coin, ..self }
    }

    pub(super) fn coin(&self) -> &CoinName {
        &self.coin
    }

    /// Returns the same with blocks: a message from outside is executed in the next one
    /// ([`Self::produce_block`]), and a message between accounts `hop` blocks after the one that
    /// sent it. Without this everything happens at once.
    #[must_use]
    pub fn in_blocks(self, hop: u32) -> Self {
        self.state().gather_in_blocks(hop);
        self
    }

    /// Makes the next block; see [`Self::in_blocks`].
    pub fn produce_block(&self) {
        self.state().produce_block();
    }

    /// Makes a block every `interval`, for ever.
    pub async fn produce_blocks(self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.produce_block();
        }
    }

    /// Returns the same with another code wherever `original` is deployed, under the original's
    /// address and shown as the original. It is for tests of tests: does a suite notice that a
    /// contract is wrong?
    #[must_use]
    pub fn substituting(self, original: Cell, code: Cell) -> Self {
        self.state().substitute = Some(Substitute { original, code });
        self
    }

    /// Charges other prices from now on, as after a vote of validators.
    ///
    /// # Errors
    /// [`ChainError::Unreadable`] if no configuration can hold them.
    pub fn charge(&self, prices: &Prices) -> Result<(), ChainError> {
        self.state().charge(prices)
    }

    /// Returns the configuration with the present prices, serialised.
    #[must_use]
    pub fn configuration(&self) -> Option<Vec<u8>> {
        self.state().configuration().map(Boc::encode)
    }

    /// Stops the clock at a unix time; only [`Self::advance`] moves it then.
    pub fn stop_clock(&self, now_s: u32) {
        self.state().stop_clock(now_s);
    }

    /// Moves chain time forward. Never more than the life of what clients signed against it.
    pub fn advance(&self, seconds: u32) {
        self.state().advance(seconds);
    }

    /// Returns the chain time in unix seconds.
    #[must_use]
    pub fn now_s(&self) -> u32 {
        self.state().now_s()
    }

    /// Returns all fees ever collected, in nano: what the faucet gave less what accounts hold.
    #[must_use]
    pub fn fees_collected(&self) -> u128 {
        let state = self.state();
        state.minted().saturating_sub(state.total_balance())
    }

    /// Runs a get-method that takes and returns unsigned integers; other values are left out.
    ///
    /// # Errors
    /// [`ChainError::Refused`] with the exit code if there is no contract, or it throws.
    pub fn get_method(
        &self,
        address: Address,
        name: &str,
        arguments: &[u64],
    ) -> Result<Vec<BigInt>, ChainError> {
        let arguments = arguments.iter().map(|n| RcStackValue::new_dyn_value(BigInt::from(*n))).collect();
        let answer = self.state().get_method(address, method_id(name), arguments)?;
        match answer {
            Some(answer) if answer.exit_code == 0 || answer.exit_code == 1 => Ok(answer
                .stack
                .iter()
                .filter_map(|value| value.as_int())
                .filter(|number| number.sign() != Sign::Minus)
                .cloned()
                .collect()),
            Some(answer) => Err(ChainError::Refused {
                exit_code: Some(answer.exit_code),
                reason: format!("{name} stopped with exit code {}", answer.exit_code),
            }),
            None => Err(ChainError::Refused { exit_code: None, reason: format!("no contract at {address}") }),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held cannot leave a half-written account: each is replaced whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the number under which contracts know a get-method.
pub(super) fn method_id(name: &str) -> u32 {
    u32::from(tycho_types::crc::crc_16(name.as_bytes())) | 0x1_0000
}

impl Chain for Devnet {
    fn account(&self, address: Address) -> Reply<'_, Account> {
        let account = self.state().account(address);
        async move { account }.boxed()
    }

    fn send(&self, message: Vec<u8>) -> Reply<'_, ()> {
        let outcome = self.state().deliver(&message);
        async move { outcome }.boxed()
    }

    fn transactions(&self, address: Address, limit: usize) -> Reply<'_, Vec<Transaction>> {
        let cells: Vec<Cell> =
            self.state().history.of(address).take(limit).map(|record| record.cell.clone()).collect();
        async move { cells.iter().map(Transaction::read).collect() }.boxed()
    }

    fn network_id(&self) -> Reply<'_, Option<i32>> {
        async { Ok(Some(DEVNET_ID)) }.boxed()
    }

    fn prices(&self) -> Reply<'_, Option<Prices>> {
        let prices = self.state().prices();
        async move { prices.map(Some) }.boxed()
    }

    fn name(&self) -> String {
        "the devnet of this process".into()
    }

    fn pace(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn with_priority(&self, _priority: Priority) -> Arc<dyn Chain> {
        // Everybody is served at once.
        Arc::new(self.clone())
    }
}
