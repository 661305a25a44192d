//! Names of the files in a node's home that more than one room knows.

/// The note of a running node.
pub const NOTE: &str = "node.json";
/// The store of channels and receipts.
pub const STORE: &str = "records.redb";
/// The token that the operator's pages ask for.
pub const TOKEN: &str = "admin.token";
