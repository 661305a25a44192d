//! The journal: rows on their way to the tables, one frame a commit, in two halves that take turns.
//!
//! | bytes of a frame | what |
//! |---|---|
//! | 16 | keyed BLAKE3 of the rest, cut to 16: the key is the store's own, so that nothing that a stranger has a record say is ever taken for a frame |
//! | 8 | number of its first row |
//! | 4 | length of the rows |
//! | rows | each a length (4) and a value as it stands in the tables |
//!
//! Numbers are big-endian. A frame begins on a page of its own, because a disk that loses power may spoil the page that it
//! writes: none holds what was called durable before. Each frame is on disk before the next is written. So the frames whose
//! rows are not in the tables yet follow each other without a gap, and only the last can be torn; a gap is damage.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::file::StoreFile;
use super::limits::PAGE_BYTES;
use super::rows::Row;

/// Key of the frames' hashes.
pub(super) type JournalKey = [u8; 32];

const HASH: usize = 16;
const HEAD: usize = HASH + 8 + 4;
const PAGE: usize = PAGE_BYTES as usize;

/// The end of the journal, where the next frame goes.
pub(super) struct Journal {
    file: Arc<StoreFile>,
    key: JournalKey,
    half: usize,
    offset: usize,
    /// Kept, so that no commit allocates.
    frame: Vec<u8>,
}

impl Journal {
    /// Returns a journal whose frames are all in the tables.
    pub(super) fn new(file: Arc<StoreFile>, key: JournalKey) -> Self {
        Self { file, key, half: 0, offset: 0, frame: Vec::new() }
    }

    /// Makes the frame of some rows; returns whether there is room for it in this half, and whether there would be in an empty one.
    pub(super) fn prepare(&mut self, first: u64, rows: &[Row]) -> Room {
        self.frame.clear();
        self.frame.resize(HASH, 0);
        self.frame.extend(first.to_be_bytes());
        self.frame.extend([0; 4]);
        for row in rows {
            self.frame.extend(length(&row.value));
            self.frame.extend(&row.value);
        }
        let rows = length(&self.frame[HEAD..]);
        self.frame[HEAD - 4..HEAD].copy_from_slice(&rows);
        let hash = hash(&self.key, &self.frame[HASH..]);
        self.frame[..HASH].copy_from_slice(&hash);
        self.frame.resize(self.frame.len().next_multiple_of(PAGE), 0);
        if self.offset + self.frame.len() <= self.file.half_bytes() {
            Room::Here
        } else if self.frame.len() <= self.file.half_bytes() {
            Room::InAnEmptyHalf
        } else {
            Room::Nowhere
        }
    }

    /// Writes the prepared frame; its rows are on disk when this returns.
    ///
    /// # Errors
    /// What the storage says.
    pub(super) fn append(&mut self) -> io::Result<()> {
        self.file.write_half(self.half, self.offset, &self.frame)?;
        self.offset += self.frame.len();
        Ok(())
    }

    /// Goes on in the other half, from its beginning: all of its rows must be in the tables.
    pub(super) fn turn(&mut self) {
        (self.half, self.offset) = (1 - self.half, 0);
    }
}

/// Where a frame fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Here,
    InAnEmptyHalf,
    Nowhere,
}

/// Returns the rows' values from number `next` on, in order, as they were written.
///
/// # Errors
/// What the storage says; `InvalidData` when frames are missing that were called durable.
pub(super) fn read(file: &StoreFile, key: &JournalKey, next: u64) -> io::Result<Vec<Vec<u8>>> {
    let mut frames = BTreeMap::new();
    for half in 0..2 {
        let bytes = file.read_half(half)?;
        for at in (0..bytes.len()).step_by(PAGE) {
            if let Some((first, rows)) = frame(key, next, &bytes[at..]) {
                frames.insert(first, rows);
            }
        }
    }
    let mut values: Vec<Vec<u8>> = Vec::new();
    for (first, rows) in frames {
        let expected = next + values.len() as u64;
        if first != expected {
            let why = format!("writes {expected} to {} are missing in its journal", first - 1);
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        values.extend(rows);
    }
    Ok(values)
}

/// Returns the frame that `bytes` begin with, unless its rows are below `next`: the number of its first row, and the rows' values.
fn frame(key: &JournalKey, next: u64, bytes: &[u8]) -> Option<(u64, Vec<Vec<u8>>)> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let first = u64::from_be_bytes(head[HASH..HASH + 8].try_into().ok()?);
    if first < next {
        return None;
    }
    let rows = u32::from_be_bytes(head[HASH + 8..].try_into().ok()?) as usize;
    let mut rows = rest.get(..rows)?;
    if head[..HASH] != hash(key, &bytes[HASH..HEAD + rows.len()]) {
        return None;
    }
    let mut values = Vec::new();
    while let Some((length, rest)) = rows.split_first_chunk() {
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        values.push(value.to_vec());
        rows = rest;
    }
    Some((first, values))
}

