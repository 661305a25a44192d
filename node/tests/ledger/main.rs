//! The contracts on a real TVM, through the same ledger operations that the node uses.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod accounts;
mod attacks;
mod backends;
mod differential;
mod endpoints;
mod exits;
mod explorer;
mod faults;
mod fees;
mod http;
mod javascript;
mod mixtures;
mod money;
mod mutants;
mod official_client;
mod prices;
mod proxy;
mod purse;
mod races;
mod refusals;
mod server;
mod setup;
mod storm;
mod vectors;
