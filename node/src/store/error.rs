//! Why the store cannot be used.

use std::path::{Path, PathBuf};

use bombyx_protocol::ident::NodeId;
use redb::{DatabaseError, StorageError};

use super::limits::FORMAT;

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has it open.
    #[error("{0} is in use by another process")]
    InUse(PathBuf),
    /// It was there, or must have been, and is not any more: what it knew is lost.
    #[error("{path} is lost: {why}; it knew the channels of the keys beside it")]
    Lost {
        /// The file.
        path: PathBuf,
        /// What is missing.
        why: &'static str,
    },
    /// It is not a store, or a damaged one.
    #[error("{path} is damaged or no store of a node: {why}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the database says.
        why: String,
    },
    /// It was written by another version.
    #[error("{path} has format {found}; this version reads format {}", FORMAT)]
    Format {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// It belongs to another node.
    #[error("{path} belongs to node {found}, but the keys are those of another node")]
    OtherNode {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
    },
    /// Reading or writing failed.
    #[error("{path}: {why}")]
    Failed {
        /// The file.
        path: PathBuf,
        /// What the database says.
        why: String,
    },
}

pub(super) fn open_error(path: &Path, error: DatabaseError) -> StoreError {
    let path = path.to_owned();
    if matches!(error, DatabaseError::DatabaseAlreadyOpen) {
        return StoreError::InUse(path);
    }
    let why = error.to_string();
    if let DatabaseError::Storage(StorageError::Io(io)) = &error
        && io.kind() != std::io::ErrorKind::InvalidData
    {
        return StoreError::Failed { path, why };
    }
    StoreError::Damaged { path, why }
}

/// Returns an error of the database in the middle of its use.
pub(super) fn failed(path: &Path, error: impl Into<redb::Error>) -> StoreError {
    let path = path.to_owned();
    let error = error.into();
    if matches!(error, redb::Error::Corrupted(_) | redb::Error::TableTypeMismatch { .. }) {
        StoreError::Damaged { path, why: error.to_string() }
    } else {
        StoreError::Failed { path, why: error.to_string() }
    }
}
