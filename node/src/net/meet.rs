//! Meeting providers: a client finds the providers of a model by its key, dials some of them, and only then calls. They
//! answer over the connections that it made. (`NE-1`)
//!
//! Records in the hash table cost nothing to make, so who is dialled is drawn so that prefixes have equal chances, and a
//! prefix takes no more of the dials than it leaves. Providers that never said a word make room for others. (`NE-5`)

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::ident::Prefix;
use libp2p::{Multiaddr, PeerId, Swarm};
use rand::seq::IteratorRandom as _;
use web_time::Instant;

use super::behaviour::Behaviour;
use super::dial::Dialer;
use super::joint::NetEvent;
use super::outbox::Outbox;
use super::streams::InboundLimiter;
use super::{limits, prefix};

/// A model's key in the hash table.
pub(super) type Key = [u8; 32];

/// The models whose providers this node wants to be connected to.
#[derive(Default)]
pub(super) struct Meetings {
    keys: BTreeMap<Key, Meeting>,
}

/// The providers of one model.
struct Meeting {
    /// End of the interest.
    until: Instant,
    /// Somebody waits to be told since then.
    asked: Option<Instant>,
    /// When the first provider was ready since somebody asked.
    ready: Option<Instant>,
    searching: bool,
    /// How many were ready when somebody was last told.
    told: Option<usize>,
    next: Instant,
    backoff: Duration,
    found: BTreeMap<PeerId, FoundProvider>,
}

/// A node that says it is a provider.
#[derive(Clone, Copy)]
struct FoundProvider {
    /// Of the first address that is claimed for it.
    prefix: Prefix,
    dialled: Option<Instant>,
}

/// How a peer stands with this node.
pub(super) struct PeerView<'a> {
    pub(super) dialer: &'a Dialer,
    pub(super) limiter: &'a InboundLimiter,
    /// Whether a peer is connected, of this network, and has told what it listens to.
    pub(super) is_ready: &'a dyn Fn(&Swarm<Behaviour>, &PeerId) -> bool,
}

/// Draws a peer to dial among the candidates: first one of the prefixes with the fewest connected peers, then one of its
/// peers. `None` when every prefix has as many as are left free. (`NE-5`)
pub(super) fn draw(
    candidates: impl Iterator<Item = (PeerId, Prefix)>,
    there: &BTreeMap<Prefix, usize>,
    places: usize,
) -> Option<PeerId> {
    let free = places.saturating_sub(there.values().sum());
    let held = |prefix: &Prefix| there.get(prefix).copied().unwrap_or(0);
    let mut by_prefix: BTreeMap<Prefix, Vec<PeerId>> = BTreeMap::new();
    for (peer, prefix) in candidates.filter(|(_, prefix)| held(prefix) < free) {
        by_prefix.entry(prefix).or_default().push(peer);
    }
    let fewest = by_prefix.keys().map(held).min()?;
    let (_, peers) =
        by_prefix.into_iter().filter(|(prefix, _)| held(prefix) == fewest).choose(&mut rand::rng())?;
    peers.into_iter().choose(&mut rand::rng())
}

/// Draws a peer of the prefix with the most of them. (`NE-5`)
pub(super) fn draw_of_the_most(peers: impl Iterator<Item = (PeerId, Prefix)> + Clone) -> Option<PeerId> {
    let counts = prefix::counts(peers.clone().map(|(_, prefix)| prefix));
    let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(prefix, _)| prefix);
    peers.filter(|(_, prefix)| Some(*prefix) == most).map(|(peer, _)| peer).choose(&mut rand::rng())
}

impl Meetings {
    /// Wants to be connected to providers of a model, and to be told when that is so.
    pub(super) fn meet(&mut self, key: Key, now: Instant) {
        if !self.keys.contains_key(&key) && self.keys.len() >= limits::MEETINGS_MAX {
            let oldest = self.keys.iter().min_by_key(|(_, meeting)| meeting.until).map(|(key, _)| *key);
            oldest.and_then(|key| self.keys.remove(&key));
        }
        let meeting = self.keys.entry(key).or_insert_with(|| Meeting {
            until: now,
            asked: None,
            ready: None,
            searching: false,
            told: None,
            next: now,
            backoff: limits::SEARCH_BACKOFF_MIN,
            found: BTreeMap::new(),
        });
        meeting.until = now + limits::MEETING_LIFE;
        meeting.asked.get_or_insert(now);
    }

