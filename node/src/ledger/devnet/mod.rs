//! A TON-compatible ledger inside this process: a real TVM and transaction executor, mainnet's prices, no consensus.
//!
//! It executes TVM version 12. A message and all that follows from it are executed at once, or block by block
//! ([`Devnet::in_blocks`]), so that messages between accounts meet others on their way. Transaction hashes differ from
//! mainnet's where an account is deployed (two informational flags), states and fees do not.

mod backend;
mod chain;
mod clock;
mod config;
mod explorer;
mod faucet;
mod get_method;
mod history;
pub mod http;
pub mod lite;
mod methods;
mod params;
mod stack;
mod substitute;

pub use self::backend::Devnet;
pub use self::config::DEVNET_ID;
pub use self::faucet::FAUCET_MAX;
