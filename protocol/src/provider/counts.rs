//! The counts of input that are under way: of one client one, and strangers' keep no customer's waiting. (`WR-25`)

use crate::ident::NodeId;
use crate::limits;
use crate::table::Table;
use crate::time::Time;
use crate::work::order::JobId;

/// The counts that the engine has been asked for and has not told. One outlives its job, so that who gives jobs up has no more of
/// them at a time than others.
#[derive(Debug, Default)]
pub(super) struct Counts {
    running: Table<JobId, RunningCount>,
}

/// A count that is being made.
#[derive(Debug)]
struct RunningCount {
    client: NodeId,
    is_customer: bool,
    since: Time,
}

impl Counts {
    /// Returns whether one more may be made, of this job and client.
    pub(super) fn has_room(&self, job: &JobId, client: &NodeId, is_customer: bool) -> bool {
        let of_strangers = self.running.values().filter(|count| !count.is_customer).count();
        self.running.len() < limits::COUNTS_MAX
            && (is_customer || of_strangers < limits::STRANGERS_COUNTS_MAX)
            && !self.running.contains_key(job)
            && self.running.values().all(|count| count.client != *client)
    }

    /// Notes that the engine is asked for one.
    pub(super) fn begin(&mut self, now: Time, job: JobId, client: NodeId, is_customer: bool) {
        self.running.insert(job, RunningCount { client, is_customer, since: now });
    }

    /// Notes that the engine has told a count, or that it cannot.
    pub(super) fn told(&mut self, job: &JobId) {
        self.running.remove(job);
    }

    /// Forgets those that the engine never tells.
    pub(super) fn expire(&mut self, now: Time) {
        self.running.retain(|_, count| now < count.since + limits::ENGINE_WAIT);
    }
}
