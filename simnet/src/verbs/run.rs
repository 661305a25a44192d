//! `run` and `replay`.

use bombyx_simnet::results::{Report, store, table, timeline};
use bombyx_simnet::workload::requests;

use serde::Serialize;

use super::{cpu_s_of_all, peak_mib, progress_bar, run_world, run_world_on, scenario};
use crate::cli::{Replay, Run};
use crate::failure::Failure;
use crate::say::say;

/// What `--json` prints.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    report: &'a Report,
    /// The most memory that the process ever held, in MiB, where the system tells.
    peak_mib: Option<f64>,
}

/// Runs one scenario.
pub(crate) fn run(args: &Run) -> Result<(), Failure> {
    let scenario = scenario(&args.which)?;
    let bar = progress_bar(&scenario, "");
    let (world, report) = run_world_on(args.threads, cpu_s_of_all, &scenario, &bar)?;
    let kept = match &args.out {
        Some(out) => Some(store::save(out, &world, &report, None).map_err(Failure::usage)?),
        None => None,
    };
    if let Some(path) = &args.trace {
        store::write_json(path, &timeline::trace(&world, args.trace_every)).map_err(Failure::usage)?;
    }
    if args.json {
        let line = Line { report: &report, peak_mib: peak_mib() };
        say!("{}", serde_json::to_string(&line).map_err(Failure::broken)?);
    } else {
        say!("{}", table(&report).trim_end_matches('\n'));
        if let Some(dir) = kept {
            say!("kept in {}", dir.display());
        }
    }
    Ok(())
}

/// Runs a stored run again: the same digest, or an error.
pub(crate) fn replay(args: &Replay) -> Result<(), Failure> {
    let mut manifest = store::manifest(&args.out, &args.run_id).map_err(Failure::usage)?;
    requests::load(&mut manifest.scenario).map_err(Failure::usage)?;
    let (_, report) = run_world(&manifest.scenario, &progress_bar(&manifest.scenario, ""))?;
    if report.digest == manifest.digest {
        say!("run {} again: digest {}, as before", manifest.run_id, report.digest);
        return Ok(());
    }
    Err(Failure::broken(format!(
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
