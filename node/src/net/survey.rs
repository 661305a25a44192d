//! Surveying the market: a node that wants to know what is on offer finds those that sell, whatever they sell, by one key of
//! the network, and visits them by turns. (`NE-14`)
//!
//! A visit is a connection, over which the node asks directly. It lasts for as long as an answer takes, not for as long as
//! the connection does, so however many there are, each has its turn; and prefixes have equal chances, as for a call.

use std::collections::BTreeMap;

use bombyx_protocol::ident::{NodeId, Prefix};
use libp2p::{Multiaddr, PeerId, Swarm};
use web_time::Instant;

use super::behaviour::Behaviour;
use super::dial::Dialer;
use super::joint::NetEvent;
use super::market::providers_key;
use super::meet::{draw, draw_of_the_most};
use super::outbox::Outbox;
use super::{address, limits, prefix};

/// The visits to those that sell.
pub(super) struct Survey {
    key: [u8; 32],
    /// End of the interest.
    until: Instant,
    /// A user waits to be told since then.
    asked: Option<Instant>,
    searching: bool,
    next_search: Instant,
    found: BTreeMap<PeerId, VisitedProvider>,
}

/// A node that says it sells.
#[derive(Clone, Copy)]
struct VisitedProvider {
    /// Of the address that is claimed for it.
    prefix: Prefix,
    dialled: Option<Instant>,
    /// Dials in a row that led to no connection.
    failed: u32,
    /// When the node was last told to ask it.
    visited: Option<Instant>,
}

impl Survey {
    pub(super) fn new(network: &str, now: Instant) -> Self {
        Self {
            key: providers_key(network),
            until: now,
            asked: None,
            searching: false,
            next_search: now,
            found: BTreeMap::new(),
        }
    }

    pub(super) fn key(&self) -> [u8; 32] {
        self.key
    }

    /// Wants to know of those that sell, for a while.
    pub(super) fn want(&mut self, now: Instant) {
        self.until = now + limits::SURVEY_LIFE;
        self.asked.get_or_insert(now);
    }

    /// Returns whether there is anything to do.
    pub(super) fn is_wanted(&self, now: Instant) -> bool {
        now < self.until
    }

    /// Returns whether to look the key up now; answered by [`Self::searched`].
    pub(super) fn take_search(&mut self, routes: usize, now: Instant) -> bool {
        // Without routes there is nobody to ask yet.
        let is_due = routes > 0 && self.is_wanted(now) && !self.searching && self.next_search <= now;
        if is_due {
            self.searching = true;
            self.next_search = now + limits::SURVEY_EVERY;
        }
        is_due
    }

    /// Notes that a search is over.
    pub(super) fn searched(&mut self) {
        self.searching = false;
    }

    /// Notes that one was found that sells, with the addresses at which it may be.
    pub(super) fn found(&mut self, peer: PeerId, addresses: &[Multiaddr]) {
        let prefix = addresses.first().map_or(Prefix::UNKNOWN, prefix::of);
        if !self.found.contains_key(&peer) && self.found.len() >= limits::SURVEYED_MAX {
            self.forget_one();
        }
        let provider = VisitedProvider { prefix, dialled: None, failed: 0, visited: None };
        self.found.entry(peer).or_insert(provider);
    }

    /// Forgets one of the prefix with the most, by chance. (`NE-5`)
    fn forget_one(&mut self) {
        let found = self.found.iter().map(|(peer, provider)| (*peer, provider.prefix));
        if let Some(peer) = draw_of_the_most(found) {
            self.found.remove(&peer);
        }
    }

