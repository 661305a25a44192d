//! The service between the machines and the ledger: runs their calls and tells them how their channels change.
//!
//! ```text
//! LedgerService ── the driver's end: calls in, events and the pace out
//!   └─ ServiceTask  one task, which waits for nothing but its own queues
//!        ├─ calls   what the machines want done: in order on one account, side by side on different ones
//!        ├─ looks   which channel is looked at next
//!        ├─ gauge   how fast looks can follow each other
//!        ├─ seen    which of it is news, and to which role
//!        └─ silence whether the ledger answers at all
//! ```
//!
//! Each look is reported when it ends, independently of the others. What the service has to say waits in an outbox that holds
//! one state per role and account, so that a slow driver never holds the service up.

#[cfg(test)]
mod broken_chain;
mod calls;
#[cfg(test)]
mod fixtures;
mod gauge;
mod limits;
mod looks;
#[cfg(test)]
mod metered_ledger;
mod run;
mod seen;
mod service;
mod silence;
mod state;
#[cfg(test)]
mod tests;
mod watched;

pub(crate) use self::service::LedgerService;
pub(crate) use self::watched::{Sight, Sights, core_state};