    /// Returns whether anybody waits for a word.
    pub(super) fn is_waiting(&self) -> bool {
        self.keys.values().any(|meeting| meeting.asked.is_some())
    }

    /// Returns the keys to search for now. Each is answered by [`Self::searched`].
    pub(super) fn due(&mut self, routes: usize, now: Instant) -> Vec<Key> {
        self.keys.retain(|_, meeting| meeting.until > now);
        if routes == 0 {
            // There is nobody to ask yet.
            return Vec::new();
        }
        let mut due = Vec::new();
        for (key, meeting) in &mut self.keys {
            if !meeting.searching && meeting.next <= now && meeting.asked.is_some() {
                meeting.searching = true;
                meeting.next = now + meeting.backoff;
                meeting.backoff = (meeting.backoff * 2).min(limits::SEARCH_BACKOFF_MAX);
                due.push(*key);
            }
        }
        due
    }

    /// Notes that a provider was found, with the addresses at which it may be.
    pub(super) fn found(&mut self, key: &Key, peer: PeerId, addresses: &[Multiaddr]) {
        let Some(meeting) = self.keys.get_mut(key) else { return };
        let prefix = addresses.first().map_or(Prefix::UNKNOWN, prefix::of);
        if !meeting.found.contains_key(&peer) && meeting.found.len() >= limits::PROVIDERS_KNOWN {
            meeting.forget_one();
        }
        meeting.found.entry(peer).or_insert(FoundProvider { prefix, dialled: None });
    }

    /// Notes that a search is over.
    pub(super) fn searched(&mut self, key: &Key) {
        if let Some(meeting) = self.keys.get_mut(key) {
            meeting.searching = false;
        }
    }

    /// Returns the peers to dial now.
    pub(super) fn take_due(
        &mut self,
        swarm: &Swarm<Behaviour>,
        known: &PeerView<'_>,
        now: Instant,
    ) -> Vec<PeerId> {
        self.keys.values_mut().flat_map(|meeting| meeting.take_due(swarm, known, now)).collect()
    }

    /// Tells those that wait, once there is nothing more to wait for.
    pub(super) fn tell(
        &mut self,
        swarm: &Swarm<Behaviour>,
        known: &PeerView<'_>,
        now: Instant,
        out: &mut Outbox,
    ) {
        for (key, meeting) in &mut self.keys {
            let Some(asked) = meeting.asked else { continue };
            let ready = meeting.found.keys().filter(|peer| (known.is_ready)(swarm, peer)).count();
            if ready > 0 {
                meeting.ready.get_or_insert(now);
            }
            let dialling = meeting.found.keys().any(|peer| known.dialer.is_reaching(peer));
            let greeting = meeting.connected(swarm) > ready;
            let is_done = !meeting.searching && !dialling && !greeting && meeting.next > now;
            // Providers known from the last time are dialled at once, while others are looked for.
            let is_known = ready > 0 && meeting.told.is_some_and(|told| told > 0);
            let is_enough =
                meeting.ready.is_some_and(|at| now.saturating_duration_since(at) >= limits::MEET_OTHERS);
            let is_late = now.saturating_duration_since(asked) >= limits::MEET_PATIENCE;
            if is_done || is_known || is_enough || is_late {
                meeting.asked = None;
                meeting.ready = None;
                meeting.told = Some(ready);
                if ready > 0 {
                    meeting.backoff = limits::SEARCH_BACKOFF_MAX;
                    meeting.next = meeting.next.max(now + limits::SEARCH_BACKOFF_MAX);
                } else {
                    meeting.backoff = meeting.backoff.min(limits::SEARCH_BACKOFF_ALONE);
                }
                out.push(NetEvent::Met { key: *key, providers: ready });
            }
        }
    }
}

impl Meeting {
    /// Forgets one of the prefix with the most, by chance. (`NE-5`)
    fn forget_one(&mut self) {
        if let Some(peer) = draw_of_the_most(self.found.iter().map(|(peer, found)| (*peer, found.prefix))) {
            self.found.remove(&peer);
        }
    }

