//! The ids of jobs that are over: nothing else of them is kept.

use std::collections::{BTreeSet, VecDeque};

use crate::limits;
use crate::time::Time;
use crate::work::order::JobId;

/// Jobs that ended lately, as answered, acknowledged and paid, or as refused: a copy of an award that was under way begins none of
/// them again.
#[derive(Debug, Default)]
pub(super) struct EndedJobs {
    ids: BTreeSet<JobId>,
    /// The same, each with when it is forgotten.
    order: VecDeque<(Time, JobId)>,
}

impl EndedJobs {
    /// Notes that a job is over for good.
    pub(super) fn note(&mut self, now: Time, id: JobId) {
        while let Some((until, oldest)) = self.order.front().copied()
            && (until <= now || self.order.len() >= limits::ENDED_JOBS_MAX)
        {
            self.order.pop_front();
            self.ids.remove(&oldest);
        }
        if self.ids.insert(id) {
            self.order.push_back((now + limits::LINGER, id));
        }
    }

    /// Returns whether a job ended lately.
    pub(super) fn holds(&self, id: &JobId) -> bool {
        self.ids.contains(id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(number: usize) -> JobId {
        JobId(u128::try_from(number).unwrap().to_le_bytes())
    }

    #[test]
    fn what_has_ended_is_known_for_a_while_and_in_bounds() {
        let mut ended = EndedJobs::default();
        ended.note(Time(0), id(0));
        ended.note(Time(0), id(0));
        assert!(ended.holds(&id(0)) && !ended.holds(&id(1)));
        ended.note(Time(0) + limits::LINGER, id(1));
        assert!(!ended.holds(&id(0)) && ended.holds(&id(1)));
        for number in 2..limits::ENDED_JOBS_MAX + 2 {
            ended.note(Time(0) + limits::LINGER, id(number));
        }
        assert_eq!((ended.ids.len(), ended.order.len()), (limits::ENDED_JOBS_MAX, limits::ENDED_JOBS_MAX));
        assert!(!ended.holds(&id(1)) && ended.holds(&id(2)));
    }
}
