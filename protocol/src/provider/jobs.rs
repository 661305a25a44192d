//! The provider's jobs: one table, and what each end of a job frees for the others.

use crate::channel::id::ChannelId;
use crate::ident::{NodeId, Origin};
use crate::table::Table;
use crate::time::{Span, Time};
use crate::work::order::{JobId, ModelId};

use super::freed::FreedRoom;
use super::job::{Job, Phase, ServedJob};

/// Every job, from its award until nothing of it is expected any more.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    table: Table<JobId, Box<Job>>,
    pub(super) freed: FreedRoom,
}

impl Jobs {
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn get(&self, id: &JobId) -> Option<&Job> {
        self.table.get(id).map(|job| &**job)
    }

    pub(super) fn get_mut(&mut self, id: &JobId) -> Option<&mut Job> {
        self.table.get_mut(id).map(|job| &mut **job)
    }

    /// Lends one job beside what it may free.
    pub(super) fn with_freed(&mut self, id: &JobId) -> Option<(&mut Job, &mut FreedRoom)> {
        let Self { table, freed } = self;
        table.get_mut(id).map(|job| (&mut **job, freed))
    }

    pub(super) fn insert(&mut self, id: JobId, job: Job) {
        self.table.insert(id, Box::new(job));
    }

    pub(super) fn remove(&mut self, id: &JobId) -> Option<Box<Job>> {
        self.table.remove(id)
    }

    /// Counts the jobs that hold a slot.
    pub(super) fn running(&self) -> usize {
        self.table.values().filter(|job| job.holds_slot()).count()
    }

    /// Counts those of a model.
    pub(super) fn busy(&self, model: &ModelId) -> u16 {
        u16::try_from(self.busy_for(model, |_| true)).unwrap_or(u16::MAX)
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

    /// Returns the tasks that are being served on a channel.
    pub(super) fn served_on(&self, account: &ChannelId) -> impl Iterator<Item = (JobId, &ServedJob)> {
        let served = self.table.iter().filter_map(|(id, job)| Some((*id, job.served()?)));
        served.filter(move |(_, served)| served.account == *account)
    }

    /// Postpones the time until which the tasks on a channel wait for payment.
    pub(super) fn wait_until(&mut self, account: &ChannelId, until: Time) {
        for job in self.table.values_mut() {
            if let Some(served) = job.served_mut().filter(|served| served.account == *account) {
                served.wait_until(until);
            }
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
        let served = self.table.iter().filter_map(|(id, job)| Some((*id, &**job, job.served()?)));
        served.filter(|(.., served)| served.task.is_some())
    }

    /// Returns the jobs that are or were served on a channel.
    pub(super) fn on(&self, account: &ChannelId) -> impl Iterator<Item = JobId> {
        self.table.iter().filter(|(_, job)| job.account() == Some(account)).map(|(id, _)| *id)
    }

    /// Returns whether a channel must not be closed: a job is served on it, or one that is over may
    /// still be paid there.
    pub(super) fn need(&self, account: &ChannelId, is_owing: bool) -> bool {
        self.table.values().any(|job| match &job.phase {
            Phase::Awarded(_) | Phase::Over { bill: None, .. } => false,
            Phase::Serving(served) => served.account == *account,
            Phase::Over { bill: Some((on, _)), .. } => on == account && is_owing,
        })
    }

    /// Returns the jobs that have something due.
    pub(super) fn due(&self, now: Time) -> Vec<JobId> {
        self.table.iter().filter(|(_, job)| job.wake_at() <= now).map(|(id, _)| *id).collect()
    }

    /// Returns when something of a job is due next.
    pub(super) fn wake_at(&self) -> Option<Time> {
        self.table.values().map(|job| job.wake_at()).min()
    }
}
