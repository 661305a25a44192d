//! What a record says about money: as much of it as the invariants need, so that the coordinator need not be shown the record.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::channel::terms::AgreedTerms;

/// What a record says about money.
#[derive(Debug, Clone)]
pub enum Pledge {
    /// A client's: all that it has promised on a channel.
    Promise {
        /// The channel.
        terms: AgreedTerms,
        /// What the client knows to be deposited.
        deposit: Nano,
        /// What it has promised.
        cumulative: Nano,
    },
    /// A provider's: its newest voucher.
    Voucher {
        /// The channel.
        terms: AgreedTerms,
        /// Its funding.
        epoch: u64,
        /// What the voucher is over.
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
                deposit: paying.deposit,
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
