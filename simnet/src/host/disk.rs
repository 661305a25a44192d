//! The disk of one host, in two halves: what would survive a crash now, and what was written and would not.
//!
//! One commit at a time; everything written while it runs goes into the next one together (group commit).

use bombyx_protocol::channel::id::ChannelId;
use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::io::PersistId;
use bombyx_protocol::table::Table;

use crate::kernel::fold;

/// What a host has written.
#[derive(Debug, Default)]
pub struct Disk {
    durable: Table<RecordKey, Box<Record>>,
    /// Stands for all durable receipts: no machine reads them again, and one for each job of a host adds up.
    receipts: u64,
    committing: Vec<(PersistId, Box<Record>)>,
    written: Vec<(PersistId, Box<Record>)>,
}

impl Disk {
    /// Writes a record. Returns whether a commit has to begin now.
    #[must_use]
    pub fn write(&mut self, id: PersistId, record: Box<Record>) -> bool {
        self.written.push((id, record));
        self.begin()
    }

    /// Completes the running commit, passing each of its records to `show`. Returns the id of the newest durable record and
    /// whether the next commit begins.
    #[must_use]
    pub fn committed(&mut self, mut show: impl FnMut(&Record)) -> (Option<PersistId>, bool) {
        let mut newest = None;
        for (id, record) in std::mem::take(&mut self.committing) {
            newest = newest.max(Some(id));
            show(&record);
            self.apply(record);
        }
        (newest, self.begin())
    }

    /// Returns the channels of which something was written that is not durable.
    pub fn behind(&self) -> impl Iterator<Item = ChannelId> {
        self.committing.iter().chain(&self.written).filter_map(|(_, record)| record.account())
    }

    /// Loses power: only the durable half is left.
    pub fn crash(&mut self) {
        self.committing.clear();
        self.written.clear();
    }

    /// Returns the durable half, as a machine finds it when it starts; without receipts, which no
    /// machine asks for.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.durable.values().map(|record| &**record)
    }

    /// Returns a number that depends on every receipt that ever was durable.
    #[must_use]
    pub const fn receipts(&self) -> u64 {
        self.receipts
    }

    fn begin(&mut self) -> bool {
        let idle = self.committing.is_empty() && !self.written.is_empty();
        if idle {
            self.committing = std::mem::take(&mut self.written);
        }
        idle
    }

    fn apply(&mut self, record: Box<Record>) {
        match &*record {
            Record::ChannelGone { account } => {
                self.durable.remove(&RecordKey::Payer(*account));
                self.durable.remove(&RecordKey::Earner(*account));
            }
            // A signature depends on every byte of what it signs.
            Record::Receipt { receipt, .. } => {
                let (words, _) = receipt.signature.0.as_chunks::<8>();
                self.receipts =
                    words.iter().fold(self.receipts, |state, word| fold(state, u64::from_le_bytes(*word)));
            }
            Record::Payer(_) | Record::Earner(_) | Record::Reputation(_) => {
                self.durable.insert(record.key(), record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::channel::record::PayerRecord;
    use bombyx_protocol::channel::terms::ChannelTerms;
    use bombyx_protocol::ident::{NodeId, Signature};
    use bombyx_protocol::wire::signed::Signed;
    use bombyx_protocol::work::order::JobId;

    use super::*;

    fn record(number: u8) -> Box<Record> {
        let terms = ChannelTerms { salt: number.into(), ..ChannelTerms::for_tests() };
        let (deposit, cumulative) = (Nano(9), Nano(0));
        let provider = NodeId([0; 32]);
        Box::new(Record::Payer(PayerRecord {
            terms: terms.into(),
            provider,
            deposit,
            locked: deposit,
            epoch: None,
            cumulative,
            closing: false,
            gone: false,
        }))
    }

    #[test]
    fn records_written_during_a_commit_share_the_next_one() {
        let mut disk = Disk::default();
        assert!(disk.write(PersistId(1), record(1)), "an idle disk begins at once");
        assert!(!disk.write(PersistId(2), record(2)));
        assert!(!disk.write(PersistId(3), record(3)));
        assert_eq!(disk.committed(|_| ()), (Some(PersistId(1)), true));
        assert_eq!(disk.records().count(), 1);
        assert_eq!(disk.committed(|_| ()), (Some(PersistId(3)), false));
        assert_eq!(disk.records().count(), 3);
    }

    #[test]
    fn a_crash_keeps_the_durable_half_only() {
        let mut disk = Disk::default();
        let _ = disk.write(PersistId(1), record(1));
        let _ = disk.committed(|_| ());
        let _ = disk.write(PersistId(2), record(2));
        let _ = disk.write(PersistId(3), record(3));
        disk.crash();
        assert_eq!(disk.records().count(), 1);
        assert_eq!(disk.committed(|_| ()), (None, false), "the commit that the crash met never completes");
    }

    #[test]
    fn receipts_leave_a_trace_of_their_signatures_and_their_order() {
        let trace = |signatures: &[u8]| {
            let mut disk = Disk::default();
            for byte in signatures {
                let receipt = Signed { body: vec![], signature: Signature([*byte; 64]) };
                let record = Record::Receipt { job: JobId([1; 16]), provider: NodeId([0; 32]), receipt };
                let _ = disk.write(PersistId(1), Box::new(record));
                let _ = disk.committed(|_| ());
            }
            assert_eq!(disk.records().count(), 0);
            disk.receipts()
        };
        assert_ne!(trace(&[1]), trace(&[2]));
        assert_ne!(trace(&[1, 2]), trace(&[2, 1]));
    }
}
