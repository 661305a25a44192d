//! The network: where hosts are, the links between them, gossip topics, floods, the hash table and uplinks.

mod flood;
mod kademlia;
mod kind;
mod links;
mod location;
mod overlay;
mod paths;
mod uplink;

pub use flood::Flood;
pub use kademlia::{ALPHA, K, Kademlia, Lookup};
pub use kind::{KINDS, Kind};
pub use links::{Links, Partition, Sender, Transit};
pub use location::{ACCESS_CLASSES, AccessClass, Location, Relay, locate};
pub use overlay::{Overlay, Topic, are_connected};
pub(crate) use paths::{Distances, Ground, Paths};
pub use uplink::{Uplinks, Waits};
