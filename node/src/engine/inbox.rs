//! What the driver wants of the engine: kept per job and merged, so that it never holds more entries than there are jobs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use bombyx_gpu::engine::RequestId;
use bombyx_protocol::io::EngineReport;
use bombyx_protocol::work::order::{JobId, ModelId, Task};

/// A task for the engine.
pub(super) struct Run {
    pub(super) number: RequestId,
    pub(super) job: JobId,
    pub(super) model: ModelId,
    pub(super) task: Task,
}

/// What is said of a job, and by which of its runs; by none where its input was only counted.
pub(super) type Said = (Option<RequestId>, JobId, EngineReport);

/// What the driver wants and the worker has not yet taken.
#[derive(Default)]
pub(super) struct Inbox {
    pub(super) runs: VecDeque<Run>,
    /// Of known runs only.
    pub(super) allowances: BTreeMap<RequestId, u32>,
    pub(super) cancels: Vec<RequestId>,
    /// Jobs that were given, have not been cancelled, and whose end the driver has not been told; each by its run. A job may be given
    /// again once it was cancelled, before the worker knows of that.
    pub(super) live: BTreeMap<JobId, RequestId>,
    pub(super) next: RequestId,
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
