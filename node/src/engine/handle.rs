//! The driver's end of the engine.

use std::sync::Arc;
use std::thread::JoinHandle;

use bombyx_gpu::engine::Engine;
use bombyx_protocol::io::EngineReport;
use bombyx_protocol::limits::JOBS_MAX;
use bombyx_protocol::work::order::{JobId, ModelId, Task};
use tokio::sync::mpsc;

use super::counter::{Counter, SharedTasks};
use super::inbox::{Run, SharedInbox};
use super::worker::Worker;

/// Reports that wait for the driver.
pub const REPORTS_MAX: usize = 1_024;

/// The engine as the driver sees it. Its threads end when this is dropped.
pub struct EngineHandle {
    shared: Arc<SharedInbox>,
    tasks: Arc<SharedTasks>,
    pub(super) thread: Option<JoinHandle<()>>,
}

/// The engine holds as many jobs as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine holds {JOBS_MAX} jobs already")]
pub struct EngineFull;

/// Reports of jobs, in the order in which the engine made them. Closed: the engine's thread has ended.
pub type Reports = mpsc::Receiver<(JobId, EngineReport)>;

impl EngineHandle {
    /// Starts the thread that owns `engine`, and the one that counts. `pace` caps the tokens per second of the whole engine; 0: no cap.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(engine: Box<dyn Engine>, pace: u32) -> std::io::Result<(Self, Reports)> {
        let shared = Arc::new(SharedInbox::default());
        let (reports, receiver) = mpsc::channel(REPORTS_MAX);
        let tasks = Arc::new(SharedTasks::default());
        let counter = Counter::new(engine.input_counter(), Arc::clone(&tasks), reports.downgrade());
        let worker = Worker::new(engine, Arc::clone(&shared), reports, pace);
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || worker.run())?;
        std::thread::Builder::new().name("counter".into()).spawn(move || counter.run())?;
        Ok((Self { shared, tasks, thread: Some(thread) }, receiver))
    }

    /// Counts the tokens of a task's input.
    ///
    /// # Errors
    /// [`EngineFull`] when as many tasks wait to be counted as may.
    pub fn count(&self, job: JobId, model: ModelId, task: Task) -> Result<(), EngineFull> {
        let mut tasks = self.tasks.lock();
        if tasks.waiting.len() >= JOBS_MAX {
            return Err(EngineFull);
        }
        tasks.waiting.push_back(Run { job, model, task });
        drop(tasks);
        self.tasks.bell.notify_one();
        Ok(())
    }

    /// Starts a task.
    ///
    /// # Errors
    /// [`EngineFull`] when as many jobs run or wait as may.
    pub fn run(&self, job: JobId, model: ModelId, task: Task) -> Result<(), EngineFull> {
        let mut inbox = self.shared.lock();
        if inbox.live.len() >= JOBS_MAX {
            return Err(EngineFull);
        }
        if inbox.live.insert(job) {
            inbox.runs.push_back(Run { job, model, task });
        }
        drop(inbox);
        self.shared.bell.notify_one();
        Ok(())
    }

    /// Lets a job make `tokens` more. Jobs that have ended are ignored.
    pub fn allow(&self, job: JobId, tokens: u32) {
        let mut inbox = self.shared.lock();
        if inbox.live.contains(&job) {
            let allowance = inbox.allowances.entry(job).or_default();
            *allowance = allowance.saturating_add(tokens);
        }
        drop(inbox);
        self.shared.bell.notify_one();
    }

    /// Stops a job; it reports nothing more, except what is in the queue already.
    pub fn cancel(&self, job: JobId) {
        let mut inbox = self.shared.lock();
        if inbox.live.remove(&job) {
            inbox.allowances.remove(&job);
            let waiting = inbox.runs.len();
            inbox.runs.retain(|run| run.job != job);
            if inbox.runs.len() == waiting {
                inbox.cancels.push(job);
            }
        }
        drop(inbox);
        self.shared.bell.notify_one();
    }
}

impl Drop for EngineHandle {
    fn drop(&mut self) {
        self.tasks.lock().stop = true;
        self.tasks.bell.notify_one();
        self.shared.lock().stop = true;
        self.shared.bell.notify_one();
        if let Some(thread) = self.thread.take() {
            // A step takes milliseconds; a worker that waits for the driver ends when the reports are dropped, and
            // a caller that drops this handle first does not wait for it.
            drop(thread);
        }
    }
}
