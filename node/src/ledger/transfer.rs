//! The wallet's transfers: one at a time, and none is repeated while the fate of an earlier one is open.
//!
//! A transfer carries the wallet's number and a time after which it is void. So its fate is for the ledger to tell and for
//! no endpoint's answer: the wallet's history shows it, or shows another one with its number, or its time passes. (`LE-7`)

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use tokio::sync::MutexGuard;
use tokio::time::{Instant, sleep};
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use super::chain::{Account, ChainError, Message, Transaction};
use super::error::LedgerError;
use super::limits::RECENT_TRANSACTIONS;
use super::state::{Ledger, Transfer};
use super::wallet::{TRANSFER_FEE_MAX, Wallet};

/// What forwarding and gas of one more message in a transfer cost at most.
const MESSAGE_FEE_MAX: Nano = Nano(2_000_000);

/// The wallet, held over an operation. The transfer in it is the last one whose fate is open.
pub(super) type Turn<'ledger> = MutexGuard<'ledger, Option<Transfer>>;

/// What is known of a transfer.
enum Fate {
    /// The wallet has sent what it carries.
    Sent,
    /// It was not executed, and never will be.
    Never(LedgerError),
    /// It may still be executed: what hides it, if something does.
    Open(Option<LedgerError>),
    /// Its number was used, and the history does not show by which message.
    Used(Option<LedgerError>),
}

