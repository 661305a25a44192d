//! What finds jobs without a look at each of a thousand: by channel, by model, by what they wait for, and by time.

use std::collections::{BTreeMap, BTreeSet};

use crate::channel::id::ChannelId;
use crate::deadlines::Deadlines;
use crate::table::Table;
use crate::time::Time;
use crate::work::order::{JobId, ModelId};

use super::job::{Job, ServedJob};

/// The places of all jobs. Each change of a job is noted here.
#[derive(Debug, Default)]
pub(super) struct JobIndex {
    places: BTreeMap<JobId, Place>,
    on: BTreeMap<ChannelId, ChannelJobs>,
    without_engine: BTreeSet<JobId>,
    /// How many of each model hold a slot.
    busy: BTreeMap<ModelId, usize>,
    deadlines: Deadlines<JobId>,
}

/// The jobs that are or were served on one channel.
#[derive(Debug, Default)]
struct ChannelJobs {
    jobs: BTreeSet<JobId>,
    /// How many of them have a part of its window.
    sharing: usize,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    model: ModelId,
    account: Option<ChannelId>,
    /// Whether the engine has its task; none while no task is served.
    has_begun: Option<bool>,
    has_part: bool,
    holds_slot: bool,
}

impl Place {
    fn of(job: &Job) -> Self {
        Self {
            model: job.promised.model,
            account: job.account().copied(),
            has_begun: job.served().map(ServedJob::has_begun),
            has_part: job.served().is_some_and(ServedJob::has_part),
            holds_slot: job.holds_slot(),
        }
    }
}

impl JobIndex {
    /// Notes what a job is now; none is gone.
    pub(super) fn note(&mut self, id: JobId, job: Option<&Job>) {
        self.deadlines.touch(id);
        let place = job.map(Place::of);
        let before = self.places.get(&id).copied();
        if before == place {
            return;
        }
        if let Some(before) = before {
            self.take_out(id, before);
        }
        if let Some(place) = place {
            self.put_in(id, place);
        }
    }

    fn take_out(&mut self, id: JobId, place: Place) {
        self.places.remove(&id);
        if let Some(account) = place.account
            && let Some(on) = self.on.get_mut(&account)
        {
            on.jobs.remove(&id);
            on.sharing = on.sharing.saturating_sub(usize::from(place.has_part));
            if on.jobs.is_empty() {
                self.on.remove(&account);
            }
        }
        self.without_engine.remove(&id);
        if place.holds_slot
            && let Some(busy) = self.busy.get_mut(&place.model)
        {
            *busy = busy.saturating_sub(1);
            if *busy == 0 {
                self.busy.remove(&place.model);
            }
        }
    }

    fn put_in(&mut self, id: JobId, place: Place) {
        self.places.insert(id, place);
        if let Some(account) = place.account {
            let on = self.on.entry(account).or_default();
            on.jobs.insert(id);
            on.sharing = on.sharing.saturating_add(usize::from(place.has_part));
        }
        if place.has_begun == Some(false) {
            self.without_engine.insert(id);
        }
        if place.holds_slot {
            let busy = self.busy.entry(place.model).or_default();
            *busy = busy.saturating_add(1);
        }
    }

    /// Returns the jobs that are or were served on a channel.
    pub(super) fn on(&self, account: &ChannelId) -> impl Iterator<Item = JobId> {
        self.on.get(account).into_iter().flat_map(|on| on.jobs.iter().copied())
    }

    /// Counts the jobs that have a part of a channel's window.
    pub(super) fn sharing(&self, account: &ChannelId) -> usize {
        self.on.get(account).map_or(0, |on| on.sharing)
    }

    /// Returns the tasks that the engine does not have.
    pub(super) fn without_engine(&self) -> impl Iterator<Item = JobId> {
        self.without_engine.iter().copied()
    }

    /// Counts the jobs of a model that hold a slot.
    pub(super) fn busy(&self, model: &ModelId) -> usize {
        self.busy.get(model).copied().unwrap_or(0)
    }

    /// Counts the jobs that hold a slot.
    pub(super) fn running(&self) -> usize {
        self.busy.values().sum()
    }

    /// Returns whether these are all jobs, each in its place.
    pub(super) fn holds<'a>(&self, jobs: impl Iterator<Item = (JobId, &'a Job)>) -> bool {
        let places = self.places.iter().map(|(id, place)| (*id, *place));
        places.eq(jobs.map(|(id, job)| (id, Place::of(job))))
    }

    /// Takes the jobs that have something due.
    pub(super) fn take_due(&mut self, now: Time, jobs: &Table<JobId, Box<Job>>) -> Vec<JobId> {
        self.deadlines.due_of(now, jobs, |job| job.wake_at())
    }

    /// Returns when something of a job is due next.
    pub(super) fn wake_at(&mut self, jobs: &Table<JobId, Box<Job>>) -> Option<Time> {
        self.deadlines.next_of(jobs, |job| job.wake_at())
    }
}
