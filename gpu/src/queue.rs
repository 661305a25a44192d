//! Rows of embedding jobs waiting for a batch: fair between jobs, little padding, results in order.

use std::collections::VecDeque;

use crate::engine::{Chunk, EngineError, Finish, JobId};

/// How many rows of one job, from its oldest, are looked at when a batch is put together. It bounds how far rows can
/// overtake each other, and with it how many finished vectors wait for an older one.
const WINDOW_ROWS: usize = 64;
/// The longest row of a batch has at most this share more tokens than its shortest, in quarters, plus [`SLACK_TOKENS`]:
/// on a processor, padding costs as much as text.
const SPREAD_QUARTERS: usize = 5;
/// Padding that is always tolerated.
const SLACK_TOKENS: usize = 4;

/// One row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRow {
    pub(crate) job: JobId,
    pub(crate) row: usize,
    pub(crate) ids: Vec<u32>,
}

struct QueuedJob {
    job: JobId,
    /// Rows not yet computed, oldest first.
    pending: VecDeque<(usize, Vec<u32>)>,
    /// Computed vectors by row; those before `next` are delivered and gone.
    vectors: Vec<Option<Vec<f32>>>,
    next: usize,
}

/// Rows of several jobs on one model. A job in it always has a row that is pending.
#[derive(Default)]
pub(crate) struct RowQueue {
    jobs: VecDeque<QueuedJob>,
}

impl RowQueue {
    /// Adds a job with at least one row.
    pub(crate) fn push(&mut self, job: JobId, rows: Vec<Vec<u32>>) {
        let vectors = rows.iter().map(|_| None).collect();
        self.jobs.push_back(QueuedJob {
            job,
            pending: rows.into_iter().enumerate().collect(),
            vectors,
            next: 0,
        });
    }

    /// Forgets a job.
    pub(crate) fn remove(&mut self, job: JobId) {
        self.jobs.retain(|queued| queued.job != job);
    }

    /// Tokens that are still to be computed.
    pub(crate) fn pending_tokens(&self) -> usize {
        self.jobs.iter().flat_map(|queued| &queued.pending).map(|(_, ids)| ids.len()).sum()
    }

    /// Takes the next batch: the oldest row of the job whose turn it is, and the rows nearest to it in length, of any
    /// job, while rows × longest row stays within the budget. A single row may exceed the budget.
    pub(crate) fn next_batch(&mut self, budget_tokens: usize) -> Vec<BatchRow> {
        let Some(leader) =
            self.jobs.front().and_then(|queued| queued.pending.front()).map(|(_, ids)| ids.len())
        else {
            return Vec::new();
        };
        // (distance in length, job, position, length): the leader itself is (0, 0, 0, _), so it comes first.
        let mut order: Vec<(usize, usize, usize, usize)> = Vec::new();
        for (job, queued) in self.jobs.iter().enumerate() {
            for (position, (_, ids)) in queued.pending.iter().take(WINDOW_ROWS).enumerate() {
                order.push((ids.len().abs_diff(leader), job, position, ids.len()));
            }
        }
        order.sort_unstable();

        let (mut shortest, mut longest) = (leader, leader);
        let mut chosen = Vec::new();
        for (_, job, position, length) in order {
            let (low, high) = (shortest.min(length), longest.max(length));
            let fits = high * (chosen.len() + 1) <= budget_tokens
                && high <= low * SPREAD_QUARTERS / 4 + SLACK_TOKENS;
            if chosen.is_empty() || fits {
                (shortest, longest) = (low, high);
                chosen.push((job, position));
            }
        }
        // From the back, so that positions taken earlier stay valid.
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        let mut batch: Vec<BatchRow> = chosen
            .into_iter()
            .filter_map(|(job, position)| {
                let queued = &mut self.jobs[job];
                queued.pending.remove(position).map(|(row, ids)| BatchRow { job: queued.job, row, ids })
            })
            .collect();
        batch.reverse();
        self.jobs.rotate_left(1);
        batch
    }

    /// Takes the vectors of a batch, `dims` numbers per row, and appends what can be delivered in order.
    pub(crate) fn deliver(
        &mut self,
        batch: &[BatchRow],
        vectors: &[f32],
        dims: u32,
        out: &mut Vec<(JobId, Chunk)>,
    ) {
        for (row, vector) in batch.iter().zip(vectors.chunks_exact(dims as usize)) {
            if let Some(queued) = self.jobs.iter_mut().find(|queued| queued.job == row.job) {
                queued.vectors[row.row] = Some(vector.to_vec());
            }
        }
        self.jobs.retain_mut(|queued| {
            let first = queued.next;
            let mut data = Vec::new();
            while let Some(vector) = queued.vectors.get_mut(queued.next).and_then(Option::take) {
                data.extend_from_slice(&vector);
                queued.next += 1;
            }
            if !data.is_empty() {
                let first = u32::try_from(first).expect("a job has at most MAX_INPUTS rows");
                out.push((queued.job, Chunk::Vectors { first, dims, data }));
            }
            let more = queued.next < queued.vectors.len();
            if !more {
                out.push((queued.job, Chunk::Finished { reason: Finish::Stop }));
            }
            more
        });
    }

