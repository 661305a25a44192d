//! The one file of a store: a head, a journal of two halves, and behind them the tables.
//!
//! | bytes | what |
//! |---|---|
//! | 0 to 4,095 | the head: [`MARK`], length of a half of the journal (4, big-endian) |
//! | two halves | [`super::journal`] |
//! | the rest | the database, which takes it for a file of its own |
//!
//! It is one file, so that a copy, a move or an old copy put back never parts a journal from its tables.

use std::fs::{File, TryLockError};
use std::io::{self, Write as _};
use std::ops::Bound;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, Database, DatabaseError, StorageBackend};

use super::error::{StoreError, open_error};
use super::limits::{CACHE_BYTES, HALF_BYTES, PAGE_BYTES};
use crate::home::permissions::create_private;

/// What every store begins with.
const MARK: &[u8; 16] = b"bombyx store 1\n\0";
const HEAD: usize = MARK.len() + 4;
/// What the database begins with.
const DATABASE_MARK: &[u8] = b"redb\x1a\x0a";
/// Longest half that is believed, in bytes.
const HALF_BYTES_MAX: u32 = 64 << 20;

/// What lies in a file before it is opened.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// No store was ever finished in it.
    Nothing,
    /// A store.
    Store,
    /// The database of a store of before there was a journal.
    Bare,
    /// Something else.
    Other(&'static str),
}

/// The file, on any storage.
#[derive(Debug)]
pub(super) struct StoreFile {
    storage: Box<dyn StorageBackend>,
    /// Length of a half of the journal.
    half_bytes: u32,
    /// Where the database begins.
    tables_at: u64,
    /// Whether a sync has failed. The system reports a failure once, to whoever syncs first; here it is one for all.
    has_failed: Mutex<bool>,
}

impl StoreFile {
    /// Returns the file in `path` with what lies in it.
    ///
    /// # Errors
    /// [`StoreError::Failed`].
    pub(super) fn open(path: &Path) -> Result<(Self, Content), StoreError> {
        let file = File::options().read(true).write(true).open(path).map_err(io_error(path))?;
        let storage = FileBackend::new(file).map_err(|error| open_error(path, error))?;
        Self::on(Box::new(storage), HALF_BYTES).map_err(io_error(path))
    }

    /// Returns the same, with a journal put before a database that had none.
    ///
    /// # Errors
    /// [`StoreError::Failed`], and [`StoreError::InUse`] where another process has that database open.
    pub(super) fn open_with_journal(path: &Path) -> Result<(Self, Content), StoreError> {
        let (file, content) = Self::open(path)?;
        if content != Content::Bare {
            return Ok((file, content));
        }
        drop(file);
        if !put_journal_before(path).map_err(io_error(path))? {
            return Err(StoreError::InUse(path.into()));
        }
        Self::open(path)
    }

    /// Returns the file on `storage` with what lies in it. Halves are of `half_bytes` where none are yet.
    pub(super) fn on(storage: Box<dyn StorageBackend>, half_bytes: u32) -> io::Result<(Self, Content)> {
        let tables_at = half_at(half_bytes, 2);
        let mut file = Self { storage, half_bytes, tables_at, has_failed: Mutex::new(false) };
        let (half_bytes, content) = file.look()?;
        file.half_bytes = half_bytes;
        file.tables_at = if content == Content::Bare { 0 } else { half_at(half_bytes, 2) };
        Ok((file, content))
    }

    fn look(&self) -> io::Result<(u32, Content)> {
        let length = self.storage.len()?;
        let mut head = [0; HEAD];
        let known = usize::try_from(length).map_or(HEAD, |length| length.min(HEAD));
        self.storage.read(0, &mut head[..known])?;
        if head == [0; HEAD] && length <= self.tables_at {
            return Ok((self.half_bytes, Content::Nothing));
        }
        if head.starts_with(DATABASE_MARK) {
            return Ok((0, Content::Bare));
        }
        let half = head[MARK.len()..].iter().fold(0, |number, byte| number << 8 | u32::from(*byte));
        let is_half = (PAGE_BYTES..=HALF_BYTES_MAX).contains(&half) && half.is_multiple_of(PAGE_BYTES);
        let content = match (head.starts_with(MARK), is_half) {
            (false, _) => Content::Other("it does not begin as one"),
            (true, false) => Content::Other("its head is damaged"),
            (true, true) if length < half_at(half, 2) => Content::Other("its end is missing"),
            (true, true) => Content::Store,
        };
        Ok((half, content))
    }

