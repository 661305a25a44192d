//! What a node must be told to join a network.

use zeroize::Zeroizing;

use super::error::NetError;
use super::known::KnownPeer;
use super::scope::Scope;
use super::{address, limits};

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
    /// Peers that answered in an earlier life, which are tried beside `join`.
    pub known: Vec<KnownPeer>,
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
            known: Vec::new(),
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
        check_network(&self.network)?;
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

/// Checks the name of a network.
///
/// # Errors
/// [`NetError::Network`].
pub fn check_network(name: &str) -> Result<(), NetError> {
    let named = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = (1..=32).contains(&name.len()) && name.bytes().all(named);
    if is_name { Ok(()) } else { Err(NetError::Network(name.to_owned())) }
}

/// Checks an address to join through.
///
/// # Errors
/// [`NetError::Address`].
pub fn check_join(text: &str) -> Result<(), NetError> {
    let wrong = |why| NetError::Address { list: "join", address: text.to_owned(), why };
    address::read_dialable(text).map(drop).map_err(wrong)
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
