//! What can be wrong with a channel, or with paying on one, said so that its owner knows what to do.

use crate::amount::Nano;
use crate::channel::ledger::LedgerFault;
use crate::channel::terms::{Address, CHALLENGE_S_MAX, TermsError};

/// The other party or the ledger knows something of a channel that this node's store does not: the store was put back,
/// copied or exchanged, or the channel lived on while the node was away. (`CH-24`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// More was promised than the store knew: it was put back to an earlier state, or lost what was written last.
    /// Healed: the node goes on from what it was shown.
    #[error("the store knew of {known} coins promised and was shown {shown}; it goes on from there")]
    Behind {
        /// In the store.
        known: Nano,
        /// Shown by the other party's newest voucher.
        shown: Nano,
    },
    /// A voucher above every one that this node has signed since it knows the newest: somebody else signs with its key.
    #[error("this node has promised {known} coins, and a voucher of its own key over {shown} exists")]
    Voucher {
        /// Promised by this node.
        known: Nano,
        /// Of the voucher that it never signed.
        shown: Nano,
    },
    /// More is settled on the ledger than this node knows to be promised: that is untrue, or vouchers exist that it does not
    /// know. It takes the amount for nothing.
    #[error("the ledger shows {shown} coins settled, and this node knows of {known} coins promised")]
    Settled {
        /// Promised, as far as this node knows.
        known: Nano,
        /// Settled, as the ledger shows it.
        shown: Nano,
    },
    /// Another funding than the one that the store knows: the channel was closed and funded again, and every voucher of
    /// the earlier funding is void.
    #[error(
        "the store knows the funding {known}, and the funding is {shown}; vouchers of another one are void"
    )]
    Epoch {
        /// In the store.
        known: u64,
        /// On the ledger, or in the other party's voucher.
        shown: u64,
    },
    /// The channel's terms name another key than this node has.
    #[error("the channel was opened with another key than this node has now")]
    Key,
}

impl Mismatch {
    /// Returns whether the node has caught up and the channel goes on. Otherwise no job is paid on
    /// it any more.
    #[must_use]
    pub const fn is_healed(&self) -> bool {
        matches!(self, Self::Behind { .. })
    }
}

/// What an order can go on with that cannot be paid as it was to be. (`MK-15`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// A call, also for the same provider: the next bid may do.
    AnotherCall,
    /// Another bidder: the fault lies with one provider's price or channel.
    AnotherBidder,
    /// Another bidder whose channel stands and holds enough: the wallet or the ledger is at fault.
    AnotherChannel,
}

/// Why an order cannot be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaymentFault {
    /// The wallet cannot fund a new channel.
    #[error(
        "the wallet holds {missing} coins too little for a new channel, which takes {deposit} coins of deposit at the least, and \
         its fees"
    )]
    NoFunds {
        /// What the channel must be given at the least.
        deposit: Nano,
        /// How much more the wallet must hold for that and the fees.
        missing: Nano,
    },
    /// The job's ceiling is above what a channel may hold.
    #[error(
        "the job may cost {needs} coins at the least, and this node locks {most} coins in one channel at the most"
    )]
    DepositTooLow {
        /// The job's ceiling, or that of the shortest answer that it may be cut to.
        needs: Nano,
        /// What a channel may hold.
        most: Nano,
    },
    /// The jobs that run on the channel leave no room for another one.
    #[error(
        "the jobs under way with the provider may cost {taken} of the {most} coins that this node locks in one channel at the most"
    )]
    DepositInUse {
        /// The ceilings of those jobs.
        taken: Nano,
        /// What a channel may hold.
        most: Nano,
    },
    /// A client would wait for its rest longer than it wants to.
    #[error("{}", too_long(*wanted_s, *most_s))]
    ChallengeTooLong {
        /// The provider's challenge time.
        wanted_s: u32,
        /// The longest that this node agrees to.
        most_s: u32,
    },
    /// Terms that nobody should sign, for another reason.
    #[error("the provider's channel terms cannot be used: {0}")]
    Terms(#[from] TermsError),
    /// The channel does not hold enough, and no more came.
    #[error("channel {account} holds too little for this job, and the top-up came to nothing: {why}")]
    Exhausted {
        /// The channel.
        account: Address,
        /// What became of the top-up.
        why: LedgerFault,
    },
    /// The ledger did not open a channel.
    #[error("channel {account} could not be opened: {why}")]
    NotOpened {
        /// The channel.
        account: Address,
        /// Why not.
        why: LedgerFault,
    },
    /// A channel is needed, and the ledger does not answer.
    #[error("a channel is needed for this, and the ledger does not answer")]
    NoLedger,
    /// The channel was closed while a job ran on it.
    #[error("channel {account} was closed while the job ran")]
    Closed {
        /// The channel.
        account: Address,
    },
    /// The channel is not what this node's store says.
    #[error("channel {account} cannot be paid on: {mismatch}")]
    Mismatch {
        /// The channel.
        account: Address,
        /// What differs.
        mismatch: Mismatch,
    },
    /// As much as may be is locked with providers that never finished a job.
    #[error(
        "a first job with this provider would lock {needs} coins at the least, and no more than {most} may be locked with providers that never finished one; wait for their closes, or allow more"
    )]
    StrangersLocked {
        /// What it would lock.
        needs: Nano,
        /// What may be locked with all of them together.
        most: Nano,
    },
    /// The node pays on as many channels as it may.
    #[error("this node pays on {most} channels, and may on no more")]
    TooManyChannels {
        /// The limit.
        most: usize,
    },
}

