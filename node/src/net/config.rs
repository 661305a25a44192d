//! What a node must be told to join a network, and what can be wrong with it.

use std::io;

use zeroize::Zeroizing;

use super::{address, limits};

/// Which addresses of other nodes are believed, and whether this node serves the hash table unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One machine or one local network: loopback and private addresses are used and announced, and every node
    /// serves the hash table.
    Private,
    /// The open Internet: only globally routable addresses are used. A node announces its `external` addresses
    /// and serves the hash table when it has at least one; without, it is a client of the network that dials out.
    Public,
}

/// How a node takes part in a network.
#[derive(Clone)]
pub struct NetConfig {
    /// Seed of the ed25519 identity key; wiped when dropped.
    pub identity_seed: Zeroizing<[u8; 32]>,
    /// Name of the network, e.g. `bombyx-dev`: 1 to 32 characters of `a-z`, `0-9` and `-`. It is part of every
    /// protocol name and topic, so that two networks never mix.
    pub network: String,
    /// Which addresses are believed.
    pub scope: Scope,
    /// Multiaddrs to listen on, QUIC (`/ip4/0.0.0.0/udp/4101/quic-v1`) or TCP (`/ip4/0.0.0.0/tcp/4101`).
    /// Port 0 takes any free port. Empty: this node only dials.
    pub listen: Vec<String>,
    /// Multiaddrs under which other nodes can reach this one from outside, when they differ from `listen`.
    pub external: Vec<String>,
    /// Multiaddrs of nodes to join through, each ending in `/p2p/<peer id>`.
    pub join: Vec<String>,
    /// Whether the hash table may show which topics this node listens to, so that others find it. A provider
    /// wants this; a client that values its privacy does not, and still finds others.
    pub announce_topics: bool,
    /// Whether this node serves the hash table where others can reach it. One that comes for a moment need not.
    pub serves_table: bool,
    /// Connected strangers above which silent ones are asked to leave, down to half of it. At least 8.
    pub connections_high: usize,
}

impl NetConfig {
    /// Configures a node of `network` that listens on every interface at port 4101, QUIC and TCP, and joins nobody.
    #[must_use]
    pub fn new(identity_seed: Zeroizing<[u8; 32]>, network: impl Into<String>) -> Self {
        Self {
            identity_seed,
            network: network.into(),
            scope: Scope::Private,
            listen: vec!["/ip4/0.0.0.0/udp/4101/quic-v1".into(), "/ip4/0.0.0.0/tcp/4101".into()],
            external: Vec::new(),
            join: Vec::new(),
            announce_topics: true,
            serves_table: true,
            connections_high: limits::CONNECTIONS_HIGH,
        }
    }

    /// Checks name and addresses, before anything is started for them.
    ///
    /// # Errors
    /// [`NetError::Network`], [`NetError::TooManyJoins`] and [`NetError::Address`].
    pub fn check(&self) -> Result<(), NetError> {
        let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !(1..=32).contains(&self.network.len()) || !self.network.bytes().all(named) {
            return Err(NetError::Network(self.network.clone()));
        }
        if self.join.len() > limits::JOINS_MAX {
            return Err(NetError::TooManyJoins(self.join.len()));
        }
        let wrong = |list, text: &String, why| NetError::Address { list, address: text.clone(), why };
        for text in &self.join {
            address::read_dialable(text).map_err(|why| wrong("join", text, why))?;
        }
        for text in &self.listen {
            address::read_listenable(text).map_err(|why| wrong("listen", text, why))?;
        }
        for text in &self.external {
            address::read_external(text).map_err(|why| wrong("external", text, why))?;
        }
        Ok(())
    }
}

impl std::fmt::Debug for NetConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NetConfig")
            .field("network", &self.network)
            .field("scope", &self.scope)
            .field("listen", &self.listen)
            .field("external", &self.external)
            .field("join", &self.join)
            .finish_non_exhaustive()
    }
}

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
