//! Sweeps: arms of one scenario over the same seeds.
//!
//! All arms share their seeds and every draw that their difference does not touch (common random numbers), so that a
//! difference between two arms is known much better than either of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::results::store::StoreError;
use crate::results::{effects, metrics};
use crate::scenario::{ArmSpec, MarkSpec, Scenario, ScenarioError, Sweep};

/// Runs of one sweep at the most.
pub const RUNS_MAX: usize = 100_000;

/// One arm, ready to run with each seed.
#[derive(Debug, Clone)]
pub struct Arm {
    /// How reports call it.
    pub name: String,
    /// The scenario, with the first seed.
    pub scenario: Scenario,
}

/// One run of a sweep.
#[derive(Debug, Clone)]
pub struct SweepRun {
    /// Which arm.
    pub arm: usize,
    /// Whether it is the arm's honest twin.
    pub is_twin: bool,
    /// Its scenario and seed.
    pub scenario: Scenario,
    /// Its id.
    pub run_id: String,
}

/// A sweep as it lies beside its runs: what there must be, and how it is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SweepPlan {
    /// The scenario's name.
    pub title: String,
    /// Its question.
    pub question: String,
    /// Hosts of the first arm.
    pub nodes: u32,
    /// Orders of the first arm.
    pub jobs: u32,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// The arms, and the run of each seed.
    pub arms: Vec<ArmPlan>,
    /// What must come out.
    #[serde(default)]
    pub marks: Vec<MarkSpec>,
}

/// An arm and its runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmPlan {
    /// How reports call it.
    pub name: String,
    /// One run for each seed.
    pub runs: Vec<String>,
    /// Its honest twin's, where somebody attacks in it. Arms that draw the same attackers share one.
    #[serde(default)]
    pub twins: Vec<String>,
}