    /// Dials those whose turn it is, tells of those that are connected, and of the end of a round.
    pub(super) fn go_on(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        dialer: &mut Dialer,
        is_known: impl Fn(&NodeId) -> bool,
        now: Instant,
        out: &mut Outbox,
    ) {
        if !self.is_wanted(now) {
            return;
        }
        let connected: Vec<PeerId> =
            self.found.keys().filter(|peer| swarm.is_connected(peer)).copied().collect();
        for peer in &connected {
            let Some(node) = address::node_of(peer).filter(|node| is_known(node)) else { continue };
            if self.visit(peer, now) {
                out.push(NetEvent::ProviderVisited(node));
            }
        }
        let reaching: Vec<PeerId> =
            self.found.keys().filter(|peer| dialer.is_reaching(peer)).copied().collect();
        for peer in self.take_due(&connected, &reaching, now) {
            dialer.reach_known(swarm, peer, now);
        }
        self.tell(&connected, &reaching, now, out);
    }

    /// Returns whether a connected one is to be asked now.
    fn visit(&mut self, peer: &PeerId, now: Instant) -> bool {
        let Some(provider) = self.found.get_mut(peer) else { return false };
        provider.failed = 0;
        let is_due =
            provider.visited.is_none_or(|at| now.saturating_duration_since(at) >= limits::VISIT_AGAIN);
        if is_due {
            provider.visited = Some(now);
        }
        is_due
    }

    /// Returns the ones to dial now: those that were never dialled before others. (`NE-5`)
    fn take_due(&mut self, connected: &[PeerId], reaching: &[PeerId], now: Instant) -> Vec<PeerId> {
        let mut there: BTreeMap<Prefix, usize> = BTreeMap::new();
        let (mut fresh, mut known) = (Vec::new(), Vec::new());
        for (peer, provider) in &self.found {
            let recently = |at: Instant, span| now.saturating_duration_since(at) < span;
            let is_answering = match (provider.visited, provider.dialled) {
                (Some(at), _) => recently(at, limits::VISIT_TIME),
                // It is connected, and has not said yet which network it is of.
                (None, Some(at)) => connected.contains(peer) && recently(at, limits::REACH_DEADLINE),
                (None, None) => false,
            };
            if reaching.contains(peer) || is_answering {
                *there.entry(provider.prefix).or_default() += 1;
            } else if connected.contains(peer) {
                // Its visit is over; it takes no place of others.
            } else if let Some(at) = provider.dialled {
                let rest = limits::VISIT_AGAIN * (1 << provider.failed.min(limits::VISIT_DOUBLINGS_MAX));
                if !recently(at, rest) {
                    known.push((*peer, provider.prefix));
                }
            } else {
                fresh.push((*peer, provider.prefix));
            }
        }
        let mut chosen = Vec::new();
        for candidates in [&mut fresh, &mut known] {
            while let Some(peer) = draw(candidates.iter().copied(), &there, limits::VISITS_MAX) {
                candidates.retain(|(other, _)| *other != peer);
                chosen.push(peer);
                if let Some(provider) = self.found.get_mut(&peer) {
                    provider.dialled = Some(now);
                    // Taken back when it is there.
                    provider.failed = provider.failed.saturating_add(1);
                    *there.entry(provider.prefix).or_default() += 1;
                }
            }
        }
        chosen
    }

