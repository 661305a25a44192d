//! Keys of `[ledger]` and `[disk]`: blocks, wallets and commits.

use serde::{Deserialize, Serialize};

use super::coins::{Coins, coins};

/// Blocks and wallets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    /// Milliseconds between two blocks.
    pub block_ms: u64,
    /// Milliseconds to and from the ledger's interface.
    pub rpc_ms: u64,
    /// What every wallet holds at the start.
    pub wallet: Coins,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { block_ms: 400, rpc_ms: 80, wallet: coins(5_000_000_000) }
    }
}

/// Disks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Disks {
    /// Median duration of one commit, in milliseconds.
    pub commit_ms: f64,
    /// Spread of its logarithm.
    pub commit_sigma: f64,
}

impl Default for Disks {
    fn default() -> Self {
        Self { commit_ms: 4.4, commit_sigma: 0.3 }
    }
}
