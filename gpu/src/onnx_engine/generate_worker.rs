//! Generation jobs of one model: each running answer gets one token a round, as far as it is allowed to.

use crate::decode::{Decoder, Sequence};
use crate::engine::{Chunk, EngineError, Generate, JobId, Progress};
use crate::load::LoadError;
use crate::model::Model;
use crate::runtime::Runtime;

/// Most answers written at one time with one model; each holds the keys and values of all its tokens.
pub const MAX_SEQUENCES: usize = 64;

pub(super) struct GenerateWorker {
    decoder: Decoder,
    running: Vec<Running>,
}

struct Running {
    job: JobId,
    sequence: Sequence,
    /// Tokens it may still produce before it pauses.
    allowance: u32,
}

impl GenerateWorker {
    pub(super) fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        Ok(Self { decoder: Decoder::load(runtime, model)?, running: Vec::new() })
    }

    /// Takes a job and returns the tokens it has to read: the prompt, and the prefix another engine delivered.
    pub(super) fn submit(&mut self, job: JobId, generate: &Generate) -> Result<u32, EngineError> {
        let held = self.running.len() + 1;
        if held > MAX_SEQUENCES {
            return Err(EngineError::Busy { held, limit: MAX_SEQUENCES, unit: "answers" });
        }
        let sequence = self.decoder.start(generate)?;
        let input_tokens = sequence.input_tokens();
        self.running.push(Running { job, sequence, allowance: 0 });
        Ok(input_tokens)
    }

    pub(super) fn allow(&mut self, job: JobId, tokens: u32) {
        for running in self.running.iter_mut().filter(|running| running.job == job) {
            running.allowance = running.allowance.saturating_add(tokens);
        }
    }

    pub(super) fn cancel(&mut self, job: JobId) {
        self.running.retain(|running| running.job != job);
    }

    pub(super) fn step(&mut self, out: &mut Vec<(JobId, Chunk)>) -> Progress {
        let mut progress = Progress::Idle;
        let decoder = &mut self.decoder;
        self.running.retain_mut(|running| {
            if running.allowance == 0 {
                return true;
            }
            progress = Progress::Worked;
            running.advance(decoder, out)
        });
        progress
    }
}

impl Running {
    /// Returns one round of one answer; whether it goes on.
    fn advance(&mut self, decoder: &mut Decoder, out: &mut Vec<(JobId, Chunk)>) -> bool {
        let step = match decoder.step(&mut self.sequence) {
            Ok(step) => step,
            Err(error) => {
                out.push((self.job, Chunk::Failed(error)));
                return false;
            }
        };
        let produced = u32::try_from(step.ids.len()).unwrap_or(u32::MAX);
        self.allowance = self.allowance.saturating_sub(produced);
        if !step.ids.is_empty() || !step.text.is_empty() {
            out.push((self.job, Chunk::Tokens { ids: step.ids, text: step.text }));
        }
        if let Some(reason) = step.finish {
            out.push((self.job, Chunk::Finished { reason }));
        }
        step.finish.is_none()
    }
}
