//! The [`Engine`] over ONNX Runtime: several models in turn, jobs of several clients side by side.

mod embed_worker;
mod generate_worker;

use std::collections::BTreeMap;

pub use embed_worker::{CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, MAX_QUEUED_TOKENS};
pub use generate_worker::MAX_SEQUENCES;

use embed_worker::EmbedWorker;
use generate_worker::GenerateWorker;

use crate::engine::{Chunk, Engine, EngineError, JobId, ModelId, ModelInfo, ModelKind, Progress, Task};
use crate::load::LoadError;
use crate::manifest::Kind;
use crate::model::Model;
use crate::runtime::Runtime;

/// Most jobs held at one time.
pub const MAX_JOBS: usize = 1024;
/// Most inputs of one embedding job.
pub const MAX_INPUTS: usize = 2048;
/// Most text of one job, in bytes, over all inputs or messages.
pub const MAX_JOB_BYTES: usize = 4 << 20;

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

// There are as many as models; a box for each would only hide that.
#[allow(clippy::large_enum_variant)]
enum Worker {
    Embed(EmbedWorker),
    Generate(GenerateWorker),
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

    fn allow(&mut self, job: JobId, tokens: u32) {
        let Some(&index) = self.jobs.get(&job) else { return };
        match &mut self.hosts[index].worker {
            Worker::Embed(_) => {}
            Worker::Generate(worker) => worker.allow(job, tokens),
        }
    }

    fn cancel(&mut self, job: JobId) {
        let Some(index) = self.jobs.remove(&job) else { return };
        self.outbox.retain(|(other, _)| *other != job);
        match &mut self.hosts[index].worker {
            Worker::Embed(worker) => worker.cancel(job),
            Worker::Generate(worker) => worker.cancel(job),
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
                Worker::Generate(worker) => worker.step(out),
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
                (ModelKind::Generate, Worker::Generate(GenerateWorker::load(runtime, model)?))
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
            (Worker::Generate(worker), Task::Generate(generate)) => worker.submit(job, &generate),
            (Worker::Embed(_), Task::Generate(_)) => wrong("generate"),
            (Worker::Generate(_), Task::Embed { .. }) => wrong("embed"),
        }
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
