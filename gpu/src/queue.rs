//! Rows of embedding requests waiting for a batch: fair between requests, little padding, results in order.

use std::collections::VecDeque;

use crate::engine::{EngineError, EngineEvent, Finish, RequestId};

/// Rows of one request, from the oldest, that are considered for a batch. It bounds how far rows can overtake each
/// other, and with it how many finished vectors wait for an older one.
const WINDOW_ROWS: usize = 64;
/// The most tokens that the longest row of a batch may have, in quarters of the shortest, beside [`SLACK_TOKENS`]: on a
/// processor, padding costs as much as text.
const SPREAD_QUARTERS: usize = 5;
/// Padding that is always tolerated.
const SLACK_TOKENS: usize = 4;

/// One row of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BatchRow {
    pub(crate) request: RequestId,
    pub(crate) row: usize,
    pub(crate) ids: Vec<u32>,
}

struct QueuedRequest {
    request: RequestId,
    /// Rows not yet computed, oldest first.
    pending: VecDeque<(usize, Vec<u32>)>,
    /// Computed vectors by row; those before `next` are delivered and gone.
    vectors: Vec<Option<Vec<f32>>>,
    next: usize,
}

/// Rows of several requests on one model. Every request in it has a pending row.
#[derive(Default)]
pub(crate) struct RowQueue {
    requests: VecDeque<QueuedRequest>,
}

impl RowQueue {
    /// Adds a request with at least one row.
    pub(crate) fn push(&mut self, request: RequestId, rows: Vec<Vec<u32>>) {
        let vectors = rows.iter().map(|_| None).collect();
        self.requests.push_back(QueuedRequest {
            request,
            pending: rows.into_iter().enumerate().collect(),
            vectors,
            next: 0,
        });
    }

    /// Forgets a request.
    pub(crate) fn remove(&mut self, request: RequestId) {
        self.requests.retain(|queued| queued.request != request);
    }

    /// Counts the tokens still to be computed.
    pub(crate) fn pending_tokens(&self) -> usize {
        self.requests.iter().flat_map(|queued| &queued.pending).map(|(_, ids)| ids.len()).sum()
    }

    /// Takes the next batch: the oldest row of the request whose turn it is, and those rows of all requests that are
    /// nearest to it in length, while rows × longest row stays within the budget. A single row may exceed the budget.
    pub(crate) fn next_batch(&mut self, budget_tokens: usize) -> Vec<BatchRow> {
        let Some(leader) =
            self.requests.front().and_then(|queued| queued.pending.front()).map(|(_, ids)| ids.len())
        else {
            return Vec::new();
        };
        // (distance in length, request, position, length): the leader itself is (0, 0, 0, _), so it comes first.
        let mut order: Vec<(usize, usize, usize, usize)> = Vec::new();
        for (request, queued) in self.requests.iter().enumerate() {
            for (position, (_, ids)) in queued.pending.iter().take(WINDOW_ROWS).enumerate() {
                order.push((ids.len().abs_diff(leader), request, position, ids.len()));
            }
        }
        order.sort_unstable();

        let (mut shortest, mut longest) = (leader, leader);
        let mut chosen = Vec::new();
        for (_, request, position, length) in order {
            let (low, high) = (shortest.min(length), longest.max(length));
            let fits = high * (chosen.len() + 1) <= budget_tokens
                && high <= low * SPREAD_QUARTERS / 4 + SLACK_TOKENS;
            if chosen.is_empty() || fits {
                (shortest, longest) = (low, high);
                chosen.push((request, position));
            }
        }
        // From the back, so that positions taken earlier stay valid.
        chosen.sort_unstable_by(|a, b| b.cmp(a));
        let mut batch: Vec<BatchRow> = chosen
            .into_iter()
            .filter_map(|(request, position)| {
                let queued = &mut self.requests[request];
                queued.pending.remove(position).map(|(row, ids)| BatchRow {
                    request: queued.request,
                    row,
                    ids,
                })
            })
            .collect();
        batch.reverse();
        self.requests.rotate_left(1);
        batch
    }

