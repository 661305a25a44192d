//! The [`Engine`] over ONNX Runtime: several models in turn, jobs of several clients in one batch.

use std::collections::BTreeMap;

use crate::embed::Embedder;
use crate::engine::{Chunk, Engine, EngineError, JobId, ModelId, ModelInfo, ModelKind, Progress, Task};
use crate::load::LoadError;
use crate::manifest::{Kind, Model};
use crate::queue::RowQueue;
use crate::runtime::{ExecutionProvider, Runtime};

/// Most jobs held at one time.
pub const MAX_JOBS: usize = 1024;
/// Most inputs of one embedding job.
pub const MAX_INPUTS: usize = 2048;
/// Most text of one job, in bytes, over all inputs or messages.
pub const MAX_JOB_BYTES: usize = 4 << 20;
/// Most tokens that wait for a batch of one model.
pub const MAX_QUEUED_TOKENS: usize = 1 << 20;
/// Tokens of an embedding batch, padding included, on a processor: beyond it a batch is no faster than its rows.
pub const CPU_BATCH_TOKENS: usize = 256;
/// Tokens of an embedding batch, padding included, on a GPU.
pub const GPU_BATCH_TOKENS: usize = 16_384;

/// Models on ONNX Runtime behind the [`Engine`] trait.
pub struct OnnxEngine {
    hosts: Vec<Host>,
    /// Which host each job runs on.
    jobs: BTreeMap<JobId, usize>,
    /// Chunks that do not have to be computed; they leave with the next step.
    outbox: Vec<(JobId, Chunk)>,
    /// The host that is looked at first in the next step.
    turn: usize,
}

struct Host {
    info: ModelInfo,
    worker: Worker,
}

enum Worker {
    Embed(EmbedWorker),
}

impl OnnxEngine {
    /// Loads models, each of which [`Model::open`] has compared with its manifest.
    ///
    /// # Errors
    /// [`LoadError`] of the first model that cannot be loaded.
    pub fn load<'a>(
        runtime: &Runtime,
        models: impl IntoIterator<Item = &'a Model>,
    ) -> Result<Self, LoadError> {
        let hosts = models.into_iter().map(|model| Host::load(runtime, model)).collect::<Result<_, _>>()?;
        Ok(Self { hosts, jobs: BTreeMap::new(), outbox: Vec::new(), turn: 0 })
    }

    fn host_of(&self, model: &ModelId) -> Result<usize, EngineError> {
        let found = self.hosts.iter().position(|host| host.info.id == *model);
        found.ok_or(EngineError::UnknownModel(*model))
    }
}

impl Engine for OnnxEngine {
    fn models(&self) -> Vec<ModelInfo> {
        self.hosts.iter().map(|host| host.info.clone()).collect()
    }

    fn submit(&mut self, job: JobId, model: &ModelId, task: Task) -> Result<(), EngineError> {
        let index = self.host_of(model)?;
        if self.jobs.contains_key(&job) {
            return Err(EngineError::DuplicateJob(job));
        }
        if self.jobs.len() >= MAX_JOBS {
            return Err(EngineError::Busy { held: self.jobs.len() + 1, limit: MAX_JOBS, unit: "jobs" });
        }
        check_size(&task)?;
        let input_tokens = self.hosts[index].submit(job, task)?;
        self.jobs.insert(job, index);
        self.outbox.push((job, Chunk::Started { input_tokens }));
        Ok(())
    }

    fn allow(&mut self, _job: JobId, _tokens: u32) {}

    fn cancel(&mut self, job: JobId) {
        let Some(index) = self.jobs.remove(&job) else { return };
        self.outbox.retain(|(other, _)| *other != job);
        match &mut self.hosts[index].worker {
            Worker::Embed(worker) => worker.queue.remove(job),
        }
    }

    fn step(&mut self, out: &mut Vec<(JobId, Chunk)>) -> Progress {
        let before = out.len();
        let mut progress = if self.outbox.is_empty() { Progress::Idle } else { Progress::Worked };
        out.append(&mut self.outbox);
        for offset in 0..self.hosts.len() {
            let index = (self.turn + offset) % self.hosts.len();
            let stepped = match &mut self.hosts[index].worker {
                Worker::Embed(worker) => worker.step(out),
            };
            if stepped == Progress::Worked {
                self.turn = index + 1;
                progress = stepped;
                break;
            }
        }
        for (job, chunk) in &out[before..] {
            if matches!(chunk, Chunk::Finished { .. } | Chunk::Failed(_)) {
                self.jobs.remove(job);
            }
        }
        progress
    }
}

