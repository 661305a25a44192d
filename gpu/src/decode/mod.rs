//! Text generation: template, tokens, a decoder graph with its cache, the sampler, and the resulting text.
//!
//! [`Decoder`] is a loaded model; [`Sequence`] is one answer under way, so that several can share the model:
//!
//! ```text
//! start(request) → Sequence        step(sequence) → Step { ids, text, finish }   until finish is set
//! ```
//!
//! A prefix that another engine has already delivered is fed after the prompt as if it had been generated here. The
//! sampler depends on seed and position alone, so the answer goes on as it would have without the change of engine.

pub mod graph;
mod prompt;
pub mod signature;
mod text;

use std::sync::Arc;

use crate::engine::{EngineError, Finish, Generate, Sampling, Step};
use crate::load::LoadError;
use crate::manifest::Kind;
use crate::model::Model;
use crate::runtime::Runtime;
use crate::sample::{SAMPLER_ID, sample};
use crate::template::ChatTemplate;
use crate::tokens::Tokens;
use graph::{Cache, DecoderGraph, LogitRows};
pub use prompt::PromptReader;
use text::TextStream;

/// Tokens of a prompt that one step reads at most, so that a long prompt does not stall the other sequences.
pub const PREFILL_TOKENS: usize = 256;

/// A loaded text model.
#[derive(Debug)]
pub struct Decoder {
    graph: DecoderGraph,
    reader: Arc<PromptReader>,
    eos_ids: Vec<u32>,
}

/// An answer under way.
#[derive(Debug)]
pub struct Sequence {
    input_tokens: u32,
    cache: Cache,
    /// Read by the next steps: what is left of prompt and prefix, or the last token.
    pending: Vec<u32>,
    /// Tokens of the answer so far, prefix included.
    answered: u32,
    max_tokens: u32,
    sampling: Sampling,
    text: TextStream,
    finished: Option<Finish>,
}

impl Sequence {
    /// Returns the number of tokens to read before the first can be written: the prompt's and the prefix's.
    #[must_use]
    pub fn input_tokens(&self) -> u32 {
        self.input_tokens
    }

    /// Returns how many of them have been read.
    #[must_use]
    pub fn read_tokens(&self) -> u32 {
        u32::try_from(self.cache.tokens()).map_or(self.input_tokens, |read| read.min(self.input_tokens))
    }
}