/// Why a sweep cannot be run or put together.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// A changed scenario is refused.
    #[error("arm {arm:?}: {source}")]
    Scenario {
        /// The arm.
        arm: String,
        /// Why.
        source: Box<ScenarioError>,
    },
    /// A mark is on nothing that is measured.
    #[error("no metric or effect {0:?} to set a mark on")]
    Mark(String),
    /// A key leads nowhere.
    #[error("arm {arm:?}: no table or list at {key:?} to set a value in")]
    Key {
        /// The arm.
        arm: String,
        /// The key.
        key: String,
    },
    /// The sweep is empty or too large.
    #[error("a sweep has 1 to {RUNS_MAX} runs, this one has {0}")]
    Size(usize),
    /// Runs are not there yet.
    #[error(
        "{missing} of {all} runs are missing, the first is {first}; run the other shards, then merge again"
    )]
    Missing {
        /// How many.
        missing: usize,
        /// Of how many.
        all: usize,
        /// One of them.
        first: String,
    },
    /// Something on disk.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Scenario {
    /// Returns the arms of this scenario's sweep: named arms times every axis.
    ///
    /// # Errors
    /// [`SweepError`] names the arm and the key.
    pub fn arms(&self) -> Result<Vec<Arm>, SweepError> {
        let as_is = ArmSpec { name: String::new(), set: BTreeMap::new() };
        let mut specs = if self.sweep.arm.is_empty() { vec![as_is] } else { self.sweep.arm.clone() };
        for axis in &self.sweep.axis {
            specs = specs
                .iter()
                .flat_map(|spec| axis.values.iter().map(|value| with(spec, &axis.key, value)))
                .collect();
            let runs = specs.len() * self.sweep.seeds as usize;
            if runs > RUNS_MAX {
                return Err(SweepError::Size(runs));
            }
        }
        specs.into_iter().map(|spec| self.arm(spec)).collect()
    }

    fn arm(&self, spec: ArmSpec) -> Result<Arm, SweepError> {
        let name = if spec.name.is_empty() { "as is".to_owned() } else { spec.name };
        let base = Self { sweep: Sweep::default(), ..self.clone() };
        let refused = |what: String| SweepError::Scenario {
            arm: name.clone(),
            source: Box::new(ScenarioError { file: "sweep".to_owned(), line: None, what, nearest: None }),
        };
        let mut table = toml::Value::try_from(&base).map_err(|error| refused(error.to_string()))?;
        for (key, value) in spec.set {
            set(&mut table, &key, value)
                .ok_or_else(|| SweepError::Key { arm: name.clone(), key: key.clone() })?;
        }
        let text = toml::to_string(&table).map_err(|error| refused(error.to_string()))?;
        let mut scenario = Self::parse("sweep", &text).map_err(|error| SweepError::Scenario {
            arm: name.clone(),
            source: Box::new(ScenarioError { line: None, ..error }),
        })?;
        // The file was read once, for all arms.
        if let (Some(trace), Some(read)) = (&mut scenario.workload.trace, &self.workload.trace) {
            if trace.file != read.file {
                return Err(refused("every arm has the trace of the scenario; its file cannot vary".into()));
            }
            trace.requests = std::sync::Arc::clone(&read.requests);
        }
        Ok(Arm { name, scenario })
    }

    /// Returns every run of this scenario's sweep, seed by seed, and the plan of the whole.
    ///
    /// # Errors
    /// [`SweepError`].
    pub fn planned(&self) -> Result<(SweepPlan, Vec<SweepRun>), SweepError> {
        let arms = self.arms()?;
        let unknown = |mark: &&MarkSpec| metrics::find(&mark.key).or(effects::find(&mark.key)).is_none();
        if let Some(mark) = self.sweep.mark.iter().find(unknown) {
            return Err(SweepError::Mark(mark.key.clone()));
        }
        let seeds: Vec<u64> =
            (0..u64::from(self.sweep.seeds)).map(|number| self.seed.wrapping_add(number)).collect();
        let mut planned = Vec::new();
        for seed in &seeds {
            for (arm, of) in arms.iter().enumerate() {
                let scenario = Self { seed: *seed, ..of.scenario.clone() };
                let twin = scenario.twin();
                planned.push(SweepRun { arm, is_twin: false, run_id: scenario.run_id(), scenario });
                if let Some(twin) = twin {
                    planned.push(SweepRun { arm, is_twin: true, run_id: twin.run_id(), scenario: twin });
                }
            }
        }
        if !(1..=RUNS_MAX).contains(&planned.len()) {
            return Err(SweepError::Size(planned.len()));
        }
        let ids = |arm: usize, is_twin: bool| -> Vec<String> {
            let of = |run: &&SweepRun| run.arm == arm && run.is_twin == is_twin;
            planned.iter().filter(of).map(|run| run.run_id.clone()).collect()
        };
        let first = &arms[0].scenario;
        let plan = SweepPlan {
            title: self.title.clone(),
            question: self.question.clone(),
            nodes: first.nodes,
            jobs: first.workload.jobs,
            seeds,
            arms: arms
                .iter()
                .enumerate()
                .map(|(arm, of)| ArmPlan {
                    name: of.name.clone(),
                    runs: ids(arm, false),
                    twins: ids(arm, true),
                })
                .collect(),
            marks: self.sweep.mark.clone(),
        };
        let mut seen = BTreeSet::new();
        planned.retain(|run| seen.insert(run.run_id.clone()));
        Ok((plan, planned))
    }
}

fn with(spec: &ArmSpec, key: &str, value: &toml::Value) -> ArmSpec {
    let short = key.rsplit('.').next().unwrap_or(key);
    let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let joint = if spec.name.is_empty() { "" } else { ", " };
    let mut set = spec.set.clone();
    set.insert(key.to_owned(), value.clone());
    ArmSpec { name: format!("{}{joint}{short} {shown}", spec.name), set }
}

