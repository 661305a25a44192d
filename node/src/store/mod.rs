//! Records on disk: one file, one writing thread, one durable commit for all that wait.
//!
//! [`Store::open`] reads what is there and starts the thread; [`Store::write_all`] queues the records of one input, which
//! share a commit; [`Store::durable`] tells how far each role's records are on disk. When the thread ends, because the disk
//! failed, the channel behind `durable` closes: a node that cannot write must not speak, so its driver stops.

mod error;
mod handle;
mod limits;
#[cfg(test)]
mod power_cut;
mod tables;
mod writer;

pub use self::error::StoreError;
pub use self::handle::Store;
pub use self::limits::{BATCH_MAX, QUEUE_MAX, RECEIPTS_MAX};
