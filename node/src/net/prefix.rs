//! Where each connected peer's connection comes from.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bombyx_protocol::ident::{NodeId, Prefix};
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// The prefixes of all connected peers; the loop writes them, and every holder of a handle reads them.
#[derive(Debug, Clone, Default)]
pub(super) struct Prefixes(Arc<Mutex<HashMap<NodeId, Prefix>>>);

impl Prefixes {
    /// Notes that a peer is connected from this address; of several connections the first counts.
    pub(super) fn connected(&self, node: NodeId, remote: &Multiaddr) {
        let mut prefixes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        prefixes.entry(node).or_insert_with(|| of(remote));
    }

    /// Forgets a peer whose last connection is closed.
    pub(super) fn disconnected(&self, node: &NodeId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    /// Returns the prefix of a peer, as far as it has a node id and is connected.
    pub(super) fn of(&self, node: Option<NodeId>) -> Prefix {
        node.and_then(|node| self.get(&node)).unwrap_or(Prefix::UNKNOWN)
    }

    /// Returns a peer's prefix, if it is connected.
    pub(super) fn get(&self, node: &NodeId) -> Option<Prefix> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied()
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

    #[test]
    fn a_peers_prefix_is_that_of_its_first_connection_and_gone_with_its_last() {
        let (prefixes, node) = (Prefixes::default(), NodeId([1; 32]));
        let address = |text: &str| text.parse::<Multiaddr>().expect("an address");
        assert_eq!(prefixes.get(&node), None);
        prefixes.connected(node, &address("/ip4/192.0.2.7/udp/4001/quic-v1"));
        prefixes.connected(node, &address("/ip6/2001:db8::1/tcp/4001"));
        assert_eq!(prefixes.get(&node), Some(Prefix::of_ipv4([192, 0, 2, 0])));
        prefixes.disconnected(&node);
        prefixes.connected(node, &address("/ip6/2001:db8::1/tcp/4001"));
        assert_ne!(prefixes.get(&node), Some(Prefix::UNKNOWN));
        prefixes.disconnected(&node);
        assert_eq!(prefixes.get(&node), None);
        prefixes.connected(node, &address("/memory/7"));
        assert_eq!(prefixes.get(&node), Some(Prefix::UNKNOWN));
    }
}
