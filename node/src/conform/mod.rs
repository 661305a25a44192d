//! Checks of a foreign node: which rules of the network it keeps, and which it breaks.
//!
//! It is a client of its own, with identities that live for one check, no home and no money: what it buys it buys on the
//! credit that a provider gives strangers. It sees what a stranger can see; that a check passes says no more. The checks are
//! data (`list`), and stand by the page of the specification whose rules they show: `wire`, `network`, `market`, `session`,
//! `work` and `refusals`, `channel`. A node is asked over sockets of [`crate::net::probe`], with the wire's own types, and
//! judged by the same pure checks by which a client judges.

mod buyer;
mod channel;
mod check;
mod guest;
mod list;
mod market;
mod network;
mod refusals;
mod run;
mod session;
mod subject;
mod verdict;
mod wire;
mod work;

pub use self::run::{CheckReport, ConformError, Conformance, Options, run};
pub use self::verdict::Outcome;
