//! Why the demonstration did not come to its end, and what to do about it.

use std::time::Duration;

use bombyx_protocol::io::Failure;

use crate::engine::models::ModelsError;
use crate::error::NodeError;
use crate::error::exit::ExitKind;
use crate::ledger::{ChainError, LedgerError};

/// Why the demonstration did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// A provider process did not start, or ended by itself.
    #[error("the provider process `{name}` {what}; the end of its log:\n{log}")]
    Process {
        /// Which one.
        name: &'static str,
        /// What it did.
        what: String,
        /// The last lines that it wrote.
        log: String,
    },
    /// A file or process operation of the system.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A job did not end well.
    #[error("job `{job}` failed: {why}")]
    Job {
        /// Which one.
        job: &'static str,
        /// Why.
        why: Failure,
    },
    /// An answer is not what the model is known to answer.
    #[error("job `{job}`: {what}")]
    Answer {
        /// Which one.
        job: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// Something was not seen in time.
    #[error("{what} within {} s", within.as_secs())]
    TooSlow {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
    /// The account of a provider cannot be read from its status.
    #[error("the status of provider `{0}` does not name its payout account")]
    NoAccount(&'static str),
    /// The client of the demo.
    #[error(transparent)]
    Node(#[from] Box<NodeError>),
    /// The ledger of the demo.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A model or the runtime.
    #[error(transparent)]
    Models(#[from] ModelsError),
    /// The user wants it to end.
    #[error("stopped before its end; all its processes are ended")]
    Interrupted,
}

impl From<NodeError> for DemoError {
    fn from(error: NodeError) -> Self {
        Self::Node(Box::new(error))
    }
}

impl From<ChainError> for DemoError {
    fn from(error: ChainError) -> Self {
        Self::Ledger(error.into())
    }
}

impl DemoError {
    /// Returns the exit code.
    #[must_use]
    pub fn code(&self) -> ExitKind {
        match self {
            Self::Job { .. } | Self::Answer { .. } => ExitKind::Provider,
            Self::Node(error) => error.code(),
            Self::Process { .. }
            | Self::Io { .. }
            | Self::TooSlow { .. }
            | Self::NoAccount(_)
            | Self::Ledger(_)
            | Self::Models(_)
            | Self::Interrupted => ExitKind::Unexpected,
        }
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Node(error) => error.hint(),
            Self::TooSlow { .. } => "the machine may be busy: try again when it is not".into(),
            Self::Process { .. } => "what the log says of its own error applies; then try again".into(),
            Self::Io { .. } => "check the space and the permissions of the temporary directory".into(),
            Self::Models(_) => "`bombyx runtime list` and the network's state may tell more".into(),
            Self::Job { .. }
            | Self::Answer { .. }
            | Self::NoAccount(_)
            | Self::Ledger(_)
            | Self::Interrupted => "try again".into(),
        }
    }
}

pub(super) fn io(what: &'static str) -> impl FnOnce(std::io::Error) -> DemoError {
    move |source| DemoError::Io { what, source }
}