impl Decoder {
    /// Loads template, tokenizer and graph of a model.
    ///
    /// # Errors
    /// [`LoadError`]: the model is of the other kind, its graph is not a decoder, its sampler is not the one that is known
    /// here, or a file cannot be used.
    pub fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        let manifest = model.manifest();
        let name = || manifest.name.clone();
        let Kind::Generate(facts) = &manifest.kind else {
            return Err(LoadError::WrongKind { model: name(), expected: "generate" });
        };
        // Another sampler would answer otherwise under the same name. (`MO-7`)
        if facts.sampler != SAMPLER_ID {
            let why = format!("sampler `{}` is unknown; known is `{SAMPLER_ID}`", facts.sampler);
            return Err(LoadError::Facts { model: name(), why });
        }
        let template = ChatTemplate::parse(&facts.chat_template)
            .map_err(|error| LoadError::Facts { model: name(), why: error.to_string() })?;
        let graph = DecoderGraph::new(runtime.session_of(model)?, facts.head_dim)
            .map_err(|error| LoadError::Graph { model: name(), why: error.to_string() })?;
        let context = manifest.context_tokens as usize;
        let vocabulary = graph.vocabulary();
        let reader = Arc::new(PromptReader { template, tokens: Tokens::load(model)?, context, vocabulary });
        Ok(Self { graph, reader, eos_ids: facts.eos_ids.clone() })
    }

    /// Returns what reads its prompts.
    #[must_use]
    pub fn reader(&self) -> Arc<PromptReader> {
        Arc::clone(&self.reader)
    }

    /// Begins an answer; nothing is computed yet.
    ///
    /// # Errors
    /// [`EngineError::TooLong`] if prompt and prefix leave no room for a token, and others for values that cannot be used.
    pub fn start(&self, request: &Generate) -> Result<Sequence, EngineError> {
        let prompt = self.reader.prompt(request)?;
        let tokens = prompt.len() + request.prefix.len();
        let mut sequence = Sequence {
            input_tokens: u32::try_from(tokens).expect("a context is at most 2^22 tokens"),
            cache: self.graph.empty_cache()?,
            pending: [prompt, request.prefix.clone()].concat(),
            answered: 0,
            max_tokens: request.max_tokens,
            sampling: request.sampling,
            text: TextStream::new(&request.stop)?,
            finished: None,
        };
        // The text of a prefix was delivered with it; only what is not yet complete is kept.
        for &id in &request.prefix {
            self.accept(&mut sequence, id)?;
        }
        if tokens >= self.reader.context {
            sequence.finished = sequence.finished.or(Some(Finish::Length));
        }
        Ok(sequence)
    }

    /// Reads a piece of the prompt or writes one token. After the last one, `finish` is set in every further step.
    ///
    /// # Errors
    /// [`EngineError::Runtime`] if the graph fails; the sequence is then useless.
    pub fn step(&mut self, sequence: &mut Sequence) -> Result<Step, EngineError> {
        if sequence.finished.is_some() {
            return Ok(Step { ids: Vec::new(), text: String::new(), finish: sequence.finished });
        }
        let read = sequence.pending.len().min(PREFILL_TOKENS);
        let piece: Vec<u32> = sequence.pending.drain(..read).collect();
        let logits = self.graph.feed(&mut sequence.cache, &piece, LogitRows::Last)?;
        if !sequence.pending.is_empty() {
            return Ok(Step { ids: Vec::new(), text: String::new(), finish: None });
        }
        let id = sample(&logits, &sequence.sampling, u64::from(sequence.answered))
            .map_err(|error| EngineError::Runtime(error.to_string()))?;
        let mut text = self.accept(sequence, id)?;
        if sequence.finished.is_none() && sequence.cache.tokens() + 1 >= self.reader.context {
            text.push_str(&sequence.text.rest());
            sequence.finished = Some(Finish::Length);
        }
        sequence.pending.push(id);
        Ok(Step { ids: vec![id], text, finish: sequence.finished })
    }

    /// Adds a token to the answer. Returns the text that became complete, and notes whether the answer ends with it.
    /// (`MO-5`)
    fn accept(&self, sequence: &mut Sequence, id: u32) -> Result<String, EngineError> {
        if sequence.finished.is_some() {
            return Err(EngineError::BeyondEnd);
        }
        sequence.answered += 1;
        if self.eos_ids.contains(&id) {
            sequence.finished = Some(Finish::Stop);
            return Ok(sequence.text.rest());
        }
        let (mut text, stopped) = sequence.text.push(self.reader.tokens.tokenizer(), id)?;
        if stopped {
            sequence.finished = Some(Finish::Stop);
        } else if sequence.answered >= sequence.max_tokens {
            text.push_str(&sequence.text.rest());
            sequence.finished = Some(Finish::Length);
        }
        Ok(text)
    }

    /// Computes the logits after each of `ids` from an empty cache: `ids.len() × vocabulary` numbers, row-major. This is how
    /// an answer is checked: prompt and answer go in, and row `i` says how likely each successor of token `i` was.
    ///
    /// # Errors
    /// [`EngineError::TooLong`] beyond the context, [`EngineError::Runtime`] if the graph fails.
    pub fn logits(&mut self, ids: &[u32]) -> Result<Vec<f32>, EngineError> {
        if ids.len() > self.reader.context {
            return Err(EngineError::TooLong { index: 0, tokens: ids.len(), limit: self.reader.context });
        }
        let mut cache = self.graph.empty_cache()?;
        let mut logits = Vec::new();
        for piece in ids.chunks(PREFILL_TOKENS) {
            logits.extend(self.graph.feed(&mut cache, piece, LogitRows::All)?);
        }
        Ok(logits)
    }
}
