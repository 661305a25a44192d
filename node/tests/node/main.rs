//! The node from outside: its store under a kill, a market over real sockets, and what its verbs answer.
#![allow(clippy::unwrap_used)]

mod market;
mod store_crash;
mod verbs;
