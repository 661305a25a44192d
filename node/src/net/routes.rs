//! What enters the hash table: the peers that serve it and the records of providers, with addresses that may be believed.

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::ident::Prefix;
use libp2p::kad::{K_VALUE, NodeStatus, ProviderRecord, RoutingUpdate};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, identify};
use web_time::Instant;

use super::address_book::AddressBook;
use super::behaviour::Behaviour;
use super::prefix::Prefixes;
use super::{address, limits};

/// Lets peers and records into the hash table.
pub(super) struct Routes {
    /// What a peer speaks that serves the hash table.
    protocol: StreamProtocol,
    prefixes: Prefixes,
    /// Where each peer in the routing table connected from when it entered. What it tells of itself may be of any prefix.
    entered: BTreeMap<PeerId, Prefix>,
}

impl Routes {
    pub(super) fn new(protocol: StreamProtocol, prefixes: Prefixes) -> Self {
        Self { protocol, prefixes, entered: BTreeMap::new() }
    }

    /// Notes the addresses that a peer tells of itself in `book`, and in the routing table if it serves the hash table;
    /// returns whether one has a place there.
    pub(super) fn add_peer(
        &mut self,
        swarm: &mut Swarm<Behaviour>,
        book: &mut AddressBook,
        peer: PeerId,
        info: &identify::Info,
        now: Instant,
    ) -> bool {
        let from = self.prefixes.of(address::node_of(&peer));
        let serves = info.protocols.contains(&self.protocol) && self.has_room(swarm, peer, from);
        let mut has_place = false;
        for claimed in info.listen_addrs.iter().take(limits::ADDRESSES_PER_PEER) {
            let Some(address) = book.believed(&peer, claimed) else { continue };
            book.note_believed(peer, address.clone(), from, now);
            if serves {
                match swarm.behaviour_mut().kad.add_address(&peer, address) {
                    RoutingUpdate::Failed => tracing::trace!(%peer, "no place in the routing table"),
                    RoutingUpdate::Success | RoutingUpdate::Pending => has_place = true,
                }
            }
        }
        if has_place {
            self.enter(swarm, peer, from);
        }
        has_place
    }

    /// Returns whether the routing table takes a peer of this prefix: a prefix may hold as many places of a bucket as connected
    /// peers leave free, and half of them at the most. (`NE-2`)
    fn has_room(&self, swarm: &mut Swarm<Behaviour>, peer: PeerId, from: Prefix) -> bool {
        let Some(bucket) = swarm.behaviour_mut().kad.kbucket(peer) else { return false };
        let (mut connected, mut of_prefix) = (0, 0);
        for entry in bucket.iter() {
            let other = entry.node.key.preimage();
            if *other == peer {
                return true;
            }
            connected += usize::from(entry.status == NodeStatus::Connected);
            of_prefix += usize::from(self.entered.get(other) == Some(&from));
        }
        let places = K_VALUE.get();
        of_prefix < places.saturating_sub(connected).min(places / 2)
    }

    fn enter(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId, from: Prefix) {
        self.entered.insert(peer, from);
        if self.entered.len() > limits::BOOK_PEERS_MAX {
            let buckets = swarm.behaviour_mut().kad.kbuckets();
            let there: BTreeSet<PeerId> = buckets
                .flat_map(|bucket| bucket.iter().map(|entry| *entry.node.key.preimage()).collect::<Vec<_>>())
                .collect();
            self.entered.retain(|peer, _| there.contains(peer));
        }
    }

    /// Keeps a provider's record with those of its addresses that may be believed.
    ///
    /// Where none may, it gets those that the provider has told of itself or, at last, the one that its connection comes
    /// from: a record without an address leads nobody to it. (`NE-6`)
    pub(super) fn add_record(
        &self,
        swarm: &mut Swarm<Behaviour>,
        book: &AddressBook,
        record: ProviderRecord,
        now: Instant,
    ) {
        let provider = record.provider;
        let believed = |claimed: &Multiaddr| book.believed(&provider, claimed);
        let mut addresses: Vec<Multiaddr> = record.addresses.iter().filter_map(believed).collect();
        if addresses.is_empty() {
            addresses = book.of(&provider);
        }
        if addresses.is_empty() {
            addresses.extend(swarm.behaviour().door.remote(&provider).and_then(believed));
        }
        let prefix = self.prefixes.of(address::node_of(&provider));
        let records = swarm.behaviour_mut().kad.store_mut();
        records.admit(record, addresses, prefix, now);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use libp2p::identity::Keypair;
    use libp2p::swarm::ConnectionId;

    use super::super::behaviour::{build, identity, kad_protocol};
    use super::super::config::NetConfig;
    use super::super::fixtures::at;
    use super::super::friends::Friends;
    use super::super::scope::Scope;
    use super::super::streams::InboundLimiter;
    use super::*;

    /// (`NE-2`) Four hundred keys of one owner tell of themselves before anybody else does, each at an address of another prefix.
    #[tokio::test]
    async fn an_owner_of_many_keys_fills_no_bucket_of_the_routing_table() {
        let config = NetConfig::new(zeroize::Zeroizing::new([7; 32]), "test");
        let (keypair, _) = identity(&config.identity_seed).unwrap();
        let (friends, limiter) = (Friends::default(), Arc::new(InboundLimiter::default()));
        let mut swarm = build(&config, &keypair, Vec::new(), &friends, &limiter).unwrap();
        let (protocol, prefixes) = (kad_protocol("test").unwrap(), Prefixes::default());
        let mut routes = Routes::new(protocol.clone(), prefixes.clone());
        let (mut book, now) = (AddressBook::new(Scope::Private), Instant::now());
        let mut enters = |swarm: &mut Swarm<Behaviour>, number: usize, owner: usize| {
            let public_key = Keypair::generate_ed25519().public();
            let peer = public_key.to_peer_id();
            let from = at(&format!("/ip4/10.0.{owner}.1/tcp/1"));
            let connection = ConnectionId::new_unchecked(number);
            prefixes.connected(address::node_of(&peer).unwrap(), connection, &from);
            let info = identify::Info {
                public_key,
                protocol_version: String::new(),
                agent_version: String::new(),
                listen_addrs: vec![at(&format!("/ip4/10.{}.{}.1/tcp/1", 1 + number / 256, number % 256))],
                protocols: vec![protocol.clone()],
                observed_addr: from,
                signed_peer_record: None,
            };
            routes.add_peer(swarm, &mut book, peer, &info, now)
        };
        for number in 0..400 {
            enters(&mut swarm, number, 0);
        }
        let fullest = swarm.behaviour_mut().kad.kbuckets().map(|bucket| bucket.num_entries()).max();
        assert_eq!(fullest, Some(K_VALUE.get() / 2));
        assert!((1..=8).all(|owner| enters(&mut swarm, 400 + owner, owner)));
    }
}
