//! Generation requests of one model: each running answer gets one token a round, as far as it is allowed to.

use crate::decode::{Decoder, Sequence};
use crate::engine::{EngineError, EngineEvent, Generate, Progress, RequestId};
use crate::load::LoadError;
use crate::model::Model;
use crate::runtime::Runtime;

use super::input_counter::InputReader;

/// Most answers written at one time with one model; each holds the keys and values of all its tokens.
pub const SEQUENCES_MAX: usize = 64;

pub(super) struct GenerateWorker {
    decoder: Decoder,
    answers: Vec<Answer>,
}

/// An answer that is being written.
struct Answer {
    request: RequestId,
    sequence: Sequence,
    /// Tokens it may still produce before it pauses.
    allowance: u32,
}

impl GenerateWorker {
    pub(super) fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        Ok(Self { decoder: Decoder::load(runtime, model)?, answers: Vec::new() })
    }

    pub(super) fn reader(&self) -> InputReader {
        InputReader::Generate(self.decoder.reader())
    }

    /// Takes a request and returns the tokens it has to read: the prompt, and the prefix another engine delivered.
    pub(super) fn submit(&mut self, request: RequestId, generate: &Generate) -> Result<u32, EngineError> {
        let held = self.answers.len() + 1;
        if held > SEQUENCES_MAX {
            return Err(EngineError::Busy { held, limit: SEQUENCES_MAX, unit: "answers" });
        }
        let sequence = self.decoder.start(generate)?;
        let input_tokens = sequence.input_tokens();
        self.answers.push(Answer { request, sequence, allowance: 0 });
        Ok(input_tokens)
    }

    pub(super) fn allow(&mut self, request: RequestId, tokens: u32) {
        for answer in self.answers.iter_mut().filter(|answer| answer.request == request) {
            answer.allowance = answer.allowance.saturating_add(tokens);
        }
    }

    pub(super) fn cancel(&mut self, request: RequestId) {
        self.answers.retain(|answer| answer.request != request);
    }

    pub(super) fn step(&mut self, out: &mut Vec<(RequestId, EngineEvent)>) -> Progress {
        let mut progress = Progress::Idle;
        let decoder = &mut self.decoder;
        self.answers.retain_mut(|answer| {
            if answer.allowance == 0 {
                return true;
            }
            progress = Progress::Worked;
            answer.advance(decoder, out)
        });
        progress
    }
}

impl Answer {
    /// Computes one round; returns whether the answer goes on.
    fn advance(&mut self, decoder: &mut Decoder, out: &mut Vec<(RequestId, EngineEvent)>) -> bool {
        let step = match decoder.step(&mut self.sequence) {
            Ok(step) => step,
            Err(error) => {
                out.push((self.request, EngineEvent::Failed(error)));
                return false;
            }
        };
        let produced = u32::try_from(step.ids.len()).unwrap_or(u32::MAX);
        self.allowance = self.allowance.saturating_sub(produced);
        if !step.ids.is_empty() || !step.text.is_empty() {
            out.push((self.request, EngineEvent::Tokens { ids: step.ids, text: step.text }));
        } else if step.finish.is_none() {
            out.push((self.request, EngineEvent::Read { tokens: self.sequence.read_tokens() }));
        }
        if let Some(reason) = step.finish {
            out.push((self.request, EngineEvent::Finished { reason }));
        }
        step.finish.is_none()
    }
}
