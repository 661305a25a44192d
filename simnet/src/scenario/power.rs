//! Keys of `[[crash]]`: which hosts are off, and when.

use serde::{Deserialize, Serialize};

/// Hosts that lose power and come back with what was durable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CrashSpec {
    /// When, in seconds.
    pub at_s: f64,
    /// For how long, in seconds.
    pub for_s: f64,
    /// Who.
    pub role: RoleName,
    /// Which share of them.
    pub share: f64,
}

/// A role in a scenario file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RoleName {
    /// Those who buy.
    Client,
    /// Those who sell.
    Provider,
}
