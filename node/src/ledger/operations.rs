//! What a node does with its channels on the ledger: each operation ends when its effect is seen.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::channel::voucher::{CloseOrder, CloseRequest, SignedVoucher};
use bombyx_protocol::ident::Signature;

use super::contract::{ChannelAccount, ChannelMessage, Refusal};
use super::error::LedgerError;
use super::state::Ledger;
use super::wait::SentMessage;

/// A channel that was just funded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenedChannel {
    /// Its account.
    pub account: Address,
    /// Logical time of the funding.
    pub epoch: u64,
    /// What was deposited.
    pub deposit: Nano,
}

impl Ledger {
    /// Locks `deposit` under `terms`.
    ///
    /// One that this wallet has sent already and that has not arrived yet is waited for and not sent again. (`LE-9`)
    ///
    /// # Errors
    /// Any [`LedgerError`]; [`LedgerError::may_be_sent`] tells whether the coins may have left.
    pub async fn open(&self, terms: &ChannelTerms, deposit: Nano) -> Result<OpenedChannel, LedgerError> {
        let opened = self.open_all(&[(terms.clone(), deposit)]).await?;
        opened.first().copied().ok_or(LedgerError::NotOpen { account: terms.account() })
    }

    /// Opens several channels with one transfer, which costs less than half of opening them singly.
    ///
    /// # Errors
    /// As [`Self::open`], for the first channel that fails; the others may be open.
    pub async fn open_all(
        &self,
        channels: &[(ChannelTerms, Nano)],
    ) -> Result<Vec<OpenedChannel>, LedgerError> {
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
            let funded = |state: Option<&ChannelAccount>| {
                state.is_some_and(|state| state.epoch != 0 && state.deposit >= deposit)
            };
            let state = self
                .reach_by_wallet(OPERATION, account, since_lt, funded)
                .await?
                .ok_or(LedgerError::NotOpen { account })?;
            opened.push(OpenedChannel { account, epoch: state.epoch, deposit: state.deposit });
        }
        Ok(opened)
    }

    /// Adds `amount` to the deposit of an open channel.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` with [`Refusal::Closing`] during a challenge period.
    pub async fn top_up(&self, account: Address, amount: Nano) -> Result<(), LedgerError> {
        const OPERATION: &str = "top up a channel";
        let mut turn = self.turn(OPERATION).await?;
        let (raw, before) = self.open_channel(account).await?;
        let value = amount.saturating_plus(self.prices().await.top_up_surplus());
        let message = ChannelMessage::TopUp { amount }.internal(account, value, None);
        let deposit = before.deposit.saturating_plus(amount);
        self.transfer(&mut turn, OPERATION, &[message], value).await?;
        drop(turn);
        let added = |state: Option<&ChannelAccount>| {
            state.is_some_and(|state| state.epoch == before.epoch && state.deposit >= deposit)
        };
        self.reach_by_wallet(OPERATION, account, raw.last_lt, added).await?;
        Ok(())
    }

    /// Waits until a deposit that the wallet has sent shows. One that the contract refused comes back.
    async fn reach_by_wallet(
        &self,
        operation: &'static str,
        account: Address,
        since_lt: u64,
        done: impl Fn(Option<&ChannelAccount>) -> bool,
    ) -> Result<Option<ChannelAccount>, LedgerError> {
        let reached = self.reach(operation, account, SentMessage::ByWallet { since_lt }, done).await;
        if matches!(reached, Err(LedgerError::Refused { .. })) {
            self.departures.moved();
        }
        reached
    }

    /// Has the provider paid up to a voucher. A claim too small for an external message goes through the wallet.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` names what is wrong with the voucher.
    pub async fn claim(&self, voucher: &SignedVoucher) -> Result<(), LedgerError> {
        const OPERATION: &str = "claim a voucher";
        let account = voucher.account.address();
        let (raw, before) = self.open_channel(account).await?;
        let message = ChannelMessage::Claim { cumulative: voucher.cumulative, voucher: voucher.signature };
        let prices = self.prices().await;
        let small = voucher.cumulative.saturating_minus(before.settled) < prices.claim_min();
        let sent = if small && voucher.cumulative > before.settled && self.wallet.is_some() {
            let gas = prices.message_gas();
            let message = message.internal(account, gas, None);
            let mut turn = self.turn(OPERATION).await?;
            self.transfer(&mut turn, OPERATION, &[message], gas).await?;
            SentMessage::ByWallet { since_lt: raw.last_lt }
        } else {
            self.send_external(OPERATION, account, message).await?
        };
        // Where rent has left less than a voucher proves, what was there is paid and counts.
        let paid = |state: Option<&ChannelAccount>| {
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
        let account = order.account.address();
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

    /// Returns what the channel could not pay for from outside, with coins of the wallet.
    async fn send_by_wallet(
        &self,
        operation: &'static str,
        account: Address,
        message: ChannelMessage,
    ) -> Result<SentMessage, LedgerError> {
        let (raw, _) = self.open_channel(account).await?;
        let gas = self.prices().await.message_gas();
        let mut turn = self.turn(operation).await?;
        self.transfer(&mut turn, operation, &[message.internal(account, gas, None)], gas).await?;
        Ok(SentMessage::ByWallet { since_lt: raw.last_lt })
    }

    /// Starts the challenge period, paid by this node's wallet, which must be the client of the terms. Returns the unix
    /// time from which [`Self::finalize`] works.
    ///
    /// # Errors
    /// Any [`LedgerError`]; `Refused` with [`Refusal::Sender`] for a stranger's wallet.
    pub async fn request_close(&self, account: Address) -> Result<u32, LedgerError> {
        const OPERATION: &str = "request the close of a channel";
        let (raw, before) = self.open_channel(account).await?;
        let message = ChannelMessage::RequestClose { request: None };
        let gas = self.prices().await.message_gas();
        let message = message.internal(account, gas, None);
        let mut turn = self.turn(OPERATION).await?;
        self.transfer(&mut turn, OPERATION, &[message], gas).await?;
        drop(turn);
        self.await_closing(OPERATION, account, SentMessage::ByWallet { since_lt: raw.last_lt }, before.epoch)
            .await
    }

    /// Returns the same with a signature of the client's voucher key, for a client whose wallet is
    /// empty: the channel's reserve pays. Where rent has eaten the reserve, the wallet does.
    ///
    /// # Errors
    /// Any [`LedgerError`].
    pub async fn request_close_signed(
        &self,
        request: &CloseRequest,
        signature: Signature,
    ) -> Result<u32, LedgerError> {
        const OPERATION: &str = "request the close of a channel";
        let account = request.account.address();
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
    /// Any [`LedgerError`]; `Refused` with [`Refusal::TooEarly`] before the time.
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

    async fn await_closing(
        &self,
        operation: &'static str,
        account: Address,
        sent: SentMessage,
        epoch: u64,
    ) -> Result<u32, LedgerError> {
        let closing = |state: Option<&ChannelAccount>| {
            state.is_none_or(|state| state.epoch != epoch || state.close_at_s != 0)
        };
        self.reach(operation, account, sent, closing)
            .await?
            .filter(|state| state.epoch == epoch)
            .map(|state| state.close_at_s)
            .ok_or(LedgerError::NotOpen { account })
    }
}

/// Returns whether this life of the channel is over.
fn gone(epoch: u64) -> impl Fn(Option<&ChannelAccount>) -> bool {
    move |state| state.is_none_or(|state| state.epoch != epoch)
}
