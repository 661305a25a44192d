//! What the ledger takes and keeps: the measured fees of the contract at mainnet prices, in nano.

/// Stays on a channel beside its deposit, and returns to the client at the close.
pub(super) const OPEN_RESERVE: u64 = 10_000_000;
/// Below this the contract sends no payout at a close: the message would cost more than it carries.
pub(super) const PAYOUT_MIN: u64 = 500_000;
/// A claim of at least this pays its own fee out of the claimed amount.
pub(super) const OWN_FEE_CLAIM_MIN: u64 = 5_000_000;
/// Fee of opening a channel, the wallet's own transaction included.
pub(super) const FEE_OPEN: u64 = 1_170_000;
/// Fee of a top-up, the wallet's own transaction included.
pub(super) const FEE_TOP_UP: u64 = 700_000;
/// Fee of a claim that pays for itself.
pub(super) const FEE_CLAIM: u64 = 500_000;
/// Fee of a claim that a wallet pays for.
pub(super) const FEE_WALLET_CLAIM: u64 = 1_080_000;
/// Fee of a close or finalize, taken from the channel's reserve.
pub(super) const FEE_CLOSE: u64 = 500_000;
/// Fee of a client's request to close.
pub(super) const FEE_REQUEST_CLOSE: u64 = 700_000;
