//! Why ONNX Runtime cannot be used.

use std::path::PathBuf;

use super::candidate::{self, Candidate, LIBRARY_VARIABLE, MINOR_VERSION_MIN};
use super::execution_provider::ExecutionProviderError;
use super::pins;
use crate::fetch::FetchError;

/// Why ONNX Runtime is not available, or refuses what it is asked.
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
    /// The pinned wheel could not be had, or what is installed is not it.
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
    /// The wanted device cannot be used; the CPU is not used instead.
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
