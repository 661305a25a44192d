//! The ledger: wallets, payment channels, blocks and fees.

mod calls;
mod chain;
mod channel;
mod fees;
mod transactions;

pub use chain::{Chain, Wallet};
pub use transactions::Transactions;
