//! The ledger: accounts, channels, blocks and fees.

pub mod chain;