/// Returns whether a challenge time is that of a provider which does not see the ledger: the longest there is. (`CH-35`)
const fn is_blind(wanted_s: u32) -> bool {
    wanted_s >= CHALLENGE_S_MAX
}

fn too_long(wanted_s: u32, most_s: u32) -> String {
    if is_blind(wanted_s) {
        "a new channel is needed for this, and the provider does not see the ledger at the moment".to_owned()
    } else {
        format!(
            "the provider wants {wanted_s} s to answer a close, and this node allows {most_s} s at the most"
        )
    }
}

impl PaymentFault {
    /// Returns the same of a job that may be cut until it needs no more than this.
    #[must_use]
    pub fn needing_at_most(mut self, least: Nano) -> Self {
        if let Self::StrangersLocked { needs, .. } | Self::DepositTooLow { needs, .. } = &mut self {
            *needs = least.min(*needs);
        }
        self
    }

    /// Returns whether a channel is needed whose provider does not see the ledger. (`CH-35`)
    #[must_use]
    pub const fn is_blind_provider(&self) -> bool {
        matches!(self, Self::ChallengeTooLong { wanted_s, .. } if is_blind(*wanted_s))
    }

    /// Returns how far a job with one bidder was from being paid: of many, the nearest is what the user is told.
    #[must_use]
    pub fn distance(&self) -> (u8, u64) {
        match *self {
            Self::StrangersLocked { needs, .. } | Self::DepositTooLow { needs, .. } => (0, needs.0),
            Self::ChallengeTooLong { wanted_s, .. } => (1, wanted_s.into()),
            Self::NoFunds { .. }
            | Self::DepositInUse { .. }
            | Self::Terms(_)
            | Self::Exhausted { .. }
            | Self::NotOpened { .. }
            | Self::NoLedger
            | Self::Closed { .. }
            | Self::Mismatch { .. }
            | Self::TooManyChannels { .. } => (2, 0),
        }
    }

    /// Returns what an order must have to go on in spite of it.
    #[must_use]
    pub const fn remedy(&self) -> Remedy {
        match self {
            Self::Closed { .. }
            | Self::DepositInUse { .. }
            | Self::ChallengeTooLong { .. }
            | Self::Terms(_)
            | Self::StrangersLocked { .. } => Remedy::AnotherCall,
            Self::DepositTooLow { .. }
            | Self::TooManyChannels { .. }
            | Self::Mismatch { .. }
            | Self::Exhausted { why: LedgerFault::NotSent | LedgerFault::Refused { .. }, .. }
            | Self::NotOpened { why: LedgerFault::Refused { .. }, .. } => Remedy::AnotherBidder,
            Self::NoFunds { .. }
            | Self::NoLedger
            | Self::Exhausted { why: LedgerFault::Funds { .. } | LedgerFault::Unknown, .. }
            | Self::NotOpened {
                why: LedgerFault::Funds { .. } | LedgerFault::NotSent | LedgerFault::Unknown,
                ..
            } => Remedy::AnotherChannel,
        }
    }
}
