//! The network: where hosts are, the links between them, gossip topics, floods, the hash table and uplinks.

pub mod flood;
pub mod kademlia;
pub mod kind;
pub mod links;
pub mod location;
pub mod overlay;
pub(crate) mod paths;
pub mod uplink;
