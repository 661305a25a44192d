//! The driver's end of the engine.

use std::sync::Arc;
use std::thread::JoinHandle;

use bombyx_gpu::engine::Engine;
use bombyx_protocol::io::EngineReport;
use bombyx_protocol::limits::JOBS_MAX;
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{JobId, ModelId, Task};
use tokio::sync::mpsc;

use super::counter::{Counter, SharedTasks, Uncounted};
use super::inbox::{Run, Said, SharedInbox};
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

/// Reports of jobs, in the order in which the engine made them. What a run says that was cancelled is left out, so that nobody
/// takes it for the words of the job's next run.
pub struct Reports {
    shared: Arc<SharedInbox>,
    queue: mpsc::Receiver<Said>,
}

impl Reports {
    /// Waits for the next; `None`: the engine's thread has ended.
    pub async fn recv(&mut self) -> Option<(JobId, EngineReport)> {
        loop {
            let said = self.queue.recv().await?;
            if let Some(report) = self.current(said) {
                return Some(report);
            }
        }
    }

    /// Waits for the next on a thread that may; `None`: the engine's thread has ended.
    pub fn blocking_recv(&mut self) -> Option<(JobId, EngineReport)> {
        loop {
            let said = self.queue.blocking_recv()?;
            if let Some(report) = self.current(said) {
                return Some(report);
            }
        }
    }

    /// Returns the next if there is one.
    pub fn try_recv(&mut self) -> Option<(JobId, EngineReport)> {
        loop {
            let said = self.queue.try_recv().ok()?;
            if let Some(report) = self.current(said) {
                return Some(report);
            }
        }
    }

    /// Returns what was said, unless it is of a run that was cancelled.
    fn current(&self, (run, job, report): Said) -> Option<(JobId, EngineReport)> {
        if let Some(run) = run {
            let mut inbox = self.shared.lock();
            if inbox.live.get(&job) != Some(&run) {
                return None;
            }
            if matches!(report, EngineReport::Content(Content::End { .. }) | EngineReport::Failed(_)) {
                inbox.live.remove(&job);
            }
        }
        Some((job, report))
    }
}

impl EngineHandle {
    /// Starts the thread that owns `engine`, and the one that counts. `pace` caps the tokens per second of the whole engine; 0: no cap.
    ///
    /// # Errors
    /// What the system says when it gives no thread.
    pub fn start(engine: Box<dyn Engine>, pace: u32) -> std::io::Result<(Self, Reports)> {
        let shared = Arc::new(SharedInbox::default());
        let (reports, queue) = mpsc::channel(REPORTS_MAX);
        let tasks = Arc::new(SharedTasks::default());
        let counter = Counter::new(engine.input_counter(), Arc::clone(&tasks), reports.downgrade());
        let worker = Worker::new(engine, Arc::clone(&shared), reports, pace);
        let thread = std::thread::Builder::new().name("engine".into()).spawn(move || worker.run())?;
        std::thread::Builder::new().name("counter".into()).spawn(move || counter.run())?;
        Ok((Self { shared: Arc::clone(&shared), tasks, thread: Some(thread) }, Reports { shared, queue }))
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
        tasks.waiting.push_back(Uncounted { job, model, task });
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
        if !inbox.live.contains_key(&job) {
            let number = inbox.next;
            inbox.next += 1;
            inbox.live.insert(job, number);
            inbox.runs.push_back(Run { number, job, model, task });
        }
        drop(inbox);
        self.shared.bell.notify_one();
        Ok(())
    }

    /// Lets a job make `tokens` more. Jobs that have ended are ignored.
    pub fn allow(&self, job: JobId, tokens: u32) {
        let mut inbox = self.shared.lock();
        if let Some(number) = inbox.live.get(&job).copied() {
            let allowance = inbox.allowances.entry(number).or_default();
            *allowance = allowance.saturating_add(tokens);
        }
        drop(inbox);
        self.shared.bell.notify_one();
    }

    /// Stops a job; nothing more is heard of it unless it is started again.
    pub fn cancel(&self, job: JobId) {
        let mut inbox = self.shared.lock();
        if let Some(number) = inbox.live.remove(&job) {
            inbox.allowances.remove(&number);
            let waiting = inbox.runs.len();
            inbox.runs.retain(|run| run.number != number);
            if inbox.runs.len() == waiting {
                inbox.cancels.push(number);
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
