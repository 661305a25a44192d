//! The open store: a queue to the writing thread, and how far that has come.

use std::path::Path;
use std::thread::JoinHandle;

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::PersistId;
use redb::Database;
use tokio::sync::{mpsc, watch};

use super::error::{StoreError, open_error};
use super::limits::QUEUE_MAX;
use super::tables;
use super::writer::{Write, Writer};
use crate::role::{PerRole, Role};

/// The open store of one node.
pub struct Store {
    writes: mpsc::Sender<Write>,
    durable: watch::Receiver<PerRole<PersistId>>,
    thread: JoinHandle<Result<(), StoreError>>,
}

impl Store {
    /// Opens the store in `path`, or makes one, for the node `owner`; returns it with every record in it.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with the file.
    pub fn open(path: &Path, owner: NodeId) -> Result<(Self, Vec<Record>), StoreError> {
        // The database would make it readable for all.
        crate::home::permissions::touch_private(path)
            .map_err(|error| StoreError::Failed { path: path.into(), why: error.to_string() })?;
        let database = Database::create(path).map_err(|error| open_error(path, error))?;
        Self::start(database, path, owner)
    }

    /// Opens the store that the node `owner` has in `path`, and never begins a new one. (`CH-52`)
    ///
    /// # Errors
    /// [`StoreError::Lost`] when the file is missing, empty or without an owner; else as [`Self::open`].
    pub fn open_kept(path: &Path, owner: NodeId) -> Result<(Self, Vec<Record>), StoreError> {
        let lost = |why| StoreError::Lost { path: path.into(), why };
        match std::fs::metadata(path) {
            Ok(file) if file.len() == 0 => return Err(lost("the file is empty")),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(lost("there is no such file"));
            }
            Err(error) => return Err(StoreError::Failed { path: path.into(), why: error.to_string() }),
        }
        let database = Database::open(path).map_err(|error| open_error(path, error))?;
        if !tables::is_claimed(&database, path)? {
            return Err(lost("it names no owner"));
        }
        Self::start(database, path, owner)
    }

    /// Returns the same over a database that is open, on any storage.
    pub(super) fn start(
        database: Database,
        path: &Path,
        owner: NodeId,
    ) -> Result<(Self, Vec<Record>), StoreError> {
        let (next, records) = tables::prepare(&database, path, owner)?;
        let (writes, queue) = mpsc::channel(QUEUE_MAX);
        let (done, durable) = watch::channel(PerRole::default());
        let writer = Writer { database, path: path.to_owned(), next };
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(queue, &done))
            .map_err(|error| StoreError::Failed { path: path.into(), why: error.to_string() })?;
        Ok((Self { writes, durable, thread }, records))
    }

    /// Returns the records in `path`, without keeping it open.
    ///
    /// # Errors
    /// As [`Self::open_kept`].
    pub fn read(path: &Path, owner: NodeId) -> Result<Vec<Record>, StoreError> {
        let (store, records) = Self::open_kept(path, owner)?;
        store.close()?;
        Ok(records)
    }

    /// Returns the records in a store of any node, such as a copy.
    ///
    /// # Errors
    /// As [`Self::open`]; a file that is not there is [`StoreError::Failed`].
    pub fn read_any(path: &Path) -> Result<Vec<Record>, StoreError> {
        let database = Database::open(path).map_err(|error| open_error(path, error))?;
        tables::read(&database, path)
    }

    /// Queues a record.
    pub async fn write(&self, role: Role, id: PersistId, record: Record) {
        self.write_all(role, vec![(id, record)]).await;
    }

    /// Queues the records of one input, which are never split over two commits. A writing thread that has ended shows in
    /// [`Self::durable`], not here.
    pub async fn write_all(&self, role: Role, records: Vec<(PersistId, Record)>) {
        let _ = self.writes.send(Write { role, records }).await;
    }

    /// Returns how far each role's records are on disk. Closed: the store has failed, see
    /// [`Self::close`].
    #[must_use]
    pub fn durable(&self) -> watch::Receiver<PerRole<PersistId>> {
        self.durable.clone()
    }

    /// Writes what still waits and closes the file. Blocks until that is done.
    ///
    /// # Errors
    /// What made the thread end, if it did not end in order.
    pub fn close(self) -> Result<(), StoreError> {
        drop(self.writes);
        self.thread.join().expect("the writing thread does not panic: every error it meets is returned")
    }
}
