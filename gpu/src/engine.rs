//! The joint between a node and its tensors: requests go in, events come out, one bounded step at a time.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::units::TokenWeights;

/// The caller's number for a request; unique among the requests an engine holds at one time.
pub type RequestId = u64;

/// BLAKE3 of a manifest's canonical JSON. It names graph, weights, tokenizer, template, precision and sampler at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ModelId(pub [u8; 32]);

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ModelId({self})")
    }
}

/// A text that is not a model id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a model id is 64 hexadecimal digits")]
pub struct ModelIdError;

impl FromStr for ModelId {
    type Err = ModelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ModelIdError)?;
        Ok(Self(bytes))
    }
}

/// What to compute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// One vector per input, in order.
    Embed {
        /// Texts, each at most the model's context.
        inputs: Vec<String>,
    },
    /// An answer to a conversation.
    Generate(Generate),
}

/// A conversation to be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generate {
    /// The conversation so far, oldest first.
    pub messages: Vec<ChatMessage>,
    /// Tokens to generate at most, `prefix` included.
    pub max_tokens: u32,
    /// How the next token is chosen.
    pub sampling: Sampling,
    /// Token ids that another engine has already delivered. They are forced after the prompt; generation then continues
    /// as if it had never been interrupted.
    pub prefix: Vec<u32>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// The text.
    pub content: String,
}

/// How the next token is chosen; the same seed gives the same text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sampling {
    /// Temperature in thousandths; 0 takes the likeliest token.
    pub temperature_milli: u32,
    /// Nucleus in thousandths of the probability mass; 1000 keeps all.
    pub top_p_milli: u32,
    /// How many of the likeliest tokens stay eligible; 0 keeps all.
    pub top_k: u32,
    /// Source of the randomness.
    pub seed: u64,
}

impl Sampling {
    /// The likeliest token, always.
    pub const GREEDY: Self = Self { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 };
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finish {
    /// The model ended its answer, a stop text came up, or all vectors are delivered.
    Stop,
    /// `max_tokens` or the model's context is used up.
    Length,
}

/// What a decoder yields for one round of one sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Tokens of this round, at most one unless the decoder catches up; they are what is billed.
    pub ids: Vec<u32>,
    /// Text that became complete: whole UTF-8 characters, nothing that may still turn out to be a stop text.
    pub text: String,
    /// Set on the last step of a sequence, together with its last tokens.
    pub finish: Option<Finish>,
}

/// News of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum EngineEvent {
    /// Always first: what the request costs to read.
    Started {
        /// Tokens of the inputs: special tokens, template and `prefix` included.
        input_tokens: u32,
    },
    /// So much of a conversation is read; nothing of the answer is there yet.
    Read {
        /// Tokens of prompt and `prefix` so far.
        tokens: u32,
    },
    /// Rows `first..` of the inputs, each of Euclidean length 1, row-major in `data`.
    Vectors {
        /// Index of the first row.
        first: u32,
        /// Numbers per row.
        dims: u32,
        /// `rows × dims` numbers.
        data: Vec<f32>,
    },
    /// Tokens in order, and the text that became complete with them.
    Tokens {
        /// What is billed.
        ids: Vec<u32>,
        /// Whole UTF-8 characters; a split one is held back.
        text: String,
    },
    /// Last event of a request that went well.
    Finished {
        /// Why it ended.
        reason: Finish,
    },
    /// Last event of a request that did not.
    Failed(EngineError),
}

