//! Lookups in the hash table: Kademlia with libp2p's parameters, over tables that are not stored.
//!
//! Identifiers are sorted once, so that a table costs nothing until it is asked. Tables are as a stable network has them:
//! a bucket holds everyone who fits, or the `K` who have been there longest, as nobody who still answers is replaced. So
//! hosts on one side of a prefix know the same strangers on the other.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap};

use bombyx_protocol::time::{Span, Time};

use crate::kernel::{Draws, Purpose};

/// Entries of a bucket, and nodes that a lookup ends with.
pub const K: usize = 20;
/// Requests of one lookup that are under way at a time, while it makes progress.
pub const ALPHA: usize = 3;

/// The identifiers of all hosts that serve the hash table.
#[derive(Debug, Clone)]
pub struct Kademlia {
    /// The first 64 bits of each identifier, ascending, with its host. Further bits decide nothing below billions.
    sorted: Vec<(u64, u32)>,
    /// The identifier of each host.
    ids: BTreeMap<u32, u64>,
    /// The first hosts to join among those that share a prefix, by their range in `sorted`, where they are more than `K`.
    oldest: BTreeMap<(usize, usize), Vec<u32>>,
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Requests sent.
    pub requests: u32,
    /// The longest chain of answers, each of which named the next node to ask, to one of the nodes found.
    pub hops: u32,
    /// How long it took.
    pub took: Span,
    /// The hosts found, closest first.
    pub found: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Known,
    Asked,
    Answered,
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    host: u32,
    hops: u32,
    state: State,
}

impl Kademlia {
    /// Creates the hash table of these hosts, each with the first 64 bits of its identifier, which
    /// differ.
    #[must_use]
    pub fn new(hosts: impl Iterator<Item = (u32, u64)>, draws: Draws) -> Self {
        let ids: BTreeMap<u32, u64> = hosts.collect();
        let mut sorted: Vec<(u64, u32)> = ids.iter().map(|(host, id)| (*id, *host)).collect();
        sorted.sort_unstable();
        let mut kademlia = Self { sorted, ids, oldest: BTreeMap::new() };
        kademlia.note_oldest(&draws, 0, 0, kademlia.sorted.len());
        kademlia
    }

    /// Finds the oldest of a range whose first `bits` bits are alike, and of all ranges within.
    fn note_oldest(&mut self, draws: &Draws, bits: u32, from: usize, until: usize) -> Vec<u32> {
        if until - from <= K || bits == u64::BITS {
            return self.sorted[from..until].iter().map(|(_, member)| *member).collect();
        }
        let bit = 1u64 << (63 - bits);
        let middle = from + self.sorted[from..until].partition_point(|(id, _)| id & bit == 0);
        let mut oldest = self.note_oldest(draws, bits + 1, from, middle);
        oldest.extend(self.note_oldest(draws, bits + 1, middle, until));
        oldest.sort_unstable_by_key(|member| (draws.bits(Purpose::Bucket, &[u64::from(*member)]), *member));
        oldest.truncate(K);
        self.oldest.insert((from, until), oldest.clone());
        oldest
    }

    /// Returns everyone in a host's routing table.
    #[must_use]
    pub fn table(&self, host: u32) -> Vec<u32> {
        let Some(own) = self.ids.get(&host).copied() else { return Vec::new() };
        let mut table = Vec::new();
        for bucket in 0..u64::BITS {
            let (from, until) = self.sharing(own, bucket);
            if until - from <= 1 {
                break;
            }
            // The other half of those who share the first `bucket` bits.
            let (from, until) = self.sharing(own ^ (1 << (63 - bucket)), bucket + 1);
            match self.oldest.get(&(from, until)) {
                Some(oldest) => table.extend(oldest),
                None => table.extend(self.sorted[from..until].iter().map(|(_, member)| *member)),
            }
        }
        table
    }

    /// Returns the range of identifiers whose first `bits` bits are those of `id`.
    fn sharing(&self, id: u64, bits: u32) -> (usize, usize) {
        let rest = u64::MAX.checked_shr(bits).unwrap_or(0);
        let (low, high) = (id & !rest, id | rest);
        (
            self.sorted.partition_point(|(other, _)| *other < low),
            self.sorted.partition_point(|(other, _)| *other <= high),
        )
    }

    /// Returns the `K` entries of a host's table that are closest to a place, but for the one who
    /// asks.
    fn closest(&self, host: u32, target: u64, asker: u32) -> Vec<(u64, u32)> {
        let distance = |other: u32| self.ids.get(&other).map(|id| (id ^ target, other));
        let others = self.table(host).into_iter().filter(|other| *other != asker);
        let mut table: Vec<(u64, u32)> = others.filter_map(distance).collect();
        table.sort_unstable();
        table.truncate(K);
        table
    }

