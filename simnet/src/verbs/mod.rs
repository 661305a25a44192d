//! One file for each group of commands, and what they share: finding a scenario, running a world.

pub(crate) mod run;
pub(crate) mod search;
pub(crate) mod show;
pub(crate) mod sweep;

use std::fs;
use std::io::IsTerminal as _;
use std::num::NonZeroUsize;

use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::{FIRST, SHIPPED, Scenario};
use bombyx_simnet::workload::requests;
use bombyx_simnet::world::World;
use indicatif::{ProgressBar, ProgressStyle};
use rustix::time::{ClockId, clock_gettime};

use crate::cli::Which;
use crate::command_error::CommandError;

/// Returns the scenario of a command line: a file, else one that ships.
fn scenario(which: &Which) -> Result<Scenario, CommandError> {
    let (name, text) = match &which.file {
        None => ("first.toml".to_owned(), FIRST.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            match SHIPPED.iter().find(|(shipped, _)| *shipped == name && !path.exists()) {
                Some((_, text)) => (name, (*text).to_owned()),
                None => {
                    let text = fs::read_to_string(path)
                        .map_err(|error| CommandError::usage(format!("cannot read {name}: {error}")))?;
                    (name, text)
                }
            }
        }
    };
    let mut scenario = Scenario::parse(&name, &text).map_err(CommandError::usage)?;
    scenario.nodes = which.nodes.unwrap_or(scenario.nodes);
    scenario.workload.jobs = which.jobs.unwrap_or(scenario.workload.jobs);
    scenario.seed = which.seed.unwrap_or(scenario.seed);
    scenario.fidelity = which.fidelity.unwrap_or(scenario.fidelity);
    scenario.crypto = which.crypto.unwrap_or(scenario.crypto);
    scenario.check().map_err(|(_, what)| CommandError::usage(format!("command line: {what}")))?;
    requests::load(&mut scenario).map_err(CommandError::usage)?;
    Ok(scenario)
}

/// Runs a world to its end on this thread.
fn run_world(scenario: &Scenario, bar: &ProgressBar) -> Result<(World, Report), CommandError> {
    run_world_on(NonZeroUsize::MIN, cpu_s, scenario, bar)
}

/// Runs a world to its end on so many threads, whose processor time `cpu_s` tells.
fn run_world_on(
    threads: NonZeroUsize,
    cpu_s: fn() -> f64,
    scenario: &Scenario,
    bar: &ProgressBar,
) -> Result<(World, Report), CommandError> {
    let began = cpu_s();
    let mut world = World::on_threads(scenario, threads);
    let outcome = world.run(|progress| {
        bar.set_position(progress.ended);
        let rate = progress.events as f64 / (cpu_s() - began).max(1e-3);
        bar.set_message(format!("{:.1} s virtual, {rate:.0} events/s", progress.now.0 as f64 / 1e6));
    });
    bar.finish_and_clear();
    outcome.map_err(CommandError::broken)?;
    let report = Report::of(&world, cpu_s() - began);
    Ok((world, report))
}

/// Returns a bar on a terminal, nothing anywhere else.
fn progress_bar(scenario: &Scenario, prefix: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{prefix}{bar:30} {pos}/{len} orders  {msg}  {elapsed}");
    let bar = ProgressBar::new(u64::from(scenario.workload.jobs)).with_prefix(prefix.to_owned());
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// Returns the processor time of this thread.
fn cpu_s() -> f64 {
    seconds(ClockId::ThreadCPUTime)
}

/// Returns the processor time of all threads together.
fn cpu_s_of_all() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let used = clock_gettime(clock);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Returns the most memory that this process ever held, as Linux tells it.
fn peak_mib() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim_end().parse().ok()?;
    Some(kib / 1024.0)
}
