//! The Bombyx node: the production shell around the rules of `bombyx-protocol`.
//!
//! ```text
//!            cli, http, demo                       the user's side
//!                  │  NodeHandle
//!   net ──────► driver ◄────── engine              swarm, the one loop, tensors
//!                  │    ╲
//!                store   ledger service ── ledger     records on disk, channels on chain
//! ```
//!
//! [`api::start`] puts a node together and returns its [`api::NodeHandle`]: orders go in, news come out. The
//! [`driver`] is the only caller of the role machines; nothing outside [`net`] names libp2p, nothing outside [`store`]
//! names redb, and every failure ends in [`error::NodeError`] with an exit code and a hint.
#![forbid(unsafe_code)]

// Whoever pretends its signatures gives its money away: such a build has no node.
const _: () =
    assert!(!bombyx_protocol::CAN_PRETEND, "a node must be built without the feature `fake-crypto`");

pub mod api;
pub mod cli;
pub mod demo;
pub mod driver;
pub mod engine;
pub mod error;
pub mod home;
pub mod http;
pub mod ledger;
pub mod net;
pub mod role;
pub mod status;
pub mod store;
