//! Records on disk: one file, one writing thread, one durable commit for all that wait.
//!
//! A commit is one write at the end of a journal, and one sync. When a half of the journal is full, the newest row of each key in
//! it moves into the tables behind it, on a thread of its own, while commits go on in the other half. Whoever opens the store
//! reads the tables and what the journal has beyond them.
//!
//! [`Store::open`] reads what is there and starts the thread; [`Store::write_all`] queues the records of one input, which
//! share a commit; [`Store::durable`] tells how far each role's records are on disk. When the thread ends, because the disk
//! failed, the channel behind `durable` closes: a node that cannot write must not speak, so its driver stops.

mod error;
mod file;
mod handle;
mod journal;
mod limits;
#[cfg(test)]
mod power_cut;
mod rows;
mod tables;
mod writer;

pub use self::error::StoreError;
pub use self::handle::Store;
pub use self::limits::{BATCH_MAX, QUEUE_MAX, RECEIPTS_MAX};
