//! The contracts on a real TVM, through the same ledger operations that the node uses.
#![allow(clippy::unwrap_used)]

mod accounts;
mod attacks;
mod calls;
mod differential;
mod exits;
mod fees;
mod http;
mod javascript;
mod money;
mod official_client;
mod purse;
mod refusals;
mod setup;
mod storm;
mod vectors;
