//! What is compared between two fidelities: not means, but every single value.

use bombyx_protocol::time::Time;
use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::{self, Scenario};
use bombyx_simnet::world::World;
use serde::{Deserialize, Serialize};

/// One lookup in the hash table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct LookupSample {
    /// Requests that were sent for it.
    pub(crate) requests: u64,
    /// How long it took, in milliseconds.
    pub(crate) ms: f64,
}

/// How many connections a mean host has. They grow as long as hosts look things up, because gossip's streams keep
/// every connection that was made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Connections {
    /// Before the first lookup that is measured.
    pub(crate) before_lookups: f64,
    /// Before the first order.
    pub(crate) before_orders: f64,
}

/// One run of one fidelity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Samples {
    /// The same object as `simnet run --json` prints.
    pub(crate) report: serde_json::Value,
    /// From publication to each listener that heard it, in milliseconds.
    pub(crate) gossip_ms: Vec<f64>,
    /// How many should have heard.
    pub(crate) gossip_expected: u64,
    /// Copies of gossip that reached a host, for each host that heard it.
    pub(crate) copies: f64,
    /// From the order to the award's acceptance, in milliseconds.
    pub(crate) match_ms: Vec<f64>,
    /// From the order to the first content, in milliseconds.
    pub(crate) first_content_ms: Vec<f64>,
    /// From the order to the last content, in milliseconds.
    pub(crate) whole_ms: Vec<f64>,
    /// Lookups in the hash table.
    pub(crate) lookups: Vec<LookupSample>,
    /// Counted in the stack fidelity, and taken from there in the other.
    pub(crate) connections: Connections,
}

impl Samples {
    /// Returns the time from which gossip is measured: the first messages of all hosts, which come at once, do not count.
    pub(crate) fn measured_from(scenario: &Scenario) -> Time {
        scenario::at(scenario.workload.warm_up_s)
    }

    /// Returns the samples of a world that has run.
    pub(crate) fn of(
        world: &World,
        report: &Report,
        lookups: Vec<LookupSample>,
        connections: Connections,
    ) -> Self {
        let ms = |span: bombyx_protocol::time::Span| span.0 as f64 / 1e3;
        let jobs = world.jobs();
        let done = jobs.iter().filter(|job| job.is_done());
        let (delays, expected) = world.probed();
        Self {
            report: serde_json::to_value(report).unwrap_or_default(),
            gossip_ms: delays.into_iter().map(ms).collect(),
            gossip_expected: expected,
            copies: 1.0 + report.summary.gossip_duplicates,
            match_ms: jobs.iter().filter_map(|job| job.matched()).map(ms).collect(),
            first_content_ms: jobs.iter().filter_map(|job| job.first_content()).map(ms).collect(),
            whole_ms: done.filter_map(|job| Some(ms(job.ended()?.since(job.at)))).collect(),
            lookups,
            connections,
        }
    }
}
