//! Why an operation on the ledger failed, and what to do about it.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::terms::{Address, TermsError};

use super::chain::ChainError;
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
    #[error("the wallet's transfer to {operation} expired unexecuted; try again")]
    Expired {
        /// What was asked for.
        operation: &'static str,
    },
    /// Sent, but no effect was seen in time: it may still come.
    #[error(
        "no effect of the message to {operation} at {account} within {seconds} s; look at the account before trying again"
    )]
    Deadline {
        /// What was asked for.
        operation: &'static str,
        /// Where the effect was awaited.
        account: Address,
        /// How long.
        seconds: u64,
    },
}

impl LedgerError {
    /// What the core needs to know of it. Whatever leaves the fate of a message open is unknown, because the core forgets a
    /// deposit only when it surely never left.
    #[must_use]
    pub fn fault(&self) -> LedgerFault {
        match self {
            Self::Balance { .. } | Self::NoWallet { .. } => LedgerFault::Funds,
            Self::Chain(ChainError::Refused { exit_code: Some(exit_code), .. }) => {
                LedgerFault::Refused { exit_code: *exit_code }
            }
            Self::Refused { refusal, .. } => LedgerFault::Refused { exit_code: refusal.exit_code() },
            Self::Chain(
                ChainError::Unreachable { .. }
                | ChainError::OtherNetwork { .. }
                | ChainError::Contradiction { .. }
                | ChainError::Unreadable { .. }
                | ChainError::Refused { exit_code: None, .. },
            )
            | Self::Deadline { .. } => LedgerFault::Unknown,
            Self::Wallet(_)
            | Self::Terms(_)
            | Self::ForeignRefund { .. }
            | Self::NotOpen { .. }
            | Self::AlreadyOpen { .. }
            | Self::Expired { .. } => LedgerFault::NotSent,
        }
    }
}