impl Ledger {
    /// Takes the wallet for an operation, and learns first what became of an earlier transfer of unknown fate.
    ///
    /// # Errors
    /// [`LedgerError::Pending`] while that is open: nothing new is sent.
    pub(super) async fn turn(&self, operation: &'static str) -> Result<Turn<'_>, LedgerError> {
        let mut turn = self.transfers.lock().await;
        let end = Instant::now() + self.deadline;
        while let Some(earlier) = turn.as_ref() {
            match self.fate(earlier).await {
                // A number that is used up can be used by nothing any more.
                Fate::Sent | Fate::Never(_) | Fate::Used(_) => *turn = None,
                Fate::Open(_) if Instant::now() < end => sleep(self.acting.pace()).await,
                Fate::Open(_) => {
                    let (earlier, until_s) = (earlier.operation, self.void_from_s(earlier.valid_until_s));
                    return Err(LedgerError::Pending { operation, earlier, until_s });
                }
            }
        }
        Ok(turn)
    }

    /// Sends messages from the wallet and waits until the wallet has executed them. `spent` is the sum they carry.
    ///
    /// # Errors
    /// [`LedgerError::Unknown`] when its fate stays open; after any other error nothing was sent.
    pub(super) async fn transfer(
        &self,
        turn: &mut Turn<'_>,
        operation: &'static str,
        messages: &[Cell],
        spent: Nano,
    ) -> Result<(), LedgerError> {
        let wallet = self.wallet_for(operation)?;
        let before = self.acting.account(wallet.address()).await?;
        let fees = self.transfer_fee_max(messages.len()).await;
        let need = spent.saturating_plus(fees);
        if before.balance < need {
            let have = before.balance;
            return Err(LedgerError::Balance { operation, wallet: wallet.address(), have, need });
        }
        let transfer = self.sign(wallet, operation, &before, messages)?;
        // Dropped from here on, the operation leaves the transfer for the next one to look up.
        **turn = Some(transfer.clone());
        let sending = self.departures.send();
        let fate = self.follow(&transfer).await;
        if fate.is_ok() {
            sending.sent();
        }
        if !matches!(fate, Err(LedgerError::Unknown { .. })) {
            **turn = None;
        }
        fate
    }

    /// Returns what a wallet must hold to add to a channel, beyond the addition: fees at their most.
    pub async fn addition_surplus(&self) -> Nano {
        self.prices().await.top_up_surplus().saturating_plus(self.transfer_fee_max(1).await)
    }

    /// Returns what a wallet must hold to open a channel, beyond the deposit: fees at their most, of which a part is not taken.
    pub async fn opening_surplus(&self) -> Nano {
        self.prices().await.open_surplus().saturating_plus(self.transfer_fee_max(1).await)
    }

    /// Returns what a transfer that carries so many messages costs at the most.
    pub(super) async fn transfer_fee_max(&self, messages: usize) -> Nano {
        let more = u64::try_from(messages).unwrap_or(u64::MAX);
        let fees = Nano(MESSAGE_FEE_MAX.0.saturating_mul(more)).saturating_plus(TRANSFER_FEE_MAX);
        self.prices().await.scaled(fees)
    }

    fn sign(
        &self,
        wallet: &Wallet,
        operation: &'static str,
        before: &Account,
        messages: &[Cell],
    ) -> Result<Transfer, LedgerError> {
        let seqno = Wallet::next_seqno(before);
        let life_s = u32::try_from(self.transfer_life.as_secs()).unwrap_or(u32::MAX);
        let valid_until_s = before.chain_time_s.saturating_add(life_s);
        let boc = wallet.transfer(seqno, valid_until_s, messages)?;
        let message = Message::read(&Boc::decode(&boc).map_err(ChainError::unreadable)?)?;
        Ok(Transfer {
            operation,
            seqno,
            valid_until_s,
            since_lt: before.last_lt,
            carries: messages.len(),
            boc,
            body: *message.body.repr_hash(),
        })
    }

    /// Hands a transfer over, again and again while nothing is heard of it, until the ledger tells its fate.
    async fn follow(&self, transfer: &Transfer) -> Result<(), LedgerError> {
        let life = self.transfer_life;
        // As long as it can be executed, and then until the ledger has told so.
        let end = Instant::now() + life + life / 4 + self.deadline;
        let mut hand_over_at = Instant::now();
        let mut trouble = None;
        loop {
            if Instant::now() >= hand_over_at {
                hand_over_at = Instant::now() + self.resend_pause();
                // No answer decides anything, not even a refusal: the message may be on its way through another endpoint.
                if let Err(error) = self.acting.send(transfer.boc.clone()).await {
                    tracing::debug!(%error, "a transfer of the wallet may not have been taken");
                    trouble = Some(LedgerError::from(error));
                }
            }
            match self.fate(transfer).await {
                Fate::Sent => return Ok(()),
                Fate::Never(error) => return Err(error),
                Fate::Open(hidden) | Fate::Used(hidden) => trouble = hidden.or(trouble),
            }
            if Instant::now() >= end {
                return Err(LedgerError::Unknown {
                    operation: transfer.operation,
                    until_s: self.void_from_s(transfer.valid_until_s),
                    why: trouble.map_or_else(|| "it was not executed yet".into(), |error| error.to_string()),
                });
            }
            sleep(self.acting.pace()).await;
        }
    }

    async fn fate(&self, transfer: &Transfer) -> Fate {
        let Some(address) = self.wallet_address() else { return Fate::Open(None) };
        let now = match self.acting.account(address).await {
            Ok(now) => now,
            Err(error) => return Fate::Open(Some(error.into())),
        };
        if Wallet::next_seqno(&now) <= transfer.seqno {
            // The endpoint that tells the time may be ahead a little, and an account is not as new as the newest block. (`LE-8`)
            let void = now.chain_time_s > self.void_from_s(transfer.valid_until_s);
            let operation = transfer.operation;
            return if void { Fate::Never(LedgerError::Expired { operation }) } else { Fate::Open(None) };
        }
        match self.acting.transactions(address, RECENT_TRANSACTIONS).await {
            Ok(history) => transfer.in_history(&history),
            Err(error) => Fate::Used(Some(error.into())),
        }
    }

    /// Returns the chain time from which a transfer that was not executed never will be. (`LE-8`)
    fn void_from_s(&self, valid_until_s: u32) -> u32 {
        let margin_s = u32::try_from(self.transfer_life.as_secs() / 4).unwrap_or(u32::MAX);
        valid_until_s.saturating_add(margin_s)
    }

    /// Returns whether the wallet has sent a message to `account` a short while ago that has not
    /// arrived yet.
    pub(super) async fn is_on_its_way(&self, account: Address, now: &Account) -> Result<bool, ChainError> {
        let Some(wallet) = self.wallet_address() else { return Ok(false) };
        let life_s = u32::try_from(2 * self.transfer_life.as_secs()).unwrap_or(u32::MAX);
        let sent = self.acting.transactions(wallet, RECENT_TRANSACTIONS).await?;
        let mut recent = sent.iter().filter(|one| one.at_s.saturating_add(life_s) > now.chain_time_s);
        let newest = recent.find_map(|one| one.outgoing.iter().find(|message| message.to == Some(account)));
        let Some(lt) = newest.map(|message| message.created_lt) else { return Ok(false) };
        let arrived = self.acting.transactions(account, RECENT_TRANSACTIONS).await?;
        Ok(!arrived
            .iter()
            .any(|transaction| transaction.incoming.as_ref().is_some_and(|message| message.created_lt == lt)))
    }
}

impl Transfer {
    /// Returns what the wallet's history, whose number is past this transfer's, says of it.
    fn in_history(&self, history: &[Transaction]) -> Fate {
        let operation = self.operation;
        let from_outside = history.iter().filter(|transaction| {
            let message = transaction.incoming.as_ref();
            transaction.lt > self.since_lt && message.is_some_and(|message| message.from.is_none())
        });
        let mut others = 0_usize;
        for transaction in from_outside {
            let body = transaction.incoming.as_ref().map(|message| *message.body.repr_hash());
            if body != Some(self.body) {
                others += 1;
            } else if transaction.outgoing.len() < self.carries {
                // The wallet sends what it can pay for, and takes the number all the same.
                return Fate::Never(LedgerError::Withheld { operation });
            } else {
                return Fate::Sent;
            }
        }
        // Somebody else's message took its number; unless the history is not there yet.
        if others > 0 { Fate::Never(LedgerError::Overtaken { operation }) } else { Fate::Used(None) }
    }
}
