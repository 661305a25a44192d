//! What enters the hash table: the peers that serve it and the records of providers, with addresses that may be believed.

use libp2p::kad::{ProviderRecord, RoutingUpdate};
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
}

impl Routes {
    pub(super) fn new(protocol: StreamProtocol, prefixes: Prefixes) -> Self {
        Self { protocol, prefixes }
    }

    /// Notes the addresses that a peer tells of itself in `book`, and in the routing table if it serves the hash table;
    /// returns whether one has a place there.
    pub(super) fn add_peer(
        &self,
        swarm: &mut Swarm<Behaviour>,
        book: &mut AddressBook,
        peer: PeerId,
        info: &identify::Info,
        now: Instant,
    ) -> bool {
        let serves = info.protocols.contains(&self.protocol);
        let mut has_place = false;
        for claimed in info.listen_addrs.iter().take(limits::ADDRESSES_PER_PEER) {
            let Some(address) = book.believed(&peer, claimed) else { continue };
            book.note_believed(peer, address.clone(), now);
            if serves {
                match swarm.behaviour_mut().kad.add_address(&peer, address) {
                    RoutingUpdate::Failed => tracing::trace!(%peer, "no place in the routing table"),
                    RoutingUpdate::Success | RoutingUpdate::Pending => has_place = true,
                }
            }
        }
        has_place
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
