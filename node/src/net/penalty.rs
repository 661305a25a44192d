//! Faults held against peers, and the peers that are blocked for them.

use std::collections::HashMap;

use libp2p::PeerId;
use web_time::Instant;

use super::joint::Fault;
use super::limits;

/// The faults of the peers seen lately. A peer without a new fault for [`limits::BLOCK_TIME`] is forgiven.
#[derive(Default)]
pub(super) struct Penalties {
    peers: HashMap<PeerId, Record>,
}

struct Record {
    points: u32,
    last: Instant,
}

/// Returns what one fault counts. What an honest node can never do counts in full.
fn points(fault: Fault) -> u32 {
    match fault {
        Fault::OversizedFrame | Fault::FalseSignature => limits::PENALTY_LIMIT,
        Fault::Flooding => 1,
        Fault::Malformed | Fault::RuleBroken => limits::PENALTY_LIMIT.div_ceil(4),
    }
}

impl Penalties {
    /// Holds a fault against a peer; says whether it is to be blocked now.
    pub(super) fn add(&mut self, peer: PeerId, fault: Fault, now: Instant) -> bool {
        if !self.peers.contains_key(&peer) && self.peers.len() >= limits::PENALTY_BOOK_MAX {
            self.forget_mildest();
            if self.peers.len() >= limits::PENALTY_BOOK_MAX {
                // Every record is of a blocked peer. A block that is not recorded would never be lifted.
                return false;
            }
        }
        let record = self.peers.entry(peer).or_insert(Record { points: 0, last: now });
        record.points = record.points.saturating_add(points(fault));
        record.last = now;
        record.points >= limits::PENALTY_LIMIT
    }

    /// Forgives peers that have behaved long enough, and returns those to unblock.
    pub(super) fn forgive(&mut self, now: Instant) -> Vec<PeerId> {
        let due = |record: &Record| now.saturating_duration_since(record.last) >= limits::BLOCK_TIME;
        let forgiven: Vec<PeerId> =
            self.peers.iter().filter(|(_, record)| due(record)).map(|(peer, _)| *peer).collect();
        for peer in &forgiven {
            self.peers.remove(peer);
        }
        forgiven
    }

    /// Makes room without letting a blocked peer go: its block would never be lifted.
    fn forget_mildest(&mut self) {
        let mildest = self
            .peers
            .iter()
            .filter(|(_, record)| record.points < limits::PENALTY_LIMIT)
            .min_by_key(|(_, record)| (record.points, record.last))
            .map(|(peer, _)| *peer);
        if let Some(peer) = mildest {
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_faults_add_up_and_are_forgiven_in_time() {
        let (mut book, peer, start) = (Penalties::default(), PeerId::random(), Instant::now());
        assert!(!book.add(peer, Fault::Malformed, start));
        assert!(!book.add(peer, Fault::RuleBroken, start));
        assert!(!book.add(peer, Fault::Malformed, start));
        assert!(book.add(peer, Fault::Malformed, start), "the fourth blocks");
        assert!(book.forgive(start + limits::BLOCK_TIME / 2).is_empty());
        assert_eq!(book.forgive(start + limits::BLOCK_TIME), [peer]);
        assert!(!book.add(peer, Fault::Malformed, start + limits::BLOCK_TIME), "the slate is clean");
    }

    #[test]
    fn what_no_honest_node_does_blocks_at_once() {
        let mut book = Penalties::default();
        assert!(book.add(PeerId::random(), Fault::OversizedFrame, Instant::now()));
    }

    #[test]
    fn a_full_book_forgets_the_mildest_first() {
        let (mut book, now) = (Penalties::default(), Instant::now());
        let worse = PeerId::random();
        book.add(worse, Fault::Malformed, now);
        book.add(worse, Fault::Malformed, now);
        for _ in 0..limits::PENALTY_BOOK_MAX {
            book.add(PeerId::random(), Fault::Malformed, now);
        }
        assert_eq!(book.peers.len(), limits::PENALTY_BOOK_MAX);
        assert!(book.peers.contains_key(&worse));
    }
}
