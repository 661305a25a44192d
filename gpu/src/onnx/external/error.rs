//! Why a graph's references cannot be read.

use std::io;

/// An operator that loads a file named by its attribute: a model compiled for one device.
pub(super) const CONTEXT_OPERATOR: &str = "EPContext";

/// Why a graph's references cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    /// The file cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
    /// It is not a model, or not a whole one.
    #[error("it is no ONNX graph: {0}")]
    Malformed(&'static str),
    /// A reference that cannot be followed.
    #[error("a tensor's external data cannot be followed: {0}")]
    Reference(&'static str),
    /// It names a file in a way that a manifest cannot pin.
    #[error(
        "it has an `{CONTEXT_OPERATOR}` operator, which loads files that no manifest can pin; use the graph it was compiled from"
    )]
    Context,
}
