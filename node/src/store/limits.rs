//! Bounds of the store, and the version of its layout.

/// Inputs whose records wait for the writing thread; above it, writers wait.
pub const QUEUE_MAX: usize = 4_096;
/// Inputs whose records share one commit.
pub const BATCH_MAX: usize = 1_024;
/// Receipts that are kept; when the store is opened, older ones are dropped.
pub const RECEIPTS_MAX: usize = 10_000;
/// Version of the tables' layout.
pub(super) const FORMAT: u32 = 1;
