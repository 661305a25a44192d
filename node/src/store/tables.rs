//! The tables of the store: whose it is, and what the journal has brought here.
//!
//! `records`: [`super::rows`]. `meta`: `format`, `node`; `journal`, the key of its hashes; `next`, the number of the first write
//! that may be in the journal only.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use redb::{
    AccessGuard, Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, TableError,
};

use super::error::{StoreError, failed};
use super::file::StoreFile;
use super::journal::{self, JournalKey};
use super::limits::{FORMAT, RECEIPTS_MAX};
use super::rows::{self, Changes, RECEIPT};

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Values of the rows by key.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The tables of an open store.
pub(super) struct Tables {
    database: Database,
    path: PathBuf,
}

/// What was in a store when it was opened.
pub(super) struct Opened {
    pub(super) tables: Tables,
    pub(super) journal: JournalKey,
    /// Number of the next write.
    pub(super) next: u64,
    pub(super) records: Vec<Record>,
}

impl Tables {
    pub(super) fn new(database: Database, path: &Path) -> Self {
        Self { database, path: path.to_owned() }
    }

    /// Returns where the store lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Checks whose store it is, makes its tables, and brings into them what is in the journal only.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with it.
    pub(super) fn prepare(self, file: &StoreFile, owner: NodeId) -> Result<Opened, StoreError> {
        let journal = self.claim(owner)?;
        let (next, changes) = self.unmoved(file)?;
        self.put(&changes, next)?;
        let records = self.records(&self.rows()?)?;
        Ok(Opened { tables: self, journal, next, records })
    }

    /// Returns every record, no matter which node the store belongs to, and changes nothing.
    ///
    /// # Errors
    /// [`StoreError`] says what is wrong with it.
    pub(super) fn read(&self, file: &StoreFile) -> Result<Vec<Record>, StoreError> {
        check_format(&self.meta("format")?.unwrap_or_default(), &self.path)?;
        let (_, changes) = self.unmoved(file)?;
        let mut rows = self.rows()?;
        for (key, value) in changes.iter() {
            match value {
                Some(value) => rows.insert(key.to_owned(), value.to_owned()),
                None => rows.remove(key),
            };
        }
        self.records(&rows)
    }

    /// Returns whether it has a mark of format or owner, as every store has from its first moment on.
    ///
    /// # Errors
    /// What the database says.
    pub(super) fn is_claimed(&self) -> Result<bool, StoreError> {
        Ok(self.meta("format")?.is_some() || self.meta("node")?.is_some())
    }

    /// Moves rows here, and notes that every write below `next` is here. They are on disk when this returns, so that the journal
    /// may write over them. Receipts beyond [`RECEIPTS_MAX`] go, oldest first.
    ///
    /// # Errors
    /// What the database says.
    pub(super) fn put(&self, changes: &Changes, next: u64) -> Result<(), StoreError> {
        self.try_put(changes, next).map_err(|error| failed(&self.path, error))
    }

