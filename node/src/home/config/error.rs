//! Why a configuration cannot be used.

use std::io;
use std::path::PathBuf;

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key that does not exist.
    #[error("{place}: unknown key `{key}`{}", nearest.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?")))]
    UnknownKey {
        /// File and line, or variable.
        place: String,
        /// The key as it was written.
        key: String,
        /// The key that is most like it.
        nearest: Option<String>,
    },
    /// A value that cannot be used, or text that is not TOML.
    #[error("{place}: {why}")]
    Invalid {
        /// File and line, or variable.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No place for a home.
    #[error("there is no place for the node's files: neither BOMBYX_HOME nor HOME is set")]
    NoHome,
}
