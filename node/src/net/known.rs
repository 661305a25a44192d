//! Peers that answered this node's own dials, in this life and in earlier ones: the way back where every join address is dead.
//!
//! Keys cost nothing, so both places and turns go by prefix, and within a prefix by age: an owner of many keys that makes this
//! node dial them takes no older peer's place and goes before no other prefix. Beside the peers that answered stand a few that
//! came by themselves, in places of their own, each at the address that it claims: a node that dialled nobody would find
//! nobody again. Such a claim counts only where the peer itself connects from. What anybody says of third ones never
//! counts. (`NE-12`)

use std::collections::BTreeMap;

use bombyx_protocol::ident::Prefix;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::watch;

use super::calendar::unix_s;
use super::{address, limits, prefix};

/// A peer that answered, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownPeer {
    /// Where, as a full multiaddr with `/p2p/`.
    pub address: String,
    /// When it was first connected, as unix time in seconds.
    pub since_s: u64,
    /// When it last was.
    pub answered_s: u64,
    /// Whether it answered a dial of this node there. Else it came by itself, and says that it can be reached there.
    pub proven: bool,
}

/// The list, by peer.
pub(super) struct KnownPeers {
    peers: BTreeMap<PeerId, Entry>,
    published: watch::Sender<Vec<KnownPeer>>,
}

struct Entry {
    address: Multiaddr,
    prefix: Prefix,
    since_s: u64,
    answered_s: u64,
    proven: bool,
    /// The last dial of it failed, while others answered.
    failed: bool,
}

impl Entry {
    fn new(address: Multiaddr, (since_s, answered_s): (u64, u64), proven: bool) -> Self {
        Self { prefix: prefix::of(&address), address, since_s, answered_s, proven, failed: false }
    }
}

impl KnownPeers {
    /// Takes a list of an earlier life, as far as it can be used and is not too old.
    pub(super) fn read(list: &[KnownPeer], own: PeerId) -> Self {
        let mut known = Self { peers: BTreeMap::new(), published: watch::Sender::new(Vec::new()) };
        let now_s = unix_s();
        let oldest_s = now_s.saturating_sub(limits::KNOWN_LIFE.as_secs());
        for peer in list {
            let Ok((id, address)) = address::read_dialable(&peer.address) else { continue };
            if id == own || peer.answered_s < oldest_s {
                continue;
            }
            let (since_s, answered_s) = (peer.since_s.min(now_s), peer.answered_s.min(now_s));
            known.insert(id, Entry::new(address, (since_s, answered_s), peer.proven));
        }
        known.publish();
        known
    }

    /// Returns the list as it will be.
    pub(super) fn published(&self) -> watch::Receiver<Vec<KnownPeer>> {
        self.published.subscribe()
    }

    /// Notes that a peer answered a dial of this node there, and is of its network.
    pub(super) fn answered(&mut self, peer: PeerId, address: Multiaddr) {
        let now_s = unix_s();
        let since_s = self.peers.remove(&peer).map_or(now_s, |entry| entry.since_s);
        self.insert(peer, Entry::new(address, (since_s, now_s), true));
        self.publish();
    }

    /// Notes that a peer of this network came by itself, and where it says that it can be reached: an address of the prefix
    /// that it comes from.
    pub(super) fn came(&mut self, peer: PeerId, address: Multiaddr) {
        let now_s = unix_s();
        let known = self.peers.get(&peer);
        if known.is_some_and(|entry| entry.proven && !entry.failed) {
            return;
        }
        let since_s = known.map_or(now_s, |entry| entry.since_s);
        self.insert(peer, Entry::new(address, (since_s, now_s), false));
        self.publish();
    }

    /// Notes which peers are connected, since a connection that lasts is an answer as well, and forgets those that were not for
    /// too long.
    pub(super) fn still_there(&mut self, is_connected: impl Fn(&PeerId) -> bool) {
        let now_s = unix_s();
        let oldest_s = now_s.saturating_sub(limits::KNOWN_LIFE.as_secs());
        self.peers.retain(|peer, entry| {
            if is_connected(peer) {
                entry.answered_s = now_s;
            }
            entry.answered_s >= oldest_s
        });
        self.publish();
    }

