//! Who and where: node ids as peer ids, and multiaddrs that may be used.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bombyx_protocol::ident::NodeId;
use libp2p::PeerId;
use libp2p::identity::{PublicKey, ed25519};
use libp2p::multiaddr::{Multiaddr, Protocol};
use libp2p::multihash::Multihash;

use super::error::AddressError;
use super::scope::Scope;

/// The multihash code of an identity hash: the peer id holds the key itself.
const IDENTITY_HASH: u64 = 0;

/// Returns the peer id of a node; `None` when the id is no point of the curve.
pub(super) fn peer_of(node: NodeId) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(&node.0).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

/// Returns the node id of a peer; `None` when its key is not an ed25519 key.
pub(super) fn node_of(peer: &PeerId) -> Option<NodeId> {
    let hash: &Multihash<64> = peer.as_ref();
    if hash.code() != IDENTITY_HASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    let key = key.try_into_ed25519().ok()?;
    Some(NodeId(key.to_bytes()))
}

/// Reads the address of a node to dial: the node, and the address without its `/p2p/`.
pub(super) fn read_dialable(text: &str) -> Result<(PeerId, Multiaddr), AddressError> {
    let mut address = read(text)?;
    let Some(Protocol::P2p(peer)) = address.pop() else {
        return Err(AddressError::NoPeer);
    };
    if node_of(&peer).is_none() {
        return Err(AddressError::PeerKey);
    }
    spoken(&address)?;
    Ok((peer, address))
}

/// Reads an address to listen on: an interface and a port, without a peer.
pub(super) fn read_listenable(text: &str) -> Result<Multiaddr, AddressError> {
    let address = read_external(text)?;
    match host(&address) {
        Some(_) => Ok(address),
        None => Err(AddressError::HostName),
    }
}

/// Reads an address under which this node is reachable: a host and a port, without a peer.
pub(super) fn read_external(text: &str) -> Result<Multiaddr, AddressError> {
    let address = read(text)?;
    if address.iter().any(|part| matches!(part, Protocol::P2p(_))) {
        return Err(AddressError::UnexpectedPeer);
    }
    spoken(&address)?;
    Ok(address)
}

fn read(text: &str) -> Result<Multiaddr, AddressError> {
    text.parse().map_err(|why: libp2p::multiaddr::Error| AddressError::Syntax(why.to_string()))
}

/// Returns whether the address is `<host>/udp/<port>/quic-v1` or `<host>/tcp/<port>`, nothing more
/// and nothing less.
fn spoken(address: &Multiaddr) -> Result<(), AddressError> {
    let mut parts = address.iter();
    let host = parts.next().is_some_and(|part| {
        matches!(
            part,
            Protocol::Ip4(_) | Protocol::Ip6(_) | Protocol::Dns(_) | Protocol::Dns4(_) | Protocol::Dns6(_)
        )
    });
    let carrier = (parts.next(), parts.next(), parts.next());
    let carried = matches!(
        carrier,
        (Some(Protocol::Udp(_)), Some(Protocol::QuicV1), None) | (Some(Protocol::Tcp(_)), None, None)
    );
    if host && carried { Ok(()) } else { Err(AddressError::Protocols) }
}

/// Returns the IP address that stands first in an address.
fn host(address: &Multiaddr) -> Option<IpAddr> {
    let first = address.iter().next()?;
    if let Protocol::Ip4(ip) = first {
        return Some(IpAddr::V4(ip));
    }
    if let Protocol::Ip6(ip) = first {
        return Some(IpAddr::V6(ip));
    }
    None
}

/// A port of this machine.
pub(super) enum Socket {
    /// For TCP.
    Tcp(SocketAddr),
    /// For QUIC.
    Udp(SocketAddr),
}

/// Returns the port that a listen address means.
pub(super) fn socket(address: &Multiaddr) -> Option<Socket> {
    let ip = host(address)?;
    let carrier = address.iter().nth(1)?;
    if let Protocol::Tcp(port) = carrier {
        return Some(Socket::Tcp((ip, port).into()));
    }
    if let Protocol::Udp(port) = carrier {
        return Some(Socket::Udp((ip, port).into()));
    }
    None
}

