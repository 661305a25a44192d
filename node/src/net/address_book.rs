//! The addresses known of other nodes.

use std::collections::HashMap;

use bombyx_protocol::ident::Prefix;
use libp2p::PeerId;
use libp2p::multiaddr::Multiaddr;
use web_time::Instant;

use super::address::believed;
use super::scope::Scope;
use super::{limits, prefix};

/// The addresses known of other nodes, the freshest first, within bounds.
pub(super) struct AddressBook {
    scope: Scope,
    peers: HashMap<PeerId, Entry>,
}

struct Entry {
    addresses: Vec<Multiaddr>,
    /// Where it was connected from when it was noted; else of the address that others named.
    prefix: Prefix,
    /// The newest of those that answered, or that the user wrote.
    proven: Option<Multiaddr>,
    touched: Instant,
}

impl AddressBook {
    pub(super) fn new(scope: Scope) -> Self {
        Self { scope, peers: HashMap::new() }
    }

    /// Returns the address to dial, if a peer's claim to be reachable there may be believed.
    pub(super) fn believed(&self, peer: &PeerId, claimed: &Multiaddr) -> Option<Multiaddr> {
        believed(self.scope, peer, claimed)
    }

    /// Returns the first address at which a peer says that it can be reached, of those that lie in the prefix that it connects from.
    pub(super) fn claim(&self, peer: &PeerId, claimed: &[Multiaddr], from: Prefix) -> Option<Multiaddr> {
        let believed = claimed.iter().take(limits::ADDRESSES_PER_PEER);
        believed
            .filter_map(|address| self.believed(peer, address))
            .find(|address| prefix::of(address) == from)
    }

    /// Notes an address of a peer that is connected from this prefix, if it is, when it may be believed; says whether it was new.
    pub(super) fn note(&mut self, peer: PeerId, address: &Multiaddr, from: Prefix, now: Instant) -> bool {
        self.believed(&peer, address).is_some_and(|address| self.note_believed(peer, address, from, now))
    }

    /// Notes an address that this node's own user named or that was dialled with success.
    pub(super) fn note_trusted(&mut self, peer: PeerId, address: Multiaddr, now: Instant) -> bool {
        let from = prefix::of(&address);
        let is_new = self.note_believed(peer, address.clone(), from, now);
        if let Some(entry) = self.peers.get_mut(&peer) {
            entry.proven = Some(address);
        }
        is_new
    }

    /// Notes an address of a peer that was found to be believed; says whether it was new.
    pub(super) fn note_believed(
        &mut self,
        peer: PeerId,
        address: Multiaddr,
        from: Prefix,
        now: Instant,
    ) -> bool {
        if !self.peers.contains_key(&peer) && self.peers.len() >= limits::BOOK_PEERS_MAX {
            self.forget_one();
        }
        let entry = self.peers.entry(peer).or_insert_with(|| Entry {
            addresses: Vec::new(),
            prefix: prefix::of(&address),
            proven: None,
            touched: now,
        });
        entry.touched = now;
        if from != Prefix::UNKNOWN {
            entry.prefix = from;
        }
        let known = entry.addresses.iter().position(|old| *old == address);
        if let Some(place) = known {
            entry.addresses.remove(place);
        }
        entry.addresses.insert(0, address);
        while entry.addresses.len() > limits::ADDRESSES_PER_PEER {
            let unproven = entry.addresses.iter().rposition(|known| entry.proven.as_ref() != Some(known));
            entry.addresses.remove(unproven.unwrap_or_default());
        }
        known.is_none()
    }

