//! The open store: a queue to the writing thread, and how far that has come.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::PersistId;
use tokio::sync::{mpsc, watch};

use super::error::{StoreError, open_error};
use super::file::{Content, StoreFile};
use super::journal::Journal;
use super::limits::QUEUE_MAX;
use super::tables::{Opened, Tables};
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
        crate::home::permissions::touch_private(path)
            .map_err(|error| StoreError::Failed { path: path.into(), why: error.to_string() })?;
        Self::open_file(StoreFile::open_with_journal(path)?, path, owner)
    }

    /// Returns the same on any storage.
    pub(super) fn open_file(
        (file, content): (StoreFile, Content),
        path: &Path,
        owner: NodeId,
    ) -> Result<(Self, Vec<Record>), StoreError> {
        let content = match content {
            Content::Nothing => file.make(path).map(|()| Content::Store)?,
            Content::Store | Content::Bare | Content::Other(_) => content,
        };
        let file = Arc::new(file);
        let tables = tables(&file, content, path)?;
        Self::start(file, tables, owner)
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
        let (file, content) = StoreFile::open_with_journal(path)?;
        if content == Content::Nothing {
            return Err(lost("it was never finished"));
        }
        let file = Arc::new(file);
        let tables = tables(&file, content, path)?;
        if !tables.is_claimed()? {
            return Err(lost("it names no owner"));
        }
        Self::start(file, tables, owner)
    }

    fn start(file: Arc<StoreFile>, tables: Tables, owner: NodeId) -> Result<(Self, Vec<Record>), StoreError> {
        let path = tables.path().to_owned();
        let Opened { tables, journal, next, records } = tables.prepare(&file, owner)?;
        let (writes, queue) = mpsc::channel(QUEUE_MAX);
        let (done, durable) = watch::channel(PerRole::default());
        let writer = Writer::new(tables, Journal::new(file, journal), next);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || writer.run(queue, &done))
            .map_err(|error| StoreError::Failed { path, why: error.to_string() })?;
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
        let (file, content) = StoreFile::open(path)?;
        let file = Arc::new(file);
        tables(&file, content, path)?.read(&file)
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

/// Opens the tables of a file that is one.
fn tables(file: &Arc<StoreFile>, content: Content, path: &Path) -> Result<Tables, StoreError> {
    let damaged = |why: &str| StoreError::Damaged { path: path.into(), why: why.into() };
    match content {
        Content::Store | Content::Bare => {}
        Content::Nothing => return Err(damaged("there is nothing in it")),
        Content::Other(why) => return Err(damaged(why)),
    }
    let database = file.database().map_err(|error| open_error(path, error))?;
    Ok(Tables::new(database, path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::channel::record::Reputation;
    use bombyx_protocol::ident::Prefix;
    use bombyx_protocol::market::history::Timing;
    use bombyx_protocol::work::order::ModelId;

    use super::*;

    /// (CO-6, MK-31)
    #[tokio::test]
    async fn what_is_remembered_of_a_provider_is_there_after_a_restart_and_a_later_one_takes_its_slot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let owner = NodeId([1; 32]);
        let remembers = |slot: u16, number: u8, failures: u8| {
            let prefix = Prefix::of_ipv4([192, 0, 2, number]);
            let provider = NodeId([number; 32]);
            let failed_at_s = 1_764_374_400;
            Record::Reputation(Reputation {
                slot,
                provider,
                prefix,
                good: 1,
                level: 0,
                failures,
                failed_at_s,
                model: ModelId([0; 32]),
                timed: 0,
                timing: Timing::default(),
            })
        };
        let written = [remembers(0, 1, 1), remembers(300, 2, 1), remembers(0, 1, 2), remembers(300, 3, 4)];
        let (store, _) = Store::open(&path, owner).unwrap();
        for (number, record) in (1..).zip(written.clone()) {
            store.write(Role::Client, PersistId(number), record).await;
        }
        store.close().unwrap();
        let (store, mut found) = Store::open(&path, owner).unwrap();
        store.close().unwrap();
        found.sort_by_key(Record::key);
        assert_eq!(found, written[2..]);
    }
}
