//! Permissions of a node's home: its owner alone may read it, also where the home was there before, or came from a copy.
//!
//! Files that the node makes are made for their owner. What lies there already is closed when a node starts: a home that
//! others could list, a configuration with keys in it, records of who was paid. A file that belongs to somebody else, or
//! only points elsewhere, is no file of this home. Keys that were open are not closed in silence: [`super::keys`] refuses
//! them, because somebody may have read them already.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use super::{config, keys, names};

/// Why a home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PermissionsError {
    /// It is another user's.
    #[error("{path} belongs to user {owner}, and this process runs as user {user}")]
    OtherOwner {
        /// The file or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user that this process runs as.
        user: u32,
    },
    /// It is not where it seems to be.
    #[error("{0} is a symbolic link; a node's files lie in its home themselves")]
    Link(PathBuf),
    /// It is something that cannot be a file of a node.
    #[error("{path} is not a {expected}")]
    Kind {
        /// The file or folder.
        path: PathBuf,
        /// `file` or `folder`.
        expected: &'static str,
    },
    /// It is a folder for everybody, such as `/tmp`.
    #[error("{0} is a folder that all users share; it cannot be the home of a node")]
    Shared(PathBuf),
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Closes everything of a node in `home` to others, and says in one line what was open. A home that is not there is fine.
///
/// # Errors
/// [`PermissionsError`] names the file that cannot be one of this home.
pub fn tighten(home: &Path) -> Result<(), PermissionsError> {
    #[cfg(unix)]
    {
        let mut closed = Vec::new();
        unix::tighten(home, &mut closed)?;
        if let Some(first) = closed.first() {
            let (home, first, more) = (home.display(), first.display(), closed.len() - 1);
            tracing::warn!(%first, more, "files of {home} were open to other users and are closed now");
        }
    }
    #[cfg(not(unix))]
    let _ = home;
    Ok(())
}

/// Returns a new or emptied file for its owner only.
///
/// # Errors
/// What the operating system says.
pub fn create_private(path: &Path) -> io::Result<File> {
    open_private(path, true)
}

/// Returns a file for its owner only, with what is in it if it is there.
///
/// # Errors
/// What the operating system says.
pub(crate) fn touch_private(path: &Path) -> io::Result<File> {
    open_private(path, false)
}

