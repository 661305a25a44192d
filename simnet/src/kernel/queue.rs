//! The pending events of a world, popped in one total order that does not depend on the order of insertion.
//!
//! A ring of buckets holds what is due soon, unsorted; only the bucket that time stands in is a heap, so that most
//! events are sorted among a few neighbours and never among all. What lies past the ring waits in an overflow heap.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use bombyx_protocol::time::Time;

/// Width of one bucket as a power of two, in microseconds: 256.
const BUCKET_BITS: u32 = 8;
/// Buckets in the ring, so that it reaches 2.1 virtual seconds ahead: further than a message travels.
const BUCKETS: u64 = 8_192;
const WORDS: usize = (BUCKETS / 64) as usize;

/// When and where an event happens. No two events of one world share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// When.
    pub at: Time,
    /// Rank of the kind of event, among those of one instant.
    pub kind: u8,
    /// To which host.
    pub dst: u32,
    /// From which host.
    pub src: u32,
    /// Counts the events of `src`.
    pub id: u64,
}

struct Entry<T> {
    key: Key,
    event: T,
}

/// Pending events with their payload.
pub struct Queue<T> {
    /// The bucket that time stands in; everything in `near` is due in it or before.
    cursor: u64,
    near: BinaryHeap<Entry<T>>,
    ring: Vec<Vec<Entry<T>>>,
    /// One bit for each bucket of the ring that holds something.
    occupied: [u64; WORDS],
    overflow: BinaryHeap<Entry<T>>,
    /// Memory of buckets that time has passed: few of the ring hold anything at a time.
    spare: Vec<Vec<Entry<T>>>,
    pending: usize,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Queue<T> {
    /// Creates an empty queue at time zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            cursor: 0,
            near: BinaryHeap::new(),
            ring: (0..BUCKETS).map(|_| Vec::new()).collect(),
            occupied: [0; WORDS],
            overflow: BinaryHeap::new(),
            spare: Vec::new(),
            pending: 0,
        }
    }

    /// Returns how many events are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pending
    }

    /// Returns whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// Adds an event. One that is due in the past is popped next.
    pub fn push(&mut self, key: Key, event: T) {
        self.pending += 1;
        self.place(Entry { key, event });
    }

    /// Takes the event with the lowest key.
    pub fn pop(&mut self) -> Option<(Key, T)> {
        if self.near.is_empty() {
            self.advance();
        }
        let entry = self.near.pop()?;
        self.pending -= 1;
        Some((entry.key, entry.event))
    }

    /// Takes the event with the lowest key if it is due before `until`.
    pub fn pop_before(&mut self, until: Time) -> Option<(Key, T)> {
        if self.next_at()? < until { self.pop() } else { None }
    }

    /// Returns when the event with the lowest key is due.
    pub fn next_at(&mut self) -> Option<Time> {
        if self.near.is_empty() {
            self.advance();
        }
        self.near.peek().map(|entry| entry.key.at)
    }

    fn place(&mut self, entry: Entry<T>) {
        let bucket = entry.key.at.0 >> BUCKET_BITS;
        if bucket <= self.cursor {
            self.near.push(entry);
        } else if bucket - self.cursor < BUCKETS {
            let slot = (bucket % BUCKETS) as usize;
            self.occupied[slot / 64] |= 1 << (slot % 64);
            let bucket = &mut self.ring[slot];
            if bucket.capacity() == 0 {
                *bucket = self.spare.pop().unwrap_or_default();
            }
            bucket.push(entry);
        } else {
            self.overflow.push(entry);
        }
    }

    /// Moves time to the next bucket that holds something and brings what it uncovers into the ring. Nothing is near.
    fn advance(&mut self) {
        let next = match (self.next_in_ring(), self.overflow.peek()) {
            (Some(bucket), _) => bucket,
            (None, Some(entry)) => entry.key.at.0 >> BUCKET_BITS,
            (None, None) => return,
        };
        self.cursor = next;
        let slot = (next % BUCKETS) as usize;
        self.occupied[slot / 64] &= !(1 << (slot % 64));
        // The heap sorts only these few, where they lie; it was empty.
        let due = BinaryHeap::from(std::mem::take(&mut self.ring[slot]));
        self.spare.push(std::mem::replace(&mut self.near, due).into_vec());
        while let Some(entry) = self.overflow.peek() {
            if (entry.key.at.0 >> BUCKET_BITS).saturating_sub(next) >= BUCKETS {
                break;
            }
            if let Some(entry) = self.overflow.pop() {
                self.place(entry);
            }
        }
    }

    /// Returns the number of the first bucket after the cursor that holds something.
    fn next_in_ring(&self) -> Option<u64> {
        let start = ((self.cursor + 1) % BUCKETS) as usize;
        for step in 0..=WORDS {
            let word = (start / 64 + step) % WORDS;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= !0 << (start % 64);
            } else if step == WORDS {
                bits &= !(!0 << (start % 64));
            }
            if bits != 0 {
                let slot = word as u64 * 64 + u64::from(bits.trailing_zeros());
                let ahead = (slot + BUCKETS - start as u64) % BUCKETS;
                return Some(self.cursor + 1 + ahead);
            }
        }
        None
    }
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// Compares reversed: the heap's greatest entry is the one that is due first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::time::Span;
    use proptest::prelude::*;

    use super::*;

    fn key(at: u64, id: u64) -> Key {
        Key { at: Time(at), kind: (id % 3) as u8, dst: (id % 7) as u32, src: (id % 5) as u32, id }
    }

    #[test]
    fn an_event_beyond_the_ring_waits_its_turn() {
        let mut queue = Queue::new();
        for (id, at) in [(1, 10), (2, 3_600_000_000), (3, 2_097_151), (4, 2_097_152), (5, 10_000_000)] {
            queue.push(key(at, id), id);
        }
        let order: Vec<u64> = std::iter::from_fn(|| queue.pop()).map(|(_, id)| id).collect();
        assert_eq!(order, [1, 3, 4, 5, 2]);
        assert!(queue.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// Batches of pushes between pops, near and far ahead, against a sorted list.
        #[test]
        fn every_pop_is_the_lowest_key_whatever_the_order_of_insertion(
            batches in prop::collection::vec(
                (prop::collection::vec(prop_oneof![0u64..2_000, 0u64..5_000_000, 0u64..400_000_000], 0..40), 0usize..40),
                1..12,
            ),
            shuffle in any::<bool>(),
        ) {
            let mut queue = Queue::new();
            let mut model = std::collections::BTreeSet::new();
            let (mut now, mut id) = (0, 0);
            for (ahead, pops) in batches {
                let mut keys: Vec<Key> = ahead.iter().map(|ahead| { id += 1; key(now + ahead, id) }).collect();
                if shuffle {
                    keys.reverse();
                }
                for key in keys {
                    queue.push(key, key.id);
                    model.insert(key);
                }
                for _ in 0..pops {
                    let until = model.first().map_or(Time(0), |key| key.at);
                    prop_assert!(queue.pop_before(until).is_none());
                    let popped = queue.pop_before(until + Span(1)).map(|(key, _)| key);
                    prop_assert_eq!(popped, model.pop_first());
                    now = popped.map_or(now, |key| key.at.0);
                    prop_assert_eq!(queue.len(), model.len());
                }
            }
            while let Some((key, _)) = queue.pop() {
                prop_assert_eq!(Some(key), model.pop_first());
            }
            prop_assert!(model.is_empty());
        }
    }
}
