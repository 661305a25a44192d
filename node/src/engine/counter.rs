//! The counter's own thread: it counts the input of tasks, one after the other, while the engine works on others. (`WR-25`)

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use bombyx_gpu::engine::{self as gpu, InputCounter};
use bombyx_protocol::io::EngineReport;
use bombyx_protocol::wire::message::Refusal;
use bombyx_protocol::work::order::{JobId, ModelId, Task};
use tokio::sync::mpsc;

use super::convert;
use super::inbox::Said;

/// What the driver wants counted, and the bell that wakes the counter.
#[derive(Default)]
pub(super) struct SharedTasks {
    tasks: Mutex<Tasks>,
    pub(super) bell: Condvar,
}

/// A task whose input is to be counted.
pub(super) struct Uncounted {
    pub(super) job: JobId,
    pub(super) model: ModelId,
    pub(super) task: Task,
}

/// Tasks whose input is to be counted.
#[derive(Default)]
pub(super) struct Tasks {
    pub(super) waiting: VecDeque<Uncounted>,
    pub(super) stop: bool,
}

impl SharedTasks {
    pub(super) fn lock(&self) -> MutexGuard<'_, Tasks> {
        // Nobody panics while holding the lock: it guards a plain collection.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next task; `None` where no more is wanted.
    fn next(&self) -> Option<Uncounted> {
        let mut tasks = self.lock();
        loop {
            if tasks.stop {
                return None;
            }
            if let Some(task) = tasks.waiting.pop_front() {
                return Some(task);
            }
            tasks = self.bell.wait(tasks).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

pub(super) struct Counter {
    counter: Arc<dyn InputCounter>,
    shared: Arc<SharedTasks>,
    /// Not its own to keep open: reports end with the engine.
    reports: mpsc::WeakSender<Said>,
}

impl Counter {
    pub(super) fn new(
        counter: Arc<dyn InputCounter>,
        shared: Arc<SharedTasks>,
        reports: mpsc::WeakSender<Said>,
    ) -> Self {
        Self { counter, shared, reports }
    }

    /// Counts until nobody wants a report any more.
    pub(super) fn run(self) {
        while let Some(Uncounted { job, model, task }) = self.shared.next() {
            let task = convert::task(task);
            // A tokenizer that gives up on one stranger's text has to count the next one's.
            let counted =
                catch_unwind(AssertUnwindSafe(|| self.counter.count(&gpu::ModelId(model.0), &task)));
            let report = counted.map_or(EngineReport::Failed(Refusal::Engine), convert::counted);
            let sent = self.reports.upgrade().map(|reports| reports.blocking_send((None, job, report)));
            if !matches!(sent, Some(Ok(()))) {
                return;
            }
        }
    }
}