    /// Notes that a peer did not answer.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failed = true;
        }
    }

    /// Forgets which dials failed: as long as nobody answered, it may have been this node that was cut off.
    pub(super) fn forget_failures(&mut self) {
        self.peers.values_mut().for_each(|entry| entry.failed = false);
    }

    /// Returns the peers with their addresses, one of each prefix before a second of any. Those that answered come before those
    /// that came, and the longest known first.
    pub(super) fn in_turn(&self) -> Vec<(PeerId, Multiaddr)> {
        let mut entries: Vec<(&PeerId, &Entry)> = self.peers.iter().collect();
        entries.sort_by_key(|(_, entry)| (!entry.proven, entry.since_s));
        let mut turns: BTreeMap<Prefix, usize> = BTreeMap::new();
        let mut in_turn = Vec::new();
        for (peer, entry) in entries {
            let turn = turns.entry(entry.prefix).or_default();
            *turn += 1;
            in_turn.push((*turn, *peer, entry.address.clone()));
        }
        in_turn.sort_by_key(|(turn, ..)| *turn);
        in_turn.into_iter().map(|(_, peer, address)| (peer, address)).collect()
    }

    /// Adds a peer; where there are too many of its kind, one of its own prefix or of the prefix with the most makes room.
    fn insert(&mut self, peer: PeerId, entry: Entry) {
        let (prefix, proven) = (entry.prefix, entry.proven);
        let (most_of_all, most_of_prefix) = if proven {
            (limits::KNOWN_ANSWERED_MAX, limits::KNOWN_ANSWERED_PER_PREFIX_MAX)
        } else {
            (limits::KNOWN_CAME_MAX, limits::KNOWN_CAME_PER_PREFIX_MAX)
        };
        self.peers.insert(peer, entry);
        let alike = self.peers.values().filter(|entry| entry.proven == proven);
        let counts = prefix::counts(alike.map(|entry| entry.prefix));
        if counts.get(&prefix).is_some_and(|count| *count > most_of_prefix) {
            self.drop_one(peer, |entry| entry.proven == proven && entry.prefix == prefix);
        } else if counts.values().sum::<usize>() > most_of_all {
            let most = counts.values().max();
            self.drop_one(peer, |entry| entry.proven == proven && counts.get(&entry.prefix) == most);
        }
    }

    /// Drops one that no longer answers, or else the youngest, which may be the newcomer itself.
    fn drop_one(&mut self, newcomer: PeerId, among: impl Fn(&Entry) -> bool) {
        let candidates = self.peers.iter().filter(|(_, entry)| among(entry));
        let worst = candidates.max_by_key(|(peer, entry)| (entry.failed, entry.since_s, **peer == newcomer));
        if let Some(peer) = worst.map(|(peer, _)| *peer) {
            self.peers.remove(&peer);
        }
    }

    fn publish(&self) {
        let mut list: Vec<KnownPeer> = Vec::new();
        for (peer, entry) in &self.peers {
            let Entry { address, since_s, answered_s, proven, .. } = entry;
            let address = format!("{address}/p2p/{peer}");
            list.push(KnownPeer { address, since_s: *since_s, answered_s: *answered_s, proven: *proven });
        }
        self.published.send_if_modified(|published| {
            let changed = *published != list;
            *published = list;
            changed
        });
    }
}

#[cfg(test)]
mod tests {
    use libp2p::identity;

    use super::*;

    fn peer(number: u16) -> PeerId {
        let mut seed = [0; 32];
        seed[..2].copy_from_slice(&number.to_le_bytes());
        identity::Keypair::ed25519_from_bytes(seed).unwrap().public().to_peer_id()
    }

    fn at(prefix: u16) -> Multiaddr {
        format!("/ip4/10.{}.{}.1/tcp/1", prefix / 256, prefix % 256).parse().unwrap()
    }

    fn known() -> KnownPeers {
        KnownPeers::read(&[], peer(9_999))
    }

    fn has(known: &KnownPeers, number: u16) -> bool {
        known.in_turn().iter().any(|(other, _)| *other == peer(number))
    }

    /// (`NE-12`) The friends of old are few; then come many names, from one prefix or from one each.
    #[test]
    fn a_crowd_takes_a_share_and_no_older_peers_place() {
        for prefixes in [1, 600] {
            let mut known = known();
            for number in 0..40 {
                known.insert(peer(number), Entry::new(at(1_000 + number), (5, 5), true));
            }
            for number in 0..600 {
                known.answered(peer(1_000 + number), at(number % prefixes));
            }
            assert!((0..40).all(|number| has(&known, number)), "{prefixes}");
            let most = if prefixes == 1 {
                40 + limits::KNOWN_ANSWERED_PER_PREFIX_MAX
            } else {
                limits::KNOWN_ANSWERED_MAX
            };
            assert_eq!(known.peers.len(), most, "{prefixes}");
        }
    }

    /// (`NE-12`) The list is full of old peers, some of which do not answer any more; then keys of a few prefixes come.
    #[test]
    fn a_crowded_prefix_never_takes_the_last_place_of_another() {
        let mut known = known();
        let full = u16::try_from(limits::KNOWN_ANSWERED_MAX).unwrap();
        for number in 0..full {
            known.insert(peer(number), Entry::new(at(1_000 + number), (5, 5), true));
        }
        for number in 0..full / 2 {
            known.failed(&peer(number));
        }
        // A stranger of a new prefix may have the place of one that does not answer; further ones of its prefix may not.
        for number in 0..100 {
            known.answered(peer(2_000 + number), at(number % 4));
        }
        let gone = (0..full).filter(|number| !has(&known, *number)).count();
        assert_eq!((gone, known.peers.len()), (4, limits::KNOWN_ANSWERED_MAX));
        assert!((full / 2..full).all(|number| has(&known, number)), "those that answer stay");
    }

