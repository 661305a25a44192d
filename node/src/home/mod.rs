//! A node's home directory: where it is, and what lies in it for one user alone: configuration, keys, the peers
//! that answered, and the note of the node that runs.

pub mod config;
pub mod keys;
mod names;
mod note;
pub mod peers;
pub mod permissions;

use std::path::PathBuf;

use self::config::ConfigError;

pub use self::names::{LOCK, MANIFESTS, NOTE, OLD_ASK, PEERS, STORE, TOKEN};
pub use self::note::{Note, NoteGuard};

/// Returns the home for a node: `given` (from the flag or `BOMBYX_HOME`), else `bombyx` in the
/// user's data directory.
///
/// # Errors
/// [`ConfigError::NoHome`] where there is no such directory.
pub fn resolve(given: Option<PathBuf>) -> Result<PathBuf, ConfigError> {
    let path = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = || {
        if cfg!(windows) {
            path("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            path("HOME").map(|home| home.join("Library/Application Support"))
        } else {
            path("XDG_DATA_HOME").or_else(|| path("HOME").map(|home| home.join(".local/share")))
        }
    };
    given.or_else(|| base().map(|base| base.join("bombyx"))).ok_or(ConfigError::NoHome)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_given_home_is_taken_as_it_is() {
        assert_eq!(resolve(Some("x/y".into())).unwrap(), PathBuf::from("x/y"));
    }
}
