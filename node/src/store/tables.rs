//! The tables of the store and how records become rows.
//!
//! `records`: key = kind (1 byte) and account (32), job (16) or slot (2); value = version (1 byte), number of the write (8,
//! big-endian, tells which of two receipts is older), encoded record. `meta`: `format` and `node`.

use std::path::Path;

use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::wire::codec;
use redb::{
    AccessGuard, Database, ReadableDatabase as _, ReadableTable as _, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::error::{StoreError, failed};
use super::limits::{FORMAT, RECEIPTS_MAX};

/// Version of an encoded record.
const RECORD_VERSION: u8 = 2;
const HEAD: usize = 9;

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

const PAYING: u8 = 1;
const EARNING: u8 = 2;
const RECEIPT: u8 = 3;
const REPUTATION: u8 = 4;

/// Checks whose store it is and makes its tables; returns the number of the next write and every record.
pub(super) fn prepare(
    database: &Database,
    path: &Path,
    owner: NodeId,
) -> Result<(u64, Vec<Record>), StoreError> {
    let transaction = database.begin_write().map_err(|error| failed(path, error))?;
    claim(&transaction, path, owner)?;
    transaction.open_table(RECORDS).map_err(|error| failed(path, error))?;
    transaction.commit().map_err(|error| failed(path, error))?;
    let rows = read_all(database, path)?;
    let next = rows.iter().map(|row| row.number + 1).max().unwrap_or(0);
    let old = old_receipts(&rows);
    if !old.is_empty() {
        let transaction = database.begin_write().map_err(|error| failed(path, error))?;
        {
            let mut table = transaction.open_table(RECORDS).map_err(|error| failed(path, error))?;
            for key in &old {
                table.remove(key.as_slice()).map_err(|error| failed(path, error))?;
            }
        }
        transaction.commit().map_err(|error| failed(path, error))?;
    }
    let kept = rows.into_iter().filter(|row| old.binary_search(&row.key).is_err());
    Ok((next, kept.map(|row| row.record).collect()))
}

/// Returns whether it has a mark of format or owner, as every store has from its first moment on.
pub(super) fn is_claimed(database: &Database, path: &Path) -> Result<bool, StoreError> {
    let transaction = database.begin_read().map_err(|error| failed(path, error))?;
    let meta = match transaction.open_table(META) {
        Ok(meta) => meta,
        Err(TableError::TableDoesNotExist(_)) => return Ok(false),
        Err(error) => return Err(failed(path, error)),
    };
    let marks = ["format", "node"].map(|name| meta.get(name).map(|mark| mark.is_some()));
    let [format, node] = marks;
    Ok(format.map_err(|error| failed(path, error))? || node.map_err(|error| failed(path, error))?)
}

/// Returns every record, no matter which node the store belongs to.
pub(super) fn read(database: &Database, path: &Path) -> Result<Vec<Record>, StoreError> {
    let transaction = database.begin_read().map_err(|error| failed(path, error))?;
    let meta = transaction.open_table(META).map_err(|error| failed(path, error))?;
    let format = meta.get("format").map_err(|error| failed(path, error))?;
    check_format(format.as_ref().map(AccessGuard::value).unwrap_or_default(), path)?;
    Ok(read_all(database, path)?.into_iter().map(|row| row.record).collect())
}

/// Writes a batch in one transaction; the caller commits it. `next` numbers the writes.
pub(super) fn put_all<'a>(
    transaction: &WriteTransaction,
    records: impl Iterator<Item = &'a Record>,
    next: &mut u64,
) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(RECORDS)?;
    for record in records {
        put(&mut table, record, *next)?;
        *next += 1;
    }
    Ok(())
}

fn put(table: &mut Table<'_, &[u8], &[u8]>, record: &Record, number: u64) -> Result<(), redb::StorageError> {
    let (kind, rest) = match record.key() {
        RecordKey::Payer(account) => (PAYING, account.0.to_vec()),
        RecordKey::Earner(account) => (EARNING, account.0.to_vec()),
        RecordKey::Receipt(job) => (RECEIPT, job.0.to_vec()),
        RecordKey::Reputation(slot) => (REPUTATION, slot.to_be_bytes().to_vec()),
        RecordKey::Gone(account) => {
            table.remove(row_key(PAYING, &account.0).as_slice())?;
            table.remove(row_key(EARNING, &account.0).as_slice())?;
            return Ok(());
        }
    };
    let mut value = vec![RECORD_VERSION];
    value.extend(number.to_be_bytes());
    value.extend(codec::encode(record));
    table.insert(row_key(kind, &rest).as_slice(), value.as_slice())?;
    Ok(())
}

