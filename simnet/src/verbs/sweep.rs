//! `sweep`, `merge` and `report`.

use std::fs;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bombyx_simnet::results::effects::EFFECTS;
use bombyx_simnet::results::metrics::METRICS;
use bombyx_simnet::results::page::page;
use bombyx_simnet::results::plot::shown;
use bombyx_simnet::results::{self, SweepPlan, SweepResult, SweepRun, SweepShard, store};
use bombyx_simnet::scenario::{Crypto, SHIPPED, Scenario};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use indicatif::ProgressBar;

use super::{progress_bar, run_world, scenario};
use crate::cli::Sweep;
use crate::command_error::CommandError;
use crate::say::say;

/// Runs a sweep, or one shard of it; a whole one is put together at once.
pub(crate) fn sweep(args: &Sweep) -> Result<(), CommandError> {
    let mut scenario = scenario(&args.which)?;
    scenario.sweep.seeds = args.seeds.unwrap_or(scenario.sweep.seeds);
    let shard = match &args.shard {
        Some(text) => {
            SweepShard::parse(text, |name| std::env::var(name).ok()).map_err(CommandError::usage)?
        }
        None => SweepShard { number: 0, of: 1 },
    };
    let (plan, planned) = scenario.planned().map_err(CommandError::usage)?;
    fs::create_dir_all(&args.out)
        .map_err(|error| CommandError::usage(format!("{}: {error}", args.out.display())))?;
    store::write_json(&args.out.join("plan.json"), &plan).map_err(CommandError::usage)?;
    let mine: Vec<_> = planned.iter().enumerate().filter(|(place, _)| shard.has(*place)).collect();
    let run_one = |count: usize, run: &SweepRun| {
        if store::is_complete(&args.out, &run.run_id) {
            return Ok(());
        }
        // Bars of several threads would write over each other.
        let bar = if args.threads.get() == 1 {
            progress_bar(&run.scenario, &format!("run {} of {}  ", count + 1, mine.len()))
        } else {
            ProgressBar::hidden()
        };
        let (world, report) = run_world(&run.scenario, &bar)?;
        let twin = if run.is_twin { ", honest twin" } else { "" };
        let arm = format!("{}{twin}", plan.arms[run.arm].name);
        store::save(&args.out, &world, &report, Some(&arm)).map(drop).map_err(CommandError::usage)
    };
    let next = AtomicUsize::new(0);
    let run_some = || loop {
        let count = next.fetch_add(1, Ordering::Relaxed);
        let Some((_, run)) = mine.get(count) else { return Ok(()) };
        if let Err(failed) = run_one(count, run) {
            // Nobody begins another run.
            next.store(mine.len(), Ordering::Relaxed);
            return Err(failed);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..args.threads.get()).map(|_| scope.spawn(run_some)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    if shard.of == 1 {
        return merge(&args.out);
    }
    say!(
        "shard {}/{}: {} of {} runs are in {}; when all shards are: simnet merge {2}",
        shard.number,
        shard.of,
        mine.len(),
        planned.len(),
        args.out.display()
    );
    Ok(())
}

/// Puts a sweep together and shows it.
pub(crate) fn merge(out: &Path) -> Result<(), CommandError> {
    let merged = results::merge(out).map_err(CommandError::usage)?;
    say!("{}", table(&merged));
    if let Some(table) = twins(&merged) {
        say!("against the honest twin: the same seeds and hosts, which keep to the protocol\n{table}");
    }
    for mark in &merged.marks {
        say!("{mark}");
    }
    say!("merged.json and effects.parquet are written; simnet report {} makes a page of it", out.display());
    Ok(())
}

fn table(merged: &SweepResult) -> Table {
    let mut table = Table::new();
    let names = merged.arms.iter().map(|arm| arm.name.clone());
    table.load_style(UTF8_FULL_CONDENSED).set_header(std::iter::once(String::new()).chain(names));
    for metric in &METRICS {
        let cells = merged.arms.iter().enumerate().map(|(place, arm)| {
            let Some(of) = arm.metrics.get(metric.key) else { return "–".to_owned() };
            match arm.against_first.get(metric.key).filter(|of| place > 0 && of.excludes_zero()) {
                Some(difference) => format!("{}\n({})", shown(of), shown(difference)),
                None => shown(of),
            }
        });
        let unit = if metric.unit.is_empty() { String::new() } else { format!(", {}", metric.unit) };
        table.add_row(std::iter::once(format!("{}{unit}", metric.label)).chain(cells));
    }
    table
}

/// Returns what each attack does against its honest twin, where anybody attacks.
fn twins(merged: &SweepResult) -> Option<Table> {
    let attacked: Vec<_> = merged.arms.iter().filter(|arm| !arm.effects.is_empty()).collect();
    let mut table = Table::new();
    let names = attacked.iter().map(|arm| arm.name.clone());
    table.load_style(UTF8_FULL_CONDENSED).set_header(std::iter::once(String::new()).chain(names));
    for effect in &EFFECTS {
        let cells =
            attacked.iter().map(|arm| arm.effects.get(effect.key).map_or_else(|| "–".to_owned(), shown));
        let unit = if effect.unit.is_empty() { String::new() } else { format!(", {}", effect.unit) };
        table.add_row(std::iter::once(format!("{}{unit}", effect.label)).chain(cells));
    }
    (!attacked.is_empty()).then_some(table)
}

/// Writes the page of a sweep.
pub(crate) fn report(out: &Path) -> Result<(), CommandError> {
    let merged = results::merge(out).map_err(CommandError::usage)?;
    let command = format!("{}\nsimnet report out", command(&merged.plan));
    let path = out.join("report.html");
    store::write_text(&path, &page(&merged, &command)).map_err(CommandError::usage)?;
    say!("{}", path.display());
    Ok(())
}

/// Returns the command that makes the runs of a plan again: a scenario that ships is as it ships, or says what was changed in it.
fn command(plan: &SweepPlan) -> String {
    let SweepPlan { title, nodes, jobs, seeds, .. } = plan;
    let name = if title.is_empty() { "SCENARIO.toml" } else { title };
    let shipped = SHIPPED.iter().find(|(shipped, _)| shipped == title);
    let as_shipped = |crypto: Crypto| {
        let mut scenario = Scenario::parse(name, shipped?.1).ok()?;
        scenario.sweep.seeds = u32::try_from(seeds.len()).ok()?;
        scenario.crypto = crypto;
        let (ships, _) = scenario.planned().ok()?;
        (ships.arms == plan.arms).then_some(crypto)
    };
    let seeds = seeds.len();
    match as_shipped(Crypto::Real).or_else(|| as_shipped(Crypto::Fake)) {
        Some(Crypto::Real) => format!("simnet sweep {name} --seeds {seeds} --out out"),
        Some(Crypto::Fake) => format!("simnet sweep {name} --seeds {seeds} --crypto fake --out out"),
        None => format!("simnet sweep {name} --nodes {nodes} --jobs {jobs} --seeds {seeds} --out out"),
    }
}
