//! Why an operation on the ledger failed, and what to do about it.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::terms::{Address, TermsError};

use super::chain::ChainError;
use super::clock::clock;
use super::contract::Refusal;
use super::wallet::WalletError;

/// Why an operation on the ledger failed.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The ledger itself.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The wallet.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The terms are not fit to be signed.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// This operation is paid by a wallet, and the node runs without one.
    #[error("to {operation} takes a wallet; give the node one")]
    NoWallet {
        /// What was asked for.
        operation: &'static str,
    },
    /// The refund would go to somebody else.
    #[error("the channel's refund address is {client}, but this node's wallet is {wallet}")]
    ForeignRefund {
        /// The address in the terms.
        client: Address,
        /// The wallet's address.
        wallet: Address,
    },
    /// The wallet holds too little.
    #[error("to {operation} takes {need} coins, and the wallet {wallet} holds {have}; send it the rest")]
    Balance {
        /// What was asked for.
        operation: &'static str,
        /// Which wallet.
        wallet: Address,
        /// What it holds.
        have: Nano,
        /// What it should hold, with the largest fees.
        need: Nano,
    },
    /// There is no funded channel.
    #[error("no funded channel at {account}; it was never opened, or is closed")]
    NotOpen {
        /// Where one should be.
        account: Address,
    },
    /// The channel is funded already.
    #[error("the channel at {account} is open already; top it up, or choose another salt")]
    AlreadyOpen {
        /// Where it is.
        account: Address,
    },
    /// The contract refused.
    #[error("cannot {operation} at {account}: {refusal}")]
    Refused {
        /// What was asked for.
        operation: &'static str,
        /// Which channel.
        account: Address,
        /// The contract's reason.
        refusal: Refusal,
    },
    /// A transfer was not executed while it was valid: it never will be.
    #[error("not sent: the wallet's transfer to {operation} expired unexecuted; try again")]
    Expired {
        /// What was asked for.
        operation: &'static str,
    },
    /// The wallet executed another message with the transfer's number: this one never will be.
    #[error(
        "not sent: another message took the number of the wallet's transfer to {operation}; does something else use \
         this wallet? try again"
    )]
    Overtaken {
        /// What was asked for.
        operation: &'static str,
    },
    /// The wallet executed the transfer and held back what it carries: it did not hold enough.
    #[error(
        "not sent: the wallet took the transfer to {operation}, and did not hold enough for it; try again"
    )]
    Withheld {
        /// What was asked for.
        operation: &'static str,
    },
    /// The fate of an earlier transfer is open: nothing new is sent before it is known.
    #[error(
        "not sent: whether an earlier transfer of this wallet, to {earlier}, will be executed is unknown until \
         {}; {operation} after that", utc(*.until_s)
    )]
    Pending {
        /// What was asked for.
        operation: &'static str,
        /// What the earlier one was for.
        earlier: &'static str,
        /// Unix time in seconds after which the earlier one is void.
        until_s: u32,
    },
    /// A transfer was signed and handed over, and the ledger does not tell whether it was executed.
    #[error(
        "whether the wallet's transfer to {operation} was executed is unknown until {}: {why}; look at the wallet's \
         transactions after that, and do not repeat it before", utc(*.until_s)
    )]
    Unknown {
        /// What was asked for.
        operation: &'static str,
        /// Unix time in seconds after which it is void, unless it was executed.
        until_s: u32,
        /// What hides it.
        why: String,
    },
    /// Sent, but no effect was seen in time: it may still come.
    #[error(
        "no effect of the message to {operation} at {account} within {seconds} s{}; it may still come: look at the \
         account before trying again", because(.trouble)
    )]
    Deadline {
        /// What was asked for.
        operation: &'static str,
        /// Where the effect was awaited.
        account: Address,
        /// How long.
        seconds: u64,
        /// What hid it, if something did.
        trouble: Option<String>,
    },
}

fn utc(unix_s: u32) -> String {
    format!("{} UTC", clock(unix_s))
}

fn because(trouble: &Option<String>) -> String {
    trouble.as_ref().map_or_else(String::new, |trouble| format!(" ({trouble})"))
}

impl LedgerError {
    /// Returns whether a message of the operation may be on its way, or may have had its effect.
    /// After any other error nothing of it was sent, or what was sent can never be executed.
    /// (`LE-6`)
    #[must_use]
    pub fn may_be_sent(&self) -> bool {
        matches!(self, Self::Unknown { .. } | Self::Deadline { .. })
    }

    /// Returns whether the endpoints say nothing that can be used, so that trying again later may help: nothing was sent.
    #[must_use]
    pub const fn is_silence(&self) -> bool {
        matches!(
            self,
            Self::Chain(
                ChainError::Unreachable { .. }
                    | ChainError::Contradiction { .. }
                    | ChainError::Unreadable { .. }
                    | ChainError::Refused { exit_code: None, .. }
            )
        )
    }

    /// Returns what the core needs to know of it. Errors that leave the fate of a message open are
    /// unknown, because the core forgets a deposit only when it surely never left.
    #[must_use]
    pub fn fault(&self) -> LedgerFault {
        match self {
            Self::Balance { have, need, .. } => LedgerFault::Funds { missing: need.saturating_minus(*have) },
            Self::NoWallet { .. } => LedgerFault::Funds { missing: Nano(u64::MAX) },
            Self::Chain(ChainError::Refused { exit_code: Some(exit_code), .. }) => {
                LedgerFault::Refused { exit_code: *exit_code }
            }
            Self::Refused { refusal, .. } => LedgerFault::Refused { exit_code: refusal.exit_code() },
            Self::Chain(
                ChainError::Unreachable { .. }
                | ChainError::OtherNetwork { .. }
                | ChainError::Contradiction { .. }
                | ChainError::Endpoint { .. }
                | ChainError::Unreadable { .. }
                | ChainError::Refused { exit_code: None, .. },
            )
            | Self::Unknown { .. }
            | Self::Deadline { .. } => LedgerFault::Unknown,
            Self::Wallet(_)
            | Self::Terms(_)
            | Self::ForeignRefund { .. }
            | Self::NotOpen { .. }
            | Self::AlreadyOpen { .. }
            | Self::Expired { .. }
            | Self::Overtaken { .. }
            | Self::Withheld { .. }
            | Self::Pending { .. } => LedgerFault::NotSent,
        }
    }
}