fn row_key(kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend(rest);
    key
}

struct Row {
    key: Vec<u8>,
    number: u64,
    record: Record,
}

fn claim(transaction: &WriteTransaction, path: &Path, owner: NodeId) -> Result<(), StoreError> {
    let mut meta = transaction.open_table(META).map_err(|error| failed(path, error))?;
    let format = meta.get("format").map_err(|error| failed(path, error))?.map(|value| value.value().to_vec());
    let node = meta.get("node").map_err(|error| failed(path, error))?.map(|value| value.value().to_vec());
    match (format, node) {
        (None, None) => {
            let format = FORMAT.to_be_bytes();
            meta.insert("format", format.as_slice()).map_err(|error| failed(path, error))?;
            meta.insert("node", owner.0.as_slice()).map_err(|error| failed(path, error))?;
            Ok(())
        }
        (Some(format), Some(node)) => {
            let damaged = |what: &str| StoreError::Damaged { path: path.into(), why: what.into() };
            check_format(&format, path)?;
            let node = NodeId(node.as_slice().try_into().map_err(|_| damaged("its owner is not a node id"))?);
            if node != owner {
                return Err(StoreError::OtherNode { path: path.into(), found: node });
            }
            Ok(())
        }
        _ => Err(StoreError::Damaged { path: path.into(), why: "its format or owner is missing".into() }),
    }
}

fn check_format(format: &[u8], path: &Path) -> Result<(), StoreError> {
    let damaged = |_| StoreError::Damaged { path: path.into(), why: "its format is not a number".into() };
    let found = u32::from_be_bytes(format.try_into().map_err(damaged)?);
    if found == FORMAT { Ok(()) } else { Err(StoreError::Format { path: path.into(), found }) }
}

fn read_all(database: &Database, path: &Path) -> Result<Vec<Row>, StoreError> {
    let transaction = database.begin_read().map_err(|error| failed(path, error))?;
    let table = transaction.open_table(RECORDS).map_err(|error| failed(path, error))?;
    let mut rows = Vec::new();
    for row in table.iter().map_err(|error| failed(path, error))? {
        let (key, value) = row.map_err(|error| failed(path, error))?;
        rows.push(read_row(key.value(), value.value(), path)?);
    }
    Ok(rows)
}

fn read_row(key: &[u8], value: &[u8], path: &Path) -> Result<Row, StoreError> {
    let damaged = |why: &str| StoreError::Damaged {
        path: path.into(),
        why: format!("row {}: {why}", hex::encode(key)),
    };
    let (head, body) = value.split_at_checked(HEAD).ok_or_else(|| damaged("it is too short"))?;
    let mut body = body.to_vec();
    match head[0] {
        RECORD_VERSION => {}
        // Version 1 had no early voucher at the end of what is earned.
        1 if key.first() == Some(&EARNING) => body.push(0),
        1 => {}
        other => return Err(damaged(&format!("version {other}, this version reads 1 to {RECORD_VERSION}"))),
    }
    let mut number = [0; 8];
    number.copy_from_slice(&head[1..]);
    let record = codec::decode(&body).map_err(|error| damaged(&error.to_string()))?;
    Ok(Row { key: key.to_vec(), number: u64::from_be_bytes(number), record })
}

