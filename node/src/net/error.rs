//! Why a swarm could not start, and what is wrong with an address.

use std::io;

use super::limits;

/// Why a swarm could not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The network's name cannot be part of a protocol name.
    #[error("network name {0:?} is not usable; use 1 to 32 characters of a-z, 0-9 and '-'")]
    Network(String),
    /// An address of the configuration is not usable.
    #[error("{list} address {address:?}: {why}")]
    Address {
        /// The list of the configuration it stands in: `listen`, `external` or `join`.
        list: &'static str,
        /// The address as it was written.
        address: String,
        /// What is wrong with it.
        why: AddressError,
    },
    /// More join addresses than are useful.
    #[error("{0} join addresses; at most {max} are used", max = limits::JOINS_MAX)]
    TooManyJoins(usize),
    /// The listen address cannot be bound.
    #[error("cannot listen on {address}: {source}; {hint}")]
    Listen {
        /// The address as it was written.
        address: String,
        /// What the operating system said.
        source: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// The listen addresses were not bound in time.
    #[error("listening on {0} was not confirmed in time; check that the interface is up")]
    ListenTimeout(String),
    /// The system's name resolver cannot be read.
    #[error("cannot read the name resolver's configuration (/etc/resolv.conf): {0}")]
    Resolver(io::Error),
    /// A part of the swarm refused its settings.
    #[error("cannot set up {part}: {why}")]
    Setup {
        /// Which part.
        part: &'static str,
        /// What it said.
        why: String,
    },
}

/// What is wrong with a multiaddr.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not a multiaddr at all.
    #[error("not a multiaddr ({0}); expected a form like /ip4/192.0.2.1/udp/4101/quic-v1/p2p/12D3Koo...")]
    Syntax(String),
    /// It does not say which node is expected there.
    #[error("ends without /p2p/<peer id>, so that the node behind it could not be authenticated")]
    NoPeer,
    /// The peer id is not the one of an ed25519 key.
    #[error("names a peer id that holds no ed25519 key")]
    PeerKey,
    /// A node that should be dialled is needed, and this names the wrong part.
    #[error("must not name a peer")]
    UnexpectedPeer,
    /// Its protocols are not ones this node speaks.
    #[error("uses protocols this node does not speak; use <host>/udp/<port>/quic-v1 or <host>/tcp/<port>")]
    Protocols,
    /// A host name where an interface is needed.
    #[error("names a host; listen on an interface's /ip4/ or /ip6/ address")]
    HostName,
}
