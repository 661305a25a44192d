//! Sending, and waiting until the ledger shows the effect: each wait ends by success, refusal or deadline.

use std::time::Duration;

use bombyx_protocol::channel::terms::Address;
use tokio::time::{Instant, sleep};
use tycho_types::boc::Boc;

use super::chain::ChainError;
use super::contract::{ChannelAccount, ChannelMessage};
use super::error::LedgerError;
use super::limits::{RECENT_TRANSACTIONS, RESEND_PAUSE};
use super::state::Ledger;

/// What was sent, so that the wait for its effect knows what may still happen.
pub(super) enum SentMessage {
    /// The wallet has sent it after this logical time of the channel: a transaction there may refuse it.
    ByWallet { since_lt: u64 },
    /// From outside, and what was wrong with the answer to it. It is handed over again until its effect is seen.
    FromOutside { boc: Vec<u8>, trouble: Option<ChainError> },
}

impl Ledger {
    /// Hands a message from outside over. Only a contract's exit code is a refusal. (`LE-6`)
    pub(super) async fn send_external(
        &self,
        operation: &'static str,
        account: Address,
        message: ChannelMessage,
    ) -> Result<SentMessage, LedgerError> {
        let boc = Boc::encode(message.external(account));
        match self.acting.send(boc.clone()).await {
            Ok(()) => Ok(SentMessage::FromOutside { boc, trouble: None }),
            Err(trouble) => match trouble.exit_code() {
                Some(code) => Err(LedgerError::Refused { operation, account, refusal: code.into() }),
                None => Ok(SentMessage::FromOutside { boc, trouble: Some(trouble) }),
            },
        }
    }

    /// Waits until the channel is as hoped. A contract's refusal ends the wait, and so does the deadline; no failure of an
    /// endpoint does. (`LE-6`)
    pub(super) async fn reach(
        &self,
        operation: &'static str,
        account: Address,
        sent: SentMessage,
        done: impl Fn(Option<&ChannelAccount>) -> bool,
    ) -> Result<Option<ChannelAccount>, LedgerError> {
        let begin = Instant::now();
        let mut hand_over_at = begin + self.resend_pause();
        let mut refused = None;
        let mut trouble = match &sent {
            SentMessage::FromOutside { trouble, .. } => trouble.as_ref().map(ToString::to_string),
            SentMessage::ByWallet { .. } => None,
        };
        loop {
            match self.look(account).await {
                Ok((_, state)) if done(state.as_ref()) => return Ok(state),
                Ok((raw, _)) => {
                    if let SentMessage::ByWallet { since_lt } = sent
                        && raw.last_lt > since_lt
                    {
                        match self.refusal(operation, account, since_lt).await {
                            Ok(None) => {}
                            Ok(Some(refusal)) => return Err(refusal),
                            Err(error) => trouble = Some(error.to_string()),
                        }
                    }
                }
                Err(error) => trouble = Some(error.to_string()),
            }
            let now = Instant::now();
            if now >= begin + self.deadline {
                let seconds = self.deadline.as_secs();
                let deadline = LedgerError::Deadline { operation, account, seconds, trouble };
                return Err(refused.unwrap_or(deadline));
            }
            if let SentMessage::FromOutside { boc, .. } = &sent
                && now >= hand_over_at
            {
                hand_over_at = now + self.resend_pause();
                match self.acting.send(boc.clone()).await {
                    Ok(()) => refused = None,
                    // Either it was executed before, which will be seen, or it never will be.
                    Err(error) if error.exit_code().is_some() => {
                        let refusal = error.exit_code().unwrap_or_default().into();
                        refused = Some(LedgerError::Refused { operation, account, refusal });
                    }
                    Err(error) => trouble = Some(error.to_string()),
                }
            }
            sleep(self.acting.pace()).await;
        }
    }

    /// Returns how long nothing may be heard of a message before it is handed over again.
    pub(super) fn resend_pause(&self) -> Duration {
        RESEND_PAUSE.min(self.deadline / 3)
    }

    /// Returns the refusal of a message of this node's wallet after a logical time, if there was
    /// one.
    async fn refusal(
        &self,
        operation: &'static str,
        account: Address,
        since_lt: u64,
    ) -> Result<Option<LedgerError>, ChainError> {
        let ours = self.wallet_address();
        let recent = self.acting.transactions(account, RECENT_TRANSACTIONS).await?;
        let refused = recent.iter().find(|transaction| {
            let from = transaction.incoming.as_ref().and_then(|message| message.from);
            transaction.lt > since_lt && transaction.aborted && from == ours && from.is_some()
        });
        Ok(refused.map(|transaction| {
            let refusal = transaction.exit_code.unwrap_or(0).into();
            LedgerError::Refused { operation, account, refusal }
        }))
    }
}
