//! Sending, and waiting until the ledger shows the effect: each wait ends by success, refusal or deadline.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tokio::time::{Instant, sleep};
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use super::chain::ChainError;
use super::contract::{ChannelMessage, ChannelState};
use super::wallet::{TRANSFER_FEE_MAX, TRANSFER_LIFE, Wallet};
use super::{Ledger, LedgerError};

/// What forwarding and gas of one more message in a transfer cost at most.
const MESSAGE_FEE_MAX: Nano = Nano(2_000_000);
/// How far back a wait looks for the transaction that refused it.
const RECENT_TRANSACTIONS: usize = 8;

impl Ledger {
    pub(super) async fn send_external(
        &self,
        operation: &'static str,
        account: Address,
        message: ChannelMessage,
    ) -> Result<(), LedgerError> {
        let boc = Boc::encode(message.external(account));
        self.chain.send(boc).await.map_err(|error| {
            if let ChainError::Refused { exit_code: Some(code), .. } = error {
                return LedgerError::Refused { operation, account, refusal: code.into() };
            }
            error.into()
        })
    }

    /// Sends messages from the wallet and waits until the wallet has executed them. `spent` is the sum they carry.
    pub(super) async fn transfer(
        &self,
        operation: &'static str,
        messages: &[Cell],
        spent: Nano,
    ) -> Result<(), LedgerError> {
        let wallet = self.wallet_for(operation)?;
        let address = wallet.address();
        let _one_at_a_time = self.transferring.lock().await;
        let before = self.chain.account(address).await?;
        let more = u64::try_from(messages.len()).unwrap_or(u64::MAX);
        let fees = Nano(MESSAGE_FEE_MAX.0.saturating_mul(more)).saturating_plus(TRANSFER_FEE_MAX);
        let need = spent.saturating_plus(fees);
        if before.balance < need {
            let have = before.balance;
            return Err(LedgerError::Balance { operation, wallet: address, have, need });
        }
        let seqno = Wallet::next_seqno(&before);
        let life_s = u32::try_from(TRANSFER_LIFE.as_secs()).unwrap_or(u32::MAX);
        let valid_until_s = before.chain_time_s.saturating_add(life_s);
        self.chain.send(wallet.transfer(seqno, valid_until_s, messages)?).await?;
        let end = Instant::now() + self.deadline;
        loop {
            let outcome = self.chain.account(address).await;
            if let Ok(now) = &outcome {
                if Wallet::next_seqno(now) > seqno {
                    return Ok(());
                }
                if now.chain_time_s > valid_until_s {
                    return Err(LedgerError::Expired { operation });
                }
            }
            self.pause(operation, address, end, outcome.err().map(LedgerError::from)).await?;
        }
    }

    /// Waits until the channel is as hoped. With `since_lt`, a transaction of this node's wallet that the contract
    /// refused after that logical time ends the wait.
    pub(super) async fn reach(
        &self,
        operation: &'static str,
        account: Address,
        since_lt: Option<u64>,
        done: impl Fn(Option<&ChannelState>) -> bool,
    ) -> Result<Option<ChannelState>, LedgerError> {
        let end = Instant::now() + self.deadline;
        loop {
            let trouble = match self.look(account).await {
                Ok((_, state)) if done(state.as_ref()) => return Ok(state),
                Ok((raw, _)) => match since_lt {
                    Some(lt) if raw.last_lt > lt => {
                        self.fail_if_refused(operation, account, lt).await?;
                        None
                    }
                    _ => None,
                },
                Err(LedgerError::Chain(error)) if error.is_silence() => Some(error.into()),
                Err(error) => return Err(error),
            };
            self.pause(operation, account, end, trouble).await?;
        }
    }

    async fn fail_if_refused(
        &self,
        operation: &'static str,
        account: Address,
        since_lt: u64,
    ) -> Result<(), LedgerError> {
        let ours = self.wallet_address();
        let recent = self.chain.transactions(account, RECENT_TRANSACTIONS).await?;
        let refused = recent.iter().find(|transaction| {
            let from = transaction.incoming.as_ref().and_then(|message| message.from);
            transaction.lt > since_lt && transaction.aborted && from == ours && from.is_some()
        });
        match refused.map(|transaction| transaction.exit_code.unwrap_or(0)) {
            Some(code) => Err(LedgerError::Refused { operation, account, refusal: code.into() }),
            None => Ok(()),
        }
    }

    /// Sleeps until the next look, or fails at the deadline: with the trouble that hid the effect, if there was one.
    async fn pause(
        &self,
        operation: &'static str,
        account: Address,
        end: Instant,
        trouble: Option<LedgerError>,
    ) -> Result<(), LedgerError> {
        if Instant::now() >= end {
            let seconds = self.deadline.as_secs();
            return Err(trouble.unwrap_or(LedgerError::Deadline { operation, account, seconds }));
        }
        sleep(self.chain.pace()).await;
        Ok(())
    }
}
