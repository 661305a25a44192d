//! The Internet under the swarm: QUIC first, TCP with Noise and Yamux second, names from the system's resolver.

use std::io;
use std::net::{TcpListener, UdpSocket};

use libp2p::swarm::{Config, NetworkBehaviour};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identity, noise, tcp, yamux};

use super::address::{self, Socket};
use super::config::NetError;

/// A swarm that drives `behaviour` over the Internet.
pub(super) fn swarm<B: NetworkBehaviour>(
    keypair: identity::Keypair,
    behaviour: B,
    settings: impl FnOnce(Config) -> Config,
) -> Result<Swarm<B>, NetError> {
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .map_err(|why| NetError::Setup { part: "TCP", why: why.to_string() })?
        .with_quic()
        .with_dns()
        .map_err(NetError::Resolver)?
        .with_behaviour(|_| behaviour)
        .unwrap_or_else(|never| match never {})
        .with_swarm_config(settings)
        .build();
    Ok(swarm)
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