impl Host {
    fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        let manifest = model.manifest();
        let (kind, worker) = match &manifest.kind {
            Kind::Embed(facts) => {
                (ModelKind::Embed { dims: facts.dims }, Worker::Embed(EmbedWorker::load(runtime, model)?))
            }
            Kind::Generate(_) => {
                return Err(LoadError::WrongKind { model: manifest.name.clone(), expected: "embed" });
            }
        };
        let info = ModelInfo {
            id: model.id(),
            name: manifest.name.clone(),
            kind,
            context_tokens: manifest.context_tokens,
            precision: manifest.precision.clone(),
        };
        Ok(Self { info, worker })
    }

    /// Takes a job and returns the number of its input tokens.
    fn submit(&mut self, job: JobId, task: Task) -> Result<u32, EngineError> {
        let wrong = |task| Err(EngineError::WrongTask { model: self.info.name.clone(), task });
        match (&mut self.worker, task) {
            (Worker::Embed(worker), Task::Embed { inputs }) => worker.submit(job, &inputs),
            (Worker::Embed(_), Task::Generate(_)) => wrong("generate"),
        }
    }
}

struct EmbedWorker {
    embedder: Embedder,
    queue: RowQueue,
    batch_tokens: usize,
}

impl EmbedWorker {
    fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        let batch_tokens = match runtime.settings().provider {
            ExecutionProvider::Cpu => CPU_BATCH_TOKENS,
            ExecutionProvider::Cuda
            | ExecutionProvider::TensorRt
            | ExecutionProvider::WebGpu
            | ExecutionProvider::CoreMl
            | ExecutionProvider::DirectMl => GPU_BATCH_TOKENS,
        };
        Ok(Self { embedder: Embedder::load(runtime, model)?, queue: RowQueue::default(), batch_tokens })
    }

    fn submit(&mut self, job: JobId, inputs: &[String]) -> Result<u32, EngineError> {
        let rows = self.embedder.encode(inputs)?;
        let tokens: usize = rows.iter().map(Vec::len).sum();
        let held = self.queue.pending_tokens() + tokens;
        if held > MAX_QUEUED_TOKENS {
            return Err(EngineError::Busy { held, limit: MAX_QUEUED_TOKENS, unit: "tokens" });
        }
        self.queue.push(job, rows);
        Ok(u32::try_from(tokens).expect("MAX_QUEUED_TOKENS is far below"))
    }

    fn step(&mut self, out: &mut Vec<(JobId, Chunk)>) -> Progress {
        let batch = self.queue.next_batch(self.batch_tokens);
        if batch.is_empty() {
            return Progress::Idle;
        }
        let rows: Vec<&[u32]> = batch.iter().map(|row| row.ids.as_slice()).collect();
        match self.embedder.embed(&rows) {
            Ok(vectors) => self.queue.deliver(&batch, &vectors, self.embedder.dims(), out),
            Err(error) => self.queue.fail(&batch, &error, out),
        }
        Progress::Worked
    }
}

/// Refuses what would take long to read before it is read.
fn check_size(task: &Task) -> Result<(), EngineError> {
    let (what, count, bytes) = match task {
        Task::Embed { inputs } => ("inputs", inputs.len(), inputs.iter().map(String::len).sum::<usize>()),
        Task::Generate(generate) => {
            let texts = generate.messages.iter().flat_map(|message| [&message.role, &message.content]);
            ("messages", generate.messages.len(), texts.map(String::len).sum())
        }
    };
    if count == 0 {
        return Err(EngineError::Empty(what));
    }
    if count > MAX_INPUTS {
        let why = format!("there are {count}, at most {MAX_INPUTS} are taken; split the job");
        return Err(EngineError::BadRequest { field: what, why });
    }
    if bytes > MAX_JOB_BYTES {
        let why = format!("they have {bytes} bytes, at most {MAX_JOB_BYTES} are taken; split the job");
        return Err(EngineError::BadRequest { field: what, why });
    }
    Ok(())
}
