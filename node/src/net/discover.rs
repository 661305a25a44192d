//! The discovery duty: announce what this node provides, find who provides what, keep topics populated, and keep the
//! routing table fresh.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use bombyx_protocol::ident::{NodeId, Prefix};
use libp2p::core::Endpoint;
use libp2p::gossipsub::IdentTopic;
use libp2p::kad::{GetProvidersError, GetProvidersOk, QueryId, RecordKey};
use libp2p::swarm::{ConnectionId, NetworkBehaviour as _};
use libp2p::{Multiaddr, PeerId, Swarm};
use sha2::{Digest as _, Sha256};
use web_time::Instant;

use super::announce::Announcements;
use super::backoff::jittered;
use super::behaviour::Behaviour;
use super::dial::Dialer;
use super::gossip::{Topics, listeners};
use super::joint::NetEvent;
use super::market::MARKET;
use super::meet::{Meetings, PeerView, draw};
use super::outbox::Outbox;
use super::streams::InboundLimiter;
use super::survey::Survey;
use super::{address, limits, prefix};

/// What this node provides and seeks.
pub(super) struct Discovery {
    announce_topics: bool,
    announcements: Announcements,
    searches: BTreeMap<String, Search>,
    finds: HashMap<QueryId, Find>,
    pub(super) meetings: Meetings,
    pub(super) survey: Survey,
    next_bootstrap: Instant,
}

/// The search for a topic's listeners.
struct Search {
    subscribed: bool,
    /// End of the interest in a topic that is only published on.
    until: Instant,
    next: Instant,
    backoff: Duration,
}

/// A running search for providers.
struct Find {
    key: [u8; 32],
    purpose: Purpose,
    /// The peers that were found, each with the prefix of its address.
    found: BTreeMap<PeerId, Prefix>,
    /// How many of each prefix were dialled.
    dialled: BTreeMap<Prefix, usize>,
}

enum Purpose {
    /// The node asked.
    Asked,
    /// The node wants to meet them.
    Meeting,
    /// The node wants to know what they sell.
    Survey,
    /// A topic has few listeners connected; up to so many more are dialled.
    Topic { wanted: usize },
}

/// Returns the key under which a topic's listeners announce themselves. (`NE-16`)
pub(super) fn topic_key(network_topic: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"bombyx topic listeners\0");
    hash.update(network_topic.as_bytes());
    hash.finalize().into()
}

impl Discovery {
    pub(super) fn new(network: &str, announce_topics: bool, now: Instant) -> Self {
        Self {
            announce_topics,
            announcements: Announcements::default(),
            searches: BTreeMap::new(),
            finds: HashMap::new(),
            meetings: Meetings::default(),
            survey: Survey::new(network, now),
            next_bootstrap: now + jittered(limits::BOOTSTRAP_EVERY),
        }
    }

    /// Returns the key under which a topic's listeners announce themselves. Those of the market's are
    /// the ones that sell. (`NE-14`)
    fn key_of(&self, name: &IdentTopic, topic: &str) -> [u8; 32] {
        if topic == MARKET { self.survey.key() } else { topic_key(name.hash().as_str()) }
    }

    pub(super) fn provide(&mut self, key: [u8; 32], now: Instant) {
        self.announcements.provide(key, now);
    }

    pub(super) fn withdraw(&mut self, swarm: &mut Swarm<Behaviour>, key: &[u8; 32]) {
        self.announcements.withdraw(swarm, key);
    }

    /// Notes that this node listens to a topic from now on.
    pub(super) fn subscribed(&mut self, topics: &Topics, topic: &str, now: Instant) {
        self.seek(topic, now).subscribed = true;
        if let (true, Some(name)) = (self.announce_topics, topics.topic(topic)) {
            self.provide(self.key_of(&name, topic), now);
        }
    }

    pub(super) fn unsubscribed(&mut self, swarm: &mut Swarm<Behaviour>, topics: &Topics, topic: &str) {
        self.searches.remove(topic);
        if let (true, Some(name)) = (self.announce_topics, topics.topic(topic)) {
            self.withdraw(swarm, &self.key_of(&name, topic));
        }
    }

    /// Notes that this node publishes on a topic, and wants listeners for a while.
    pub(super) fn published(&mut self, topic: &str, now: Instant) {
        // Those that listen to the market's are visited one by one.
        if topic == MARKET && !self.searches.contains_key(topic) {
            return;
        }
        if self.searches.contains_key(topic) || self.searches.len() < limits::TOPICS_MAX {
            self.seek(topic, now).until = now + limits::PUBLISHED_TOPIC_LIFE;
        }
    }

