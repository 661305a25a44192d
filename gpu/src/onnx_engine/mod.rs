//! The [`Engine`] over ONNX Runtime: several models in turn, requests of several clients side by side.

mod embed_worker;
mod generate_worker;
mod input_counter;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use embed_worker::{CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, QUEUED_TOKENS_MAX};
pub use generate_worker::SEQUENCES_MAX;
pub use input_counter::{INPUTS_MAX, REQUEST_BYTES_MAX};

use embed_worker::EmbedWorker;
use generate_worker::GenerateWorker;
use input_counter::{HostReader, OnnxInputCounter, check_size};

use crate::engine::{
    Engine, EngineError, EngineEvent, InputCounter, ModelId, ModelInfo, ModelKind, Progress, RequestId, Task,
};
use crate::load::LoadError;
use crate::manifest::Kind;
use crate::model::Model;
use crate::runtime::Runtime;

/// Most requests held at one time.
pub const REQUESTS_MAX: usize = 1024;

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

    fn input_counter(&self) -> Arc<dyn InputCounter> {
        Arc::new(OnnxInputCounter { hosts: self.hosts.iter().map(Host::input_reader).collect() })
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

    /// Returns what counts the input of its tasks.
    fn input_reader(&self) -> HostReader {
        let reader = match &self.worker {
            Worker::Embed(worker) => worker.reader(),
            Worker::Generate(worker) => worker.reader(),
        };
        HostReader { model: self.info.id, name: self.info.name.clone(), reader }
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
