//! Names of the files in a node's home that more than one room knows.

/// The note of a running node.
pub const NOTE: &str = "node.json";
/// The store of channels and receipts.
pub const STORE: &str = "records.redb";
/// The folder of other nodes' models' manifests.
pub const MANIFESTS: &str = "manifests";
/// The token that the operator's pages ask for.
pub const TOKEN: &str = "admin.token";
/// Held while keys and store are opened or made, so that several processes may begin in one home at once.
pub const LOCK: &str = "home.lock";
/// Peers that answered.
pub const PEERS: &str = "peers.json";
/// The home within a home where `bombyx ask` of earlier versions kept a wallet and channels of its own.
pub const OLD_ASK: &str = "ask";
