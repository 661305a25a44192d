//! One payment channel as the ledger keeps it.

use bombyx_protocol::channel::ledger::LedgerFault;
use bombyx_protocol::channel::terms::AgreedTerms;
use bombyx_protocol::channel::voucher::SignedVoucher;
use bombyx_protocol::time::Time;

/// The answer to every call that a channel refuses: its rules are simpler than the contract's, and so are its exit codes.
pub(super) const REFUSED: LedgerFault = LedgerFault::Refused { exit_code: 100 };

/// The contract of one payment channel.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) terms: AgreedTerms,
    pub(super) epoch: u64,
    pub(super) close_at: Option<Time>,
    pub(super) deposit: u64,
    pub(super) settled: u64,
    pub(super) balance: u64,
}

impl Channel {
    /// Returns what a voucher adds to what is settled.
    ///
    /// # Errors
    /// [`REFUSED`] for a voucher of another channel or epoch, one that is not newer, one above the deposit, and one
    /// that the client did not sign.
    pub(super) fn check(&self, voucher: &SignedVoucher) -> Result<u64, LedgerFault> {
        let fits = voucher.account == self.terms.id()
            && voucher.epoch == self.epoch
            && voucher.cumulative.0 > self.settled
            && voucher.cumulative.0 <= self.deposit;
        if fits && voucher.verify(&self.terms.client_key, &voucher.signature).is_ok() {
            Ok(voucher.cumulative.0 - self.settled)
        } else {
            Err(REFUSED)
        }
    }

    /// Moves `delta` out of the channel, to be paid to the provider.
    pub(super) fn pay(&mut self, delta: u64) {
        self.settled += delta;
        self.balance -= delta;
    }
}
