//! Keys of `[network]` and `[[partition]]`: links, and what goes wrong on them.

use serde::{Deserialize, Serialize};

/// Links and faults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Mean number of gossip links of a host in one topic.
    pub mesh_degree: u32,
    /// Peers that a mean host is connected to; whatever it publishes goes to all of them that listen.
    pub connections: u32,
    /// How providers are connected.
    pub provider_access: Access,
    /// How clients are connected.
    pub client_access: Access,
    /// Share of providers behind a NAT.
    pub provider_nat_share: f64,
    /// Share of clients behind a NAT.
    pub client_nat_share: f64,
    /// Share of pairs behind NATs that reach each other directly all the same; the others go through a relay.
    pub punch_share: f64,
    /// Whether messages wait for each other on their sender's uplink; no flood is solved at once then.
    pub uplink_queues: bool,
    /// Delay variation.
    pub jitter: Jitter,
    /// What goes wrong on the way.
    pub faults: Faults,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            mesh_degree: 8,
            connections: 84,
            provider_access: Access { dc: 0.5, fibre: 0.35, cable: 0.15, ..Access::default() },
            client_access: Access { dc: 0.1, fibre: 0.4, cable: 0.3, dsl: 0.1, lte: 0.1 },
            provider_nat_share: 0.0,
            client_nat_share: 0.0,
            punch_share: 0.7,
            uplink_queues: false,
            jitter: Jitter::default(),
            faults: Faults::default(),
        }
    }
}

impl Network {
    /// Returns the share of all pairs among so many hosts that have a connection.
    #[must_use]
    pub fn connected_share(&self, hosts: usize) -> f64 {
        f64::from(self.connections) / hosts.saturating_sub(1).max(1) as f64
    }
}

/// Weights of the access classes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Data centre.
    pub dc: f64,
    /// Fibre to the home.
    pub fibre: f64,
    /// Cable.
    pub cable: f64,
    /// DSL.
    pub dsl: f64,
    /// Mobile.
    pub lte: f64,
}

impl Access {
    /// Returns the weights in the order of [`crate::network::ACCESS_CLASSES`].
    #[must_use]
    pub fn shares(&self) -> [f64; 5] {
        [self.dc, self.fibre, self.cable, self.dsl, self.lte]
    }
}

/// Delay variation of messages: a lognormal part of the path, and rare long delays.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Jitter {
    /// Median, as a share of the path's delay.
    pub median_share: f64,
    /// Spread of its logarithm.
    pub sigma: f64,
    /// Probability of a burst.
    pub burst_probability: f64,
    /// Shortest burst, in milliseconds.
    pub burst_min_ms: u64,
    /// Longest burst, in milliseconds.
    pub burst_max_ms: u64,
}

impl Default for Jitter {
    fn default() -> Self {
        Self { median_share: 0.03, sigma: 0.8, burst_probability: 0.001, burst_min_ms: 50, burst_max_ms: 500 }
    }
}

/// Faults that the transport does not repair.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Faults {
    /// Probability that a message vanishes and nobody is told.
    pub drop: f64,
    /// Probability that a message arrives twice.
    pub duplicate: f64,
}

/// Regions that are cut off from all others for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartitionSpec {
    /// When it begins, in seconds.
    pub from_s: f64,
    /// When it is over, in seconds.
    pub until_s: f64,
    /// Names of the regions on one side.
    pub regions: Vec<String>,
}
