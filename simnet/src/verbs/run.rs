//! `run` and `replay`.

use std::collections::BTreeMap;

use bombyx_simnet::results::{Report, effects, metrics, store, table, timeline};
use bombyx_simnet::workload::requests;

use serde::Serialize;

use super::{cpu_s_of_all, peak_mib, progress_bar, run_world, run_world_on, scenario};
use crate::cli::{Replay, Run};
use crate::command_error::CommandError;
use crate::say::say;

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// What its attackers do, against its honest twin; empty where nobody attacks.
    against_twin: BTreeMap<&'static str, f64>,
    /// The most memory that the process ever held, in MiB, where the system tells.
    peak_mib: Option<f64>,
}

/// Runs one scenario.
pub(crate) fn run(args: &Run) -> Result<(), CommandError> {
    let scenario = scenario(&args.which)?;
    let bar = progress_bar(&scenario, "");
    let (world, report) = run_world_on(args.threads, cpu_s_of_all, &scenario, &bar)?;
    let against_twin = match scenario.twin() {
        Some(twin) => {
            let (honest, without) =
                run_world_on(args.threads, cpu_s_of_all, &twin, &progress_bar(&twin, "twin  "))?;
            let (with, without) =
                (metrics::of(&world, &report.summary), metrics::of(&honest, &without.summary));
            effects::of(&with, &without)
        }
        None => BTreeMap::new(),
    };
    let kept = match &args.out {
        Some(out) => Some(store::save(out, &world, &report, None).map_err(CommandError::usage)?),
        None => None,
    };
    if let Some(path) = &args.trace {
        store::write_json(path, &timeline::trace(&world, args.trace_every)).map_err(CommandError::usage)?;
    }
    if args.json {
        let line = Line { report: &report, against_twin, peak_mib: peak_mib() };
        say!("{}", serde_json::to_string(&line).map_err(CommandError::broken)?);
    } else {
        say!("{}", table(&report).trim_end_matches('\n'));
        if !against_twin.is_empty() {
            say!("against the honest twin, the same seed and hosts, which keep to the protocol:");
        }
        for effect in &effects::EFFECTS {
            if let Some(value) = against_twin.get(effect.key) {
                say!("  {}: {value:.4} {}", effect.label, effect.unit);
            }
        }
        if let Some(dir) = kept {
            say!("kept in {}", dir.display());
        }
    }
    Ok(())
}

/// Runs a stored run again: the same digest, or an error.
pub(crate) fn replay(args: &Replay) -> Result<(), CommandError> {
    let mut manifest = store::manifest(&args.out, &args.run_id).map_err(CommandError::usage)?;
    requests::load(&mut manifest.scenario).map_err(CommandError::usage)?;
    let (_, report) = run_world(&manifest.scenario, &progress_bar(&manifest.scenario, ""))?;
    if report.digest == manifest.digest {
        say!("run {} again: digest {}, as before", manifest.run_id, report.digest);
        return Ok(());
    }
    Err(CommandError::broken(format!(
        "run {} has digest {} now and had {} before, at version {} and commit {}; this is version {} and commit {}",
        manifest.run_id,
        report.digest,
        manifest.digest,
        manifest.version,
        manifest.commit,
        env!("CARGO_PKG_VERSION"),
        env!("SIMNET_COMMIT"),
    )))
}