    /// Makes an empty journal and then the head: one that is cut was never begun.
    ///
    /// # Errors
    /// [`StoreError`] of the file, [`StoreError::InUse`] where another process makes or uses it.
    pub(super) fn make(&self, path: &Path) -> Result<(), StoreError> {
        let everything = (Bound::Unbounded, Bound::Unbounded);
        let is_locked = match self.storage.try_lock_range(everything.0, everything.1) {
            Ok(true) => true,
            Ok(false) => return Err(StoreError::InUse(path.into())),
            // Storage of one process.
            Err(_) => false,
        };
        let made = self.make_locked();
        if is_locked {
            // The database locks the same file by itself.
            let _ = self.storage.unlock_range(everything.0, everything.1);
        }
        match made {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::InUse(path.into())),
            Err(error) => Err(io_error(path)(error)),
        }
    }

    /// Returns whether it was still for this process to make.
    fn make_locked(&self) -> io::Result<bool> {
        if self.look()?.1 != Content::Nothing {
            return Ok(false);
        }
        self.storage.set_len(self.tables_at)?;
        // Written, not only reserved: a commit then changes nothing that the file system has to note.
        let zeros = vec![0; self.half_bytes()];
        for half in 0..2 {
            self.storage.write(half_at(self.half_bytes, half), &zeros)?;
        }
        self.sync()?;
        self.storage.write(0, &head(self.half_bytes))?;
        self.sync()?;
        Ok(true)
    }

    /// Opens the database behind the journal; makes one where there is none.
    ///
    /// # Errors
    /// What the database says.
    pub(super) fn database(self: &Arc<Self>) -> Result<Database, DatabaseError> {
        Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(TablesPart(Arc::clone(self)))
    }

    /// Length of a half of the journal.
    pub(super) fn half_bytes(&self) -> usize {
        self.half_bytes as usize
    }

    /// Returns one half of the journal as it lies there.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn read_half(&self, half: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.half_bytes()];
        self.storage.read(half_at(self.half_bytes, half), &mut bytes)?;
        Ok(bytes)
    }

    /// Writes into one half of the journal; it is on disk when this returns.
    ///
    /// # Errors
    /// What the storage says: nothing of it may be called durable then.
    pub(super) fn write_half(&self, half: usize, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.storage.write(half_at(self.half_bytes, half) + offset as u64, bytes)?;
        self.sync()
    }

    fn sync(&self) -> io::Result<()> {
        let mut has_failed = self.has_failed.lock().unwrap_or_else(PoisonError::into_inner);
        if *has_failed {
            return Err(io::Error::other("it could not be written before"));
        }
        let synced = self.storage.sync_data();
        *has_failed = synced.is_err();
        synced
    }
}

fn head(half_bytes: u32) -> Vec<u8> {
    [MARK.as_slice(), &half_bytes.to_be_bytes()].concat()
}

fn half_at(half_bytes: u32, half: usize) -> u64 {
    u64::from(PAGE_BYTES) + half as u64 * u64::from(half_bytes)
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    |error| StoreError::Failed { path: path.into(), why: error.to_string() }
}

/// Writes a store of an empty journal and the database in `path` to a file beside it, which then takes its place. Returns whether
/// nobody had the database open.
fn put_journal_before(path: &Path) -> io::Result<bool> {
    let mut database = File::open(path)?;
    match database.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let mut store = create_private(partial.as_ref())?;
    let mut front = head(HALF_BYTES);
    front.resize(PAGE_BYTES as usize + 2 * HALF_BYTES as usize, 0);
    store.write_all(&front)?;
    io::copy(&mut database, &mut store)?;
    store.sync_all()?;
    std::fs::rename(&partial, path)?;
    Ok(true)
}

/// The part of the file that the database takes for all of it.
#[derive(Debug)]
struct TablesPart(Arc<StoreFile>);

impl StorageBackend for TablesPart {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.storage.len()?.saturating_sub(self.0.tables_at))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.storage.read(self.0.tables_at + offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.storage.set_len(self.0.tables_at + len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.storage.write(self.0.tables_at + offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.storage.close()
    }

    // Locks are of the file, and far behind any of its bytes.

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.storage.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.storage.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.storage.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.storage.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.storage.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.storage.query_lock_range(start, end)
    }
}
