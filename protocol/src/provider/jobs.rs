//! The provider's jobs: one table, and what each end of a job frees for the others.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::ident::{NodeId, Origin};
use crate::table::Table;
use crate::time::{Span, Time};
use crate::work::order::{JobId, ModelId};

use super::freed::FreedRoom;
use super::job::{Job, Phase, ServedJob};
use super::job_index::JobIndex;

/// Every job, from its award until nothing of it is expected any more.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    table: Table<JobId, Box<Job>>,
    index: JobIndex,
    pub(super) freed: FreedRoom,
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, id: &JobId) -> Option<&Job> {
        self.table.get(id).map(|job| &**job)
    }

    /// Changes a job.
    pub(super) fn change<T>(&mut self, id: &JobId, change: impl FnOnce(&mut Job) -> T) -> Option<T> {
        let changed = self.table.get_mut(id).map(|job| change(job));
        self.note(id);
        changed
    }

    /// Lends one job beside what it may free. What was changed is told to [`Self::note`].
    pub(super) fn with_freed(&mut self, id: &JobId) -> Option<(&mut Job, &mut FreedRoom)> {
        let Self { table, freed, .. } = self;
        table.get_mut(id).map(|job| (&mut **job, freed))
    }

    /// Notes that a job has changed, as far as it is there.
    pub(super) fn note(&mut self, id: &JobId) {
        self.index.note(*id, self.table.get(id).map(|job| &**job));
    }

    pub(super) fn insert(&mut self, id: JobId, job: Job) {
        self.table.insert(id, Box::new(job));
        self.note(&id);
    }

    pub(super) fn remove(&mut self, id: &JobId) -> Option<Box<Job>> {
        let job = self.table.remove(id);
        self.note(id);
        job
    }

    /// Counts the jobs that hold a slot.
    pub(super) fn running(&self) -> usize {
        self.index.running()
    }

    /// Counts those of a model.
    pub(super) fn busy(&self, model: &ModelId) -> u16 {
        u16::try_from(self.index.busy(model)).unwrap_or(u16::MAX)
    }

    /// Counts those of a model that belong to these clients.
    pub(super) fn busy_for(&self, model: &ModelId, is_theirs: impl Fn(&NodeId) -> bool) -> usize {
        self.holding(model).filter(|job| is_theirs(&job.origin.node)).count()
    }

    /// Returns the jobs of a model that hold a slot.
    fn holding(&self, model: &ModelId) -> impl Iterator<Item = &Job> {
        let of_model = self.table.values().filter(move |job| job.promised.model == *model);
        of_model.map(|job| &**job).filter(|job| job.holds_slot())
    }

    /// Returns the jobs of these clients that hold no slot, with who gave them and when.
    pub(super) fn resting(&self, is_theirs: impl Fn(&NodeId) -> bool) -> Vec<(JobId, Origin, Time)> {
        let resting = self.table.iter().filter(|(_, job)| !job.holds_slot() && is_theirs(&job.origin.node));
        resting.map(|(id, job)| (*id, job.origin, job.since)).collect()
    }

    /// Returns what the tasks that are being served have come to so far.
    pub(super) fn cost(&self) -> Nano {
        self.table.values().filter_map(|job| job.served()).map(|served| served.stream.cost()).sum()
    }

    /// Returns the tasks that are being served on a channel.
    pub(super) fn served_on(&self, account: &ChannelId) -> impl Iterator<Item = (JobId, &ServedJob)> {
        self.index.on(account).filter_map(|id| Some((id, self.get(&id)?.served()?)))
    }

    /// Counts those of them that have a part of its window.
    pub(super) fn sharing(&self, account: &ChannelId) -> usize {
        self.index.sharing(account)
    }

    /// Postpones the time until which the tasks on a channel wait for payment.
    pub(super) fn wait_until(&mut self, account: &ChannelId, until: Time) {
        for id in self.on(account).collect::<Vec<JobId>>() {
            self.change(&id, |job| job.served_mut().map(|served| served.wait_until(until)));
        }
    }

    /// Returns the tasks of a model that wait for a slot, with their clients and since when.
    pub(super) fn in_line(&self, model: &ModelId) -> impl Iterator<Item = (JobId, Origin, Time, &ServedJob)> {
        let of_model = self.without_engine().filter(move |(_, job, _)| job.promised.model == *model);
        of_model.filter_map(|(id, job, served)| Some((id, job.origin, served.waits_for_slot()?, served)))
    }

    /// Returns the tasks of a model that the engine has.
    pub(super) fn running_of(&self, model: &ModelId) -> impl Iterator<Item = &ServedJob> {
        self.holding(model).filter_map(Job::served)
    }

    /// Returns the work that is left on each running job of a model.
    pub(super) fn work_left(&self, model: &ModelId) -> Vec<Span> {
        self.holding(model).map(|job| job.served().map_or(Span(0), ServedJob::work_left)).collect()
    }

    /// Returns the tasks that the engine does not have, with their jobs.
    pub(super) fn without_engine(&self) -> impl Iterator<Item = (JobId, &Job, &ServedJob)> {
        self.index
            .without_engine()
            .filter_map(|id| self.get(&id).and_then(|job| Some((id, job, job.served()?))))
    }

    /// Returns the jobs that are or were served on a channel.
    pub(super) fn on(&self, account: &ChannelId) -> impl Iterator<Item = JobId> {
        self.index.on(account)
    }

    /// Returns whether a channel must not be closed: a job is served on it, or one that is over may
    /// still be paid there.
    pub(super) fn need(&self, account: &ChannelId, is_owing: bool) -> bool {
        self.on(account).filter_map(|id| self.get(&id)).any(|job| match &job.phase {
            Phase::Awarded(_) => false,
            Phase::Serving(_) => true,
            Phase::Over { .. } => is_owing,
        })
    }

    /// Takes the jobs that have something due.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<JobId> {
        let Self { table, index, .. } = self;
        index.take_due(now, table)
    }

    /// Returns when something of a job is due next.
    pub(super) fn wake_at(&mut self) -> Option<Time> {
        let Self { table, index, .. } = self;
        debug_assert!(index.holds(table.iter().map(|(id, job)| (*id, &**job))), "a change was not noted");
        index.wake_at(table)
    }
}
