//! Holds every rule of the Bombyx network as deterministic state machines, without I/O: no clock, socket,
//! disk, model or chain. Time, the seed of all randomness and the ledger's events are inputs.
//!
//! Three role machines hold the rules: [`client::Client`] buys, [`provider::Provider`] sells, and
//! [`watcher::Watcher`] claims on behalf of providers that are offline. A *shell* surrounds a machine and
//! does its I/O: the node with real sockets, the simulator with virtual ones. It drives all three alike:
//!
//! 1. give the machine one [`io::Input`] with the current [`time::Time`];
//! 2. call [`io::Machine::poll`] and do what it says, until it says [`io::Output::Wake`];
//! 3. wait for the next input, or give it [`io::Input::Tick`] at the time it named.
//!
//! **The one invariant**: drain to `Wake` before the next input. Records ([`io::Output::Persist`]) leave at
//! once; what depends on them stays inside until [`io::Input::Persisted`] says that they are on disk, so that
//! no shell can speak before it has written.
//!
//! ```
//! use bombyx_protocol::{Client, ClientConfig, Input, Machine, Output, Time};
//! # fn config() -> ClientConfig { ClientConfig::for_tests(1) }
//! let mut client = Client::new(config(), Vec::new());
//! client.handle(Time(0), Input::Tick);
//! loop {
//!     match client.poll() {
//!         Output::Wake(_at) => break,
//!         _output => { /* send it, store it, show it */ }
//!     }
//! }
//! ```
//!
//! A user places an *order*; the client buys it as one or more *jobs*, each awarded to one provider; an
//! *attempt* is a job as the client sees it. For how an order is paid, see [`client`]; for every input and
//! output, [`io`]. `examples/pair.rs` is the loop of a shell, with a client, a provider and one paid answer
//! (`cargo run -p bombyx-protocol --example pair`).
//!
//! This crate forbids floats, unordered iteration, unchecked arithmetic, and panics on what a peer sent.
//! Bounds are in [`limits`], bytes in [`wire`], and every rule has an id in `spec/`.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

/// Whether this build has fake cryptography, with signatures that anyone can make: a simulator may, a node
/// may not.
pub const HAS_FAKE_CRYPTO: bool = cfg!(feature = "fake-crypto");

pub mod amount;
pub mod channel;
pub mod client;
pub mod clock;
mod deadlines;
pub mod entropy;
mod fair;
#[cfg(feature = "fake-crypto")]
pub mod fake;
pub mod ident;
pub mod io;
pub mod limits;
pub mod market;
mod outbox;
pub mod provider;
pub mod session;
pub mod table;
pub mod time;
pub mod watcher;
pub mod wire;
pub mod work;

// What most callers name.
pub use amount::Nano;
pub use channel::fault::PaymentFault;
pub use channel::id::ChannelId;
pub use channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
pub use channel::pace::Pace;
pub use channel::record::{Record, RecordKey};
pub use channel::terms::{Address, ChannelTerms};
pub use channel::voucher::Voucher;
pub use channel::watch::WatchedVoucher;
pub use client::{ChannelPolicy, Client, ClientConfig};
pub use ident::{Identity, NodeId, Prefix, Signature};
pub use io::{
    Bill, Command, EngineReport, Event, Failure, Input, Machine, Offer, OrderNews, Output, PeerFault,
    PersistId,
};
pub use market::bid::Payee;
pub use market::quote::{Basis, Quote, QuotedBill, QuotedChannel, QuotedState};
pub use provider::{CreditLimits, Provider, ProviderConfig};
pub use time::{Span, Time};
pub use watcher::Watcher;
pub use wire::message::{Content, Finish, Gossip, Message, Refusal};
pub use work::cost::CostSheet;
pub use work::order::{
    ChatMessage, Generate, InputCount, JobId, ModelId, Order, OrderId, Role, Sampling, Task, TaskKind, Tier,
};
pub use work::preferences::Preferences;
pub use work::price::{InputTokens, Price, Tariff, Weights};