/// Returns the address without the `/p2p/` at its end, if it has one.
pub(super) fn without_last_peer(address: &Multiaddr) -> Multiaddr {
    let mut bare = address.clone();
    if let Some(Protocol::P2p(_)) = bare.iter().last() {
        bare.pop();
    }
    bare
}

/// Returns what `peer`'s claim to be reachable at `address` is worth: the address to dial, without
/// `/p2p/`, or nothing.
pub(super) fn believed(scope: Scope, peer: &PeerId, address: &Multiaddr) -> Option<Multiaddr> {
    if let Some(Protocol::P2p(named)) = address.iter().last()
        && named != *peer
    {
        return None;
    }
    let bare = without_last_peer(address);
    is_usable(scope, &bare).then_some(bare)
}

/// Returns whether another node may name an address, given without `/p2p/`, in a network of this
/// scope.
///
/// Strangers must not be able to make this node dial into its own network or to any name they like, so only plain
/// IP addresses count, and in public only routable ones. (`NE-8`)
pub(super) fn is_usable(scope: Scope, address: &Multiaddr) -> bool {
    if spoken(address).is_err() {
        return false;
    }
    let Some(ip) = host(address).map(|ip| ip.to_canonical()) else { return false };
    match scope {
        Scope::Private => !ip.is_unspecified() && !ip.is_multicast() && ip != Ipv4Addr::BROADCAST,
        Scope::Public => is_global(ip),
    }
}

/// Returns the scope that a node's own addresses and those that it joins through put it in: one of
/// them on the Internet makes the network the Internet, even against the configuration.
pub(super) fn scope_of<'a>(configured: Scope, addresses: impl IntoIterator<Item = &'a Multiaddr>) -> Scope {
    let is_outside = |address: &Multiaddr| host(address).is_some_and(is_global);
    if addresses.into_iter().any(is_outside) { Scope::Public } else { configured }
}

fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => is_global_v4(ip),
        IpAddr::V6(ip) => is_global_v6(ip),
    }
}

fn is_global_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmark = a == 198 && (b == 18 || b == 19);
    let assigned = a == 192 && b == 0 && c == 0;
    let to_ipv6 = a == 192 && b == 88 && c == 99;
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || shared
        || benchmark
        || assigned
        || to_ipv6)
}

