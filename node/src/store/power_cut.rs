//! Tests of the store on a disk whose power is cut: what was not synced is lost, torn or written in another order.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::earn::Earner;
use bombyx_protocol::channel::record::{EarnerRecord, PayerRecord, Record, RecordKey};
use bombyx_protocol::channel::terms::ChannelTerms;
use bombyx_protocol::ident::{NodeId, Signature};
use bombyx_protocol::io::PersistId;
use bombyx_protocol::wire::message::Payment;
use redb::StorageBackend;

use super::file::StoreFile;
use super::{Store, StoreError};
use crate::role::Role;

/// How often the power is cut, unless the variable says otherwise.
const CUTS: u64 = 60;
const CUTS_VARIABLE: &str = "BOMBYX_TEST_CRASHES";
/// What a disk writes whole or not at all, in bytes.
const SECTOR: usize = 512;
/// Short, so that rows move into the tables all the time.
const HALF_BYTES: u32 = 4 * 4_096;
const OWNER: NodeId = NodeId([7; 32]);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length, 0),
            Self::Write { offset, data } => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
        }
    }
}

/// A disk with a cache: reads see every write, and a cut of its power leaves what was synced with any part of the rest.
struct Disk {
    seen: Vec<u8>,
    synced: Vec<u8>,
    unsynced: Vec<Change>,
    /// Operations until the power is cut.
    left: u64,
}

impl Disk {
    fn on(image: Vec<u8>, left: u64) -> Drive {
        Drive(Arc::new(Mutex::new(Self { seen: image.clone(), synced: image, unsynced: Vec::new(), left })))
    }

    fn step(&mut self) -> io::Result<()> {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 { Err(io::Error::other("no power")) } else { Ok(()) }
    }

    fn change(&mut self, change: Change) -> io::Result<()> {
        // A write that meets the cut may still have reached the disk, or a part of it.
        let alive = self.left > 0;
        let cut = self.step();
        if alive {
            change.apply(&mut self.seen);
            self.unsynced.push(change);
        }
        cut
    }

    /// Returns what is on the disk after the cut: some unsynced changes, in any order, some of them
    /// in part.
    fn after_the_cut(&mut self, random: &mut Random) -> Vec<u8> {
        let mut image = self.synced.clone();
        let mut changes: Vec<Change> = self.unsynced.drain(..).collect();
        let keep_of_8 = random.below(9);
        while !changes.is_empty() {
            let next = changes.swap_remove(random.below(changes.len() as u64) as usize);
            if random.below(8) >= keep_of_8 {
                continue;
            }
            match next {
                Change::Write { offset, data } if random.below(3) == 0 => {
                    let first = SECTOR - offset % SECTOR;
                    let mut from = 0;
                    let mut to = first.min(data.len());
                    while from < data.len() {
                        if random.below(2) == 0 {
                            let part = data[from..to].to_vec();
                            Change::Write { offset: offset + from, data: part }.apply(&mut image);
                        }
                        (from, to) = (to, (to + SECTOR).min(data.len()));
                    }
                }
                whole @ (Change::Write { .. } | Change::Length(_)) => whole.apply(&mut image),
            }
        }
        image
    }
}

#[derive(Clone)]
struct Drive(Arc<Mutex<Disk>>);

impl std::fmt::Debug for Drive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Drive")
    }
}

impl StorageBackend for Drive {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let from = offset as usize;
        let part = disk.seen.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Length(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.step()?;
        disk.unsynced.clear();
        disk.synced = disk.seen.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().change(Change::Write { offset: offset as usize, data: data.to_vec() })
    }
}

fn open(drive: &Drive) -> Result<(Store, Vec<Record>), StoreError> {
    let path = Path::new("disk");
    let file = StoreFile::on(Box::new(drive.clone()), HALF_BYTES);
    let file = file.map_err(|error| StoreError::Failed { path: path.into(), why: error.to_string() })?;
    Store::open_file(file, path, OWNER)
}

