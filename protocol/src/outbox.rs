//! Persist before you pay: an output that carries or moves money waits here until every record of its channel that came before
//! it is on disk. (`CO-2`)
//!
//! Records leave at once, so that many of them share one commit, and so does everything that binds nobody to money: an answer waits
//! for no disk. This is the only place where the rule lives, and both shells get it with the machine.

use std::collections::{BTreeMap, VecDeque};

use crate::channel::id::ChannelId;
use crate::channel::ledger::LedgerCall;
use crate::channel::record::Record;
use crate::ident::NodeId;
use crate::io::{Output, PeerFault, PersistId};
use crate::limits;
use crate::time::Time;
use crate::work::order::JobId;

/// The outputs of one machine.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    records: VecDeque<(PersistId, Box<Record>)>,
    /// What may leave, in order.
    ready: VecDeque<Output>,
    /// The channels of which a record is not on disk yet.
    lanes: BTreeMap<ChannelId, Lane>,
    newest: PersistId,
    durable: PersistId,
}

/// What waits for the records of one channel.
#[derive(Debug, Default)]
struct Lane {
    newest: PersistId,
    waiting: VecDeque<(PersistId, Output)>,
}

impl Lane {
    /// Lets an output wait. Of what is said to a peer no more waits than there is room for: it is repeated, and a peer that makes this
    /// node speak must not fill its memory while the disk stands still.
    fn push(&mut self, output: Output) {
        let is_repeated = matches!(output, Output::Send { .. });
        if !is_repeated || self.waiting.len() < limits::LANE_MAX {
            self.waiting.push_back((self.newest, output));
        }
    }
}

impl Outbox {
    /// Queues an output that binds nobody to money.
    pub(crate) fn push(&mut self, output: Output) {
        if self.ready.capacity() == 0 {
            // Most inputs have one answer; `VecDeque` would allocate four slots.
            self.ready.reserve_exact(1);
        }
        self.ready.push_back(output);
    }

    /// Queues an output behind every record of a channel pushed so far.
    pub(crate) fn push_behind(&mut self, account: ChannelId, output: Output) {
        match self.lanes.get_mut(&account) {
            Some(lane) => lane.push(output),
            None => self.push(output),
        }
    }

    /// Takes back what still waits to be done of a job on this channel. Returns whether its task did not wait: the engine has it.
    pub(crate) fn withdraw(&mut self, account: &ChannelId, of: JobId) -> bool {
        let Some(lane) = self.lanes.get_mut(account) else { return true };
        let mut has_left = true;
        lane.waiting.retain(|(_, output)| {
            let is_task = matches!(output, Output::Run { job, .. } if *job == of);
            has_left &= !is_task;
            !is_task && !matches!(output, Output::Allow { job, .. } if *job == of)
        });
        has_left
    }

    /// Queues a call to the ledger.
    pub(crate) fn call(&mut self, call: LedgerCall) {
        self.push_behind(call.account(), Output::Ledger(Box::new(call)));
    }

    /// Says that a peer broke a rule.
    pub(crate) fn peer_fault(&mut self, peer: NodeId, fault: PeerFault) {
        self.push(Output::Fault { peer, fault });
    }

    /// Queues a record: what is pushed behind its channel later does not leave before it is durable.
    pub(crate) fn persist(&mut self, record: Record) {
        self.newest = PersistId(self.newest.0.saturating_add(1));
        if let Some(account) = record.account() {
            self.lanes.entry(account).or_default().newest = self.newest;
        }
        self.records.push_back((self.newest, Box::new(record)));
    }

    /// Notes that everything up to `id` is on disk.
    pub(crate) fn persisted(&mut self, id: PersistId) {
        self.durable = self.durable.max(id);
        let (ready, durable) = (&mut self.ready, self.durable);
        self.lanes.retain(|_, lane| {
            let waits_on = lane.waiting.iter().position(|(after, _)| *after > durable);
            let leaves = waits_on.unwrap_or(lane.waiting.len());
            ready.extend(lane.waiting.drain(..leaves).map(|(_, output)| output));
            lane.newest > durable
        });
    }

