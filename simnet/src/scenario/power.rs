//! Keys of `[churn]`, `[[outage]]` and `[[crash]]`: which hosts are off, and when.

use serde::{Deserialize, Serialize};

use crate::kernel::Distribution;

/// Providers that come and go.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Churn {
    /// Share of providers that are switched on and off again and again.
    pub share: f64,
    /// The law of how long they stay.
    pub session_law: SessionLaw,
    /// The shape of that law, for `weibull` and `pareto`.
    pub session_shape: f64,
    /// How long they stay in the mean, in seconds.
    pub session_s: f64,
    /// How long they are away in the mean, in seconds: exponential.
    pub away_s: f64,
    /// By which share of the mean more of them come back at the peak of the workload's day; below 0 fewer do.
    pub daily_swing: f64,
    /// Share of providers that join late, at any moment of the first `over_s` seconds.
    pub late_share: f64,
    /// Share of providers that leave for good, at any moment of the first `over_s` seconds that they are there.
    pub leave_share: f64,
    /// The seconds in which providers join late and leave for good.
    pub over_s: f64,
}

impl Default for Churn {
    fn default() -> Self {
        Self {
            share: 0.0,
            session_law: SessionLaw::Exponential,
            session_shape: 0.6,
            session_s: 3_600.0,
            away_s: 1_800.0,
            daily_swing: 0.0,
            late_share: 0.0,
            leave_share: 0.0,
            over_s: 60.0,
        }
    }
}

impl Churn {
    /// Returns the law of sessions, of mean 1.
    #[must_use]
    pub const fn law(&self) -> Distribution {
        match self.session_law {
            SessionLaw::Exponential => Distribution::Exponential,
            SessionLaw::Weibull => Distribution::Weibull { shape: self.session_shape },
            SessionLaw::Pareto => Distribution::Pareto { shape: self.session_shape },
        }
    }
}

/// How long a provider stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionLaw {
    /// Without memory.
    #[default]
    Exponential,
    /// Many short sessions and a few very long ones, for shapes below 1.
    Weibull,
    /// A heavy tail; the shape must be above 1.
    Pareto,
}

/// Regions whose hosts lose power together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutageSpec {
    /// When, in seconds.
    pub from_s: f64,
    /// When power is back, in seconds.
    pub until_s: f64,
    /// Names of the regions.
    pub regions: Vec<String>,
    /// Which share of their hosts.
    #[serde(default = "all")]
    pub share: f64,
}

const fn all() -> f64 {
    1.0
}

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
