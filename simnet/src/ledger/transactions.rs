//! Counts of what the ledger carried out and refused.

use serde::Serialize;

/// How many calls of each kind the ledger carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Transactions {
    /// Channels opened.
    pub open: u64,
    /// Top-ups.
    pub top_up: u64,
    /// Claims.
    pub claim: u64,
    /// Closes by a provider.
    pub close: u64,
    /// Requests to close by a client.
    pub request_close: u64,
    /// Finalised after the challenge time.
    pub finalize: u64,
    /// Calls that the contract or the wallet refused.
    pub refused: u64,
}

impl Transactions {
    /// Returns all that went through.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.open + self.top_up + self.claim + self.close + self.request_close + self.finalize
    }
}

/// Finds the field that counts a call.
pub(super) type Counter = fn(&mut Transactions) -> &mut u64;