    fn seek(&mut self, topic: &str, now: Instant) -> &mut Search {
        self.searches.entry(topic.to_owned()).or_insert(Search {
            subscribed: false,
            until: now,
            next: now,
            backoff: limits::SEARCH_BACKOFF_MIN,
        })
    }

    /// Looks a model's providers up for the node. A search that already runs answers this question too.
    pub(super) fn find(&mut self, swarm: &mut Swarm<Behaviour>, key: [u8; 32], out: &mut Outbox) {
        let running =
            self.finds.values().any(|find| find.key == key && matches!(find.purpose, Purpose::Asked));
        if running {
            return;
        }
        if self.finds.len() >= limits::FINDS_MAX {
            out.push(NetEvent::Providers { key, nodes: Vec::new() });
            return;
        }
        self.start(swarm, key, Purpose::Asked);
    }

    fn start(&mut self, swarm: &mut Swarm<Behaviour>, key: [u8; 32], purpose: Purpose) {
        let query = swarm.behaviour_mut().kad.get_providers(RecordKey::new(&key));
        self.finds.insert(query, Find { key, purpose, found: BTreeMap::new(), dialled: BTreeMap::new() });
    }

    /// Takes the news of a search for providers. Answers repeat what other answers said, so they are collected in a set.
    pub(super) fn on_providers(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        dialer: &mut Dialer,
        query: QueryId,
        result: Result<GetProvidersOk, GetProvidersError>,
        last: bool,
        out: &mut Outbox,
    ) {
        let own = *swarm.local_peer_id();
        let Some(find) = self.finds.get_mut(&query) else { return };
        let providers = match result {
            Ok(GetProvidersOk::FoundProviders { providers, .. }) => providers,
            Ok(GetProvidersOk::FinishedWithNoAdditionalRecord { .. }) | Err(_) => Default::default(),
        };
        let now = Instant::now();
        for peer in providers.into_iter().filter(|peer| *peer != own && address::node_of(peer).is_some()) {
            if find.found.len() >= limits::PROVIDERS_ENOUGH || find.found.contains_key(&peer) {
                continue;
            }
            let addresses = addresses_found(swarm, peer);
            let mut believed: Vec<Multiaddr> = addresses
                .iter()
                .filter_map(|claimed| dialer.book.believed(&peer, claimed))
                .take(limits::ADDRESSES_PER_PEER)
                .collect();
            // The book has the freshest first.
            for address in believed.iter().rev() {
                dialer.book.note_believed(peer, address.clone(), Prefix::UNKNOWN, now);
            }
            let known = dialer.book.of(&peer);
            believed.extend(known);
            find.found.insert(peer, believed.first().map_or(Prefix::UNKNOWN, prefix::of));
            match find.purpose {
                Purpose::Meeting => self.meetings.found(&find.key, peer, &believed),
                Purpose::Survey => self.survey.found(peer, &believed),
                Purpose::Asked | Purpose::Topic { .. } => {}
            }
        }
        find.dial_some(swarm, dialer, now);
        if !last
            && find.found.len() >= limits::PROVIDERS_ENOUGH
            && let Some(mut query) = swarm.behaviour_mut().kad.query_mut(&query)
        {
            query.finish();
        }
        if last && let Some(find) = self.finds.remove(&query) {
            match find.purpose {
                Purpose::Asked => {
                    let mut nodes: Vec<NodeId> = find.found.keys().filter_map(address::node_of).collect();
                    nodes.sort_unstable();
                    out.push(NetEvent::Providers { key: find.key, nodes });
                }
                Purpose::Meeting => self.meetings.searched(&find.key),
                Purpose::Survey => self.survey.searched(),
                Purpose::Topic { .. } => {}
            }
        }
    }

    /// Searches for, dials and tells of providers that are to be met.
    pub(super) fn go_on_meeting(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        dialer: &mut Dialer,
        limiter: &InboundLimiter,
        is_ready: &dyn Fn(&Swarm<Behaviour>, &PeerId) -> bool,
        routes: usize,
        out: &mut Outbox,
    ) {
        let now = Instant::now();
        for key in self.meetings.due(routes, now) {
            if self.finds.len() < limits::FINDS_MAX {
                self.start(swarm, key, Purpose::Meeting);
            } else {
                self.meetings.searched(&key);
            }
        }
        let known = PeerView { dialer, limiter, is_ready };
        for peer in self.meetings.take_due(swarm, &known, now) {
            dialer.reach_known(swarm, peer, now);
        }
        let known = PeerView { dialer, limiter, is_ready };
        self.meetings.tell(swarm, &known, now, out);
    }

