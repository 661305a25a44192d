//! Peers that answered this node's own dials, in this life and in earlier ones: the way back where every join address is dead.
//!
//! Where the list is full, those that answered first stay, as long as they answer: whoever makes this node dial many addresses
//! of theirs gets a share by prefix and takes no older peer's place. Beside them stand a few peers that came by themselves, at
//! the address that each claims: a node that nobody had to be dialled for would find nobody again. Such a claim counts only
//! where the peer itself connects from, and is tried after all others. What anybody says of third ones never counts. (`NE-12`)

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
    /// The last dial of it failed.
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

    /// Notes which peers are connected: a connection that lasts is an answer as well.
    pub(super) fn still_there(&mut self, is_connected: impl Fn(&PeerId) -> bool) {
        let now_s = unix_s();
        for (_, entry) in self.peers.iter_mut().filter(|(peer, _)| is_connected(peer)) {
            entry.answered_s = now_s;
        }
        self.publish();
    }

    /// Notes that a peer did not answer.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.failed = true;
        }
    }

    /// Returns the peers with their addresses: those that answered before those that came, each the last ones first.
    pub(super) fn in_turn(&self) -> Vec<(PeerId, Multiaddr)> {
        let mut entries: Vec<(&PeerId, &Entry)> = self.peers.iter().collect();
        entries.sort_by_key(|(_, entry)| std::cmp::Reverse((entry.proven, entry.answered_s)));
        entries.into_iter().map(|(peer, entry)| (*peer, entry.address.clone())).collect()
    }

    /// Adds a peer; one that does not answer, or one that only came, or else the youngest of the prefix with the most, makes room
    /// for it, and it may be that one itself.
    fn insert(&mut self, peer: PeerId, entry: Entry) {
        let (prefix, proven) = (entry.prefix, entry.proven);
        self.peers.insert(peer, entry);
        let count =
            |counts: &dyn Fn(&Entry) -> bool| self.peers.values().filter(|entry| counts(entry)).count();
        let of_prefix = |entry: &Entry| entry.prefix == prefix;
        let came = |entry: &Entry| !entry.proven;
        if !proven && count(&|entry| of_prefix(entry) && came(entry)) > limits::KNOWN_CAME_PER_PREFIX_MAX {
            self.drop_one(|entry| of_prefix(entry) && came(entry));
        } else if !proven && count(&came) > limits::KNOWN_CAME_MAX {
            self.drop_one(came);
        } else if count(&of_prefix) > limits::KNOWN_PER_PREFIX_MAX {
            self.drop_one(of_prefix);
        } else if self.peers.len() > limits::KNOWN_MAX {
            self.drop_one(|_| true);
        }
    }

    fn drop_one(&mut self, among: impl Fn(&Entry) -> bool) {
        let mut counts: BTreeMap<Prefix, usize> = BTreeMap::new();
        self.peers.values().for_each(|entry| *counts.entry(entry.prefix).or_default() += 1);
        let rank =
            |entry: &Entry| (entry.failed, !entry.proven, counts.get(&entry.prefix).copied(), entry.since_s);
        let worst = self.peers.iter().filter(|(_, entry)| among(entry)).max_by_key(|(_, entry)| rank(entry));
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
            let most = if prefixes == 1 { 40 + limits::KNOWN_PER_PREFIX_MAX } else { limits::KNOWN_MAX };
            assert_eq!(known.peers.len(), most, "{prefixes}");
        }
    }

    /// (`NE-12`) Many names come by themselves, from one prefix or from one each, after friends that answered.
    #[test]
    fn who_comes_by_itself_is_kept_within_a_share_and_tried_last() {
        for (prefixes, most) in [(1, limits::KNOWN_CAME_PER_PREFIX_MAX), (600, limits::KNOWN_CAME_MAX)] {
            let mut known = known();
            for number in 0..u16::try_from(limits::KNOWN_MAX).unwrap() - 10 {
                known.insert(peer(number), Entry::new(at(1_000 + number), (5, 5), true));
            }
            let friends = known.peers.len();
            for number in 0..600 {
                known.came(peer(1_000 + number), at(number % prefixes));
            }
            assert_eq!(known.peers.len(), friends + most.min(10), "{prefixes}");
            let turn: Vec<PeerId> = known.in_turn().into_iter().map(|(peer, _)| peer).collect();
            assert!(
                (0..u16::try_from(friends).unwrap()).all(|number| turn[..friends].contains(&peer(number)))
            );
            // One that answers is one of those that did from then on, and its later claims move nothing.
            let last = *turn.last().unwrap();
            known.answered(last, at(7_000));
            known.came(last, at(8_000));
            assert!(known.in_turn().contains(&(last, at(7_000))));
        }
    }

    #[test]
    fn a_peer_that_does_not_answer_makes_room_first() {
        let mut known = known();
        for number in 0..u16::try_from(limits::KNOWN_MAX).unwrap() {
            known.insert(peer(number), Entry::new(at(number), (5, 5), true));
        }
        known.failed(&peer(7));
        known.answered(peer(2_000), at(2_000));
        assert!(!has(&known, 7) && has(&known, 2_000) && has(&known, 8));
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
        assert_eq!(KnownPeers::read(&many, peer(9_999)).peers.len(), limits::KNOWN_MAX);
    }
}
