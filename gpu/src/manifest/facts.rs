//! The parts of a manifest: what the model does, how text becomes tokens, which files it has.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;

/// What a model does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Kind {
    /// Turns a text into a vector.
    Embed(EmbedFacts),
    /// Continues a conversation.
    Generate(GenerateFacts),
}

/// Facts of an embedding model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbedFacts {
    /// Numbers per vector.
    pub dims: u32,
    /// How one vector is made of a vector per token; it is then scaled to Euclidean length 1.
    pub pooling: Pooling,
}

/// How one vector is made of a vector per token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean over all tokens that are not padding.
    Mean,
    /// The first token.
    First,
}

/// Facts of a text generation model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerateFacts {
    /// Tokens that end an answer; at least one.
    pub eos_ids: Vec<u32>,
    /// Jinja template that turns the conversation into the prompt.
    pub chat_template: String,
    /// Id of the rule by which tokens are drawn, such as `bombyx-sampler-1`.
    pub sampler: String,
    /// Numbers per attention head, for graphs that do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub head_dim: Option<u32>,
}

/// How text becomes tokens, beyond what the tokenizer's own file says. Padding and truncation in that file are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenizerFacts {
    /// Whether the tokenizer's special tokens are added around a text.
    pub special_tokens: bool,
    /// Whether an input longer than the context is cut to it (`true`) or refused (`false`).
    pub truncate: bool,
}

/// One file of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// What it is for.
    pub role: Role,
    /// Where it lies, relative to the model directory, with `/` between the parts.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its content.
    pub sha256: Sha256,
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The `.onnx` graph; exactly one.
    Graph,
    /// Weights the graph refers to.
    Weights,
    /// `tokenizer.json` of the `tokenizers` library; exactly one.
    Tokenizer,
    /// Anything else that belongs to the model.
    Other,
}

impl Role {
    /// Returns the word used in manifests.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Weights => "weights",
            Self::Tokenizer => "tokenizer",
            Self::Other => "other",
        }
    }
}
