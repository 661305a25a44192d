//! Generation jobs of one model: each running answer gets one token a round, as far as it is allowed to.

use std::sync::Arc;

use crate::decode::{Decoder, DecoderFacts, Sequence};
use crate::engine::{Chunk, EngineError, Generate, JobId, Progress};
use crate::load::LoadError;
use crate::manifest::{GenerateFacts, Model};
use crate::runtime::Runtime;
use crate::sample::SAMPLER_ID;
use crate::template::ChatTemplate;
use crate::tokens::Tokens;

/// Most answers written at one time with one model; each holds the keys and values of all its tokens.
pub const MAX_SEQUENCES: usize = 64;

pub(super) struct GenerateWorker {
    decoder: Decoder,
    template: ChatTemplate,
    tokens: Arc<Tokens>,
    running: Vec<Running>,
}

struct Running {
    job: JobId,
    sequence: Sequence,
    /// Tokens it may still produce before it pauses.
    allowance: u32,
}

impl GenerateWorker {
    pub(super) fn load(runtime: &Runtime, model: &Model, facts: &GenerateFacts) -> Result<Self, LoadError> {
        let name = || model.manifest().name.clone();
        if facts.sampler != SAMPLER_ID {
            let why = format!("sampler `{}` is unknown; known is `{SAMPLER_ID}`", facts.sampler);
            return Err(LoadError::Facts { model: name(), why });
        }
        let template = ChatTemplate::parse(&facts.chat_template)
            .map_err(|why| LoadError::Facts { model: name(), why: why.to_string() })?;
        let tokens = Arc::new(Tokens::load(model)?);
        let facts = DecoderFacts {
            context_tokens: model.manifest().context_tokens,
            eos_ids: facts.eos_ids.clone(),
            head_dim: facts.head_dim,
        };
        let session = runtime.session(&model.graph())?;
        let decoder = Decoder::load(session, Arc::clone(&tokens), facts)
            .map_err(|why| LoadError::Graph { model: name(), why: why.to_string() })?;
        Ok(Self { decoder, template, tokens, running: Vec::new() })
    }

    /// Takes a job and returns the tokens it has to read: the prompt, and the prefix another engine delivered.
    pub(super) fn submit(&mut self, job: JobId, generate: &Generate) -> Result<u32, EngineError> {
        let held = self.running.len() + 1;
        if held > MAX_SEQUENCES {
            return Err(EngineError::Busy { held, limit: MAX_SEQUENCES, unit: "answers" });
        }
        let prompt = self.tokens.encode(0, &self.template.render(&generate.messages)?)?;
        let sequence = self.decoder.start(&prompt, generate)?;
        self.running.push(Running { job, sequence, allowance: 0 });
        let tokens = prompt.len() + generate.prefix.len();
        Ok(u32::try_from(tokens).expect("`start` checked it against the context"))
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
            match decoder.step(&mut running.sequence) {
                Ok(step) => {
                    let count = u32::try_from(step.ids.len()).unwrap_or(u32::MAX);
                    running.allowance = running.allowance.saturating_sub(count);
                    if !step.ids.is_empty() || !step.text.is_empty() {
                        out.push((running.job, Chunk::Tokens { ids: step.ids, text: step.text }));
                    }
                    if let Some(reason) = step.finish {
                        out.push((running.job, Chunk::Finished { reason }));
                    }
                    step.finish.is_none()
                }
                Err(error) => {
                    out.push((running.job, Chunk::Failed(error)));
                    false
                }
            }
        });
        progress
    }
}