fn is_global_v6(ip: Ipv6Addr) -> bool {
    let [first, second, ..] = ip.segments();
    let documentation = (first == 0x2001 && second == 0xdb8) || (first == 0x3fff && second < 0x1000);
    // Teredo, ORCHIDs and other special uses; and 6to4, which carries any IPv4 address inside.
    let special = (first == 0x2001 && second < 0x200) || first == 0x2002;
    // 2000::/3 is all that is assigned as global unicast.
    first & 0xe000 == 0x2000 && !documentation && !special
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{at, peer};
    use super::*;

    #[test]
    fn a_node_id_and_its_peer_id_name_the_same_key() {
        let node = bombyx_protocol::ident::Identity::from_seed(&[7; 32]).id();
        assert_eq!(peer_of(node), Some(peer(7)));
        assert_eq!(node_of(&peer(7)), Some(node));
        assert_eq!(node_of(&PeerId::random()), None, "a random multihash holds no key");
    }

    #[test]
    fn a_join_address_must_name_its_node_and_a_spoken_transport() {
        let id = peer(1);
        assert!(read_dialable(&format!("/ip4/192.0.2.1/udp/4101/quic-v1/p2p/{id}")).is_ok());
        assert!(read_dialable(&format!("/dns4/example.org/tcp/4101/p2p/{id}")).is_ok());
        assert_eq!(read_dialable("/ip4/192.0.2.1/tcp/1"), Err(AddressError::NoPeer));
        let odd = format!("/ip4/192.0.2.1/tcp/1/ws/p2p/{id}");
        assert_eq!(read_dialable(&odd), Err(AddressError::Protocols));
        assert!(matches!(read_dialable("192.0.2.1:4101"), Err(AddressError::Syntax(_))));
        let hashed = format!("/ip4/192.0.2.1/tcp/1/p2p/{}", PeerId::random());
        assert_eq!(read_dialable(&hashed), Err(AddressError::PeerKey));
    }

    #[test]
    fn a_listen_address_names_an_interface_and_no_peer() {
        assert!(read_listenable("/ip6/::/udp/0/quic-v1").is_ok());
        assert_eq!(read_listenable("/dns4/example.org/tcp/1"), Err(AddressError::HostName));
        let with_peer = format!("/ip4/0.0.0.0/tcp/1/p2p/{}", peer(1));
        assert_eq!(read_listenable(&with_peer), Err(AddressError::UnexpectedPeer));
    }

    /// (`NE-8`)
    #[test]
    fn strangers_cannot_name_inner_addresses_in_public() {
        let id = peer(1);
        for inner in [
            "127.0.0.1",
            "127.3.2.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.1",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.9.9",
            "169.254.1.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.1",
            "198.18.0.1",
            "192.0.0.8",
            "192.88.99.1",
        ] {
            let address = at(&format!("/ip4/{inner}/tcp/1"));
            assert_eq!(believed(Scope::Public, &id, &address), None, "{inner}");
        }
        for inner in [
            "::",
            "::1",
            "fe80::1",
            "fc00::1",
            "fd00::1",
            "ff02::1",
            "2001:db8::1",
            "3fff::1",
            "::ffff:10.0.0.1",
            "::ffff:127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:a00:1::1",
            "2001:0:a00:1::1",
            "fec0::1",
        ] {
            let address = at(&format!("/ip6/{inner}/tcp/1"));
            assert_eq!(believed(Scope::Public, &id, &address), None, "{inner}");
        }
        assert!(believed(Scope::Public, &id, &at("/ip4/9.9.9.9/tcp/1")).is_some());
        assert!(believed(Scope::Private, &id, &at("/ip4/127.0.0.1/tcp/1")).is_some());
        assert!(believed(Scope::Public, &id, &at("/ip6/2606:4700::1/udp/1/quic-v1")).is_some());
        for nowhere in [
            "/dns4/example.org/tcp/1",
            "/ip4/0.0.0.0/tcp/1",
            "/ip4/255.255.255.255/tcp/1",
            "/ip6/::ffff:0.0.0.0/tcp/1",
        ] {
            assert_eq!(believed(Scope::Private, &id, &at(nowhere)), None, "{nowhere}");
        }
    }

    /// (`NE-8`)
    #[test]
    fn a_node_with_one_foot_on_the_internet_is_on_it() {
        let scope = |texts: &[&str]| {
            let addresses: Vec<Multiaddr> = texts.iter().map(|text| at(text)).collect();
            scope_of(Scope::Private, &addresses)
        };
        assert_eq!(scope(&[]), Scope::Private);
        assert_eq!(scope(&["/ip4/127.0.0.1/tcp/1", "/ip4/0.0.0.0/tcp/1", "/dns4/lan/tcp/1"]), Scope::Private);
        assert_eq!(scope(&["/ip4/127.0.0.1/tcp/1", "/ip4/9.9.9.9/tcp/1"]), Scope::Public);
        assert_eq!(scope_of(Scope::Public, &[]), Scope::Public);
    }

    #[test]
    fn an_address_that_names_another_peer_is_not_believed() {
        let address = at(&format!("/ip4/9.9.9.9/tcp/1/p2p/{}", peer(2)));
        assert_eq!(believed(Scope::Public, &peer(1), &address), None);
        assert_eq!(believed(Scope::Public, &peer(2), &address), Some(at("/ip4/9.9.9.9/tcp/1")));
    }
}
