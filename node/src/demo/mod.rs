//! The demonstration: a private swarm of real processes on this machine, three jobs, a killed provider, settlement.
//!
//! One devnet and one client in this process; three providers as processes of their own, each with its own home, keys,
//! price and speed. The second joins through the first and the third through the second: each knows one address and
//! the ledger, nothing else. Nothing is mocked, and everything is gone afterwards.

mod error;
mod jobs;
mod nodes;
mod play;
mod prepare;
mod report;
mod setting;
mod settlement;

pub use self::error::DemoError;
pub use self::play::run;
pub use self::prepare::prepare;
pub use self::setting::{CHAT_MODEL, EMBED_MODEL};
