//! The writing thread: takes all that waits, commits it once, then says how far each role has come.

use std::mem;
use std::sync::Arc;
use std::thread::JoinHandle;

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::io::PersistId;
use tokio::sync::{mpsc, watch};

use super::error::{StoreError, failed};
use super::journal::{Journal, Room};
use super::limits::BATCH_MAX;
use super::rows::{Changes, Row};
use super::tables::Tables;
use crate::role::{PerRole, Role};

/// The records of one input on their way to disk.
pub(super) struct Write {
    pub(super) role: Role,
    pub(super) records: Vec<(PersistId, Record)>,
}

impl Write {
    fn newest(&self) -> PersistId {
        self.records.iter().map(|(id, _)| *id).max().unwrap_or_default()
    }
}

pub(super) struct Writer {
    tables: Arc<Tables>,
    journal: Journal,
    /// Number of the next write.
    next: u64,
    /// What the half of the journal that is being written holds beyond the tables.
    changes: Changes,
    /// Moves what the other half holds.
    move_thread: Option<JoinHandle<Result<(), StoreError>>>,
}

impl Writer {
    pub(super) fn new(tables: Tables, journal: Journal, next: u64) -> Self {
        Self { tables: Arc::new(tables), journal, next, changes: Changes::default(), move_thread: None }
    }

    /// Runs until the queue is closed and empty, or a write fails.
    pub(super) fn run(
        mut self,
        queue: mpsc::Receiver<Write>,
        done: &watch::Sender<PerRole<PersistId>>,
    ) -> Result<(), StoreError> {
        let written = self.write(queue, done);
        // Whatever came of it, the file is free when this thread ends.
        let moved = self.end_move();
        written.and(moved)?;
        self.tables.put(&self.changes, self.next)
    }

    fn write(
        &mut self,
        mut queue: mpsc::Receiver<Write>,
        done: &watch::Sender<PerRole<PersistId>>,
    ) -> Result<(), StoreError> {
        let mut batch = Vec::new();
        while queue.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            self.commit(&batch)?;
            done.send_modify(|durable| {
                for write in &batch {
                    let newest = durable.get_mut(write.role);
                    *newest = write.newest().max(*newest);
                }
            });
            batch.clear();
        }
        Ok(())
    }

    fn commit(&mut self, batch: &[Write]) -> Result<(), StoreError> {
        if self.move_thread.as_ref().is_some_and(JoinHandle::is_finished) {
            self.end_move()?;
        }
        let records = batch.iter().flat_map(|write| &write.records);
        let rows: Vec<Row> =
            (self.next..).zip(records).map(|(number, (_, record))| Row::new(record, number)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        let room = self.journal.prepare(self.next, &rows);
        if room != Room::Here {
            self.begin_move()?;
        }
        self.next += rows.len() as u64;
        if room == Room::Nowhere {
            self.end_move()?;
            rows.into_iter().for_each(|row| self.changes.put(row));
            return self.tables.put(&mem::take(&mut self.changes), self.next);
        }
        self.journal.append().map_err(|error| failed(self.tables.path(), error))?;
        // Only what is in the journal may move: a failed write is neither there nor in the tables.
        rows.into_iter().for_each(|row| self.changes.put(row));
        Ok(())
    }

    /// Goes on in the other half of the journal, and begins to move what this one holds.
    fn begin_move(&mut self) -> Result<(), StoreError> {
        self.end_move()?;
        let (tables, changes, next) = (Arc::clone(&self.tables), mem::take(&mut self.changes), self.next);
        let moving =
            std::thread::Builder::new().name("tables".into()).spawn(move || tables.put(&changes, next));
        self.move_thread = Some(moving.map_err(|error| failed(self.tables.path(), error))?);
        self.journal.turn();
        Ok(())
    }

    /// Waits until the other half of the journal is free.
    fn end_move(&mut self) -> Result<(), StoreError> {
        let moved = self.move_thread.take().map(JoinHandle::join);
        moved.map_or(Ok(()), |moved| moved.expect("moving does not panic: every error it meets is returned"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bombyx_protocol::ident::NodeId;
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;
    use crate::store::Store;
    use crate::store::file::StoreFile;
    use crate::store::limits::HALF_BYTES;

    /// A disk that fails from a moment on.
    #[derive(Debug)]
    struct Failing {
        disk: InMemoryBackend,
        broken: Arc<AtomicBool>,
    }

    impl StorageBackend for Failing {
        fn len(&self) -> io::Result<u64> {
            self.disk.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.disk.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.disk.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            // As an operating system does: once.
            if self.broken.swap(false, Ordering::SeqCst) { Err(io::Error::other("worn out")) } else { Ok(()) }
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.disk.write(offset, data)
        }
    }

    #[test]
    fn a_disk_that_fails_ends_the_thread_and_nothing_is_called_durable() {
        let broken = Arc::new(AtomicBool::new(false));
        let disk = Failing { disk: InMemoryBackend::new(), broken: Arc::clone(&broken) };
        let file = StoreFile::on(Box::new(disk), HALF_BYTES).unwrap();
        let (store, _) = Store::open_file(file, Path::new("memory"), NodeId([1; 32])).unwrap();
        let mut durable = store.durable();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let write = |id| {
            let gone = Record::ChannelGone { account: bombyx_protocol::ChannelId([0; 32]) };
            runtime.block_on(store.write(Role::Client, PersistId(id), gone));
        };
        write(1);
        runtime.block_on(durable.changed()).unwrap();
        assert_eq!(*durable.borrow_and_update().get(Role::Client), PersistId(1));
        broken.store(true, Ordering::SeqCst);
        write(2);
        assert!(runtime.block_on(durable.changed()).is_err(), "closed, so that the driver stops");
        assert_eq!(*durable.borrow().get(Role::Client), PersistId(1));
        let failure = store.close().unwrap_err();
        assert!(failure.to_string().contains("worn out"), "{failure}");
    }

    #[test]
    fn a_failure_that_was_told_to_the_tables_fails_the_journal_as_well() {
        let broken = Arc::new(AtomicBool::new(false));
        let disk = Failing { disk: InMemoryBackend::new(), broken: Arc::clone(&broken) };
        let (file, _) = StoreFile::on(Box::new(disk), HALF_BYTES).unwrap();
        file.make(Path::new("memory")).unwrap();
        let file = Arc::new(file);
        file.write_half(0, 0, &[1]).unwrap();
        broken.store(true, Ordering::SeqCst);
        assert!(file.database().is_err() && !broken.load(Ordering::SeqCst));
        assert!(file.write_half(0, 1, &[1]).is_err(), "its bytes may be those that were lost");
    }
}
