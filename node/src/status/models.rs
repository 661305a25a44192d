//! The models on offer, as lists show them.

use bombyx_protocol::work::order::TaskKind;
use serde::{Deserialize, Serialize};

/// Digits of an id that tell two models of one name apart, unless more are needed.
pub(crate) const DIGITS_MIN: usize = 8;

/// A model that somebody offers.
///
/// Name, kind and context are those of its manifest, whose hash is its id; nothing that a provider says of itself decides
/// them. Price and number of providers are the providers' own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedModel {
    /// Its id: 64 hexadecimal digits.
    pub id: String,
    /// Its name; none while no provider has sent its manifest.
    pub name: Option<String>,
    /// What to call it in an order: its name, or the name with the first digits of the id where another model has the same
    /// name, or the id.
    pub label: String,
    /// What it does: `chat` or `embeddings`.
    pub task: String,
    /// Tokens of input and output together that it can hold.
    pub context_tokens: Option<u32>,
    /// Tokens of the largest answer that a provider gives; none where answers are vectors.
    pub output_tokens_max: Option<u32>,
    /// How its tokens are billed; the usual weights while no provider has sent its manifest.
    pub weights: ModelWeights,
    /// The tiers in which it is offered.
    pub tiers: Vec<String>,
    /// Nodes that offer it.
    pub providers: usize,
    /// The lowest price that is asked for.
    pub lowest: ModelPrice,
    /// The middle one of the lowest prices of each prefix: one owner's many nodes count once.
    pub usual: ModelPrice,
}

impl OfferedModel {
    /// Returns what it does, where this version has a kind for that.
    pub(crate) fn kind(&self) -> Option<TaskKind> {
        [TaskKind::Generate, TaskKind::Embed].into_iter().find(|kind| task(*kind) == self.task)
    }
}

/// Returns the word for what a model of this kind does.
pub(crate) const fn task(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Embed => "embeddings",
        TaskKind::Generate => "chat",
    }
}

/// What is asked for at the moment, in nano.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrice {
    /// For 1,000 units of work, which is all that a provider asks; what follows is that, by the model's weights.
    pub per_k_units_nano: u64,
    /// For a job; none where it does not fit.
    pub per_job_nano: Option<u64>,
    /// For 1,000 input tokens.
    pub input_per_k_nano: Option<u64>,
    /// For 1,000 output tokens.
    pub output_per_k_nano: Option<u64>,
}

/// How many units a token of the model counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelWeights {
    /// Of an input token that has to be read.
    pub input: u32,
    /// Of one that was read before.
    pub cached: u32,
    /// Of an output token.
    pub output: u32,
}

/// Why a name means no model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nobody offers it, and the catalogue has no such model.
    #[error("{0}")]
    Unknown(String),
    /// Several models have it.
    #[error(
        "{} models are called {name:?}; say which by `{}` or by one's whole id: {}",
        .labels.len(), .labels.join("` or `"), .ids.join(", ")
    )]
    Ambiguous {
        /// The name.
        name: String,
        /// What each can be called instead.
        labels: Vec<String>,
        /// Their ids.
        ids: Vec<String>,
    },
}
