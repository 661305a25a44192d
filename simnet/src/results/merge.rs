//! What the runs of a sweep say together, and what pairs of runs with one seed say.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::measures::Interval;
use crate::results::effects::{self, MarkResult};
use crate::results::metrics::METRICS;
use crate::results::store::{self, StoredRun};
use crate::results::sweep::{SweepError, SweepPlan};
use crate::results::tables;

/// The runs of one arm, put together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmResult {
    /// How reports call it.
    pub name: String,
    /// Every metric over the seeds.
    pub metrics: BTreeMap<String, Interval>,
    /// Every metric less that of the first arm, seed by seed.
    pub against_first: BTreeMap<String, Interval>,
    /// What those who attack in it do, against its honest twin, seed by seed.
    #[serde(default)]
    pub effects: BTreeMap<String, Interval>,
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
    /// Which arms keep which marks.
    #[serde(default)]
    pub marks: Vec<MarkResult>,
}

/// Puts the runs of a sweep together.
///
/// # Errors
/// [`SweepError::Missing`] while not all of them are there.
pub fn merge(out: &Path) -> Result<SweepResult, SweepError> {
    let plan: SweepPlan = store::read_json(&out.join("plan.json"))?;
    let ids: Vec<&String> = plan.arms.iter().flat_map(|arm| arm.runs.iter().chain(&arm.twins)).collect();
    let missing: Vec<&&String> = ids.iter().filter(|id| !store::is_complete(out, id)).collect();
    if let Some(first) = missing.first() {
        let (missing, first) = (missing.len(), (**first).clone());
        return Err(SweepError::Missing { missing, all: ids.len(), first });
    }
    let load = |ids: &[String]| -> Result<Vec<StoredRun>, SweepError> {
        Ok(ids.iter().map(|id| store::load(out, id)).collect::<Result<_, _>>()?)
    };
    let first = load(plan.arms.first().map_or(&[][..], |arm| &arm.runs))?;
    let (mut arms, mut rows) = (Vec::new(), Vec::new());
    for arm in &plan.arms {
        let (runs, twins) = (load(&arm.runs)?, load(&arm.twins)?);
        arms.push(merge_arm(&arm.name, &runs, &twins, &first));
        rows.extend(
            runs.iter()
                .zip(&twins)
                .map(|(run, twin)| (arm.name.clone(), run.seed, effects::of(&run.metrics, &twin.metrics))),
        );
    }
    store::save_table(&out.join("effects.parquet"), &tables::effects(&rows))?;
    let marks = marks(&plan, &arms);
    let merged = SweepResult { plan, arms, marks };
    store::write_json(&out.join("merged.json"), &merged)?;
    Ok(merged)
}

/// Returns which arms keep which marks; an arm that has no such value is bound by none.
fn marks(plan: &SweepPlan, arms: &[ArmResult]) -> Vec<MarkResult> {
    let mut marks = Vec::new();
    for mark in &plan.marks {
        for arm in arms.iter().filter(|arm| mark.binds(&arm.name)) {
            let Some(value) = arm.effects.get(&mark.key).or_else(|| arm.metrics.get(&mark.key)) else {
                continue;
            };
            let (mark, arm, value) = (mark.clone(), arm.name.clone(), *value);
            marks.push(MarkResult { outcome: mark.outcome(&value), mark, arm, value });
        }
    }
    marks
}

fn merge_arm(name: &str, runs: &[StoredRun], twins: &[StoredRun], first: &[StoredRun]) -> ArmResult {
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
        effects: against_twin(runs, twins),
        curves: curves.into_iter().map(|(name, all)| (name, mean_of(all))).collect(),
    }
}

/// Returns every effect over the pairs of runs and honest twins with equal seeds.
fn against_twin(runs: &[StoredRun], twins: &[StoredRun]) -> BTreeMap<String, Interval> {
    let mut values: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in runs {
        let Some(twin) = twins.iter().find(|twin| twin.seed == run.seed) else { continue };
        for (key, value) in effects::of(&run.metrics, &twin.metrics) {
            values.entry(key.to_owned()).or_default().push(value);
        }
    }
    values.into_iter().map(|(key, values)| (key, Interval::of(&values))).collect()
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
