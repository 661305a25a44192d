//! The money that a record promises: as much as the invariants need, so that the coordinator need not see the record.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::AgreedTerms;

/// The money that a record promises.
#[derive(Debug, Clone)]
pub enum Pledge {
    /// A client's: all that it has promised on a channel.
    Promise {
        /// The channel.
        terms: AgreedTerms,
        /// All that the client has asked the ledger to lock, or is about to.
        locked: Nano,
        /// All that it has promised.
        cumulative: Nano,
    },
    /// A provider's: its newest voucher.
    Voucher {
        /// The channel.
        terms: AgreedTerms,
        /// Its funding.
        epoch: u64,
        /// The amount of the voucher.
        cumulative: Nano,
    },
}

impl Pledge {
    /// Returns the pledge of a record, if it says anything about money.
    #[must_use]
    pub fn of(record: &Record) -> Option<Self> {
        match record {
            Record::Payer(paying) => Some(Self::Promise {
                terms: paying.terms.clone(),
                locked: paying.locked,
                cumulative: paying.cumulative,
            }),
            Record::Earner(earning) => earning.payment.map(|payment| Self::Voucher {
                terms: earning.terms.clone(),
                epoch: payment.epoch,
                cumulative: payment.cumulative,
            }),
            Record::ChannelGone { .. } | Record::Receipt { .. } | Record::Reputation(_) => None,
        }
    }
}
