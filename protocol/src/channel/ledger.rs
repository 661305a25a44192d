//! What the core asks of a ledger and what it hears back, as values: the shell owns the ledger itself.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::terms::AgreedTerms;
use crate::channel::voucher::{CloseOrder, CloseRequest, SignedVoucher};
use crate::ident::Signature;
use crate::time::Span;

/// A call to the ledger. The shell answers with [`LedgerEvent`]s, after its own retries and within a deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerCall {
    /// Deploy and fund a channel from this node's wallet, then watch it. One that is funded already is only watched: a
    /// client whose opening may have been lost in a crash asks again.
    Open {
        /// The terms, from which code and account follow.
        terms: AgreedTerms,
        /// What to deposit.
        deposit: Nano,
    },
    /// Add to the deposit from this node's wallet.
    TopUp {
        /// The channel's account.
        account: ChannelId,
        /// How much.
        amount: Nano,
    },
    /// Report the channel's state now and at every change.
    Watch {
        /// The channel's account.
        account: ChannelId,
    },
    /// Stop watching.
    Unwatch {
        /// The channel's account.
        account: ChannelId,
    },
    /// Settle a voucher. The provider is paid, no matter who brings it.
    Claim {
        /// The voucher.
        voucher: SignedVoucher,
    },
    /// The provider's close: settle the voucher, refund the rest at once, delete the account.
    Close {
        /// The newest voucher, if there is one.
        voucher: Option<SignedVoucher>,
        /// What the provider says.
        order: CloseOrder,
        /// The provider's signature.
        signature: Signature,
    },
    /// The client wants its rest back: starts the challenge time. The channel pays for it, so an empty wallet will do.
    RequestClose {
        /// What the client says.
        request: CloseRequest,
        /// The client's signature.
        signature: Signature,
    },
    /// The challenge time is over: pay out and delete.
    Finalize {
        /// The channel's account.
        account: ChannelId,
    },
}

impl LedgerCall {
    /// Returns the account that the call is about.
    #[must_use]
    pub fn account(&self) -> ChannelId {
        match self {
            Self::Open { terms, .. } => terms.id(),
            Self::TopUp { account, .. }
            | Self::Watch { account }
            | Self::Unwatch { account }
            | Self::Finalize { account } => *account,
            Self::Claim { voucher, .. } => voucher.account,
            Self::Close { order, .. } => order.account,
            Self::RequestClose { request, .. } => request.account,
        }
    }

    /// Returns how much a top-up adds, and `None` for every other call.
    #[must_use]
    pub const fn top_up(&self) -> Option<Nano> {
        match self {
            Self::TopUp { amount, .. } => Some(*amount),
            Self::Open { .. }
            | Self::Watch { .. }
            | Self::Unwatch { .. }
            | Self::Claim { .. }
            | Self::Close { .. }
            | Self::RequestClose { .. }
            | Self::Finalize { .. } => None,
        }
    }
}

/// What the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEvent {
    /// The state of a channel, now or after a change. `None`: no such account.
    Channel {
        /// The channel's account.
        account: ChannelId,
        /// Its state.
        state: Option<ChannelState>,
    },
    /// A call failed for good.
    Failed {
        /// The channel's account.
        account: ChannelId,
        /// How much it was to add, if it was a top-up: several may be under way. ([`LedgerCall::top_up`])
        top_up: Option<Nano>,
        /// Why.
        fault: LedgerFault,
    },
}

impl LedgerEvent {
    /// Returns the account that the ledger speaks of.
    #[must_use]
    pub const fn account(&self) -> ChannelId {
        match self {
            Self::Channel { account, .. } | Self::Failed { account, .. } => *account,
        }
    }
}

/// A channel as the ledger shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelState {
    /// Which funding; a voucher of another epoch is void. Zero: deployed and not funded.
    pub epoch: u64,
    /// Everything deposited.
    pub deposit: Nano,
    /// Everything paid out to the provider.
    pub settled: Nano,
    /// Time until anyone may finalize, once a close was requested; zero when that time has come.
    pub closing: Option<Span>,
}

/// Why a ledger call failed, told apart by what is known of its message. (`CH-29`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum LedgerFault {
    /// The wallet does not hold enough for the deposit and the fees: nothing was sent.
    #[error("the wallet holds {missing} coins too little for the deposit and its fees")]
    Funds {
        /// How much more it would take.
        missing: Nano,
    },
    /// Nothing was sent, or what was sent can never be executed any more.
    #[error("nothing was sent to the ledger")]
    NotSent,
    /// The contract executed the message and refused it.
    #[error("the contract refused the message with exit code {exit_code}")]
    Refused {
        /// The contract's exit code.
        exit_code: i32,
    },
    /// The message may have been sent, and its effect may still come: an endpoint's error, silence or a deadline.
    #[error("the ledger does not answer; the message may have been sent")]
    Unknown,
}

impl LedgerFault {
    /// Returns whether this call surely had no effect and never will. Only then may its purpose be
    /// forgotten.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        match self {
            Self::Funds { .. } | Self::NotSent | Self::Refused { .. } => true,
            Self::Unknown => false,
        }
    }
}
