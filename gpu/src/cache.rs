//! The directory of fetched and built files: each entry appears whole or not at all, made by one process at a time.

use std::env;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Variable that names the cache directory.
pub const CACHE_VARIABLE: &str = "BOMBYX_CACHE";
/// How long to wait for another process that makes the same entry; it may be fetching over a slow line.
pub const LOCK_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// How often to look whether that process is done.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Why the cache cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// Neither the variable nor a home directory is set.
    #[error("there is no place for cached files; set {CACHE_VARIABLE} to a directory")]
    NoHome,
    /// The operating system refused.
    #[error(
        "cannot {what} {path}: {source}; check its permissions and space, or set {CACHE_VARIABLE} elsewhere"
    )]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process has been making the same entry for too long.
    #[error("another process has held {lock} for {seconds} s; if none runs any more, delete it")]
    Locked {
        /// The lock file.
        lock: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
}

/// A cache directory.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
    lock_deadline: Duration,
}

impl Cache {
    /// Creates the user's cache: `BOMBYX_CACHE`, else `bombyx` in the place the operating system
    /// has for caches.
    ///
    /// # Errors
    /// [`CacheError::NoHome`]. Nothing is created yet.
    pub fn open() -> Result<Self, CacheError> {
        let path = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let root = path(CACHE_VARIABLE).or_else(|| {
            let base = if cfg!(windows) {
                path("LOCALAPPDATA")
            } else if cfg!(target_os = "macos") {
                path("HOME").map(|home| home.join("Library/Caches"))
            } else {
                path("XDG_CACHE_HOME").or_else(|| path("HOME").map(|home| home.join(".cache")))
            };
            base.map(|base| base.join("bombyx"))
        });
        Ok(Self::at(root.ok_or(CacheError::NoHome)?))
    }

    /// Creates a cache in a directory of the caller's choice.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root, lock_deadline: LOCK_DEADLINE }
    }

    /// Returns the same cache with another patience for other processes.
    #[must_use]
    pub fn with_lock_deadline(self, lock_deadline: Duration) -> Self {
        Self { lock_deadline, ..self }
    }

    /// Returns the path that an entry has once it is made. `area` is a directory of like things, such as
    /// `models`.
    #[must_use]
    pub fn entry(&self, area: &str, name: &str) -> PathBuf {
        self.root.join(area).join(name)
    }

    /// Returns an entry's directory; `fill` makes it if it is not there.
    ///
    /// `fill` gets an empty directory that becomes the entry by one rename if it succeeds, and is deleted if it fails.
    /// Only one of several processes fills it; the others wait.
    ///
    /// # Errors
    /// Those of `fill`, and [`CacheError`].
    pub fn entry_or_fill<E: From<CacheError>>(
        &self,
        area: &str,
        name: &str,
        fill: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let entry = self.entry(area, name);
        if entry.is_dir() {
            return Ok(entry);
        }
        create_dir(&self.root.join(area))?;
        let beside = |suffix: &str| self.root.join(area).join(format!(".{name}.{suffix}"));
        let _lock = self.lock(&beside("lock"))?;
        if entry.is_dir() {
            return Ok(entry);
        }
        // Under the lock nobody else fills, so what is there is left over from a process that died.
        let partial = beside("partial");
        remove_dir(&partial)?;
        create_dir(&partial)?;
        let made = fill(&partial).and_then(|()| {
            fs::rename(&partial, &entry)
                .map_err(|source| io_error("move a finished entry to", &entry, source).into())
        });
        if made.is_err() {
            // The first error matters more than a failed clean-up, which the next attempt repeats.
            let _ = remove_dir(&partial);
        }
        made.map(|()| entry)
    }

    fn lock(&self, path: &Path) -> Result<File, CacheError> {
        let file = File::create(path).map_err(|source| io_error("create", path, source))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::Error(source)) => return Err(io_error("lock", path, source)),
                Err(TryLockError::WouldBlock) if start.elapsed() >= self.lock_deadline => {
                    let seconds = self.lock_deadline.as_secs();
                    return Err(CacheError::Locked { lock: path.to_owned(), seconds });
                }
                Err(TryLockError::WouldBlock) => thread::sleep(LOCK_POLL.min(self.lock_deadline)),
            }
        }
    }
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { what, path: path.to_owned(), source }
}

fn create_dir(path: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(path).map_err(|source| io_error("create", path, source))
}

fn remove_dir(path: &Path) -> Result<(), CacheError> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("delete", path, source)),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn an_entry_is_made_once_by_many() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().join("new"));
        let fills = AtomicUsize::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let entry = cache.entry_or_fill("area", "entry", |partial| {
                        fills.fetch_add(1, Ordering::SeqCst);
                        fs::write(partial.join("file"), "whole").unwrap();
                        Ok::<_, CacheError>(())
                    });
                    assert_eq!(fs::read(entry.unwrap().join("file")).unwrap(), b"whole");
                });
            }
        });
        assert_eq!(fills.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_failed_entry_leaves_nothing_and_can_be_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned());
        let failed = cache.entry_or_fill("area", "entry", |partial| {
            fs::write(partial.join("half"), "").unwrap();
            Err(CacheError::NoHome)
        });
        assert!(matches!(failed, Err(CacheError::NoHome)));
        assert!(!cache.entry("area", "entry").exists());
        assert!(!dir.path().join("area/.entry.partial").exists());
        let entry = cache.entry_or_fill("area", "entry", |_| Ok::<_, CacheError>(())).unwrap();
        assert_eq!(fs::read_dir(entry).unwrap().count(), 0);
    }

    #[test]
    fn leftovers_of_a_dead_process_are_not_part_of_the_entry() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("area/.entry.partial")).unwrap();
        fs::write(dir.path().join("area/.entry.partial/old"), "").unwrap();
        let cache = Cache::at(dir.path().to_owned());
        let entry = cache.entry_or_fill("area", "entry", |_| Ok::<_, CacheError>(())).unwrap();
        assert_eq!(fs::read_dir(entry).unwrap().count(), 0);
    }

    #[test]
    fn waiting_for_another_process_ends() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned()).with_lock_deadline(Duration::from_millis(1));
        let outer: Result<_, CacheError> = cache.entry_or_fill("area", "entry", |_| {
            // A second handle stands for the other process: file locks belong to the handle.
            cache.entry_or_fill("area", "entry", |_| Ok(())).map(drop)
        });
        assert!(matches!(outer, Err(CacheError::Locked { .. })), "{outer:?}");
    }
}
