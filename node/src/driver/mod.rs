//! The one loop of a node: it owns the role machines, and everything that happens passes through here.
//!
//! Each turn takes one event (from the swarm, the engine, the ledger, the store, the user or the clock), gives it to the
//! machine it is for, and does what the machine says until it says `Wake`. The loop never computes and never waits for
//! anything but a queue whose other end always drains: the swarm takes commands at all times, the store is bound by the
//! disk alone, the ledger service and the engine's inbox never wait for this loop.

mod early_gossip;
mod end;
mod ending;
#[cfg(test)]
mod fixtures;
mod inbound;
pub(crate) mod ledger;
mod limits;
mod listing;
mod lists;
mod market;
mod meet;
mod meetings;
mod orders;
mod outbound;
pub(crate) mod request;
mod run;
mod state;
mod unsaid;
mod view;
pub(crate) mod watcher;

pub(crate) use self::state::{Driver, Parts, ProviderParts};
