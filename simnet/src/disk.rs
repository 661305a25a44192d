//! The disk of one host, in two halves: what would survive a crash now, and what was written and would not.
//!
//! One commit at a time; everything written while it runs goes into the next one together (group commit).

use std::collections::BTreeMap;

use bombyx_protocol::channel::record::{Record, RecordKey};
use bombyx_protocol::io::PersistId;

/// What a host has written.
#[derive(Debug, Default)]
pub struct Disk {
    durable: BTreeMap<RecordKey, Record>,
    committing: Vec<(PersistId, Record)>,
    written: Vec<(PersistId, Record)>,
}

impl Disk {
    /// Writes a record. True where a commit has to begin now.
    #[must_use]
    pub fn write(&mut self, id: PersistId, record: Record) -> bool {
        self.written.push((id, record));
        self.begin()
    }

    /// The commit that runs is complete. Shows every record of it, and returns the newest that is durable now and
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

    /// Whether something was written that is not durable.
    #[must_use]
    pub fn is_behind(&self) -> bool {
        !self.committing.is_empty() || !self.written.is_empty()
    }

    /// The power fails: only the durable half is left.
    pub fn crash(&mut self) {
        self.committing.clear();
        self.written.clear();
    }

    /// The durable half, as a machine finds it when it starts.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.durable.values().cloned().collect()
    }

    fn begin(&mut self) -> bool {
        let idle = self.committing.is_empty() && !self.written.is_empty();
        if idle {
            self.committing = std::mem::take(&mut self.written);
        }
        idle
    }

    fn apply(&mut self, record: Record) {
        if let Record::ChannelGone { account } = &record {
            self.durable.remove(&RecordKey::Paying(*account));
            self.durable.remove(&RecordKey::Earning(*account));
        } else {
            self.durable.insert(record.key(), record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bombyx_protocol::ident::{NodeId, Signature};
    use bombyx_protocol::wire::signed::Signed;
    use bombyx_protocol::work::order::JobId;

    fn receipt(job: u8) -> Record {
        let receipt = Signed { body: vec![], signature: Signature([0; 64]) };
        Record::Receipt { job: JobId([job; 16]), provider: NodeId([0; 32]), receipt }
    }

    #[test]
    fn records_written_during_a_commit_share_the_next_one() {
        let mut disk = Disk::default();
        assert!(disk.write(PersistId(1), receipt(1)), "an idle disk begins at once");
        assert!(!disk.write(PersistId(2), receipt(2)));
        assert!(!disk.write(PersistId(3), receipt(3)));
        assert_eq!(disk.committed(|_| ()), (Some(PersistId(1)), true));
        assert_eq!(disk.records().len(), 1);
        assert_eq!(disk.committed(|_| ()), (Some(PersistId(3)), false));
        assert_eq!(disk.records().len(), 3);
    }

    #[test]
    fn a_crash_keeps_the_durable_half_only() {
        let mut disk = Disk::default();
        let _ = disk.write(PersistId(1), receipt(1));
        let _ = disk.committed(|_| ());
        let _ = disk.write(PersistId(2), receipt(2));
        let _ = disk.write(PersistId(3), receipt(3));
        disk.crash();
        assert_eq!(disk.records().len(), 1);
        assert_eq!(disk.committed(|_| ()), (None, false), "the commit that the crash met never completes");
    }
}
