//! The Internet under the swarm: QUIC first, TCP with Noise and Yamux second, names from the system's resolver.

use std::io;
use std::net::{TcpListener, UdpSocket};

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::Boxed;
use libp2p::core::upgrade::Version;
use libp2p::{Multiaddr, PeerId, Transport as _, dns, identity, noise, quic, tcp, yamux};

use super::address::{self, Socket};
use super::error::NetError;
use super::limits;

/// Returns the carriers of connections over the Internet.
pub(super) fn transport(keypair: &identity::Keypair) -> Result<Boxed<(PeerId, StreamMuxerBox)>, NetError> {
    let noise =
        noise::Config::new(keypair).map_err(|why| NetError::Setup { part: "TCP", why: why.to_string() })?;
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
        // QUIC has a deadline of its own; without one a socket that says nothing would hold its place for ever.
        .timeout(limits::HANDSHAKE_DEADLINE)
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let quic = quic::tokio::Transport::new(quic::Config::new(keypair))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)));
    let either = quic.or_transport(tcp).map(|either, _| either.into_inner());
    Ok(dns::tokio::Transport::system(either).map_err(NetError::Resolver)?.boxed())
}

/// Tries the port before libp2p does. libp2p binds TCP ports so that they can be shared, which would let two nodes take
/// the same one unnoticed, and hides the reason when a UDP port cannot be bound.
pub(super) fn probe(address: &Multiaddr) -> io::Result<()> {
    match address::socket(address) {
        Some(Socket::Tcp(socket)) => TcpListener::bind(socket).map(drop),
        Some(Socket::Udp(socket)) => UdpSocket::bind(socket).map(drop),
        None => Ok(()),
    }
}
