//! Why a model cannot be loaded into an engine.

use crate::runtime::RuntimeError;
use crate::tokens::TokenizerError;

/// Why a model cannot be loaded into an engine.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It is of the other kind.
    #[error("model `{model}` is not of kind `{expected}`")]
    WrongKind {
        /// Its name.
        model: String,
        /// The kind needed.
        expected: &'static str,
    },
    /// This engine cannot feed its graph.
    #[error("the graph of model `{model}` cannot be used: {why}")]
    Graph {
        /// Its name.
        model: String,
        /// What is wrong.
        why: String,
    },
    /// Its manifest names something that this program does not know.
    #[error("the manifest of model `{model}` cannot be followed: {why}")]
    Facts {
        /// Its name.
        model: String,
        /// What is wrong.
        why: String,
    },
    /// ONNX Runtime refuses it.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// Its tokenizer is not readable.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
}