fn hash(key: &JournalKey, bytes: &[u8]) -> [u8; HASH] {
    let mut cut = [0; HASH];
    cut.copy_from_slice(&blake3::keyed_hash(key, bytes).as_bytes()[..HASH]);
    cut
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::path::Path;

    use bombyx_protocol::channel::record::RecordKey;
    use redb::backends::InMemoryBackend;

    use super::*;

    const KEY: JournalKey = [1; 32];

    fn file() -> Arc<StoreFile> {
        let (file, _) = StoreFile::on(Box::new(InMemoryBackend::new()), 8 * PAGE_BYTES).unwrap();
        file.make(Path::new("memory")).unwrap();
        Arc::new(file)
    }

    fn row(value: Vec<u8>) -> Row {
        Row { key: RecordKey::Reputation(0), value }
    }

    /// Appends one frame with a row for each number.
    fn append(journal: &mut Journal, numbers: std::ops::Range<u8>) {
        let rows: Vec<Row> = numbers.clone().map(|number| row(vec![number; 100])).collect();
        if journal.prepare(u64::from(numbers.start), &rows) != Room::Here {
            journal.turn();
        }
        journal.append().unwrap();
    }

    fn numbers(file: &StoreFile, next: u64) -> io::Result<Vec<u8>> {
        read(file, &KEY, next).map(|values| values.iter().map(|value| value[0]).collect())
    }

    #[test]
    fn frames_are_read_over_both_halves_from_the_first_that_is_not_in_the_tables() {
        let file = file();
        let mut journal = Journal::new(Arc::clone(&file), KEY);
        assert!(numbers(&file, 0).unwrap().is_empty());
        for frame in 0..20 {
            append(&mut journal, 2 * frame..2 * frame + 2);
        }
        // The last four frames have taken the places of the first four.
        assert_eq!(numbers(&file, 16).unwrap(), (16..40).collect::<Vec<u8>>());
        assert_eq!(numbers(&file, 30).unwrap(), (30..40).collect::<Vec<u8>>());
        assert!(numbers(&file, 40).unwrap().is_empty());
        assert_eq!(numbers(&file, 6).unwrap_err().kind(), io::ErrorKind::InvalidData, "6 and 7 are gone");
    }

    #[test]
    fn a_last_frame_that_is_torn_was_never_written_and_one_before_it_is_missed() {
        let file = file();
        let mut journal = Journal::new(Arc::clone(&file), KEY);
        for frame in 0..9 {
            append(&mut journal, frame..frame + 1);
        }
        let spoil = |half, frame: usize| file.write_half(half, frame * PAGE + HEAD + 50, &[255]).unwrap();
        spoil(1, 0);
        assert_eq!(numbers(&file, 0).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        spoil(0, 6);
        let missed = numbers(&file, 0).unwrap_err().to_string();
        assert_eq!(missed, "writes 6 to 6 are missing in its journal");
        assert_eq!(numbers(&file, 7).unwrap(), [7], "what is in the tables may be spoilt");
    }

    #[test]
    fn a_record_that_holds_a_frame_is_not_taken_for_one() {
        for (key, is_taken) in [([2; 32], false), (KEY, true)] {
            let file = file();
            let mut forger = Journal::new(Arc::clone(&file), key);
            forger.prepare(7, &[row(vec![66; 100])]);
            let value = [&vec![0; PAGE - HEAD - 4], forger.frame.as_slice()].concat();
            let mut journal = Journal::new(Arc::clone(&file), KEY);
            assert_eq!(journal.prepare(0, &[row(value.clone())]), Room::Here);
            journal.append().unwrap();
            let found = read(&file, &KEY, 0);
            // With the store's own key it would be: that nobody has.
            assert_eq!(found.is_err(), is_taken);
            assert!(is_taken || found.unwrap() == [value]);
        }
    }
}
