//! What the driver wants of the engine: kept per job and merged, so that it never holds more entries than there are jobs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bombyx_protocol::work::order::{JobId, ModelId, Task};

/// A task for the engine.
pub(super) struct Run {
    pub(super) job: JobId,
    pub(super) model: ModelId,
    pub(super) task: Task,
}

/// What the driver wants and the worker has not yet taken.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) runs: VecDeque<Run>,
    /// Of known jobs only.
    pub(super) allowances: BTreeMap<JobId, u32>,
    pub(super) cancels: Vec<JobId>,
    /// Jobs that were given and have neither ended nor been cancelled.
    pub(super) live: std::collections::BTreeSet<JobId>,
    pub(super) stop: bool,
}

/// The inbox and the bell that wakes the worker.
#[derive(Default)]
pub(super) struct SharedInbox {
    pub(super) inbox: Mutex<Inbox>,
    pub(super) bell: Condvar,
}

impl SharedInbox {
    pub(super) fn lock(&self) -> MutexGuard<'_, Inbox> {
        // Nobody panics while holding the lock: it guards plain collections.
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
