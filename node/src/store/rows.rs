//! How records become rows, in the journal and in the tables.
//!
//! Key = kind (1 byte) and account (32), job (16) or slot (2); value = version (1 byte), number of the write (8, big-endian,
//! tells which of two receipts is older), encoded record.

use std::collections::BTreeMap;
use std::path::Path;

use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::wire::codec;

use super::error::StoreError;

/// Version of an encoded record.
const RECORD_VERSION: u8 = 4;
const HEAD: usize = 9;
/// How the record of a channel that is earned on begins.
const EARNER_TAG: [u8; 4] = 1u32.to_le_bytes();

const PAYING: u8 = 1;
const EARNING: u8 = 2;
/// First byte of a receipt's key.
pub(super) const RECEIPT: u8 = 3;
const REPUTATION: u8 = 4;

/// A record as it is written.
pub(super) struct Row {
    pub(super) key: RecordKey,
    pub(super) value: Vec<u8>,
}

impl Row {
    /// Returns the row of a record that is the write of this number.
    pub(super) fn new(record: &Record, number: u64) -> Self {
        let mut value = vec![RECORD_VERSION];
        value.extend(number.to_be_bytes());
        value.extend(codec::encode(record));
        Self { key: record.key(), value }
    }
}

/// The newest value of every row that is to be written; nothing where the row is to go.
#[derive(Debug, Default)]
pub(super) struct Changes(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Changes {
    /// Takes a row that is newer than all before.
    pub(super) fn put(&mut self, Row { key, value }: Row) {
        match key {
            RecordKey::Payer(account) => self.0.insert(row_key(PAYING, &account.0), Some(value)),
            RecordKey::Earner(account) => self.0.insert(row_key(EARNING, &account.0), Some(value)),
            RecordKey::Receipt(job) => self.0.insert(row_key(RECEIPT, &job.0), Some(value)),
            RecordKey::Reputation(slot) => {
                self.0.insert(row_key(REPUTATION, &slot.to_be_bytes()), Some(value))
            }
            RecordKey::Gone(account) => {
                self.0.insert(row_key(PAYING, &account.0), None);
                self.0.insert(row_key(EARNING, &account.0), None)
            }
        };
    }

    /// Takes a row as the journal has it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub(super) fn put_value(&mut self, value: Vec<u8>, path: &Path) -> Result<(), StoreError> {
        let record = read(b"journal", &value, path)?;
        self.put(Row { key: record.key(), value });
        Ok(())
    }

    /// Returns the rows in the order of their keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        self.0.iter().map(|(key, value)| (key.as_slice(), value.as_deref()))
    }
}

fn row_key(kind: u8, rest: &[u8]) -> Vec<u8> {
    [&[kind], rest].concat()
}

/// Returns the number of the write that a row is of.
pub(super) fn number(value: &[u8]) -> u64 {
    value.get(1..HEAD).and_then(|number| number.try_into().ok()).map_or(0, u64::from_be_bytes)
}

/// Returns the record of a row.
///
/// # Errors
/// [`StoreError::Damaged`] names the row.
pub(super) fn read(key: &[u8], value: &[u8], path: &Path) -> Result<Record, StoreError> {
    let damaged = |why: &str| StoreError::Damaged {
        path: path.into(),
        why: format!("row {}: {why}", hex::encode(key)),
    };
    let (head, body) = value.split_at_checked(HEAD).ok_or_else(|| damaged("it is too short"))?;
    let mut body = body.to_vec();
    match head[0] {
        RECORD_VERSION => {}
        // Version 3 did not say at its end what the ledger showed of a channel that is earned on.
        3 if body.starts_with(&EARNER_TAG) => body.push(0),
        3 => {}
        other => return Err(damaged(&format!("version {other}, this version reads 3 to {RECORD_VERSION}"))),
    }
    codec::decode(&body).map_err(|error| damaged(&error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::channel::earn::Earner;
    use bombyx_protocol::channel::record::EarnerRecord;
    use bombyx_protocol::channel::terms::ChannelTerms;
    use bombyx_protocol::ident::NodeId;

    use super::*;

    #[test]
    fn what_the_version_before_wrote_of_a_channel_is_read_with_nothing_shown() {
        let record = Earner::new(ChannelTerms::for_tests(), NodeId([9; 32])).record();
        let at_risk = Record::Earner(EarnerRecord { at_risk: Nano(7), ..record });
        let mut old = Row::new(&at_risk, 5).value;
        old[0] = 3;
        old.truncate(old.len() - 1);
        assert_eq!(read(b"row", &old, Path::new("store")).unwrap(), at_risk);
        old[0] = 2;
        assert!(read(b"row", &old, Path::new("store")).is_err());
    }
}