    /// Returns the next output, or the time to wake at, which is asked for at the end only.
    pub(crate) fn poll(&mut self, wake_at: impl FnOnce() -> Time) -> Output {
        if let Some((id, record)) = self.records.pop_front() {
            return Output::Persist { id, record };
        }
        if let Some(output) = self.ready.pop_front() {
            return output;
        }
        // A machine is at rest most of the time, and its memory would stay with it for good.
        self.records = VecDeque::new();
        self.ready = VecDeque::new();
        Output::Wake(wake_at())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ChannelId = ChannelId([1; 32]);
    const OTHER: ChannelId = ChannelId([2; 32]);

    fn cancel(byte: u8) -> Output {
        Output::Cancel { job: JobId([byte; 16]) }
    }

    /// Returns the jobs of the outputs that leave, and 0 for each record.
    fn drain(outbox: &mut Outbox) -> Vec<u8> {
        let mut seen = Vec::new();
        loop {
            let output = outbox.poll(|| Time(9));
            if let Output::Wake(_) = output {
                return seen;
            }
            seen.push(if let Output::Cancel { job } = output { job.0[0] } else { 0 });
        }
    }

    #[test]
    fn what_carries_money_waits_until_the_records_of_its_channel_are_durable() {
        let mut outbox = Outbox::default();
        outbox.push_behind(ONE, cancel(1));
        outbox.persist(Record::ChannelGone { account: ONE });
        outbox.push_behind(ONE, cancel(2));
        outbox.persist(Record::ChannelGone { account: ONE });
        outbox.push_behind(ONE, cancel(3));
        assert_eq!(drain(&mut outbox), [0, 0, 1], "both records leave at once, and what came before");
        outbox.persisted(PersistId(1));
        assert_eq!(drain(&mut outbox), [2], "only what waited for the first record");
        outbox.push_behind(ONE, cancel(4));
        assert_eq!(drain(&mut outbox), [0; 0]);
        outbox.persisted(PersistId(2));
        outbox.push_behind(ONE, cancel(5));
        assert_eq!(drain(&mut outbox), [3, 4, 5], "in order");
        assert!(outbox.lanes.is_empty());
    }

    /// (`CO-4`)
    #[test]
    fn what_is_said_again_fills_no_memory_while_the_disk_stands_still() {
        let mut outbox = Outbox::default();
        outbox.persist(Record::ChannelGone { account: ONE });
        let leaving = crate::wire::message::Message::ToClient(crate::wire::message::ToClient::Leaving);
        for _ in 0..10 * limits::LANE_MAX {
            let message = leaving.clone();
            outbox.push_behind(ONE, Output::Send { to: NodeId([1; 32]), message });
        }
        outbox.push_behind(ONE, cancel(1));
        assert_eq!(outbox.lanes.get(&ONE).map(|lane| lane.waiting.len()), Some(limits::LANE_MAX + 1));
        outbox.persisted(PersistId(1));
        assert_eq!(drain(&mut outbox).last(), Some(&1), "what is said once is never left out");
    }

    /// The slot of a job that is over is another's at once.
    #[test]
    fn what_waits_of_a_job_that_is_over_never_reaches_the_engine() {
        let (over, other) = (JobId([1; 16]), JobId([2; 16]));
        let run = |job| Output::Run {
            job,
            model: crate::work::order::ModelId([7; 32]),
            task: crate::work::order::Task::Embed { inputs: Vec::new() },
        };
        let mut outbox = Outbox::default();
        assert!(outbox.withdraw(&ONE, over), "nothing waits");
        outbox.persist(Record::ChannelGone { account: ONE });
        for job in [over, other] {
            outbox.push_behind(ONE, run(job));
            outbox.push_behind(ONE, Output::Allow { job, tokens: 1 });
        }
        outbox.push_behind(ONE, cancel(3));
        assert!(outbox.withdraw(&OTHER, over), "on another channel");
        assert!(!outbox.withdraw(&ONE, over), "its task waited");
        assert!(outbox.withdraw(&ONE, JobId([9; 16])), "one whose task has left");
        outbox.persisted(PersistId(1));
        let mut left = Vec::new();
        loop {
            let output = outbox.poll(|| Time(9));
            if let Output::Wake(_) = output {
                break;
            }
            left.push(output);
        }
        let of_other = |output: &Output| match output {
            Output::Run { job, .. } | Output::Allow { job, .. } => *job == other,
            Output::Persist { .. } | Output::Cancel { .. } => true,
            Output::Send { .. }
            | Output::Broadcast { .. }
            | Output::Count { .. }
            | Output::Ledger(_)
            | Output::Watch(_)
            | Output::Event(_)
            | Output::Fault { .. }
            | Output::Wake(_) => false,
        };
        assert!(left.len() == 4 && left.iter().all(of_other), "{left:?}");
    }

    #[test]
    fn nothing_else_waits_for_the_disk() {
        let mut outbox = Outbox::default();
        outbox.persist(Record::ChannelGone { account: ONE });
        outbox.push(cancel(1));
        outbox.push_behind(OTHER, cancel(2));
        outbox.push_behind(ONE, cancel(3));
        outbox.push(cancel(4));
        assert_eq!(drain(&mut outbox), [0, 1, 2, 4], "no answer, and no other channel");
        // An older commit is told again.
        outbox.persisted(PersistId(0));
        assert_eq!(drain(&mut outbox), [0; 0]);
        outbox.persisted(PersistId(1));
        assert_eq!(drain(&mut outbox), [3]);
    }
}