/// Returns the write with this number: a promise, a voucher or an end, on one of six channels.
fn record(step: u64) -> Record {
    let terms = ChannelTerms { salt: step % 6, ..ChannelTerms::for_tests() };
    let cumulative = Nano(step);
    match step % 6 {
        _ if step.is_multiple_of(23) => Record::ChannelGone { account: terms.id() },
        0..3 => Record::Payer(PayerRecord {
            terms: terms.into(),
            provider: NodeId([5; 32]),
            deposit: Nano(1_000_000),
            locked: Nano(1_000_000),
            epoch: Some(1),
            cumulative,
            closing: false,
            gone: false,
        }),
        _ => {
            let payment = Payment { epoch: 1, cumulative, signature: Signature([6; 64]) };
            Record::Earner(EarnerRecord {
                payment: Some(payment),
                ..Earner::new(terms, NodeId([5; 32])).record()
            })
        }
    }
}

fn write(rows: &mut BTreeMap<RecordKey, Record>, record: Record) {
    if let RecordKey::Gone(account) = record.key() {
        rows.remove(&RecordKey::Payer(account));
        rows.remove(&RecordKey::Earner(account));
    } else {
        rows.insert(record.key(), record);
    }
}

/// What happened until a cut.
struct Life {
    /// Writes that were called durable, and that were asked for.
    told: u64,
    asked: u64,
    /// The last write of every input: what belongs together is there or missing together.
    ends: BTreeSet<u64>,
}

/// Writes in groups from `first` on until the disk fails.
fn live(drive: &Drive, first: u64, random: &mut Random) -> Life {
    let mut life = Life { told: first - 1, asked: first - 1, ends: BTreeSet::from([first - 1]) };
    let Ok((store, _)) = open(drive) else { return life };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut durable = store.durable();
        loop {
            for _ in 0..=random.below(10) {
                let numbers = life.asked + 1..life.asked + 2 + random.below(4);
                life.asked = numbers.end - 1;
                life.ends.insert(life.asked);
                let records = numbers.map(|number| (PersistId(number), record(number))).collect();
                store.write_all(Role::Client, records).await;
            }
            // Now and then two groups are under way at once.
            if random.below(3) > 0 {
                let asked = PersistId(life.asked);
                let reached = durable.wait_for(|durable| *durable.get(Role::Client) >= asked).await.is_ok();
                if !reached {
                    break;
                }
            }
            life.told = life.told.max(durable.borrow().get(Role::Client).0);
        }
        life.told = life.told.max(durable.borrow().get(Role::Client).0);
    });
    let failed = store.close().unwrap_err();
    assert!(matches!(&failed, StoreError::Failed { .. } | StoreError::Damaged { .. }), "{failed}");
    life
}

/// (CO-2, CH-7)
#[test]
fn a_cut_of_the_power_takes_back_no_promise_that_was_called_durable() {
    let cuts = std::env::var(CUTS_VARIABLE).map_or(CUTS, |count| count.parse().unwrap());
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut image = Vec::new();
    // Rows as they were after every write so far: what is read must be one of these states.
    let mut rows = BTreeMap::new();
    let mut written = 0;
    let mut lost = 0;
    for cut in 0..cuts {
        // The first operations of a life check and repair the file: they are cut as well.
        let left = if random.below(4) == 0 { 1 + random.below(40) } else { 1 + random.below(600) };
        let drive = Disk::on(std::mem::take(&mut image), left);
        let life = live(&drive, written + 1, &mut random);
        image = drive.0.lock().unwrap().after_the_cut(&mut random);
        let (store, found) = open(&Disk::on(image.clone(), u64::MAX))
            .unwrap_or_else(|error| panic!("cut {cut}: all that was durable is lost: {error}"));
        store.close().unwrap();
        let found: BTreeMap<RecordKey, Record> = found.into_iter().map(|row| (row.key(), row)).collect();
        // Some prefix of the inputs, none of those missing that were called durable.
        while written < life.told || rows != found || !life.ends.contains(&written) {
            assert!(written < life.asked, "cut {cut}: neither {} nor what follows is there", life.told);
            written += 1;
            write(&mut rows, record(written));
        }
        lost += life.asked - written;
    }
    println!("{cuts} cuts: {written} writes are there, {lost} that were never called durable are not");
    assert!(written > cuts && lost > 0, "the cuts came among the writes: {written} {lost}");
}