/// Why a request was refused or failed. Never contains text of the request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The engine has no such model.
    #[error("model {0} is not loaded here; see `models` for those that are")]
    UnknownModel(ModelId),
    /// A chat model cannot embed, and an embedding model cannot chat.
    #[error("model `{model}` does not {task}; choose a model of the other kind")]
    WrongTask {
        /// Name of the model.
        model: String,
        /// `embed` or `generate`.
        task: &'static str,
    },
    /// The number is in use.
    #[error("request {0} is already running")]
    DuplicateRequest(RequestId),
    /// The engine holds as much as it can.
    #[error("the engine's queue is full ({held} of {limit} {unit}); try again later")]
    Busy {
        /// Held now, with this request.
        held: usize,
        /// The limit.
        limit: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// Nothing was asked.
    #[error("the request has no {0}")]
    Empty(&'static str),
    /// The input does not fit.
    #[error("input {index} has {tokens} tokens, the model reads at most {limit}; shorten or split it")]
    TooLong {
        /// Which input, from 0; for a conversation always 0.
        index: usize,
        /// Its length.
        tokens: usize,
        /// The context of the model.
        limit: usize,
    },
    /// More inputs, messages or stop strings than are taken.
    #[error("there are {count} {what}, at most {limit} are taken; split the job")]
    TooMany {
        /// `inputs`, `messages` or `stop strings`.
        what: &'static str,
        /// How many.
        count: usize,
        /// How many are taken.
        limit: usize,
    },
    /// More text than is read.
    #[error("the job has {bytes} bytes of text, at most {limit} are taken; split it")]
    TooLarge {
        /// How many bytes.
        bytes: usize,
        /// How many are taken.
        limit: usize,
    },
    /// A stop string that is empty or too long.
    #[error("a stop string is empty or longer than {limit} bytes")]
    BadStop {
        /// Bytes that one may have.
        limit: usize,
    },
    /// An input of which the tokenizer makes nothing.
    #[error("input {index} has no tokens")]
    NoTokens {
        /// Which input, from 0.
        index: usize,
    },
    /// A token of the prefix that the model does not have.
    #[error("the prefix holds token {0}, which the model does not have")]
    UnknownToken(u32),
    /// A prefix that goes on after its answer has ended.
    #[error("the prefix goes on after the answer's end")]
    BeyondEnd,
    /// The chat template takes no such conversation; only the kind of its failure is told on.
    #[error("the model's chat template refuses the messages ({0})")]
    Template(String),
    /// The graph or its runtime failed.
    #[error("the model failed while running: {0}")]
    Runtime(String),
}

/// What a loaded model can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// Content hash.
    pub id: ModelId,
    /// Name for people.
    pub name: String,
    /// Which tasks it takes.
    pub kind: ModelKind,
    /// Longest input (embedding) or conversation with answer (generation), in tokens.
    pub context_tokens: u32,
    /// Numeric class of weights and arithmetic, such as `fp32`.
    pub precision: String,
    /// What its manifest lets its tokens count in a bill, if it says so.
    pub weights: Option<TokenWeights>,
}

/// Which tasks a model takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelKind {
    /// [`Task::Embed`], into vectors of `dims` numbers.
    Embed {
        /// Numbers per vector.
        dims: u32,
    },
    /// [`Task::Generate`].
    Generate,
}

/// Whether a step did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Call again at once.
    Worked,
    /// Nothing to do until the next `submit` or `allow`.
    Idle,
}

/// Counts the tokens that tasks would have to read, without beginning to.
pub trait InputCounter: Send + Sync {
    /// Counts those of one task.
    ///
    /// # Errors
    /// As [`Engine::submit`], for what lies with the task.
    fn count(&self, model: &ModelId, task: &Task) -> Result<u32, EngineError>;
}

/// An engine: it computes requests. It has no thread and no clock of its own; its owner calls [`Engine::step`].
pub trait Engine: Send {
    /// Returns the loaded models.
    fn models(&self) -> Vec<ModelInfo>;

    /// Returns what counts the input of tasks, on any thread and beside the engine.
    fn input_counter(&self) -> Arc<dyn InputCounter>;

    /// Takes a request; its events come out of later steps.
    ///
    /// # Errors
    /// A request that cannot run is refused here, before any event.
    fn submit(&mut self, request: RequestId, model: &ModelId, task: Task) -> Result<(), EngineError>;

    /// Lets a generating request produce `tokens` more; it starts with none and pauses when they are used up.
    fn allow(&mut self, request: RequestId, tokens: u32);

    /// Forgets a request, which has no further events. Unknown requests are ignored.
    fn cancel(&mut self, request: RequestId);

    /// Computes one batch of embeddings, or of each running sequence a piece of its prompt or one token, and appends the events.
    /// An engine that knows how far it has come with a prompt says so at least once a second ([`EngineEvent::Read`]), as far as
    /// its steps are that short.
    fn step(&mut self, out: &mut Vec<(RequestId, EngineEvent)>) -> Progress;
}
