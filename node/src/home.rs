//! A node's home directory: where it is, and the note in it that tells other commands how to reach the running node.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::permissions;

/// The note of a running node.
pub const NOTE: &str = "node.json";
/// The store of channels and receipts.
pub const STORE: &str = "records.redb";

/// The home for a node: `given` (from the flag or `BOMBYX_HOME`), else `bombyx` in the user's data directory.
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

/// What a running node tells about itself: written when it is ready, removed when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Its process.
    pub pid: u32,
    /// Its id.
    pub node_id: String,
    /// Multiaddrs that others can join through.
    pub addresses: Vec<String>,
    /// Base URL of its admin pages.
    pub admin: String,
    /// Base URL of its gateway, if it runs.
    pub gateway: Option<String>,
    /// Names of the models it provides.
    pub models: Vec<String>,
}

impl Note {
    /// The note in `home`, if a node left one there.
    ///
    /// # Errors
    /// What the system refused, or a note that cannot be read.
    pub fn read(home: &Path) -> io::Result<Option<Self>> {
        match fs::read(home.join(NOTE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Puts the note into `home`, whole or not at all. It goes again when the returned guard is dropped.
    ///
    /// # Errors
    /// What the system refused.
    pub fn leave(&self, home: &Path) -> io::Result<NoteGuard> {
        let (path, partial) = (home.join(NOTE), home.join(format!(".{NOTE}.partial")));
        let mut file = permissions::create_private(&partial)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        file.sync_all()?;
        fs::rename(&partial, &path)?;
        Ok(NoteGuard { path })
    }
}

/// Removes the note of a node when it ends.
#[derive(Debug)]
pub struct NoteGuard {
    path: PathBuf,
}

impl Drop for NoteGuard {
    fn drop(&mut self) {
        // A note that stays names a process that is gone, which its readers notice.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_note_is_there_as_long_as_its_node() {
        let home = tempfile::tempdir().unwrap();
        let note = Note {
            pid: 1,
            node_id: "ab".into(),
            addresses: vec![],
            admin: "http://127.0.0.1:1".into(),
            gateway: None,
            models: vec![],
        };
        assert_eq!(Note::read(home.path()).unwrap(), None);
        let guard = note.leave(home.path()).unwrap();
        assert_eq!(Note::read(home.path()).unwrap(), Some(note));
        drop(guard);
        assert_eq!(Note::read(home.path()).unwrap(), None);
    }

    #[test]
    fn a_given_home_is_taken_as_it_is() {
        assert_eq!(resolve(Some("x/y".into())).unwrap(), PathBuf::from("x/y"));
    }
}
