//! The way back into the network through peers that this node knows: whom to dial now, and when it is enough.
//!
//! A node that stopped at the first peer that answers would be led by whoever answers first, and so would one whose dials all go
//! to one owner of many keys. Dials go by the turns of [`KnownPeers::in_turn`], and on until peers of several prefixes have
//! led into the network, or all have had their turn. (`NE-12`)

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bombyx_protocol::ident::Prefix;
use libp2p::swarm::ConnectionId;
use libp2p::{Multiaddr, PeerId};
use web_time::Instant;

use super::backoff::Backoff;
use super::known::KnownPeers;
use super::{limits, prefix};

/// Rounds of dials to known peers.
pub(super) struct WayBack {
    /// Those whose turn is still to come in this round.
    queue: VecDeque<Turn>,
    dials: BTreeMap<PeerId, Dial>,
    /// The connected peers that led into the network when this node dialled them.
    ways: BTreeMap<PeerId, Turn>,
    round: Backoff,
}

/// A peer's turn to be dialled.
struct Turn {
    peer: PeerId,
    address: Multiaddr,
    /// It hung up once.
    is_second: bool,
}

struct Dial {
    connection: ConnectionId,
    turn: Turn,
    since: Instant,
}

/// What came of the wish to dial a peer.
pub(super) enum Attempt {
    Begun(ConnectionId),
    /// There is no room for it, or somebody else is dialling the peer.
    NotNow,
    /// The peer is connected, or blocked.
    Needless,
}