/// Keys of the receipts beyond [`RECEIPTS_MAX`], oldest writes first to go, in the order of their bytes.
fn old_receipts(rows: &[Row]) -> Vec<Vec<u8>> {
    let mut receipts: Vec<&Row> = rows.iter().filter(|row| row.key.first() == Some(&RECEIPT)).collect();
    receipts.sort_by_key(|row| row.number);
    let surplus = receipts.len().saturating_sub(RECEIPTS_MAX);
    let mut keys: Vec<_> = receipts.into_iter().take(surplus).map(|row| row.key.clone()).collect();
    keys.sort_unstable();
    keys
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::ident::{Domain, Identity};
    use bombyx_protocol::wire::signed::Signed;
    use bombyx_protocol::work::order::JobId;

    use super::*;

    fn receipt(number: usize) -> Record {
        let mut job = [0; 16];
        job[..8].copy_from_slice(&number.to_le_bytes());
        let signer = Identity::from_seed(&[1; 32]);
        let receipt = Signed::new(&signer, Domain::Receipt, number.to_le_bytes().to_vec());
        Record::Receipt { job: JobId(job), provider: signer.id(), receipt }
    }

    #[test]
    fn the_oldest_receipts_go_and_the_limit_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let owner = NodeId([1; 32]);
        let database = Database::create(&path).unwrap();
        let (mut next, none) = prepare(&database, &path, owner).unwrap();
        assert_eq!((next, none.len()), (0, 0));
        let transaction = database.begin_write().unwrap();
        // One signature for all: what is tested is the counting.
        let Record::Receipt { provider, receipt, .. } = receipt(0) else { panic!() };
        let records: Vec<Record> = (0..RECEIPTS_MAX + 3)
            .map(|number| {
                let mut job = [0; 16];
                job[..8].copy_from_slice(&number.to_le_bytes());
                Record::Receipt { job: JobId(job), provider, receipt: receipt.clone() }
            })
            .collect();
        put_all(&transaction, records.iter(), &mut next).unwrap();
        transaction.commit().unwrap();
        let (after, mut kept) = prepare(&database, &path, owner).unwrap();
        assert_eq!((after, kept.len()), (next, RECEIPTS_MAX));
        kept.sort_by_key(Record::key);
        let mut newest = records[3..].to_vec();
        newest.sort_by_key(Record::key);
        assert!(kept == newest, "the three oldest are gone");
    }

    /// (CO-6, MK-31)
    #[test]
    fn what_is_remembered_of_a_provider_is_there_after_a_restart_and_a_later_one_takes_its_slot() {
        use bombyx_protocol::channel::record::Reputation;
        use bombyx_protocol::ident::Prefix;
        use bombyx_protocol::market::history::Timing;
        use bombyx_protocol::work::order::ModelId;

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
        {
            let database = Database::create(&path).unwrap();
            let (mut next, _) = prepare(&database, &path, owner).unwrap();
            let transaction = database.begin_write().unwrap();
            put_all(&transaction, written.iter(), &mut next).unwrap();
            transaction.commit().unwrap();
        }
        let database = Database::create(&path).unwrap();
        let (_, mut found) = prepare(&database, &path, owner).unwrap();
        found.sort_by_key(Record::key);
        assert_eq!(found, written[2..]);
    }

    #[test]
    fn a_store_of_another_node_or_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let database = Database::create(&path).unwrap();
        prepare(&database, &path, NodeId([1; 32])).unwrap();
        let refused = prepare(&database, &path, NodeId([2; 32]));
        assert!(matches!(refused, Err(StoreError::OtherNode { .. })));
        let transaction = database.begin_write().unwrap();
        transaction.open_table(META).unwrap().insert("format", 9u32.to_be_bytes().as_slice()).unwrap();
        transaction.commit().unwrap();
        let refused = prepare(&database, &path, NodeId([1; 32]));
        assert!(matches!(refused, Err(StoreError::Format { found: 9, .. })));
    }

    /// (CH-52)
    #[test]
    fn a_database_without_an_owner_is_a_lost_store_and_is_not_claimed() {
        use crate::store::Store;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        drop(Database::create(&path).unwrap());
        for _ in 0..2 {
            let lost = Store::open_kept(&path, NodeId([1; 32])).err();
            assert!(matches!(lost, Some(StoreError::Lost { .. })), "{lost:?}");
        }
    }

    #[test]
    fn a_row_that_is_no_record_is_damage_and_not_skipped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let database = Database::create(&path).unwrap();
        prepare(&database, &path, NodeId([1; 32])).unwrap();
        for value in [&[][..], &[9; 40][..], &[1, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255][..]] {
            let transaction = database.begin_write().unwrap();
            transaction.open_table(RECORDS).unwrap().insert([PAYING; 33].as_slice(), value).unwrap();
            transaction.commit().unwrap();
            let refused = prepare(&database, &path, NodeId([1; 32]));
            assert!(matches!(refused, Err(StoreError::Damaged { .. })), "{value:?}");
        }
    }
}
