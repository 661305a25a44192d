//! The configuration of a Llama, and the counts that follow from it.

use serde::Deserialize;

use crate::onnx::weights::WeightsError;

/// The fields of `config.json` that decide the graph.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct LlamaConfig {
    /// `llama` is the family this file knows.
    pub model_type: String,
    /// Number of tokens.
    pub vocab_size: usize,
    /// Numbers per position between the layers.
    pub hidden_size: usize,
    /// Numbers per position inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Heads of keys and values; divides the query heads.
    #[serde(default)]
    pub num_key_value_heads: Option<usize>,
    /// Numbers per head; `hidden_size / num_attention_heads` when absent.
    #[serde(default)]
    pub head_dim: Option<usize>,
    /// Added to the mean square in the norms.
    pub rms_norm_eps: f32,
    /// Base of the rotary wavelengths.
    #[serde(default = "ten_thousand")]
    pub rope_theta: f64,
    /// A changed rotation, which is not supported.
    #[serde(default)]
    pub rope_scaling: Option<serde_json::Value>,
    /// Longest sequence in tokens.
    pub max_position_embeddings: usize,
    /// Whether the output reuses the embedding.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Biases of the attention, which are not supported.
    #[serde(default)]
    pub attention_bias: bool,
    /// Biases of the feed-forward part, which are not supported.
    #[serde(default)]
    pub mlp_bias: bool,
    /// Must be `silu`.
    pub hidden_act: String,
}

fn ten_thousand() -> f64 {
    10_000.0
}

/// Why no graph could be built.
#[derive(Debug, thiserror::Error)]
pub enum LlamaError {
    /// `config.json` is no JSON or lacks a field.
    #[error("config.json does not describe a Llama: {0}")]
    Config(#[from] serde_json::Error),
    /// A feature of the model that this builder would compute wrongly.
    #[error("this Llama cannot be built here ({0}); import an exported ONNX graph instead")]
    Unsupported(String),
    /// The weights are not those that the configuration describes.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

/// Counts of the graph, checked.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
}

impl Shape {
    /// Largest value of any count: products of two stay far below overflow.
    const COUNT_MAX: usize = 1 << 24;

    pub(super) fn of(config: &LlamaConfig) -> Result<Self, LlamaError> {
        let unsupported = |why: &str| Err(LlamaError::Unsupported(why.to_owned()));
        let heads = config.num_attention_heads;
        let kv_heads = config.num_key_value_heads.unwrap_or(heads);
        let head_dim = config.head_dim.or_else(|| config.hidden_size.checked_div(heads)).unwrap_or(0);
        let counts = [
            config.vocab_size,
            config.hidden_size,
            config.intermediate_size,
            config.num_hidden_layers,
            heads,
            kv_heads,
            head_dim,
            config.max_position_embeddings,
        ];
        if counts.iter().any(|&count| count == 0 || count > Self::COUNT_MAX) {
            return unsupported("a count of config.json is zero or beyond 2^24");
        }
        if !heads.is_multiple_of(kv_heads) || !head_dim.is_multiple_of(2) {
            return unsupported("heads must be a multiple of key-value heads, and the head size even");
        }
        if config.model_type != "llama" || config.hidden_act != "silu" {
            return unsupported("model_type is not llama or hidden_act is not silu");
        }
        if config.rope_scaling.is_some() || config.attention_bias || config.mlp_bias {
            return unsupported("rope_scaling, attention_bias and mlp_bias are not handled");
        }
        Ok(Self { heads, kv_heads, head_dim })
    }
}

/// Converts a count for a graph; counts are at most 2^24, and products of two at most 2^48.
pub(super) fn int(count: usize) -> i64 {
    i64::try_from(count).expect("counts are checked when the configuration is read")
}
