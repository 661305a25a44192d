//! How far a network reaches.

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
