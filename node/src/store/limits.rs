//! Bounds of the store, and the version of its layout.

/// Inputs whose records wait for the writing thread; above it, writers wait.
pub const QUEUE_MAX: usize = 4_096;
/// Inputs whose records share one commit.
pub const BATCH_MAX: usize = 1_024;
/// Receipts that are kept; older ones are dropped when rows move into the tables.
pub const RECEIPTS_MAX: usize = 10_000;
/// What a disk that loses power may spoil together, in bytes: frames of the journal share no page.
pub(super) const PAGE_BYTES: u32 = 4_096;
/// Bytes of a half of the journal. When it is full, its newest rows move into the tables while the other half is written.
pub(super) const HALF_BYTES: u32 = 2 << 20;
/// Bytes of the tables' pages that are kept in memory: they are written rarely, and the system keeps what it has room for anyway.
pub(super) const CACHE_BYTES: usize = 4 << 20;
/// Version of the tables' layout.
pub(super) const FORMAT: u32 = 1;
