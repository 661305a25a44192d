//! The note in a node's home that tells other commands how to reach the running node.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::names::NOTE;
use super::permissions;

/// What a running node tells about itself: written when it is ready, removed when it ends. A node that is started for one verb
/// leaves none.
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
    /// Returns the note in `home`, if a node left one there.
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
}
