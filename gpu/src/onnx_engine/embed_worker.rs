//! Embedding requests of one model: rows of all of them, batched by token budget.

use crate::embed::Embedder;
use crate::engine::{EngineError, EngineEvent, Progress, RequestId};
use crate::load::LoadError;
use crate::model::Model;
use crate::queue::RowQueue;
use crate::runtime::{ExecutionProvider, Runtime};

use super::input_counter::InputReader;

/// Most tokens that wait for a batch of one model.
pub const QUEUED_TOKENS_MAX: usize = 1 << 20;
/// Tokens of an embedding batch, padding included, on a processor: beyond it a batch is no faster than its rows.
pub const CPU_BATCH_TOKENS: usize = 256;
/// Tokens of an embedding batch, padding included, on a GPU.
pub const GPU_BATCH_TOKENS: usize = 16_384;

pub(super) struct EmbedWorker {
    embedder: Embedder,
    queue: RowQueue,
    batch_tokens: usize,
}

impl EmbedWorker {
    pub(super) fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        let batch_tokens = match runtime.settings().execution_provider {
            ExecutionProvider::Cpu => CPU_BATCH_TOKENS,
            ExecutionProvider::Cuda
            | ExecutionProvider::TensorRt
            | ExecutionProvider::WebGpu
            | ExecutionProvider::CoreMl
            | ExecutionProvider::DirectMl => GPU_BATCH_TOKENS,
        };
        Ok(Self { embedder: Embedder::load(runtime, model)?, queue: RowQueue::default(), batch_tokens })
    }

    pub(super) fn reader(&self) -> InputReader {
        InputReader::Embed(self.embedder.tokens())
    }

    pub(super) fn submit(&mut self, request: RequestId, inputs: &[String]) -> Result<u32, EngineError> {
        let rows = self.embedder.encode(inputs)?;
        let tokens: usize = rows.iter().map(Vec::len).sum();
        let held = self.queue.pending_tokens() + tokens;
        if held > QUEUED_TOKENS_MAX {
            return Err(EngineError::Busy { held, limit: QUEUED_TOKENS_MAX, unit: "tokens" });
        }
        self.queue.push(request, rows);
        Ok(u32::try_from(tokens).expect("QUEUED_TOKENS_MAX is far below"))
    }

    pub(super) fn step(&mut self, out: &mut Vec<(RequestId, EngineEvent)>) -> Progress {
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

    pub(super) fn cancel(&mut self, request: RequestId) {
        self.queue.remove(request);
    }
}
