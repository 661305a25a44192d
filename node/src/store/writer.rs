//! The writing thread: takes all that waits, commits it once, then says how far each role has come.

use std::path::PathBuf;

use bombyx_protocol::io::PersistId;
use redb::Database;
use tokio::sync::{mpsc, watch};

use super::{BATCH_MAX, StoreError, Write, failed, tables};
use crate::driver::role::PerRole;

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
                    *newest = write.id.max(*newest);
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
        tables::put_all(&transaction, batch.iter().map(|write| &write.record), &mut self.next)
            .map_err(|error| failed(&path, error))?;
        transaction.commit().map_err(|error| failed(&path, error))
    }
}