    /// Takes the vectors of a batch, `dims` numbers per row, and appends what can be delivered in order.
    pub(crate) fn deliver(
        &mut self,
        batch: &[BatchRow],
        vectors: &[f32],
        dims: u32,
        out: &mut Vec<(RequestId, EngineEvent)>,
    ) {
        for (row, vector) in batch.iter().zip(vectors.chunks_exact(dims as usize)) {
            if let Some(queued) = self.requests.iter_mut().find(|queued| queued.request == row.request) {
                queued.vectors[row.row] = Some(vector.to_vec());
            }
        }
        self.requests.retain_mut(|queued| {
            let first = queued.next;
            let mut data = Vec::new();
            while let Some(vector) = queued.vectors.get_mut(queued.next).and_then(Option::take) {
                data.extend_from_slice(&vector);
                queued.next += 1;
            }
            if !data.is_empty() {
                let first = u32::try_from(first).expect("a request has at most INPUTS_MAX rows");
                out.push((queued.request, EngineEvent::Vectors { first, dims, data }));
            }
            let more = queued.next < queued.vectors.len();
            if !more {
                out.push((queued.request, EngineEvent::Finished { reason: Finish::Stop }));
            }
            more
        });
    }

    /// Fails every request that has a row in the batch.
    pub(crate) fn fail(
        &mut self,
        batch: &[BatchRow],
        error: &EngineError,
        out: &mut Vec<(RequestId, EngineEvent)>,
    ) {
        self.requests.retain(|queued| {
            let failed = batch.iter().any(|row| row.request == queued.request);
            if failed {
                out.push((queued.request, EngineEvent::Failed(error.clone())));
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
    fn row(request: RequestId, index: usize, length: usize) -> Vec<u32> {
        vec![u32::try_from(request as usize * 1000 + index).unwrap(); length]
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
    fn a_small_request_does_not_wait_for_a_large_one() {
        let mut queue = RowQueue::default();
        queue.push(1, (0..500).map(|i| row(1, i, 100)).collect());
        queue.push(2, vec![row(2, 0, 20)]);
        let requests: Vec<RequestId> =
            (0..2).flat_map(|_| queue.next_batch(256)).map(|row| row.request).collect();
        assert!(requests.contains(&2));
    }

    #[test]
    fn a_failed_batch_fails_its_requests_only() {
        let mut queue = RowQueue::default();
        queue.push(1, vec![row(1, 0, 100)]);
        queue.push(2, vec![row(2, 0, 10)]);
        let batch = queue.next_batch(256);
        let mut out = Vec::new();
        queue.fail(&batch, &EngineError::Runtime("x".to_owned()), &mut out);
        assert_eq!(out, [(1, EngineEvent::Failed(EngineError::Runtime("x".to_owned())))]);
        assert_eq!(queue.next_batch(256)[0].request, 2);
    }

    proptest! {
        #[test]
        fn every_row_is_delivered_once_and_in_order(
            requests in prop::collection::vec(prop::collection::vec(1usize..300, 1..150), 1..6),
            budget in 1usize..1000,
        ) {
            let mut queue = RowQueue::default();
            for (request, lengths) in requests.iter().enumerate() {
                let request = request as RequestId;
                queue.push(request, lengths.iter().enumerate().map(|(i, &n)| row(request, i, n)).collect());
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
            let mut seen: BTreeMap<RequestId, Vec<f32>> = BTreeMap::new();
            let mut finished = Vec::new();
            for (request, event) in out {
                match event {
                    EngineEvent::Vectors { first, data, .. } => {
                        let rows = seen.entry(request).or_default();
                        prop_assert_eq!(rows.len(), first as usize);
                        rows.extend(data);
                    }
                    EngineEvent::Finished { reason: Finish::Stop } => finished.push(request),
                    EngineEvent::Started { .. }
                    | EngineEvent::Read { .. }
                    | EngineEvent::Tokens { .. }
                    | EngineEvent::Finished { .. }
                    | EngineEvent::Failed(_) => {
                        prop_assert!(false, "{:?}", event);
                    }
                }
            }
            finished.sort_unstable();
            prop_assert_eq!(finished, (0..requests.len() as RequestId).collect::<Vec<_>>());
            for (request, lengths) in requests.iter().enumerate() {
                let expected: Vec<f32> = (0..lengths.len()).map(|i| (request * 1000 + i) as f32).collect();
                prop_assert_eq!(&seen[&(request as RequestId)], &expected);
            }
        }
    }
}