    /// Fails every job that has a row in the batch.
    pub(crate) fn fail(&mut self, batch: &[BatchRow], error: &EngineError, out: &mut Vec<(JobId, Chunk)>) {
        self.jobs.retain(|queued| {
            let failed = batch.iter().any(|row| row.job == queued.job);
            if failed {
                out.push((queued.job, Chunk::Failed(error.clone())));
            }
            !failed
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Returns a row whose ids say which row it is, so that a vector can be traced back to it.
    fn row(job: JobId, index: usize, length: usize) -> Vec<u32> {
        vec![u32::try_from(job as usize * 1000 + index).unwrap(); length]
    }

    fn lengths(batch: &[BatchRow]) -> Vec<usize> {
        batch.iter().map(|row| row.ids.len()).collect()
    }

    #[test]
    fn rows_of_like_length_share_a_batch() {
        let mut queue = RowQueue::default();
        queue.push(1, [10, 100, 11, 90, 9].iter().enumerate().map(|(i, &n)| row(1, i, n)).collect());
        assert_eq!(lengths(&queue.next_batch(256)), [10, 11, 9]);
        assert_eq!(lengths(&queue.next_batch(256)), [100, 90]);
        assert_eq!(queue.pending_tokens(), 0);
    }

    #[test]
    fn a_row_longer_than_the_budget_goes_alone() {
        let mut queue = RowQueue::default();
        queue.push(1, vec![row(1, 0, 500), row(1, 1, 500)]);
        assert_eq!(lengths(&queue.next_batch(256)), [500]);
    }

    #[test]
    fn a_small_job_does_not_wait_for_a_large_one() {
        let mut queue = RowQueue::default();
        queue.push(1, (0..500).map(|i| row(1, i, 100)).collect());
        queue.push(2, vec![row(2, 0, 20)]);
        let jobs: Vec<JobId> = (0..2).flat_map(|_| queue.next_batch(256)).map(|row| row.job).collect();
        assert!(jobs.contains(&2));
    }

    #[test]
    fn a_failed_batch_fails_its_jobs_only() {
        let mut queue = RowQueue::default();
        queue.push(1, vec![row(1, 0, 100)]);
        queue.push(2, vec![row(2, 0, 10)]);
        let batch = queue.next_batch(256);
        let mut out = Vec::new();
        queue.fail(&batch, &EngineError::Runtime("x".to_owned()), &mut out);
        assert_eq!(out, [(1, Chunk::Failed(EngineError::Runtime("x".to_owned())))]);
        assert_eq!(queue.next_batch(256)[0].job, 2);
    }

    proptest! {
        #[test]
        fn every_row_is_delivered_once_and_in_order(
            jobs in prop::collection::vec(prop::collection::vec(1usize..300, 1..150), 1..6),
            budget in 1usize..1000,
        ) {
            let mut queue = RowQueue::default();
            for (job, lengths) in jobs.iter().enumerate() {
                let job = job as JobId;
                queue.push(job, lengths.iter().enumerate().map(|(i, &n)| row(job, i, n)).collect());
            }
            let mut out = Vec::new();
            loop {
                let batch = queue.next_batch(budget);
                if batch.is_empty() {
                    break;
                }
                let longest = batch.iter().map(|row| row.ids.len()).max().unwrap();
                prop_assert!(batch.len() == 1 || longest * batch.len() <= budget);
                let vectors: Vec<f32> = batch.iter().map(|row| row.ids[0] as f32).collect();
                queue.deliver(&batch, &vectors, 1, &mut out);
            }
            let mut seen: BTreeMap<JobId, Vec<f32>> = BTreeMap::new();
            let mut finished = Vec::new();
            for (job, chunk) in out {
                match chunk {
                    Chunk::Vectors { first, data, .. } => {
                        let rows = seen.entry(job).or_default();
                        prop_assert_eq!(rows.len(), first as usize);
                        rows.extend(data);
                    }
                    Chunk::Finished { reason: Finish::Stop } => finished.push(job),
                    Chunk::Started { .. } | Chunk::Tokens { .. } | Chunk::Finished { .. } | Chunk::Failed(_) => {
                        prop_assert!(false, "{:?}", chunk);
                    }
                }
            }
            finished.sort_unstable();
            prop_assert_eq!(finished, (0..jobs.len() as JobId).collect::<Vec<_>>());
            for (job, lengths) in jobs.iter().enumerate() {
                let expected: Vec<f32> = (0..lengths.len()).map(|i| (job * 1000 + i) as f32).collect();
                prop_assert_eq!(&seen[&(job as JobId)], &expected);
            }
        }
    }
}
