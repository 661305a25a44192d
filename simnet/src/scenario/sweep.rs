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
    /// What must come out.
    pub mark: Vec<MarkSpec>,
}

impl Default for Sweep {
    fn default() -> Self {
        Self { seeds: 5, arm: Vec::new(), axis: Vec::new(), mark: Vec::new() }
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

/// What must come out of a sweep: a bound on a metric or on an effect against the honest twin. A mean within it passes; one
/// beyond it fails if its whole interval is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkSpec {
    /// The key of the metric or effect.
    pub key: String,
    /// Its upper bound.
    #[serde(default)]
    pub at_most: Option<f64>,
    /// Its lower bound.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// The arms that it binds, by how their names begin; all where there are none.
    #[serde(default)]
    pub arms: Vec<String>,
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