    /// Tells whoever waits once all that were found have been visited, or after a while.
    fn tell(&mut self, connected: &[PeerId], reaching: &[PeerId], now: Instant, out: &mut Outbox) {
        let Some(asked) = self.asked else { return };
        let is_open = |(peer, provider): (&PeerId, &VisitedProvider)| {
            reaching.contains(peer)
                || provider.dialled.is_none() && !connected.contains(peer)
                || provider.visited.is_none() && connected.contains(peer)
        };
        let is_done = !self.searching && self.next_search > now && !self.found.iter().any(is_open);
        let is_late = now.saturating_duration_since(asked) >= limits::SURVEY_PATIENCE;
        if is_done || is_late {
            self.asked = None;
            out.push(NetEvent::Surveyed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(prefix: u8) -> [Multiaddr; 1] {
        [format!("/ip4/127.0.{prefix}.1/tcp/1").parse().expect("an address")]
    }

    fn survey(now: Instant) -> Survey {
        let mut survey = Survey::new("test", now);
        survey.want(now);
        survey
    }

    /// (`NE-14`)
    #[test]
    fn the_key_is_looked_up_now_and_then_while_somebody_wants_to_know() {
        let now = Instant::now();
        let mut survey = Survey::new("test", now);
        assert!(!survey.take_search(9, now), "nobody asked");
        survey.want(now);
        assert!(!survey.take_search(0, now), "there is nobody to ask");
        assert!(survey.take_search(9, now) && !survey.take_search(9, now));
        survey.searched();
        assert!(!survey.take_search(9, now));
        assert!(survey.take_search(9, now + limits::SURVEY_EVERY));
        survey.searched();
        assert!(!survey.take_search(9, now + limits::SURVEY_LIFE));
    }

    /// Sixty-four keys of one prefix, or of as many, that answer nothing. (`NE-5`, `NE-14`)
    #[test]
    fn an_owner_of_many_keys_does_not_keep_another_provider_from_its_turn() {
        for prefixes in [1u8, 8, 64] {
            let now = Instant::now();
            let mut survey = survey(now);
            for key in 0..64 {
                survey.found(PeerId::random(), &at(key % prefixes));
            }
            let honest = PeerId::random();
            survey.found(honest, &at(200));
            let mut now = now;
            let mut reaching = Vec::new();
            let turn = (0..10).find(|_| {
                let chosen = survey.take_due(&[], &reaching, now);
                assert!(chosen.len() <= limits::VISITS_MAX);
                // None of them ever answers; each is given up after its time.
                now += limits::REACH_DEADLINE;
                let is_its_turn = chosen.contains(&honest);
                reaching = Vec::new();
                is_its_turn
            });
            let most = usize::from(prefixes).div_ceil(limits::VISITS_MAX);
            assert!(turn.is_some_and(|turn| turn <= most), "{prefixes} prefixes: {turn:?}");
        }
    }

    /// (`NE-14`)
    #[test]
    fn all_of_one_prefix_are_visited_in_time_and_those_that_cannot_be_reached_ever_more_seldom() {
        let start = Instant::now();
        let mut survey = survey(start);
        for _ in 0..40 {
            survey.found(PeerId::random(), &at(1));
        }
        let mut dials: BTreeMap<PeerId, usize> = BTreeMap::new();
        for second in 0..600 {
            for peer in survey.take_due(&[], &[], start + Duration::from_secs(second)) {
                *dials.entry(peer).or_default() += 1;
            }
        }
        assert_eq!(dials.len(), 40);
        assert!(dials.values().all(|times| (2..=8).contains(times)), "{dials:?}");
    }

    /// (`NE-14`)
    #[test]
    fn one_that_is_connected_is_asked_now_and_then_and_takes_no_place_between() {
        let now = Instant::now();
        let mut survey = survey(now);
        let peer = PeerId::random();
        survey.found(peer, &at(1));
        assert!(survey.visit(&peer, now) && !survey.visit(&peer, now));
        assert!(survey.visit(&peer, now + limits::VISIT_AGAIN));
        for _ in 0..limits::VISITS_MAX {
            let neighbour = PeerId::random();
            survey.found(neighbour, &at(1));
            survey.visit(&neighbour, now);
        }
        let connected: Vec<PeerId> = survey.found.keys().copied().collect();
        let other = PeerId::random();
        survey.found(other, &at(1));
        assert!(survey.take_due(&connected, &[], now).is_empty(), "they are being asked");
        assert_eq!(survey.take_due(&connected, &[], now + limits::VISIT_AGAIN + limits::VISIT_TIME), [other]);
    }

    #[test]
    fn who_is_known_is_bounded_and_a_prefix_with_few_stays() {
        let mut survey = survey(Instant::now());
        let honest = PeerId::random();
        survey.found(honest, &at(2));
        for _ in 0..limits::SURVEYED_MAX * 2 {
            survey.found(PeerId::random(), &at(1));
        }
        assert_eq!(survey.found.len(), limits::SURVEYED_MAX);
        assert!(survey.found.contains_key(&honest));
    }
}
