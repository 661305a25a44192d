//! The [`Engine`] over ONNX Runtime: several models in turn, requests of several clients side by side.

mod embed_worker;
mod generate_worker;

use std::collections::BTreeMap;

pub use embed_worker::{CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, QUEUED_TOKENS_MAX};
pub use generate_worker::SEQUENCES_MAX;

use embed_worker::EmbedWorker;
use generate_worker::GenerateWorker;

use crate::engine::{
    Engine, EngineError, EngineEvent, ModelId, ModelInfo, ModelKind, Progress, RequestId, Task,
};
use crate::load::LoadError;
use crate::manifest::Kind;
use crate::model::Model;
use crate::runtime::Runtime;

/// Most requests held at one time.
pub const REQUESTS_MAX: usize = 1024;
/// Most inputs of one embedding request.
pub const INPUTS_MAX: usize = 2048;
/// Most text of one request, in bytes, over all inputs or messages.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// Models on ONNX Runtime behind the [`Engine`] trait.
pub struct OnnxEngine {
    hosts: Vec<Host>,
    /// Which host each request runs on.
    requests: BTreeMap<RequestId, usize>,
    /// Events that need no computation; the next step returns them.
    outbox: Vec<(RequestId, EngineEvent)>,
    /// The host whose turn it is in the next step.
    turn: usize,
}

struct Host {
    info: ModelInfo,
    worker: Worker,
}

// There is one for each model, so a box would save nothing.
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
        Ok(Self { hosts, requests: BTreeMap::new(), outbox: Vec::new(), turn: 0 })
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

    fn count(&self, model: &ModelId, task: &Task) -> Result<u32, EngineError> {
        let index = self.host_of(model)?;
        check_size(task)?;
        self.hosts[index].count(task)
    }

    fn submit(&mut self, request: RequestId, model: &ModelId, task: Task) -> Result<(), EngineError> {
        let index = self.host_of(model)?;
        if self.requests.contains_key(&request) {
            return Err(EngineError::DuplicateRequest(request));
        }
        if self.requests.len() >= REQUESTS_MAX {
            return Err(EngineError::Busy {
                held: self.requests.len() + 1,
                limit: REQUESTS_MAX,
                unit: "requests",
            });
        }
        check_size(&task)?;
        let input_tokens = self.hosts[index].submit(request, task)?;
        self.requests.insert(request, index);
        self.outbox.push((request, EngineEvent::Started { input_tokens }));
        Ok(())
    }

    fn allow(&mut self, request: RequestId, tokens: u32) {
        let Some(&index) = self.requests.get(&request) else { return };
        match &mut self.hosts[index].worker {
            Worker::Embed(_) => {}
            Worker::Generate(worker) => worker.allow(request, tokens),
        }
    }

    fn cancel(&mut self, request: RequestId) {
        let Some(index) = self.requests.remove(&request) else { return };
        self.outbox.retain(|(other, _)| *other != request);
        match &mut self.hosts[index].worker {
            Worker::Embed(worker) => worker.cancel(request),
            Worker::Generate(worker) => worker.cancel(request),
        }
    }

    fn step(&mut self, out: &mut Vec<(RequestId, EngineEvent)>) -> Progress {
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
        for (request, event) in &out[before..] {
            if matches!(event, EngineEvent::Finished { .. } | EngineEvent::Failed(_)) {
                self.requests.remove(request);
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
            weights: manifest.weights,
        };
        Ok(Self { info, worker })
    }

    /// Returns the number of a task's input tokens.
    fn count(&self, task: &Task) -> Result<u32, EngineError> {
        match (&self.worker, task) {
            (Worker::Embed(worker), Task::Embed { inputs }) => worker.count(inputs),
            (Worker::Generate(worker), Task::Generate(generate)) => worker.count(generate),
            (Worker::Embed(_), Task::Generate(_)) => Err(self.wrong("generate")),
            (Worker::Generate(_), Task::Embed { .. }) => Err(self.wrong("embed")),
        }
    }

    fn wrong(&self, task: &'static str) -> EngineError {
        EngineError::WrongTask { model: self.info.name.clone(), task }
    }

    /// Takes a request and returns the number of its input tokens.
    fn submit(&mut self, request: RequestId, task: Task) -> Result<u32, EngineError> {
        match (&mut self.worker, task) {
            (Worker::Embed(worker), Task::Embed { inputs }) => worker.submit(request, &inputs),
            (Worker::Generate(worker), Task::Generate(generate)) => worker.submit(request, &generate),
            (Worker::Embed(_), Task::Generate(_)) => Err(self.wrong("generate")),
            (Worker::Generate(_), Task::Embed { .. }) => Err(self.wrong("embed")),
        }
    }
}

/// Refuses a task that is too large, before any time is spent on reading it.
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
    if count > INPUTS_MAX {
        return Err(EngineError::TooMany { what, count, limit: INPUTS_MAX });
    }
    if bytes > REQUEST_BYTES_MAX {
        return Err(EngineError::TooLarge { bytes, limit: REQUEST_BYTES_MAX });
    }
    Ok(())
}
