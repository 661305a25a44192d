//! Blame that hosts put on each other: how soon a cheater is noticed by anyone, and which hosts are blamed without cause.
//!
//! Only what the protocol's own machines say counts: a broken rule, a job that was given up for the other side's fault, a
//! client that was refused for not paying. A provider that is busy or leaving has done nothing wrong.

use std::collections::BTreeMap;

use bombyx_protocol::io::Failure;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::Refusal;

/// The hosts that an honest host has blamed, each with the time of the first blame.
#[derive(Debug, Default)]
pub struct Blames {
    first: BTreeMap<u32, Time>,
}

impl Blames {
    /// Records that an honest host blames a host.
    pub fn note(&mut self, host: u32, now: Time) {
        self.first.entry(host).or_insert(now);
    }

    /// Returns when a host was first blamed.
    #[must_use]
    pub fn first(&self, host: u32) -> Option<Time> {
        self.first.get(&host).copied()
    }
}

/// Returns whether a provider that failed an order for this reason is to blame.
#[must_use]
pub const fn blames_provider(why: Failure) -> bool {
    match why {
        Failure::NoAnswer
        | Failure::Stalled
        | Failure::Gone
        | Failure::Session
        | Failure::FalseReceipt
        | Failure::FalseCount { .. }
        | Failure::Refused(Refusal::UnknownBid | Refusal::PriceBelowBid | Refusal::Engine) => true,
        Failure::Order(_)
        | Failure::TooLongToResume { .. }
        | Failure::NotConnected
        | Failure::NoSeller { .. }
        | Failure::NoBids
        | Failure::Full { .. }
        | Failure::LeftAlone { .. }
        | Failure::CutShort { .. }
        | Failure::OverBudget { .. }
        | Failure::OverCeiling { .. }
        | Failure::NoTier(_)
        | Failure::NotWanted { .. }
        | Failure::Refused(_)
        | Failure::Payment(_)
        | Failure::Deadline
        | Failure::Cancelled => false,
    }
}

/// Returns whether a client that was refused for this reason is to blame.
#[must_use]
pub const fn blames_client(why: Refusal) -> bool {
    matches!(why, Refusal::Unpaid | Refusal::Unfunded | Refusal::BadVoucher)
}
