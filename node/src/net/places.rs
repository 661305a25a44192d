//! Places that strangers share by where they come from.
//!
//! Nobody is refused while there is room. As it fills, a prefix may hold as many places as are left free: one that takes
//! all it can get has half of them, two have a third each, and a prefix that holds little always gets in. Friends have places
//! of their own besides. (`NE-2`)

use std::collections::BTreeMap;

use bombyx_protocol::ident::Prefix;
use libp2p::PeerId;
use web_time::Instant;

use super::excess::Excess;

/// Places that are held and given back.
#[derive(Debug)]
pub(super) struct Places {
    /// For everybody.
    common: usize,
    /// Further ones, for friends alone.
    kept: usize,
    /// The most that one peer may hold.
    each: usize,
    by_prefix: BTreeMap<Prefix, usize>,
    by_peer: BTreeMap<PeerId, usize>,
    common_held: usize,
    kept_held: usize,
    excess: Excess,
}

/// A place that is held.
#[derive(Debug)]
#[must_use]
pub(super) struct Place {
    peer: Option<PeerId>,
    prefix: Prefix,
    is_kept: bool,
}

impl Places {
    pub(super) const fn new(what: &'static str, common: usize, kept: usize, each: usize) -> Self {
        Self {
            common,
            kept,
            each,
            by_prefix: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            common_held: 0,
            kept_held: 0,
            excess: Excess::of(what),
        }
    }

    /// Takes a place for a peer, which may not be known yet, if there is one for it.
    pub(super) fn take(
        &mut self,
        peer: Option<PeerId>,
        prefix: Prefix,
        is_friend: bool,
        now: Instant,
    ) -> Option<Place> {
        if peer.is_some_and(|peer| self.held_by(&peer) >= self.each) {
            self.excess.note(prefix, now);
            return None;
        }
        let is_kept = is_friend && self.kept_held < self.kept;
        if is_kept {
            self.kept_held += 1;
        } else {
            let held = self.by_prefix.get(&prefix).copied().unwrap_or(0);
            if held >= self.common.saturating_sub(self.common_held) {
                self.excess.note(prefix, now);
                return None;
            }
            self.common_held += 1;
            *self.by_prefix.entry(prefix).or_default() += 1;
        }
        if let Some(peer) = peer {
            *self.by_peer.entry(peer).or_default() += 1;
        }
        Some(Place { peer, prefix, is_kept })
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, place: &Place) {
        if place.is_kept {
            self.kept_held = self.kept_held.saturating_sub(1);
        } else {
            self.common_held = self.common_held.saturating_sub(1);
            lower(&mut self.by_prefix, &place.prefix);
        }
        if let Some(peer) = place.peer {
            lower(&mut self.by_peer, &peer);
        }
    }

    /// Returns how many places a peer holds.
    pub(super) fn held_by(&self, peer: &PeerId) -> usize {
        self.by_peer.get(peer).copied().unwrap_or(0)
    }
}

/// Takes one away; what is at nought is forgotten.
pub(super) fn lower<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u8) -> Prefix {
        Prefix::of_ipv4([10, 0, number, 1])
    }

    fn taken(places: &mut Places, prefix: Prefix, is_friend: bool, tries: usize) -> usize {
        let now = Instant::now();
        (0..tries).filter(|_| places.take(Some(PeerId::random()), prefix, is_friend, now).is_some()).count()
    }

    /// (`NE-2`)
    #[test]
    fn a_prefix_that_takes_all_it_can_get_leaves_room_for_others_and_for_friends() {
        let mut places = Places::new("test", 100, 10, 1);
        assert_eq!(taken(&mut places, prefix(1), false, 8), 8, "an idle node serves a household");
        assert_eq!(taken(&mut places, prefix(1), false, 10_000), 42, "half of all");
        assert_eq!(taken(&mut places, prefix(2), false, 10_000), 25, "half of what is left");
        assert_eq!(taken(&mut places, prefix(3), false, 5), 5, "whoever holds little gets in");
        assert_eq!(taken(&mut places, prefix(1), true, 50), 10, "friends of the same prefix too");
        let thousand =
            (0..=255).map(|number| taken(&mut places, Prefix::of_ipv4([11, 0, number, 1]), false, 4));
        assert!(thousand.sum::<usize>() <= 20);
        assert_eq!(taken(&mut places, prefix(9), true, 5), 0, "all is used up");
    }

    #[test]
    fn a_place_that_is_given_back_is_free_and_one_peer_holds_its_own_at_the_most() {
        let mut places = Places::new("test", 8, 0, 2);
        let (peer, now) = (PeerId::random(), Instant::now());
        let first = places.take(Some(peer), prefix(1), false, now).expect("room");
        let _second = places.take(Some(peer), prefix(1), false, now).expect("room");
        assert!(places.take(Some(peer), prefix(1), false, now).is_none());
        places.give_back(&first);
        assert_eq!(places.held_by(&peer), 1);
        assert!(places.take(Some(peer), prefix(1), false, now).is_some());
        assert_eq!(places.excess.total, 1);
    }
}
