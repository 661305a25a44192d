//! What the runs of a sweep say together, and what pairs of runs with one seed say.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::measures::Interval;
use crate::results::metrics::METRICS;
use crate::results::store::{self, StoredRun};
use crate::results::sweep::{SweepError, SweepPlan};

/// The runs of one arm, put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    /// How reports call it.
    pub name: String,
    /// Every metric over the seeds.
    pub metrics: BTreeMap<String, Interval>,
    /// Every metric less that of the first arm, seed by seed.
    pub against_first: BTreeMap<String, Interval>,
    /// The distributions, percentile by percentile the mean over the seeds.
    pub curves: BTreeMap<String, Vec<f64>>,
}

/// A whole sweep, put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepResult {
    /// The plan.
    pub plan: SweepPlan,
    /// The results of its arms, in the plan's order.
    pub arms: Vec<ArmResult>,
}

/// Puts the runs of a sweep together.
///
/// # Errors
/// [`SweepError::Missing`] while not all of them are there.
pub fn merge(out: &Path) -> Result<SweepResult, SweepError> {
    let plan: SweepPlan = store::read_json(&out.join("plan.json"))?;
    let ids: Vec<&String> = plan.arms.iter().flat_map(|arm| &arm.runs).collect();
    let missing: Vec<&&String> = ids.iter().filter(|id| !store::is_complete(out, id)).collect();
    if let Some(first) = missing.first() {
        let (missing, first) = (missing.len(), (**first).clone());
        return Err(SweepError::Missing { missing, all: ids.len(), first });
    }
    let mut runs: Vec<Vec<StoredRun>> = Vec::new();
    for arm in &plan.arms {
        runs.push(arm.runs.iter().map(|id| store::load(out, id)).collect::<Result<_, _>>()?);
    }
    let first = runs.first().cloned().unwrap_or_default();
    let arms = plan.arms.iter().zip(&runs).map(|(arm, runs)| merge_arm(&arm.name, runs, &first)).collect();
    let merged = SweepResult { plan, arms };
    store::write_json(&out.join("merged.json"), &merged)?;
    Ok(merged)
}

fn merge_arm(name: &str, runs: &[StoredRun], first: &[StoredRun]) -> ArmResult {
    let metrics = METRICS
        .iter()
        .map(|metric| {
            (metric.key, runs.iter().filter_map(|run| run.metrics.get(metric.key).copied()).collect())
        })
        .filter(|(_, values): &(_, Vec<f64>)| !values.is_empty())
        .map(|(key, values)| (key.to_owned(), Interval::of(&values)))
        .collect();
    let mut curves: BTreeMap<String, Vec<Vec<f64>>> = BTreeMap::new();
    for (name, curve) in runs.iter().flat_map(|run| &run.curves).filter(|(_, curve)| !curve.is_empty()) {
        curves.entry(name.clone()).or_default().push(curve.clone());
    }
    let mean_of = |all: Vec<Vec<f64>>| -> Vec<f64> {
        let length = all.iter().map(Vec::len).min().unwrap_or(0);
        (0..length)
            .map(|place| all.iter().map(|curve| curve[place]).sum::<f64>() / all.len() as f64)
            .collect()
    };
    ArmResult {
        name: name.to_owned(),
        metrics,
        against_first: differences(first, runs),
        curves: curves.into_iter().map(|(name, all)| (name, mean_of(all))).collect(),
    }
}

/// Returns every metric of `b` less that of `a`, over the pairs of runs with equal seeds.
#[must_use]
pub fn differences(a: &[StoredRun], b: &[StoredRun]) -> BTreeMap<String, Interval> {
    let mut differences = BTreeMap::new();
    for metric in &METRICS {
        let pairs: Vec<f64> = b
            .iter()
            .filter_map(|run| {
                let other = a.iter().find(|other| other.seed == run.seed)?;
                Some(run.metrics.get(metric.key)? - other.metrics.get(metric.key)?)
            })
            .collect();
        if !pairs.is_empty() {
            differences.insert(metric.key.to_owned(), Interval::of(&pairs));
        }
    }
    differences
}
