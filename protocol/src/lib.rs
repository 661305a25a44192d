//! Every rule of the Bombyx network, deterministic: no clock, no socket, no disk, no entropy, no model, no chain.
//!
//! Three role machines hold the rules: [`client::Client`] buys, [`provider::Provider`] sells and
//! [`watcher::Watcher`] watches channels for who is away. All are driven alike:
//!
//! 1. give the machine one [`io::Input`] with the current [`time::Time`];
//! 2. call [`io::Machine::poll`] and do what it says, until it says [`io::Output::Wake`];
//! 3. wait for the next input, or give it [`io::Input::Tick`] at the time it named.
//!
//! **The one invariant**: drain to `Wake` before the next input. Records ([`io::Output::Persist`]) leave at once;
//! what depends on them stays inside until [`io::Input::Persisted`] says that they are on disk, so that no shell
//! can speak before it has written.
//!
//! ```
//! use bombyx_protocol::{client::{Client, ClientConfig}, io::{Input, Machine, Output}, time::Time};
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
//! It refuses: floats, unordered iteration, unchecked arithmetic, panics on what a peer sent. Bounds are in
//! [`limits`], bytes in [`wire`], and every rule has an id in `spec/`.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

/// Whether this build can pretend its cryptography: simulators may, a node may not.
pub const CAN_PRETEND: bool = cfg!(feature = "fake-crypto");

pub mod amount;
pub mod channel;
pub mod client;
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