    pub(super) fn remove(&mut self, peer: &PeerId, address: &Multiaddr) {
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.addresses.retain(|known| known != address);
            entry.proven.take_if(|proven| proven == address);
            if entry.addresses.is_empty() {
                self.peers.remove(peer);
            }
        }
    }

    pub(super) fn of(&self, peer: &PeerId) -> Vec<Multiaddr> {
        self.peers.get(peer).map(|entry| entry.addresses.clone()).unwrap_or_default()
    }

    /// Returns the address at which a peer answered this node's own dial, if it has.
    pub(super) fn proven(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.peers.get(peer).and_then(|entry| entry.proven.clone())
    }

    /// Forgets a peer: of the prefix with the most the one that was heard of least lately. Those that answered go last: neither
    /// what strangers tell of themselves, under as many names as they like, nor what an owner of many keys makes this node
    /// dial must make it forget whom it deals with.
    fn forget_one(&mut self) {
        let has_unproven = self.peers.values().any(|entry| entry.proven.is_none());
        let candidates = || self.peers.iter().filter(|(_, entry)| entry.proven.is_none() == has_unproven);
        let counts = prefix::counts(candidates().map(|(_, entry)| entry.prefix));
        let most = counts.values().max();
        let of_the_most = candidates().filter(|(_, entry)| counts.get(&entry.prefix) == most);
        if let Some(peer) = of_the_most.min_by_key(|(_, entry)| entry.touched).map(|(peer, _)| *peer) {
            self.peers.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, peer};
    use super::*;

    #[test]
    fn what_others_claim_never_displaces_an_address_that_answered() {
        let mut book = AddressBook::new(Scope::Private);
        let now = Instant::now();
        book.note_trusted(peer(1), at("/ip4/127.0.0.1/tcp/1"), now);
        for port in 2..=20 {
            book.note(peer(1), &at(&format!("/ip4/127.0.0.1/tcp/{port}")), Prefix::UNKNOWN, now);
        }
        assert!(book.of(&peer(1)).contains(&at("/ip4/127.0.0.1/tcp/1")));
    }

    /// (`NE-12`)
    #[test]
    fn a_claim_counts_where_its_peer_connects_from_and_nowhere_else() {
        let book = AddressBook::new(Scope::Private);
        let (far, near) = (at("/ip4/10.9.9.9/tcp/1"), at("/ip4/10.0.0.200/tcp/2"));
        let from = prefix::of(&at("/ip4/10.0.0.1/tcp/50000"));
        let claim = |claimed: &[Multiaddr]| book.claim(&peer(1), claimed, from);
        assert_eq!(claim(&[far.clone(), near.clone()]), Some(near.clone()));
        assert_eq!(claim(std::slice::from_ref(&far)), None);
        let many = vec![far; limits::ADDRESSES_PER_PEER];
        assert_eq!(claim(&[many, vec![near]].concat()), None, "no more are looked at");
    }

    #[test]
    fn a_crowd_that_tells_its_addresses_makes_nobody_forget_one_that_answered() {
        let mut book = AddressBook::new(Scope::Private);
        let start = Instant::now();
        book.note_trusted(peer(1), at("/ip4/127.0.0.1/tcp/1"), start);
        for number in 1..=2 * limits::BOOK_PEERS_MAX {
            let now = start + std::time::Duration::from_millis(u64::try_from(number).unwrap());
            book.note(PeerId::random(), &at("/ip4/127.0.0.1/tcp/2"), Prefix::UNKNOWN, now);
        }
        assert_eq!(book.peers.len(), limits::BOOK_PEERS_MAX);
        assert!(!book.of(&peer(1)).is_empty());
        // One of another prefix stays even among those that answered; of the crowd the oldest goes.
        let first = PeerId::random();
        for number in 0..=limits::BOOK_PEERS_MAX {
            let now = start + std::time::Duration::from_secs(60 + u64::try_from(number).unwrap());
            let peer = if number == 0 { first } else { PeerId::random() };
            book.note_trusted(peer, at("/ip4/127.0.1.1/tcp/3"), now);
        }
        assert_eq!(book.peers.len(), limits::BOOK_PEERS_MAX);
        assert!(!book.of(&peer(1)).is_empty() && book.of(&first).is_empty());
    }

    /// (`NE-2`) Each of its keys claims an address of another prefix, and all connect from one.
    #[test]
    fn an_owner_of_many_keys_that_lie_about_where_they_are_drives_out_its_own() {
        let mut book = AddressBook::new(Scope::Private);
        let start = Instant::now();
        let from = |net: u8| Prefix::of_ipv4([10, 9, net, 1]);
        for (net, honest) in [(1, peer(1)), (1, peer(2)), (2, peer(3))] {
            book.note(honest, &at(&format!("/ip4/10.9.{net}.1/tcp/1")), from(net), start);
        }
        for number in 1..=2 * limits::BOOK_PEERS_MAX {
            let now = start + std::time::Duration::from_millis(u64::try_from(number).unwrap());
            let claimed = format!("/ip4/10.{}.{}.1/tcp/2", 10 + number / 256, number % 256);
            book.note(PeerId::random(), &at(&claimed), from(7), now);
        }
        assert_eq!(book.peers.len(), limits::BOOK_PEERS_MAX);
        assert!([peer(1), peer(2), peer(3)].iter().all(|honest| !book.of(honest).is_empty()));
    }

    #[test]
    fn the_book_keeps_the_freshest_addresses_within_its_bounds() {
        let mut book = AddressBook::new(Scope::Private);
        let now = Instant::now();
        for port in 1..=20 {
            let address = at(&format!("/ip4/127.0.0.1/tcp/{port}"));
            assert!(book.note(peer(1), &address, Prefix::UNKNOWN, now));
        }
        assert!(!book.note(peer(1), &at("/ip4/127.0.0.1/tcp/20"), Prefix::UNKNOWN, now), "known before");
        let kept = book.of(&peer(1));
        assert_eq!(kept.len(), limits::ADDRESSES_PER_PEER);
        assert_eq!(kept.first(), Some(&at("/ip4/127.0.0.1/tcp/20")));
    }
}