    fn try_put(&self, changes: &Changes, next: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for (key, value) in changes.iter() {
                match value {
                    Some(value) => table.insert(key, value)?,
                    None => table.remove(key)?,
                };
            }
            prune(&mut table)?;
            transaction.open_table(META)?.insert("next", next.to_be_bytes().as_slice())?;
        }
        Ok(transaction.commit()?)
    }

    /// Returns the number of the next write, and what is in the journal only.
    fn unmoved(&self, file: &StoreFile) -> Result<(u64, Changes), StoreError> {
        let mut changes = Changes::default();
        // A store of before there was one.
        let Some(key) = self.meta("journal")? else { return Ok((0, changes)) };
        let key = key.try_into().map_err(|_| self.damaged("the key of its journal is damaged"))?;
        let next = self.meta("next")?.and_then(|next| next.try_into().ok());
        let next = next.ok_or_else(|| self.damaged("the number of its next write is damaged"))?;
        let next = u64::from_be_bytes(next);
        let values = journal::read(file, &key, next).map_err(|error| {
            if error.kind() == io::ErrorKind::InvalidData {
                self.damaged(&error.to_string())
            } else {
                failed(&self.path, error)
            }
        })?;
        let next = next + values.len() as u64;
        for value in values {
            changes.put_value(value, &self.path)?;
        }
        Ok((next, changes))
    }

    /// Marks a new store as its owner's, or checks the marks; returns the key of its journal.
    fn claim(&self, owner: NodeId) -> Result<JournalKey, StoreError> {
        match (self.meta("format")?, self.meta("node")?) {
            (None, None) => {}
            (Some(format), Some(node)) => {
                check_format(&format, &self.path)?;
                let node = NodeId(node.try_into().map_err(|_| self.damaged("its owner is not a node id"))?);
                if node != owner {
                    return Err(StoreError::OtherNode { path: self.path.clone(), found: node });
                }
                if let Some(key) = self.meta("journal")? {
                    return key.try_into().map_err(|_| self.damaged("the key of its journal is damaged"));
                }
            }
            _ => return Err(self.damaged("its format or owner is missing")),
        }
        let key = rand::random::<JournalKey>();
        self.mark(owner, &key).map_err(|error| failed(&self.path, error))?;
        Ok(key)
    }

    fn mark(&self, owner: NodeId, journal: &JournalKey) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let records = transaction.open_table(RECORDS)?;
            // Nothing in a new store, and rows in one of before there was a journal.
            let mut next = 0;
            for row in records.iter()? {
                next = next.max(rows::number(row?.1.value()) + 1);
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT.to_be_bytes().as_slice())?;
            meta.insert("node", owner.0.as_slice())?;
            meta.insert("journal", journal.as_slice())?;
            meta.insert("next", next.to_be_bytes().as_slice())?;
        }
        Ok(transaction.commit()?)
    }

    fn meta(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read().map_err(|error| failed(&self.path, error))?;
        let meta = match transaction.open_table(META) {
            Ok(meta) => meta,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(failed(&self.path, error)),
        };
        let value = meta.get(name).map_err(|error| failed(&self.path, error))?;
        Ok(value.as_ref().map(AccessGuard::value).map(<[u8]>::to_vec))
    }

    fn rows(&self) -> Result<Rows, StoreError> {
        let read = || -> Result<Rows, redb::Error> {
            let table = self.database.begin_read()?.open_table(RECORDS)?;
            let mut rows = Rows::new();
            for row in table.iter()? {
                let (key, value) = row?;
                rows.insert(key.value().to_vec(), value.value().to_vec());
            }
            Ok(rows)
        };
        read().map_err(|error| failed(&self.path, error))
    }

    fn records(&self, rows: &Rows) -> Result<Vec<Record>, StoreError> {
        rows.iter().map(|(key, value)| rows::read(key, value, &self.path)).collect()
    }

    fn damaged(&self, why: &str) -> StoreError {
        StoreError::Damaged { path: self.path.clone(), why: why.into() }
    }
}

fn check_format(format: &[u8], path: &Path) -> Result<(), StoreError> {
    let damaged = |_| StoreError::Damaged { path: path.into(), why: "its format is not a number".into() };
    let found = u32::from_be_bytes(format.try_into().map_err(damaged)?);
    if found == FORMAT { Ok(()) } else { Err(StoreError::Format { path: path.into(), found }) }
}