    fn connected(&self, swarm: &Swarm<Behaviour>) -> usize {
        self.found.keys().filter(|peer| swarm.is_connected(peer)).count()
    }

    fn take_due(&mut self, swarm: &Swarm<Behaviour>, known: &PeerView<'_>, now: Instant) -> Vec<PeerId> {
        if self.asked.is_none() && self.told != Some(0) {
            return Vec::new();
        }
        let recently = |at: Instant, span: Duration| now.saturating_duration_since(at) < span;
        let heard =
            |peer: &PeerId| known.limiter.heard_at(peer).is_some_and(|at| recently(at, limits::HEARD_LATELY));
        let all_silent = !self.found.keys().any(heard);
        let mut there: BTreeMap<Prefix, usize> = BTreeMap::new();
        let mut candidates = Vec::new();
        for (peer, found) in &self.found {
            if known.dialer.is_reaching(peer) {
                *there.entry(found.prefix).or_default() += 1;
            } else if swarm.is_connected(peer) {
                // Where nobody says a word, those that have had the time to are worth no place.
                let is_new = found.dialled.is_some_and(|at| recently(at, limits::TURN_MIN));
                *there.entry(found.prefix).or_default() += usize::from(is_new || !all_silent);
            } else if found.dialled.is_none_or(|at| !recently(at, limits::REDIAL_AFTER)) {
                candidates.push((*peer, found.prefix));
            }
        }
        let mut chosen = Vec::new();
        while let Some(peer) = draw(
            candidates.iter().copied().filter(|(peer, _)| !chosen.contains(peer)),
            &there,
            limits::PROVIDERS_MET,
        ) {
            chosen.push(peer);
            if let Some(found) = self.found.get_mut(&peer) {
                found.dialled = Some(now);
                *there.entry(found.prefix).or_default() += 1;
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(number: u8) -> Prefix {
        Prefix::of_ipv4([127, 0, number, 1])
    }

    fn drawn(candidates: &[(PeerId, Prefix)]) -> Vec<PeerId> {
        let (mut there, mut drawn) = (BTreeMap::new(), Vec::new());
        while let Some(peer) = draw(
            candidates.iter().copied().filter(|(peer, _)| !drawn.contains(peer)),
            &there,
            limits::PROVIDERS_MET,
        ) {
            drawn.push(peer);
            let (_, prefix) =
                candidates.iter().find(|(candidate, _)| *candidate == peer).copied().expect("one of them");
            *there.entry(prefix).or_default() += 1;
        }
        drawn
    }

    /// (`NE-5`)
    #[test]
    fn sixty_four_records_of_one_prefix_do_not_hide_a_provider_of_another() {
        let honest = PeerId::random();
        let mut candidates: Vec<_> = (0..64).map(|_| (PeerId::random(), prefix(1))).collect();
        let alone = drawn(&candidates);
        assert_eq!(
            alone.len(),
            limits::PROVIDERS_MET / 2,
            "and half of the dials are kept for who is found later"
        );
        candidates.push((honest, prefix(2)));
        for _ in 0..100 {
            assert!(drawn(&candidates)[..2].contains(&honest));
        }
        let there = BTreeMap::from([(prefix(1), limits::PROVIDERS_MET / 2)]);
        assert_eq!(draw(candidates.into_iter(), &there, limits::PROVIDERS_MET), Some(honest));
    }

    #[test]
    fn a_household_of_providers_is_dialled_whole() {
        let candidates: Vec<_> = (0..8).map(|_| (PeerId::random(), prefix(1))).collect();
        assert_eq!(drawn(&candidates).len(), 8);
    }

    #[test]
    fn what_is_wanted_is_bounded_and_forgotten_in_time() {
        let (mut meetings, now) = (Meetings::default(), Instant::now());
        for number in 0..limits::MEETINGS_MAX + 10 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            meetings.meet(key, now);
            for _ in 0..limits::PROVIDERS_KNOWN + 10 {
                meetings.found(&key, PeerId::random(), &[]);
            }
        }
        assert_eq!(meetings.keys.len(), limits::MEETINGS_MAX);
        assert!(meetings.keys.values().all(|meeting| meeting.found.len() == limits::PROVIDERS_KNOWN));
    }
}
