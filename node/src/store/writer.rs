//! The writing thread: takes all that waits, commits it once, then says how far each role has come.

use std::path::PathBuf;

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::io::PersistId;
use redb::Database;
use tokio::sync::{mpsc, watch};

use super::error::{StoreError, failed};
use super::limits::BATCH_MAX;
use super::tables;
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
    pub(super) database: Database,
    pub(super) path: PathBuf,
    /// Number of the next write.
    pub(super) next: u64,
}

impl Writer {
    /// Runs until the queue is closed and empty, or a write fails.
    pub(super) fn run(
        mut self,
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
        let path = self.path.clone();
        // Durable when `commit` returns: the database's default, and the promise that vouchers rest on.
        let transaction = self.database.begin_write().map_err(|error| failed(&path, error))?;
        let records = batch.iter().flat_map(|write| &write.records).map(|(_, record)| record);
        tables::put_all(&transaction, records, &mut self.next).map_err(|error| failed(&path, error))?;
        transaction.commit().map_err(|error| failed(&path, error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bombyx_protocol::channel::record::Record;
    use bombyx_protocol::ident::NodeId;
    use redb::StorageBackend;
    use redb::backends::InMemoryBackend;

    use super::*;

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
            if self.broken.load(Ordering::SeqCst) { Err(io::Error::other("worn out")) } else { Ok(()) }
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.disk.write(offset, data)
        }
    }

    #[test]
    fn a_disk_that_fails_ends_the_thread_and_nothing_is_called_durable() {
        let broken = Arc::new(AtomicBool::new(false));
        let disk = Failing { disk: InMemoryBackend::new(), broken: Arc::clone(&broken) };
        let database = Database::builder().create_with_backend(disk).unwrap();
        let path = PathBuf::from("memory");
        let (next, _) = tables::prepare(&database, &path, NodeId([1; 32])).unwrap();
        let (writes, queue) = mpsc::channel(8);
        let (done, mut durable) = watch::channel(PerRole::default());
        let writer = Writer { database, path, next };
        let thread = std::thread::spawn(move || writer.run(queue, &done));
        let write = |id| Write {
            role: Role::Client,
            records: vec![(
                PersistId(id),
                Record::ChannelGone { account: bombyx_protocol::ChannelId([0; 32]) },
            )],
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        writes.blocking_send(write(1)).unwrap();
        runtime.block_on(durable.changed()).unwrap();
        assert_eq!(*durable.borrow_and_update().get(Role::Client), PersistId(1));
        broken.store(true, Ordering::SeqCst);
        writes.blocking_send(write(2)).unwrap();
        assert!(runtime.block_on(durable.changed()).is_err(), "closed, so that the driver stops");
        assert_eq!(*durable.borrow().get(Role::Client), PersistId(1));
        let failure = thread.join().unwrap().unwrap_err();
        assert!(failure.to_string().contains("worn out"), "{failure}");
    }
}