fn open_private(path: &Path, empty: bool) -> io::Result<File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(empty);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    /// Files of a node, with copies of them that were left beside (`records.redb.old`).
    const FILES: [&str; 6] =
        [config::FILE, names::LOCK, names::NOTE, names::PEERS, names::STORE, names::TOKEN];
    /// Homes within a home: `bombyx ask` of earlier versions kept its keys and channels apart.
    const HOMES: [&str; 1] = [names::OLD_ASK];
    const STICKY: u32 = 0o1000;
    const OTHERS: u32 = 0o077;

    pub(super) fn tighten(home: &Path, closed: &mut Vec<PathBuf>) -> Result<(), PermissionsError> {
        // A link to the home itself is the owner's choice; what is in it is not a choice any more.
        let metadata = match fs::metadata(home) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            found => found.map_err(io_error("read", home))?,
        };
        if metadata.is_dir() && metadata.mode() & STICKY != 0 {
            return Err(PermissionsError::Shared(home.into()));
        }
        close(home, &metadata, true, closed)?;
        for entry in fs::read_dir(home).map_err(io_error("read", home))? {
            let entry = entry.map_err(io_error("read", home))?;
            let (path, name) = (entry.path(), entry.file_name());
            let Some(name) = name.to_str() else { continue };
            match tighten_entry(&path, name, closed) {
                // Another process of this home has put it aside meanwhile.
                Err(PermissionsError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
                done => done?,
            }
        }
        Ok(())
    }

    fn tighten_entry(path: &Path, name: &str, closed: &mut Vec<PathBuf>) -> Result<(), PermissionsError> {
        if FILES.iter().any(|file| name.trim_start_matches('.').starts_with(file)) {
            close(path, &plain(path)?, false, closed)?;
        } else if name == keys::FOLDER {
            own(path, &plain(path)?, true)?;
            for key in fs::read_dir(path).map_err(io_error("read", path))? {
                let key = key.map_err(io_error("read", path))?.path();
                own(&key, &plain(&key)?, false)?;
            }
        } else if HOMES.contains(&name) {
            plain(path)?;
            tighten(path, closed)?;
        }
        Ok(())
    }

    /// Returns what a path is, unless it only points elsewhere.
    fn plain(path: &Path) -> Result<fs::Metadata, PermissionsError> {
        let metadata = fs::symlink_metadata(path).map_err(io_error("read", path))?;
        if metadata.is_symlink() { Err(PermissionsError::Link(path.into())) } else { Ok(metadata) }
    }

    /// Checks that it is what it should be, and the user's.
    fn own(path: &Path, metadata: &fs::Metadata, folder: bool) -> Result<(), PermissionsError> {
        if folder && !metadata.is_dir() || !folder && !metadata.is_file() {
            let expected = if folder { "folder" } else { "file" };
            return Err(PermissionsError::Kind { path: path.into(), expected });
        }
        let (owner, user) = (metadata.uid(), rustix::process::geteuid().as_raw());
        if owner == user {
            Ok(())
        } else {
            Err(PermissionsError::OtherOwner { path: path.into(), owner, user })
        }
    }

    fn close(
        path: &Path,
        metadata: &fs::Metadata,
        folder: bool,
        closed: &mut Vec<PathBuf>,
    ) -> Result<(), PermissionsError> {
        own(path, metadata, folder)?;
        if metadata.mode() & OTHERS != 0 {
            let mode = if folder { 0o700 } else { 0o600 };
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(io_error("close", path))?;
            closed.push(path.into());
        }
        Ok(())
    }

    fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PermissionsError {
        let path = path.to_owned();
        move |source| PermissionsError::Io { what, path, source }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// Returns a home as an older version, or a careless copy, left it.
    fn open_home() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for home in [dir.path().to_owned(), dir.path().join("ask")] {
            fs::create_dir_all(home.join("keys")).unwrap();
            for file in [
                "records.redb",
                "records.redb.old",
                "node.json",
                ".node.json.partial",
                "config.toml",
                "admin.token",
                "keys/wallet",
                "keys/identity",
                "notes.txt",
            ] {
                fs::write(home.join(file), "x").unwrap();
                fs::set_permissions(home.join(file), fs::Permissions::from_mode(0o644)).unwrap();
            }
            for folder in [home.join("keys"), home] {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        dir
    }

    #[test]
    fn everything_of_a_node_is_closed_to_others() {
        let home = open_home();
        tighten(home.path()).unwrap();
        for home in [home.path().to_owned(), home.path().join("ask")] {
            assert_eq!(mode(&home), 0o700);
            for file in [
                "records.redb",
                "records.redb.old",
                "node.json",
                ".node.json.partial",
                "config.toml",
                "admin.token",
            ] {
                assert_eq!(mode(&home.join(file)), 0o600, "{file}");
            }
            for (left, bits) in [("notes.txt", 0o644), ("keys", 0o755), ("keys/wallet", 0o644)] {
                assert_eq!(mode(&home.join(left)), bits, "{left} is not for this to close");
            }
        }
        let mut closed = Vec::new();
        unix::tighten(home.path(), &mut closed).unwrap();
        assert!(closed.is_empty(), "nothing is left to close: {closed:?}");
    }

    #[test]
    fn a_home_that_is_not_there_yet_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        tighten(&dir.path().join("none")).unwrap();
        assert!(!dir.path().join("none").exists());
    }

    #[test]
    fn links_are_refused_by_name_and_what_they_point_to_is_left_alone() {
        for name in ["records.redb", "config.toml", "node.json", "admin.token", "keys", "keys/wallet", "ask"]
        {
            let (home, elsewhere) = (open_home(), tempfile::tempdir().unwrap());
            let (link, target) = (home.path().join(name), elsewhere.path().join("target"));
            if link.is_dir() {
                fs::remove_dir_all(&link).unwrap();
                fs::create_dir(&target).unwrap();
            } else {
                fs::remove_file(&link).unwrap();
                fs::write(&target, "x").unwrap();
            }
            fs::set_permissions(&target, fs::Permissions::from_mode(0o755)).unwrap();
            symlink(&target, &link).unwrap();
            let refused = tighten(home.path()).unwrap_err();
            assert!(matches!(&refused, PermissionsError::Link(path) if *path == link), "{refused}");
            assert_eq!(mode(&target), 0o755, "{name}");
        }
    }

    #[test]
    fn a_folder_that_all_share_is_no_home() {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(matches!(tighten(dir.path()), Err(PermissionsError::Shared(_))));
        assert_eq!(mode(dir.path()), 0o1777);
    }

    #[test]
    fn what_is_no_file_is_said_so() {
        let home = open_home();
        fs::remove_file(home.path().join("records.redb")).unwrap();
        fs::create_dir(home.path().join("records.redb")).unwrap();
        assert!(matches!(tighten(home.path()), Err(PermissionsError::Kind { expected: "file", .. })));
    }

    #[test]
    fn a_file_of_another_user_is_named_with_both() {
        // Only the administrator can give files away.
        if !rustix::process::geteuid().is_root() {
            return;
        }
        for name in ["", "config.toml", "keys/wallet"] {
            let home = open_home();
            let path = home.path().join(name);
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            let refused = tighten(home.path()).unwrap_err().to_string();
            assert!(refused.contains("user 12345") && refused.contains(name), "{refused}");
        }
    }

    #[test]
    fn a_private_file_is_private_from_its_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        touch_private(&path).unwrap();
        assert_eq!(mode(&path), 0o600);
        fs::write(&path, "x").unwrap();
        touch_private(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"x");
        create_private(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
    }
}