/// Sets the value at a dotted key; a number is a place in a list. `None` where the way there does not exist.
fn set(root: &mut toml::Value, key: &str, value: toml::Value) -> Option<()> {
    let (way, last) = key.rsplit_once('.').map_or((None, key), |(way, last)| (Some(way), last));
    let mut at = root;
    for part in way.into_iter().flat_map(|way| way.split('.')) {
        at = match part.parse::<usize>() {
            Ok(place) => at.as_array_mut()?.get_mut(place)?,
            Err(_) => {
                at.as_table_mut()?.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()))
            }
        };
    }
    match last.parse::<usize>() {
        Ok(place) => *at.as_array_mut()?.get_mut(place)? = value,
        Err(_) => {
            at.as_table_mut()?.insert(last.to_owned(), value);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = "nodes = 12\nseed = 7\n[workload]\njobs = 2\n[[attack]]\nkind = \"stale-state\"\nshare = 0.0\n\
        [sweep]\nseeds = 3\n[[sweep.arm]]\nname = \"leases\"\n\
        [[sweep.arm]]\nname = \"none\"\nset = { \"market.leases\" = false }\n\
        [[sweep.axis]]\nkey = \"attack.0.share\"\nvalues = [0.0, 0.5]\n";

    fn planned(text: &str) -> Result<(SweepPlan, Vec<SweepRun>), SweepError> {
        Scenario::parse("plan.toml", text).expect("a scenario").planned()
    }

    #[test]
    fn arms_times_axes_times_seeds_are_planned_with_common_seeds() {
        let (plan, runs) = planned(PLAN).expect("a plan");
        let names: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
        assert_eq!(names, ["leases, share 0.0", "leases, share 0.5", "none, share 0.0", "none, share 0.5"]);
        // Each arm with attackers has its honest twin beside it.
        assert_eq!((runs.len(), &plan.seeds), (12 + 6, &vec![7, 8, 9]));
        let twins: Vec<usize> = plan.arms.iter().map(|arm| arm.twins.len()).collect();
        assert_eq!(twins, [0, 3, 0, 3]);
        let of = |id: &String| &runs.iter().find(|run| run.run_id == *id).expect("it is planned").scenario;
        let (attacked, twin) = (of(&plan.arms[3].runs[1]), of(&plan.arms[3].twins[1]));
        assert!(!attacked.attack[0].honest && twin.attack[0].honest && twin.attack[0].share == 0.5);
        assert_eq!((attacked.seed, twin.seed, twin.market.leases), (8, 8, false));
        let distinct: BTreeSet<&String> = runs.iter().map(|run| &run.run_id).collect();
        assert_eq!(distinct.len(), runs.len());
    }

    #[test]
    fn arms_that_draw_the_same_attackers_share_a_twin() {
        let text = "nodes = 12\n[[attack]]\nkind = \"deviant\"\ncount = 1\n[sweep]\nseeds = 2\n\
            [[sweep.axis]]\nkey = \"attack.0.bid_factor\"\nvalues = [0.9, 1.1]\n";
        let (plan, runs) = planned(text).expect("a plan");
        assert_eq!((plan.arms[0].twins.clone(), runs.len()), (plan.arms[1].twins.clone(), 6));
        let mark = format!("{text}[[sweep.mark]]\nkey = \"gian\"\nat_most = 3.0\n");
        assert!(planned(&mark).expect_err("no such effect").to_string().contains("gian"));
    }

    #[test]
    fn a_sweep_that_sets_what_does_not_exist_says_so() {
        let wrong = |key: &str, value: &str| {
            let text = format!("[[sweep.arm]]\nname = \"x\"\nset = {{ \"{key}\" = {value} }}\n");
            planned(&text).expect_err("it must be refused").to_string()
        };
        assert!(wrong("market.leaves", "true").contains("did you mean `leases`?"));
        assert!(wrong("nodes", "1").contains("at least one must buy"));
        assert!(wrong("attack.3.share", "0.5").contains("attack.3.share"));
        assert!(matches!(planned("[sweep]\nseeds = 0\n"), Err(SweepError::Size(0))));
    }
}