/// Deletes the oldest receipts beyond [`RECEIPTS_MAX`].
fn prune(table: &mut Table<'_, &[u8], &[u8]>) -> Result<(), redb::StorageError> {
    let mut receipts = Vec::new();
    for row in table.range([RECEIPT].as_slice()..[RECEIPT + 1].as_slice())? {
        let (key, value) = row?;
        receipts.push((rows::number(value.value()), key.value().to_vec()));
    }
    let surplus = receipts.len().saturating_sub(RECEIPTS_MAX);
    if surplus > 0 {
        receipts.sort_unstable();
        for (_, key) in &receipts[..surplus] {
            table.remove(key.as_slice())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use bombyx_protocol::ident::{Domain, Identity};
    use bombyx_protocol::wire::signed::Signed;
    use bombyx_protocol::work::order::JobId;

    use super::*;
    use crate::store::Store;
    use crate::store::file::Content;
    use crate::store::rows::Row;

    const OWNER: NodeId = NodeId([1; 32]);

    /// Returns the tables in a file, made if there are none, and claimed by nobody.
    fn tables(path: &Path) -> (Arc<StoreFile>, Tables) {
        crate::home::permissions::touch_private(path).unwrap();
        let (file, content) = StoreFile::open(path).unwrap();
        if content == Content::Nothing {
            file.make(path).unwrap();
        }
        let file = Arc::new(file);
        let database = file.database().unwrap();
        (file, Tables::new(database, path))
    }

    fn prepare(path: &Path, owner: NodeId) -> Result<Opened, StoreError> {
        let (file, tables) = tables(path);
        tables.prepare(&file, owner)
    }

    fn sorted(mut records: Vec<Record>) -> Vec<Record> {
        records.sort_by_key(Record::key);
        records
    }

    #[test]
    fn the_oldest_receipts_go_while_the_store_is_open_and_the_limit_stays() {
        let folder = tempfile::tempdir().unwrap();
        let opened = prepare(&folder.path().join("store"), OWNER).unwrap();
        assert_eq!((opened.next, opened.records.len()), (0, 0));
        // One signature for all: what is tested is the counting.
        let signer = Identity::from_seed(&[1; 32]);
        let receipt = Signed::new(&signer, Domain::Receipt, vec![0; 8]);
        let records: Vec<Record> = (0..RECEIPTS_MAX + 5)
            .map(|number| {
                let mut job = [0; 16];
                job[..8].copy_from_slice(&number.to_le_bytes());
                Record::Receipt { job: JobId(job), provider: signer.id(), receipt: receipt.clone() }
            })
            .collect();
        for numbers in [0..RECEIPTS_MAX + 3, RECEIPTS_MAX + 3..RECEIPTS_MAX + 5] {
            let mut changes = Changes::default();
            for number in numbers.clone() {
                changes.put(Row::new(&records[number], number as u64));
            }
            opened.tables.put(&changes, numbers.end as u64).unwrap();
            let kept = opened.tables.records(&opened.tables.rows().unwrap()).unwrap();
            assert_eq!(kept.len(), RECEIPTS_MAX);
            assert!(
                sorted(kept) == sorted(records[numbers.end - RECEIPTS_MAX..numbers.end].to_vec()),
                "the oldest are gone"
            );
        }
    }

    #[test]
    fn a_store_of_another_node_or_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(prepare(&path, OWNER).unwrap());
        let refused = prepare(&path, NodeId([2; 32])).err();
        assert!(matches!(refused, Some(StoreError::OtherNode { .. })), "{refused:?}");
        let (_, tables) = tables(&path);
        let transaction = tables.database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", 9u32.to_be_bytes().as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(tables);
        let refused = prepare(&path, OWNER).err();
        assert!(matches!(refused, Some(StoreError::Format { found: 9, .. })), "{refused:?}");
        let refused = Store::read_any(&path).err();
        assert!(matches!(refused, Some(StoreError::Format { found: 9, .. })), "{refused:?}");
    }

    /// (CH-52)
    #[test]
    fn a_database_without_an_owner_is_a_lost_store_and_is_not_claimed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(tables(&path));
        for _ in 0..2 {
            let lost = Store::open_kept(&path, OWNER).err();
            assert!(matches!(lost, Some(StoreError::Lost { .. })), "{lost:?}");
        }
    }

    #[test]
    fn a_row_that_is_no_record_is_damage_and_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(prepare(&path, OWNER).unwrap());
        for value in [&[][..], &[9; 40][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255][..]] {
            let (file, tables) = tables(&path);
            let transaction = tables.database.begin_write().unwrap();
            transaction.open_table(RECORDS).unwrap().insert([1; 33].as_slice(), value).unwrap();
            transaction.commit().unwrap();
            let refused = tables.prepare(&file, OWNER).err();
            assert!(matches!(refused, Some(StoreError::Damaged { .. })), "{value:?}: {refused:?}");
        }
    }

    #[test]
    fn a_database_of_before_there_was_a_journal_gets_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let gone = |byte| Record::ChannelGone { account: bombyx_protocol::ChannelId([byte; 32]) };
        {
            let database = Database::create(&path).unwrap();
            let transaction = database.begin_write().unwrap();
            {
                let mut meta = transaction.open_table(META).unwrap();
                meta.insert("format", FORMAT.to_be_bytes().as_slice()).unwrap();
                meta.insert("node", OWNER.0.as_slice()).unwrap();
                let row = Row::new(&gone(5), 41);
                let mut records = transaction.open_table(RECORDS).unwrap();
                records.insert([9].as_slice(), row.value.as_slice()).unwrap();
            }
            transaction.commit().unwrap();
            assert!(matches!(Store::open(&path, OWNER), Err(StoreError::InUse(_))));
        }
        assert_eq!(Store::read_any(&path).unwrap(), [gone(5)], "a copy is read as it is");
        assert!(StoreFile::open(&path).unwrap().1 == Content::Bare);
        let (store, records) = Store::open_kept(&path, OWNER).unwrap();
        store.close().unwrap();
        assert_eq!(records, [gone(5)]);
        let opened = prepare(&path, OWNER).unwrap();
        assert_eq!((opened.next, opened.records), (42, vec![gone(5)]));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
