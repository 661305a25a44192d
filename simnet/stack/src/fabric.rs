//! The virtual network: locations, listeners, and the delay of bytes by the link model of simnet.
//!
//! One thread runs one network; it lives as long as its thread.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use bombyx_simnet::kernel::{Draws, Purpose};
use bombyx_simnet::network::{Links, Location, Transit};
use libp2p::PeerId;
use libp2p::multiaddr::{Multiaddr, Protocol};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::link::Muxer;

/// Every host listens on this port.
const PORT: u16 = 4101;
/// Connections that wait to be accepted by one host.
pub(crate) const BACKLOG_MAX: usize = 256;

thread_local! {
    static FABRIC: RefCell<Option<Fabric>> = const { RefCell::new(None) };
}

/// A connection on its way to the host that accepts it.
pub(crate) struct PendingConnection {
    /// The host that dials.
    pub(crate) from: u32,
    /// The accepting end.
    pub(crate) muxer: Muxer,
    /// When the handshake is over at the accepting end.
    pub(crate) ready: Instant,
}

/// Everything that the hosts of one network share.
pub(crate) struct Fabric {
    links: Links,
    draws: Draws,
    places: Vec<Location>,
    peers: Vec<PeerId>,
    numbers: BTreeMap<PeerId, u32>,
    listeners: BTreeMap<u32, mpsc::Sender<PendingConnection>>,
    /// Names passages: each has fortunes of its own.
    passages: u64,
    /// Requests to the hash table that each host has sent.
    lookups: Vec<u64>,
}

impl Fabric {
    /// Puts a network of these hosts under this thread.
    pub(crate) fn install(links: Links, draws: Draws, hosts: Vec<(PeerId, Location)>) {
        let numbers = (0u32..).zip(&hosts).map(|(number, (peer, _))| (*peer, number)).collect();
        let lookups = vec![0; hosts.len()];
        let (peers, places) = hosts.into_iter().unzip();
        let listeners = BTreeMap::new();
        let fabric = Self { links, draws, places, peers, numbers, listeners, passages: 0, lookups };
        FABRIC.set(Some(fabric));
    }
}

fn with<T>(act: impl FnOnce(&mut Fabric) -> T) -> T {
    FABRIC.with_borrow_mut(|fabric| {
        act(fabric.as_mut().expect("a network is installed before its hosts start"))
    })
}

/// Returns how long `bytes` that leave now take. Links neither lose nor cut here: scenarios that
/// ask for that are refused.
pub(crate) fn transit(from: u32, to: u32, bytes: usize) -> Duration {
    with(|fabric| {
        fabric.passages += 1;
        let about = [u64::from(from), u64::from(to), fabric.passages];
        let fate = fabric.draws.bits(Purpose::Transit, &about);
        let (source, target) = (fabric.places[from as usize], fabric.places[to as usize]);
        let now = bombyx_protocol::time::Time(0);
        let span = match fabric.links.transit(now, source, target, bytes, fate) {
            Transit::Arrives(span) | Transit::Twice(span, _) => span,
            Transit::Lost | Transit::Cut => fabric.links.undisturbed(source, target),
        };
        Duration::from_micros(span.0)
    })
}

/// Returns the number of a host.
pub(crate) fn number(peer: &PeerId) -> Option<u32> {
    with(|fabric| fabric.numbers.get(peer).copied())
}

/// Returns the peer id of a host.
pub(crate) fn peer(host: u32) -> Option<PeerId> {
    with(|fabric| fabric.peers.get(host as usize).copied())
}

/// Listens, and returns what arrives.
pub(crate) fn listen(host: u32) -> mpsc::Receiver<PendingConnection> {
    let (incoming, arrived) = mpsc::channel(BACKLOG_MAX);
    with(|fabric| fabric.listeners.insert(host, incoming));
    arrived
}

/// Hands a connection over; false when nobody listens or too many wait.
pub(crate) fn knock(host: u32, incoming: PendingConnection) -> bool {
    let listener = with(|fabric| fabric.listeners.get(&host).cloned());
    listener.is_some_and(|listener| listener.try_send(incoming).is_ok())
}

/// Records that a host sends a request to the hash table of another.
pub(crate) fn asked(host: u32) {
    with(|fabric| fabric.lookups[host as usize] += 1);
}

/// Requests to the hash table that a host has sent so far.
pub(crate) fn requests(host: u32) -> u64 {
    with(|fabric| fabric.lookups[host as usize])
}

/// Returns the address of a host, in the form that it would have on the Internet. Every host is at
/// home somewhere else, as in the world: in a prefix of its own.
pub(crate) fn address(host: u32) -> Multiaddr {
    let [_, _, a, b] = host.to_be_bytes();
    Multiaddr::empty()
        .with(Protocol::Ip4(Ipv4Addr::new(10, a, b, 1)))
        .with(Protocol::Udp(PORT))
        .with(Protocol::QuicV1)
}

/// Returns the host at an address.
pub(crate) fn host(address: &Multiaddr) -> Option<u32> {
    let mut parts = address.iter();
    let Some(Protocol::Ip4(ip)) = parts.next() else { return None };
    let [ten, a, b, one] = ip.octets();
    let host = u32::from_be_bytes([0, 0, a, b]);
    (ten == 10
        && one == 1
        && parts.next() == Some(Protocol::Udp(PORT))
        && parts.next() == Some(Protocol::QuicV1))
    .then_some(host)
}
