//! Keys of `[sweep]`: what many runs of one scenario vary.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a scenario says about its sweep: arms times the values of every axis, times seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sweep {
    /// Seeds, counted from the scenario's own.
    pub seeds: u32,
    /// Named arms; without any there is one, which changes nothing.
    pub arm: Vec<ArmSpec>,
    /// Keys that take several values each.
    pub axis: Vec<Axis>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { seeds: 5, arm: Vec::new(), axis: Vec::new() }
    }
}

/// One way to change a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArmSpec {
    /// How reports call it.
    pub name: String,
    /// Keys, such as `market.leases` or `attack.0.share`, and their values in this arm.
    #[serde(default)]
    pub set: BTreeMap<String, toml::Value>,
}

/// A key and the values that it takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// The key, such as `network.faults.drop`.
    pub key: String,
    /// Its values.
    pub values: Vec<toml::Value>,
}
