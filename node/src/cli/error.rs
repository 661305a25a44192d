//! Why a verb failed.

use crate::demo::DemoError;
use crate::error::NodeError;
use crate::error::exit::ExitKind;

/// Why a verb failed: as a node, or as the demonstration, which no part of a node knows.
#[derive(Debug, thiserror::Error)]
pub(super) enum VerbError {
    #[error(transparent)]
    Node(#[from] NodeError),
    #[error(transparent)]
    Demo(#[from] DemoError),
}

impl VerbError {
    pub(super) fn code(&self) -> ExitKind {
        match self {
            Self::Node(error) => error.code(),
            Self::Demo(error) => error.code(),
        }
    }

    pub(super) fn hint(&self) -> String {
        match self {
            Self::Node(error) => error.hint(),
            Self::Demo(error) => error.hint(),
        }
    }
}