impl WayBack {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            queue: VecDeque::new(),
            dials: BTreeMap::new(),
            ways: BTreeMap::new(),
            round: Backoff::new(now),
        }
    }

    /// Has `dial` begin what is due. As long as this node is not part of the network, a round that is over is followed by another
    /// one, ever later.
    pub(super) fn go_on(
        &mut self,
        known: &KnownPeers,
        has_joined: bool,
        now: Instant,
        mut dial: impl FnMut(PeerId, &Multiaddr) -> Attempt,
    ) {
        // A peer that takes its time, as one that means harm would, does not hold up the others.
        let is_fresh = |dial: &&Dial| now.saturating_duration_since(dial.since) < limits::KNOWN_DIAL_TIME;
        let under_way = self.dials.values().filter(is_fresh).count();
        if !has_joined && self.queue.is_empty() && under_way == 0 && self.round.is_over(now) {
            let turns = known.in_turn().into_iter();
            self.queue = turns.map(|(peer, address)| Turn { peer, address, is_second: false }).collect();
            if !self.queue.is_empty() {
                self.round.put_off(now);
            }
        }
        let prefixes: BTreeSet<Prefix> = self.ways.values().map(|way| prefix::of(&way.address)).collect();
        if prefixes.len() >= limits::WAYS_WANTED {
            self.queue.clear();
        }
        let mut free = limits::KNOWN_DIALS_MAX.saturating_sub(under_way);
        let mut later = Vec::new();
        while free > 0
            && let Some(turn) = self.queue.pop_front()
        {
            match dial(turn.peer, &turn.address) {
                Attempt::Begun(connection) => {
                    self.dials.insert(turn.peer, Dial { connection, turn, since: now });
                    free -= 1;
                }
                Attempt::NotNow => {
                    later.push(turn);
                    free -= 1;
                }
                Attempt::Needless => {}
            }
        }
        self.queue.extend(later);
    }

    /// Notes that a dial failed; returns whose it was, if it was of this round.
    pub(super) fn on_dial_failed(&mut self, connection: ConnectionId) -> Option<PeerId> {
        let failed = self.dials.iter().find(|(_, dial)| dial.connection == connection);
        let peer = failed.map(|(peer, _)| *peer)?;
        self.dials.remove(&peer);
        Some(peer)
    }

    /// Notes that a connected peer is of this network; returns whether it was being tried, or had its turn before it. One that
    /// came before its turn is not counted: an owner of many keys could have them all come, and end the dials.
    pub(super) fn on_same_network(&mut self, peer: &PeerId) -> bool {
        let waiting = self.queue.iter().position(|turn| turn.peer == *peer);
        let came = waiting.and_then(|place| self.queue.remove(place)).is_some();
        let dialled = self.dials.remove(peer);
        let led = dialled.is_some();
        self.ways.extend(dialled.map(|dial| (*peer, dial.turn)));
        led || came
    }

    /// Counts a peer that a join address named and that led into the network.
    pub(super) fn add(&mut self, peer: PeerId, address: &Multiaddr) {
        self.ways.entry(peer).or_insert_with(|| Turn { peer, address: address.clone(), is_second: false });
    }

    /// Notes that a peer hung up, or is of another network; returns whether it had not answered yet. It has a second turn, because
    /// a peer that still held connections of this node's last life has closed them all. (`NE-13`)
    pub(super) fn on_lost(&mut self, peer: &PeerId) -> bool {
        let dialled = self.dials.remove(peer).map(|dial| dial.turn);
        let is_new = dialled.is_some();
        let lost = dialled.or_else(|| self.ways.remove(peer)).filter(|turn| !turn.is_second);
        self.queue.extend(lost.map(|turn| Turn { is_second: true, ..turn }));
        is_new
    }

    /// Begins anew, because this node has lost everybody.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.queue.clear();
        self.ways.clear();
        self.round = Backoff::new(now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::super::fixtures::peer;
    use super::super::known::KnownPeer;
    use super::*;

    /// Peers by prefix, the longest known first, and the last of them the last to answer.
    fn known(prefixes: &[u8]) -> KnownPeers {
        let now = super::super::calendar::unix_s();
        let list: Vec<KnownPeer> = prefixes
            .iter()
            .zip(1_u8..)
            .map(|(prefix, number)| KnownPeer {
                address: format!("/ip4/10.0.{prefix}.{number}/tcp/1/p2p/{}", peer(number)),
                since_s: u64::from(number),
                answered_s: now - 1_000 + u64::from(number),
                proven: true,
            })
            .collect();
        KnownPeers::read(&list, peer(255))
    }

    fn numbers(count: u8) -> Vec<u8> {
        (1..=count).collect()
    }

    /// One that dials.
    struct Node {
        way_back: WayBack,
        known: KnownPeers,
        now: Instant,
        has_joined: bool,
        connected: BTreeSet<PeerId>,
        dialled: Vec<PeerId>,
    }

    impl Node {
        fn that_knows(prefixes: &[u8]) -> Self {
            let now = Instant::now();
            Self {
                way_back: WayBack::new(now),
                known: known(prefixes),
                now,
                has_joined: false,
                connected: BTreeSet::new(),
                dialled: Vec::new(),
            }
        }

        /// Dials what is due now.
        fn dials(&mut self) -> Vec<(PeerId, ConnectionId)> {
            let (dialled, mut due) = (&mut self.dialled, Vec::new());
            self.way_back.go_on(&self.known, self.has_joined, self.now, |peer, _| {
                if self.connected.contains(&peer) {
                    return Attempt::Needless;
                }
                let dial = ConnectionId::new_unchecked(dialled.len());
                dialled.push(peer);
                due.push((peer, dial));
                Attempt::Begun(dial)
            });
            assert!(due.len() <= limits::KNOWN_DIALS_MAX);
            due
        }

        /// Dials until nobody is due any more. Those that `answers` says of are connected from then on; the others fail or, if
        /// `hangs` says so, are never heard of again. There is no other round.
        fn finish(&mut self, answers: impl Fn(&PeerId) -> bool, hangs: impl Fn(&PeerId) -> bool) {
            loop {
                let due = self.dials();
                self.has_joined = true;
                if due.is_empty() {
                    return;
                }
                for (peer, dial) in due {
                    if answers(&peer) {
                        assert!(self.way_back.on_same_network(&peer));
                        self.connected.insert(peer);
                    } else if !hangs(&peer) {
                        assert_eq!(self.way_back.on_dial_failed(dial), Some(peer));
                    }
                }
                self.now += limits::KNOWN_DIAL_TIME;
            }
        }
    }

    /// (`NE-12`) An owner of sixteen keys, or of two times sixteen, was the last to answer; of the others only one is there.
    #[test]
    fn many_keys_of_one_or_two_prefixes_are_not_the_only_way_back() {
        for owned in [vec![1; 16], [[1; 16], [2; 16]].concat()] {
            let others = [vec![3; 10], vec![4]].concat();
            let honest = peer(11);
            let is_owned = |other: &PeerId| (12..12 + 32).any(|number| peer(number) == *other);
            // They answer, or they take the places and say nothing.
            for answer in [true, false] {
                let mut node = Node::that_knows(&[others.clone(), owned.clone()].concat());
                node.finish(|peer| *peer == honest || (answer && is_owned(peer)), is_owned);
                assert!(node.connected.contains(&honest), "{} keys", owned.len());
            }
        }
    }

    /// (`NE-12`)
    #[test]
    fn dials_end_with_the_third_prefix_or_when_all_had_their_turn() {
        let mut node = Node::that_knows(&numbers(100));
        node.finish(|_| true, |_| false);
        assert_eq!(node.dialled.len(), limits::KNOWN_DIALS_MAX);
        let mut node = Node::that_knows(&[[1; 10], [2; 10]].concat());
        node.finish(|_| true, |_| false);
        assert_eq!((node.dialled.len(), node.connected.len()), (20, 20), "each once");
    }

    #[test]
    fn a_round_that_led_nowhere_is_followed_by_another_ever_later_and_one_that_led_is_not() {
        let mut node = Node::that_knows(&[1, 2]);
        let (start, mut rounds) = (node.now, 0);
        for tick in 0..4 * 300 {
            node.now = start + Duration::from_millis(250) * tick;
            let due = node.dials();
            rounds += usize::from(!due.is_empty());
            due.iter().for_each(|(_, dial)| assert!(node.way_back.on_dial_failed(*dial).is_some()));
        }
        // After 0, 1, 3, 7, 15, 31, 63, 123 s and so on, each wait up to a quarter longer.
        assert!((8..=12).contains(&rounds), "{rounds}");
        node.now += Duration::from_secs(1_000);
        node.has_joined = true;
        assert!(node.dials().is_empty());
        node.has_joined = false;
        node.way_back.begin_anew(node.now);
        assert_eq!(node.dials().len(), 2);
    }

    /// (`NE-12`) Known keys of three prefixes come by themselves as soon as the node is there.
    #[test]
    fn known_peers_that_come_before_their_turn_have_had_it_and_end_no_dials() {
        let mut node = Node::that_knows(&numbers(20));
        for (_, dial) in node.dials() {
            assert!(node.way_back.on_dial_failed(dial).is_some());
        }
        assert!((15..=20).all(|number| node.way_back.on_same_network(&peer(number))));
        assert!(!node.way_back.on_same_network(&peer(200)), "a stranger leads nowhere");
        node.finish(|_| false, |_| false);
        assert_eq!(node.dialled, (1..15).map(peer).collect::<Vec<_>>());
    }

    /// (`NE-13`) After a kill the peers that it knew close what it opens; it dials each of them again, once.
    #[test]
    fn a_peer_that_hangs_up_has_a_second_turn_and_no_third() {
        let mut node = Node::that_knows(&numbers(4));
        node.finish(|_| true, |_| false);
        for times in [2, 3] {
            node.connected.clear();
            assert!((1..=4).all(|number| !node.way_back.on_lost(&peer(number))));
            node.finish(|_| true, |_| false);
            assert_eq!(node.dialled.len(), 4 * times.min(2));
        }
    }

    #[test]
    fn one_that_cannot_be_dialled_now_has_its_turn_later() {
        let mut node = Node::that_knows(&numbers(2));
        let mut asked = 0;
        for has_room in [false, false, true] {
            node.way_back.go_on(&node.known, false, node.now, |_, _| {
                asked += 1;
                if has_room { Attempt::Begun(ConnectionId::new_unchecked(asked)) } else { Attempt::NotNow }
            });
        }
        assert_eq!((asked, node.way_back.dials.len()), (6, 2));
    }
}
