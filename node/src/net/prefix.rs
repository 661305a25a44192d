//! Where each connected peer's connection comes from.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bombyx_protocol::ident::{NodeId, Prefix};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;

/// The prefixes of all connected peers; the loop writes them, and every holder of a handle reads them.
///
/// Of several connections the oldest that stands counts: one that is gone says nothing of where a peer is, and an address that was
/// borrowed for a second would be kept for as long as another connection lasts.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefixes(Arc<Mutex<HashMap<NodeId, Connections>>>);

/// The connections of a peer that stand, the oldest first.
type Connections = Vec<(ConnectionId, Prefix)>;

impl Prefixes {
    /// Notes that a peer is connected from this address.
    pub(super) fn connected(&self, node: NodeId, connection: ConnectionId, remote: &Multiaddr) {
        let mut prefixes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prefixes.entry(node).or_default().push((connection, of(remote)));
    }

    /// Forgets a connection that is closed, and a peer with its last one.
    pub(super) fn closed(&self, node: &NodeId, connection: ConnectionId) {
        let mut prefixes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = prefixes.get_mut(node) {
            connections.retain(|(standing, _)| *standing != connection);
            if connections.is_empty() {
                prefixes.remove(node);
            }
        }
    }

    /// Returns the prefix of a peer, as far as it has a node id and is connected.
    pub(super) fn of(&self, node: Option<NodeId>) -> Prefix {
        node.and_then(|node| self.get(&node)).unwrap_or(Prefix::UNKNOWN)
    }

    /// Returns a peer's prefix, if it is connected.
    pub(super) fn get(&self, node: &NodeId) -> Option<Prefix> {
        let prefixes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prefixes.get(node)?.first().map(|(_, prefix)| *prefix)
    }
}

/// Returns an address's prefix: that of its first IP address, which for a relayed connection is the
/// relay's.
pub(super) fn of(remote: &Multiaddr) -> Prefix {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the enum is not exhaustive")]
    let ip = remote.iter().find_map(|part| match part {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(IpAddr::V6(ip)),
        _ => None,
    });
    match ip {
        Some(IpAddr::V4(ip)) => Prefix::of_ipv4(ip.octets()),
        Some(IpAddr::V6(ip)) => Prefix::of_ipv6(ip.octets()),
        None => Prefix::UNKNOWN,
    }
}

/// Returns how many there are of each prefix.
pub(super) fn counts(prefixes: impl Iterator<Item = Prefix>) -> BTreeMap<Prefix, usize> {
    let mut counts = BTreeMap::new();
    prefixes.for_each(|prefix| *counts.entry(prefix).or_default() += 1);
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (`NE-2`)
    #[test]
    fn a_peers_prefix_is_that_of_its_oldest_connection_that_stands() {
        let (prefixes, node) = (Prefixes::default(), NodeId([1; 32]));
        let address = |text: &str| text.parse::<Multiaddr>().expect("an address");
        let connection = ConnectionId::new_unchecked;
        assert_eq!(prefixes.get(&node), None);
        prefixes.connected(node, connection(1), &address("/ip4/192.0.2.7/udp/4001/quic-v1"));
        prefixes.connected(node, connection(2), &address("/ip4/198.51.100.1/tcp/4001"));
        assert_eq!(prefixes.get(&node), Some(Prefix::of_ipv4([192, 0, 2, 0])));
        prefixes.closed(&node, connection(1));
        assert_eq!(
            prefixes.get(&node),
            Some(Prefix::of_ipv4([198, 51, 100, 0])),
            "it was there for a moment"
        );
        prefixes.closed(&node, connection(2));
        assert_eq!(prefixes.get(&node), None);
        prefixes.connected(node, connection(3), &address("/ip6/2001:db8::1/tcp/4001"));
        assert_ne!(prefixes.get(&node), Some(Prefix::UNKNOWN));
        prefixes.closed(&node, connection(3));
        prefixes.connected(node, connection(4), &address("/memory/7"));
        assert_eq!(prefixes.get(&node), Some(Prefix::UNKNOWN));
    }
}