    /// Looks the nodes closest to `target` up. `exchange` says how long a request from the first host to the second and its
    /// answer take, connecting included.
    #[must_use]
    pub fn look_up(&self, from: u32, target: u64, mut exchange: impl FnMut(u32, u32) -> Span) -> Lookup {
        let known =
            |(distance, host): (u64, u32)| (distance, Candidate { host, hops: 1, state: State::Known });
        let mut candidates: BTreeMap<u64, Candidate> =
            self.closest(from, target, from).into_iter().map(known).collect();
        let mut answers: BinaryHeap<Reverse<(Time, u64)>> = BinaryHeap::new();
        let (mut now, mut requests, mut without_progress) = (Time(0), 0, 0);
        while !is_over(&candidates) {
            let at_once = if without_progress >= ALPHA { K } else { ALPHA };
            while answers.len() < at_once && !is_over(&candidates) {
                let next = candidates.iter_mut().find(|(_, candidate)| candidate.state == State::Known);
                let Some((distance, candidate)) = next else { break };
                candidate.state = State::Asked;
                requests += 1;
                answers.push(Reverse((now + exchange(from, candidate.host), *distance)));
            }
            let Some(Reverse((at, distance))) = answers.pop() else { break };
            now = at;
            let Some(answered) = candidates.get_mut(&distance) else { continue };
            answered.state = State::Answered;
            let (host, hops) = (answered.host, answered.hops + 1);
            let mut progress = candidates.len() < K;
            let range = candidates.keys().take(K).next_back().copied().unwrap_or(distance);
            for (distance, named) in self.closest(host, target, from) {
                if let Entry::Vacant(location) = candidates.entry(distance) {
                    progress |= distance < range;
                    location.insert(Candidate { host: named, hops, state: State::Known });
                }
            }
            without_progress = if progress { 0 } else { without_progress + 1 };
        }
        let found: Vec<&Candidate> =
            candidates.values().filter(|candidate| candidate.state == State::Answered).take(K).collect();
        Lookup {
            requests,
            hops: found.iter().map(|candidate| candidate.hops).max().unwrap_or(0),
            took: now.since(Time(0)),
            found: found.into_iter().map(|candidate| candidate.host).collect(),
        }
    }
}

/// Returns whether the `K` closest of all that are known have answered.
fn is_over(candidates: &BTreeMap<u64, Candidate>) -> bool {
    candidates.values().take(K).all(|candidate| candidate.state == State::Answered)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::kernel::fold;

    fn network(hosts: u32) -> Kademlia {
        Kademlia::new((0..hosts).map(|host| (host, fold(0, u64::from(host)))), Draws::new(1))
    }

    #[test]
    fn a_lookup_finds_the_nodes_that_are_closest_of_all() {
        for hosts in [15, 200, 5_000] {
            let network = network(hosts);
            let mut all: Vec<(u64, u32)> = network.sorted.iter().map(|(id, host)| (id ^ 77, *host)).collect();
            all.sort_unstable();
            let closest: Vec<u32> =
                all.into_iter().map(|(_, host)| host).filter(|host| *host != 7).take(K).collect();
            let lookup = network.look_up(7, 77, |_, _| Span::from_ms(100));
            assert_eq!(lookup.found, closest, "{hosts} hosts");
            assert!(lookup.requests as usize >= closest.len() && lookup.hops <= 6, "{lookup:?}");
        }
    }

    #[test]
    fn a_table_holds_at_most_k_of_each_half_and_is_the_same_when_asked_again() {
        let network = network(5_000);
        let table = network.table(3);
        assert_eq!(table, network.table(3));
        assert!(!table.contains(&3));
        assert_eq!(table.len(), table.iter().collect::<BTreeSet<_>>().len());
        // Half of the network is in bucket 0, a quarter in bucket 1 and so on: eight full buckets and a rest of about 20.
        assert!((160..=190).contains(&table.len()), "{}", table.len());
    }

    #[test]
    fn a_host_that_asks_is_not_told_of_itself_and_hears_of_k_others() {
        let network = network(200);
        let own = network.ids[&7];
        for host in network.table(7) {
            let named = network.closest(host, own, 7);
            assert!(named.len() == K && named.iter().all(|(_, other)| *other != 7));
        }
    }

    #[test]
    fn a_larger_network_takes_more_hops_and_hardly_more_requests() {
        let mean = |hosts: u32| {
            let network = network(hosts);
            let one = |host: u32| network.look_up(host, fold(1, u64::from(host)), |_, _| Span::from_ms(100));
            let all: Vec<Lookup> = (0..40).map(one).collect();
            let sum = |of: fn(&Lookup) -> u32| all.iter().map(of).sum::<u32>() as f64 / 40.0;
            (sum(|lookup| lookup.requests), sum(|lookup| lookup.hops))
        };
        let (small, large) = (mean(300), mean(20_000));
        assert!(large.1 > small.1, "{small:?} {large:?}");
        assert!(small.0 >= 20.0 && large.0 < 50.0, "{small:?} {large:?}");
    }
}
