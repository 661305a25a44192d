//! `compare` and `list`.

use std::path::Path;

use bombyx_simnet::measures::Interval;
use bombyx_simnet::results::differences;
use bombyx_simnet::results::metrics::METRICS;
use bombyx_simnet::results::plot::shown;
use bombyx_simnet::results::store::{self, StoredRun};
use bombyx_simnet::scenario::{SHIPPED, Scenario};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use crate::cli::{Compare, List};
use crate::command_error::CommandError;
use crate::say::say;

/// Compares two runs, or two sets of runs by their common seeds.
pub(crate) fn compare(args: &Compare) -> Result<(), CommandError> {
    let (a, b) = (load(&args.a)?, load(&args.b)?);
    let paired = differences(&a, &b);
    // A single run of another seed is compared all the same, as two numbers.
    let is_paired = !paired.is_empty();
    let mut table = Table::new();
    let header = ["", "A", "B", if is_paired { "B − A, by seed" } else { "" }];
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for metric in &METRICS {
        let of = |runs: &[StoredRun]| {
            let values: Vec<f64> =
                runs.iter().filter_map(|run| run.metrics.get(metric.key).copied()).collect();
            if values.is_empty() { "–".to_owned() } else { shown(&Interval::of(&values)) }
        };
        let unit = if metric.unit.is_empty() { String::new() } else { format!(", {}", metric.unit) };
        let difference = paired.get(metric.key).map_or_else(String::new, |of| {
            format!("{}{}", shown(of), if of.excludes_zero() { " *" } else { "" })
        });
        table.add_row([format!("{}{unit}", metric.label), of(&a), of(&b), difference]);
    }
    say!("{table}");
    if a.len() == 1 && b.len() == 1 && a[0].digest == b[0].digest {
        say!("the two runs are the same to the bit: digest {}", a[0].digest);
    }
    if is_paired && a.len() > 1 {
        say!("± is a 95 % interval; * marks differences whose interval does not hold zero");
    }
    Ok(())
}

fn load(path: &Path) -> Result<Vec<StoredRun>, CommandError> {
    if path.join("summary.json").is_file() {
        return store::read_json(&path.join("summary.json"))
            .map(|run| vec![run])
            .map_err(CommandError::usage);
    }
    let ids = store::runs(path).map_err(CommandError::usage)?;
    if ids.is_empty() {
        return Err(CommandError::usage(format!(
            "{} holds no run; give a run's directory, or one that --out was set to",
            path.display()
        )));
    }
    ids.iter().map(|id| store::load(path, id).map_err(CommandError::usage)).collect()
}

/// Shows what there is.
pub(crate) fn list(args: &List) -> Result<(), CommandError> {
    for &(name, text) in SHIPPED {
        let scenario = Scenario::parse(name, text).map_err(CommandError::broken)?;
        let question = scenario.question.split_whitespace().collect::<Vec<_>>().join(" ");
        say!("{name}\n    {question}");
    }
    if let Some(out) = &args.out {
        say!("\nruns under {}:", out.display());
        for id in store::runs(out).map_err(CommandError::usage)? {
            let manifest = store::manifest(out, &id).map_err(CommandError::usage)?;
            let arm = manifest.arm.map_or_else(String::new, |arm| format!("  {arm}"));
            say!("{id}  {}  seed {}{arm}", manifest.scenario.title, manifest.seed);
        }
    }
    Ok(())
}
