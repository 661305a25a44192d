//! The swarm: libp2p behind a joint of plain values. Nothing outside this folder names libp2p.
//!
//! ```text
//!   NetCommand ──► swarm loop ◄──► libp2p (QUIC, TCP; Kademlia, gossipsub, identify, streams)
//!       │           │     ▲
//!       └──► one pump per peer   readers, one per inbound stream
//!                   │     └───────┤
//!   NetEvent  ◄─────┴─────────────┘
//! ```
//!
//! A message to a peer whose pump runs goes straight to it; whatever else is sent, and the first message, see the loop.
//!
//! [`start`] binds the listen addresses and returns a [`NetHandle`] for commands and a queue of events.
//!
//! **Backpressure without deadlock.** The swarm loop takes commands at all times and never waits for the reader of
//! events. So a task may both send commands and read events. When that reader is slow: direct messages stay in their
//! streams, whose flow control stops the senders; gossip is dropped and counted; notices wait in a bounded outbox,
//! above which the swarm is no longer polled, and notices that commands cause are dropped and counted from then on.
//!
//! **Order.** The direct messages of one peer arrive in the order they were sent as long as its stream holds.
//! Nothing is promised between events of different kinds: a message may be read before its `Connected`.
//!
//! **Certainty.** `Undelivered` is certain: the peer's node did not take the message. Its absence is not proof of
//! delivery; what was sent shortly before a `Disconnected` may be lost, and a message that was sent at the very
//! moment in which a fresh stream broke may arrive twice.

mod address;
mod address_book;
mod announce;
mod backoff;
mod behaviour;
mod calendar;
mod cause;
mod config;
mod dial;
mod dial_filter;
mod discover;
mod door;
mod error;
mod events;
mod excess;
#[cfg(test)]
mod fixtures;
mod flow;
mod foreigners;
mod friends;
mod gossip;
mod gossip_validator;
mod handle;
#[cfg(test)]
mod hostile;
#[cfg(not(virtual_network))]
mod internet;
mod join;
mod joint;
mod judge;
mod known;
pub mod limits;
mod listen;
mod manifests;
mod market;
mod meet;
#[cfg(all(test, not(virtual_network)))]
mod names;
mod outbox;
mod penalty;
mod places;
mod prefix;
#[cfg(not(virtual_network))]
pub mod probe;
mod pump;
mod queues;
mod records;
mod request;
mod routes;
mod scope;
mod start;
mod streams;
mod survey;
mod swarm;
mod table;
mod way_back;

// simnet's stack fidelity compiles this folder as it is over a network in virtual time that stands in the Internet's place.
#[cfg(virtual_network)]
use crate::internet;

pub use self::calendar::unix_s;
pub use self::config::{NetConfig, check_join, check_network};
pub use self::error::{AddressError, NetError};
pub use self::handle::{NetHandle, NetStopped};
pub use self::joint::{DeliveryError, Fault, JoinError, NetCommand, NetEvent, NetStatus, PublicationError};
pub use self::judge::topic;
pub use self::known::KnownPeer;
pub use self::scope::Scope;
pub use self::start::start;