    /// Looks up those that sell, visits them and tells of them, while the node wants to know.
    pub(super) fn go_on_surveying(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        dialer: &mut Dialer,
        peers: &BTreeSet<NodeId>,
        routes: usize,
        out: &mut Outbox,
    ) {
        let now = Instant::now();
        if self.survey.take_search(routes, now) {
            if self.finds.len() < limits::FINDS_MAX {
                self.start(swarm, self.survey.key(), Purpose::Survey);
            } else {
                self.survey.searched();
            }
        }
        self.survey.go_on(swarm, dialer, |node| peers.contains(node), now, out);
    }

    pub(super) fn on_tick(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        topics: &Topics,
        routes: usize,
        now: Instant,
    ) {
        self.announcements.on_tick(swarm, routes, now);
        self.populate(swarm, topics, routes, now);
        if now >= self.next_bootstrap {
            self.next_bootstrap = now + jittered(limits::BOOTSTRAP_EVERY);
            // Without a known peer there is nothing to refresh; joining goes on elsewhere.
            let _ = swarm.behaviour_mut().kad.bootstrap();
        }
    }

    /// Seeks listeners for the topics that have few of them connected. (`NE-16`)
    fn populate(&mut self, swarm: &mut Swarm<Behaviour>, topics: &Topics, routes: usize, now: Instant) {
        self.searches.retain(|_, search| search.subscribed || search.until > now);
        if routes == 0 {
            return;
        }
        let mut starts = Vec::new();
        for (topic, search) in &mut self.searches {
            let Some(name) = topics.topic(topic).filter(|_| search.next <= now) else { continue };
            let heard = listeners(&swarm.behaviour().gossip, &name.hash());
            if heard >= limits::TOPIC_PEERS_MIN {
                search.backoff = limits::SEARCH_BACKOFF_MIN;
                search.next = now + limits::SEARCH_BACKOFF_MIN;
            } else if self.finds.len() + starts.len() < limits::FINDS_MAX {
                search.next = now + jittered(search.backoff);
                let longest =
                    if heard == 0 { limits::SEARCH_BACKOFF_ALONE } else { limits::SEARCH_BACKOFF_MAX };
                search.backoff = (search.backoff * 2).min(longest);
                let key = if topic == MARKET { self.survey.key() } else { topic_key(name.hash().as_str()) };
                starts.push((key, limits::TOPIC_PEERS_MIN - heard));
            }
        }
        for (key, wanted) in starts {
            self.start(swarm, key, Purpose::Topic { wanted });
        }
    }
}

impl Find {
    /// Dials a topic's listeners while the search still runs, drawn as providers are. (`NE-5`)
    fn dial_some(&mut self, swarm: &mut Swarm<Behaviour>, dialer: &mut Dialer, now: Instant) {
        let Purpose::Topic { wanted } = self.purpose else { return };
        let mut left: Vec<(PeerId, Prefix)> = self
            .found
            .iter()
            .filter(|(peer, _)| !swarm.is_connected(peer) && !dialer.is_reaching(peer))
            .map(|(peer, prefix)| (*peer, *prefix))
            .collect();
        while let Some(peer) = draw(left.iter().copied(), &self.dialled, wanted) {
            left.retain(|(other, _)| *other != peer);
            if let Some(prefix) = self.found.get(&peer) {
                *self.dialled.entry(*prefix).or_default() += 1;
            }
            dialer.reach_known(swarm, peer, now);
        }
    }
}

/// Returns the addresses that a search which still runs was told of a peer. Kademlia keeps them to
/// itself except when it is asked for what is to be dialled.
fn addresses_found(swarm: &mut Swarm<Behaviour>, peer: PeerId) -> Vec<Multiaddr> {
    let nobody = ConnectionId::new_unchecked(0);
    let kad = &mut swarm.behaviour_mut().kad;
    kad.handle_pending_outbound_connection(nobody, Some(peer), &[], Endpoint::Dialer).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_topic_has_its_own_key() {
        assert_ne!(topic_key("bombyx/dev/a"), topic_key("bombyx/dev/b"));
        assert_ne!(topic_key("bombyx/dev/a"), topic_key("bombyx/main/a"));
    }

    #[test]
    fn a_topic_that_is_only_published_on_is_sought_for_a_while() {
        let now = Instant::now();
        let mut discovery = Discovery::new("test", true, now);
        discovery.published("calls", now);
        let search = &discovery.searches["calls"];
        assert!(!search.subscribed && search.until == now + limits::PUBLISHED_TOPIC_LIFE);
        assert!(discovery.announcements.is_empty(), "publishing alone announces nothing");
    }

    #[test]
    fn topics_stay_within_their_bounds() {
        let now = Instant::now();
        let mut discovery = Discovery::new("test", true, now);
        for number in 0..limits::TOPICS_MAX + 10 {
            discovery.published(&number.to_string(), now);
        }
        assert_eq!(discovery.searches.len(), limits::TOPICS_MAX);
    }
}
