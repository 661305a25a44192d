//! Persist before you speak: outputs wait here until every record that came before them is on disk.
//! (`CO-2`)
//!
//! Records leave at once, so that many of them share one commit; everything else keeps its place in line. This
//! is the only place where the rule lives, and both shells get it with the machine.

use std::collections::VecDeque;

use crate::channel::ledger::LedgerCall;
use crate::channel::record::Record;
use crate::ident::NodeId;
use crate::io::{Output, PeerFault, PersistId};
use crate::time::Time;

/// The outputs of one machine, in order.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    records: VecDeque<(PersistId, Box<Record>)>,
    waiting: VecDeque<(PersistId, Output)>,
    newest: PersistId,
    durable: PersistId,
}

impl Outbox {
    /// Queues an output behind every record pushed so far.
    pub(crate) fn push(&mut self, output: Output) {
        if self.waiting.capacity() == 0 {
            // Most inputs have one answer; `VecDeque` would allocate four slots.
            self.waiting.reserve_exact(1);
        }
        self.waiting.push_back((self.newest, output));
    }

    /// Queues a call to the ledger.
    pub(crate) fn call(&mut self, call: LedgerCall) {
        self.push(Output::Ledger(Box::new(call)));
    }

    /// Says that a peer broke a rule.
    pub(crate) fn peer_fault(&mut self, peer: NodeId, fault: PeerFault) {
        self.push(Output::Fault { peer, fault });
    }

    /// Queues a record: nothing pushed later leaves before it is durable.
    pub(crate) fn persist(&mut self, record: Record) {
        self.newest = PersistId(self.newest.0.saturating_add(1));
        self.records.push_back((self.newest, Box::new(record)));
    }

    /// Notes that everything up to `id` is on disk.
    pub(crate) fn persisted(&mut self, id: PersistId) {
        self.durable = self.durable.max(id);
    }

    /// Returns the next output, or the time to wake at, which is asked for at the end only.
    pub(crate) fn poll(&mut self, wake_at: impl FnOnce() -> Time) -> Output {
        if let Some((id, record)) = self.records.pop_front() {
            return Output::Persist { id, record };
        }
        let may_leave = self.waiting.front().is_some_and(|(after, _)| *after <= self.durable);
        let next = if may_leave { self.waiting.pop_front() } else { None };
        if let Some((_, output)) = next {
            return output;
        }
        // A machine is at rest most of the time, and its memory would stay with it for good.
        self.records = VecDeque::new();
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
        Output::Wake(wake_at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_follows_a_record_waits_until_it_is_durable() {
        let mut outbox = Outbox::default();
        let cancel = |byte| Output::Cancel { job: crate::work::order::JobId([byte; 16]) };
        let record = || Record::ChannelGone { account: crate::channel::id::ChannelId([0; 32]) };
        outbox.push(cancel(1));
        outbox.persist(record());
        outbox.push(cancel(2));
        outbox.persist(record());
        outbox.push(cancel(3));
        let mut seen = Vec::new();
        let drain = |outbox: &mut Outbox, seen: &mut Vec<String>| {
            loop {
                let output = outbox.poll(|| Time(9));
                if matches!(output, Output::Wake(_)) {
                    break;
                }
                seen.push(format!("{output:?}").chars().take(7).collect());
            }
        };
        drain(&mut outbox, &mut seen);
        assert_eq!(
            seen,
            ["Persist", "Persist", "Cancel "],
            "both records leave at once, and what came before"
        );
        outbox.persisted(PersistId(1));
        drain(&mut outbox, &mut seen);
        assert_eq!(seen.len(), 4, "only what waited for the first record");
        outbox.persisted(PersistId(2));
        drain(&mut outbox, &mut seen);
        assert_eq!(seen.len(), 5);
    }
}
