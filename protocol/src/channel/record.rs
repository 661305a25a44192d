//! What must survive a crash. It is written before anything that depends on it is said.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::sight::SightRecord;
use crate::channel::terms::AgreedTerms;
use crate::channel::watch::WatchedVoucher;
use crate::ident::{NodeId, Prefix};
use crate::market::history::Timing;
use crate::wire::message::Payment;
use crate::wire::signed::Signed;
use crate::work::order::{JobId, ModelId};

/// One durable statement. A later record of the same channel or job replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Record {
    /// Client: a channel and everything that was promised on it.
    Payer(PayerRecord),
    /// Provider: a channel and the newest voucher on it.
    Earner(EarnerRecord),
    /// A channel is forgotten.
    ChannelGone {
        /// Its account.
        account: ChannelId,
    },
    /// The newest receipt of a job, at the client.
    Receipt {
        /// The job.
        job: JobId,
        /// Who served.
        provider: NodeId,
        /// The signed receipt.
        receipt: Signed,
    },
    /// Client: what is remembered of a provider.
    Reputation(Reputation),
}

/// What a client remembers of a provider. (`MK-31`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Reputation {
    /// Its place among those remembered; a later provider in the same place replaces it.
    pub slot: u16,
    /// Who.
    pub provider: NodeId,
    /// Where it was last heard from.
    pub prefix: Prefix,
    /// Jobs that it has finished well; 255 stands for more.
    pub good: u8,
    /// Those since it last failed; 255 stands for more.
    pub level: u8,
    /// Failures that count.
    pub failures: u8,
    /// When it last failed, in seconds since 1970.
    pub failed_at_s: u64,
    /// The model that it served last.
    pub model: ModelId,
    /// Jobs of that model that were timed; no more are counted than make a measure. (`MK-7`)
    pub timed: u8,
    /// How long they took.
    pub timing: Timing,
}

/// A channel as its client keeps it.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PayerRecord {
    /// The terms.
    pub terms: AgreedTerms,
    /// Who is paid.
    pub provider: NodeId,
    /// What the ledger has shown deposited; before it has shown any, what the client deposits.
    pub deposit: Nano,
    /// Everything that the client ever asked the ledger to lock in it, top-ups of unknown fate included; zero where that surely had
    /// no effect, and the channel is kept for what is owed on it. (`CH-56`)
    pub locked: Nano,
    /// Which funding, once the ledger has shown it.
    pub epoch: Option<u64>,
    /// The newest cumulative amount that a voucher was signed for, or may have been.
    pub cumulative: Nano,
    /// Whether the client has asked for its rest back.
    pub closing: bool,
    /// Whether the ledger has shown that it is gone: kept, in case that was untrue. (`CH-37`)
    pub gone: bool,
}

/// A channel as its provider keeps it.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct EarnerRecord {
    /// The terms.
    pub terms: AgreedTerms,
    /// Who pays.
    pub client: NodeId,
    /// The newest voucher that counts.
    pub payment: Option<Payment>,
    /// One that came before the ledger has shown what it is for.
    pub early: Option<Box<Payment>>,
    /// The newest one of another funding than the one that the ledger shows.
    pub shelved: Option<Box<Payment>>,
    /// The most that may be served on it and not paid, what was given up and what is in doubt included. (`CH-38`)
    pub at_risk: Nano,
    /// The widest window that a job on it has had.
    pub widest: Nano,
    /// The funding in which a close order was signed: nothing is served in it any more. (`CH-13`)
    pub ordered: Option<u64>,
    /// Whether the ledger has shown that it is gone: kept, in case that was untrue. (`CH-37`)
    pub gone: bool,
    /// What was given up of it, because a job that is over left it unpaid. (`CH-9`)
    pub given_up: Nano,
    /// What the ledger showed of it last, where it was open. (`CH-57`)
    pub sight: Option<SightRecord>,
}

impl EarnerRecord {
    /// Returns the newest voucher that counts, as a watcher needs it. (`CH-10`)
    #[must_use]
    pub fn watched_voucher(&self) -> Option<WatchedVoucher> {
        let voucher = self.payment?.on(self.terms.id());
        Some(WatchedVoucher { voucher, challenge_s: self.terms.challenge_s })
    }
}

impl Record {
    /// Returns the channel or job that this record is about, by which a later one replaces it.
    /// (`CO-6`)
    #[must_use]
    pub fn key(&self) -> RecordKey {
        match self {
            Self::Payer(record) => RecordKey::Payer(record.terms.id()),
            Self::Earner(record) => RecordKey::Earner(record.terms.id()),
            Self::ChannelGone { account } => RecordKey::Gone(*account),
            Self::Receipt { job, .. } => RecordKey::Receipt(*job),
            Self::Reputation(reputation) => RecordKey::Reputation(reputation.slot),
        }
    }

    /// Returns the channel that it is about, if it is about one.
    #[must_use]
    pub fn account(&self) -> Option<ChannelId> {
        match self.key() {
            RecordKey::Payer(account) | RecordKey::Earner(account) | RecordKey::Gone(account) => {
                Some(account)
            }
            RecordKey::Receipt(_) | RecordKey::Reputation(_) => None,
        }
    }
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKey {
    /// A channel that this node pays on.
    Payer(ChannelId),
    /// A channel that this node earns on.
    Earner(ChannelId),
    /// A channel that is gone: removes both of the above.
    Gone(ChannelId),
    /// A job's newest receipt.
    Receipt(JobId),
    /// The provider that is remembered in a slot.
    Reputation(u16),
}