    /// (`NE-12`) The keys that answered last, as many as are dialled at once and more, are of one prefix.
    #[test]
    fn the_turn_goes_by_prefix_and_age_and_not_by_the_last_answer() {
        let mut known = known();
        let now = unix_s();
        for number in 0..16 {
            let entry = Entry::new(at(1), (100 + u64::from(number), now), true);
            known.insert(peer(number), entry);
        }
        for (number, since) in [(20, 300), (21, 200), (22, 50)] {
            known.insert(peer(number), Entry::new(at(number / 22 + 2), (since, now - 100_000), true));
        }
        known.insert(peer(30), Entry::new(at(4), (1, now), false));
        let turn: Vec<PeerId> = known.in_turn().into_iter().map(|(peer, _)| peer).collect();
        let firsts = [22, 0, 21, 30].map(peer);
        assert_eq!(turn[..4], firsts, "one of each prefix, the longest known first, who only came last");
        assert_eq!(turn[4..7], [1, 20, 2].map(peer), "then a second of each");
        assert_eq!(turn.len(), 20);
    }

    /// (`NE-12`) Many names come by themselves, from one prefix or from one each, after friends that answered.
    #[test]
    fn peers_that_come_by_themselves_have_a_share_and_places_of_their_own() {
        for (prefixes, most) in [(1, limits::KNOWN_CAME_PER_PREFIX_MAX), (600, limits::KNOWN_CAME_MAX)] {
            let mut known = known();
            known.came(peer(900), at(900));
            for number in 0..u16::try_from(limits::KNOWN_ANSWERED_MAX).unwrap() + 10 {
                known.answered(peer(number), at(1_000 + number));
            }
            let friends = limits::KNOWN_ANSWERED_MAX;
            for number in 0..600 {
                known.came(peer(1_000 + number), at(number % prefixes));
            }
            assert_eq!(known.peers.len(), friends + most.min(limits::KNOWN_CAME_MAX - 1) + 1, "{prefixes}");
            assert!(has(&known, 900), "the first that came stays");
            let turn: Vec<PeerId> = known.in_turn().into_iter().map(|(peer, _)| peer).collect();
            assert!(
                (0..u16::try_from(friends).unwrap()).all(|number| turn[..friends].contains(&peer(number)))
            );
            // One that answers is one of those that did from then on, and its later claims move nothing.
            known.peers.remove(&peer(0));
            let last = *turn.last().unwrap();
            known.answered(last, at(7_000));
            known.came(last, at(8_000));
            assert!(known.in_turn().contains(&(last, at(7_000))));
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_while_others_do_makes_room_first() {
        for nobody_answered in [false, true] {
            let mut known = known();
            for number in 0..u16::try_from(limits::KNOWN_ANSWERED_MAX).unwrap() {
                known.insert(peer(number), Entry::new(at(number), (5, 5), true));
            }
            known.failed(&peer(7));
            if nobody_answered {
                known.forget_failures();
            }
            known.answered(peer(2_000), at(2_000));
            assert_eq!((has(&known, 7), has(&known, 2_000)), (nobody_answered, !nobody_answered));
        }
    }

    #[test]
    fn a_peer_that_is_not_connected_for_too_long_is_forgotten() {
        let mut known = known();
        known.insert(peer(1), Entry::new(at(1), (5, 5), true));
        known.insert(peer(2), Entry::new(at(2), (5, 5), true));
        known.still_there(|there| *there == peer(2));
        assert!(!has(&known, 1) && has(&known, 2));
    }

    #[test]
    fn a_list_is_read_within_its_bounds_and_age_and_told_as_it_is() {
        let now = unix_s();
        let one = |address: String, answered_s| KnownPeer { address, since_s: 1, answered_s, proven: true };
        let good = format!("{}/p2p/{}", at(1), peer(1));
        let list = [
            one(good.clone(), now),
            one(format!("{}/p2p/{}", at(2), peer(2)), now - limits::KNOWN_LIFE.as_secs() - 10),
            one("/ip4/10.0.0.1/tcp/1".into(), now),
            one("nonsense".into(), now),
            one(format!("{}/p2p/{}", at(3), peer(3)), now),
            one(format!("{}/p2p/{}", at(4), peer(4)), u64::MAX),
        ];
        let known = KnownPeers::read(&list, peer(3));
        let told = known.published().borrow().clone();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|peer| peer.answered_s <= now + 5), "{told:?}");
        assert!(told.iter().any(|peer| peer.address == good), "{told:?}");
        let many: Vec<KnownPeer> =
            (0..1_000).map(|number| one(format!("{}/p2p/{}", at(number), peer(number)), now)).collect();
        assert_eq!(KnownPeers::read(&many, peer(9_999)).peers.len(), limits::KNOWN_ANSWERED_MAX);
    }
}
