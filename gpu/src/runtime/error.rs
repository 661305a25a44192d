//! The errors of ONNX Runtime: not found, not loaded, or a session refused.

use std::path::PathBuf;

use super::candidate::{self, Candidate, LIBRARY_VARIABLE, MINOR_VERSION_MIN};
use super::execution_provider::ExecutionProviderError;
use super::pins;
use crate::fetch::FetchError;

/// Why ONNX Runtime is not available or refuses a session.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No usable library anywhere.
    #[error(
        "no usable ONNX Runtime found; install one (`runtime install`, also `--from` a wheel), or set \
         {LIBRARY_VARIABLE} to a library. Looked at: {}",
        candidate::describe(.0)
    )]
    NotFound(Vec<Candidate>),
    /// The library the user named is not usable, so no other one is taken.
    #[error("{} was asked for but is not usable: {}", .0.path.display(), .0.fault.as_deref().unwrap_or("no reason"))]
    Unusable(Candidate),
    /// Nothing is pinned for this kind of machine.
    #[error(
        "no ONNX Runtime build is pinned for {target}; set {LIBRARY_VARIABLE} to a library of version 1.{} or later. \
         Pinned: {}",
        MINOR_VERSION_MIN,
        pins::targets()
    )]
    NoPackage {
        /// This machine.
        target: String,
    },
    /// The pinned wheel could not be fetched, or the installed library is not the pinned one.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Telemetry would be on.
    #[error("telemetry of ONNX Runtime is not disabled; call `disable_telemetry` first thing in main")]
    TelemetryNotDisabled,
    /// Another library is loaded already.
    #[error("{loaded} is loaded in this process, so {asked} cannot be; start another process for it")]
    AlreadyLoaded {
        /// The library in use.
        loaded: PathBuf,
        /// The library asked for.
        asked: PathBuf,
    },
    /// The library does not start.
    #[error("ONNX Runtime at {library} does not start: {why}")]
    Load {
        /// The library.
        library: PathBuf,
        /// Its reason.
        why: String,
    },
    /// The chosen device cannot be used; the CPU is not used instead.
    #[error(transparent)]
    ExecutionProvider(#[from] ExecutionProviderError),
    /// A graph cannot be loaded.
    #[error("ONNX Runtime cannot load the graph {graph}: {why}")]
    Session {
        /// The file.
        graph: PathBuf,
        /// Its reason.
        why: String,
    },
}
