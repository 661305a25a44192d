//! `simnet`: runs a scenario and shows what came of it.

use std::fs;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use bombyx_simnet::report::{Report, table};
use bombyx_simnet::scenario::{FIRST, Scenario};
use bombyx_simnet::world::World;
use clap::{Args, Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};

/// The network in a box: the production role machines on virtual time, reproducible to the bit.
///
/// Exit codes: 0 the run ended and every invariant held, 2 the command line or the scenario is wrong, 3 an invariant
/// is broken.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Runs one scenario and prints what came of it.
    Run(Run),
}

#[derive(Args)]
struct Run {
    /// The scenario, in TOML; without one, a first look: 1,000 nodes and 400 orders.
    file: Option<PathBuf>,
    /// Hosts, instead of the scenario's.
    #[arg(long)]
    nodes: Option<u32>,
    /// Orders, instead of the scenario's.
    #[arg(long)]
    jobs: Option<u32>,
    /// Seed, instead of the scenario's.
    #[arg(long)]
    seed: Option<u64>,
    /// Print one JSON object as the last line.
    #[arg(long)]
    json: bool,
}

const USAGE: u8 = 2;
const BROKEN: u8 = 3;

fn main() -> ExitCode {
    let Verb::Run(run) = Cli::parse().verb;
    let scenario = match scenario(&run) {
        Ok(scenario) => scenario,
        Err(error) => return fail(&error, USAGE),
    };
    let bar = progress_bar(&scenario);
    let mut world = World::new(&scenario);
    let outcome = world.run(|progress| {
        bar.set_position(progress.ended);
        let rate = progress.events as f64 / cpu_s().max(1e-3);
        bar.set_message(format!("{:.1} s virtual, {rate:.0} events/s", progress.now.0 as f64 / 1e6));
    });
    bar.finish_and_clear();
    if let Err(stopped) = outcome {
        return fail(&stopped.to_string(), BROKEN);
    }
    let report = Report::of(&world, cpu_s());
    if run.json {
        match serde_json::to_string(&report) {
            Ok(line) => println!("{line}"),
            Err(error) => return fail(&error.to_string(), BROKEN),
        }
    } else {
        print!("{}", table(&report));
    }
    ExitCode::SUCCESS
}

fn scenario(run: &Run) -> Result<Scenario, String> {
    let (name, text) = match &run.file {
        None => ("first.toml".to_owned(), FIRST.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let text = fs::read_to_string(path).map_err(|error| format!("cannot read {name}: {error}"))?;
            (name, text)
        }
    };
    let mut scenario = Scenario::parse(&name, &text).map_err(|error| error.to_string())?;
    scenario.nodes = run.nodes.unwrap_or(scenario.nodes);
    scenario.workload.jobs = run.jobs.unwrap_or(scenario.workload.jobs);
    scenario.seed = run.seed.unwrap_or(scenario.seed);
    scenario.check().map_err(|(_, what)| format!("command line: {what}"))?;
    Ok(scenario)
}

fn fail(error: &str, code: u8) -> ExitCode {
    eprintln!("error: {error}");
    ExitCode::from(code)
}

/// A bar on a terminal, nothing anywhere else.
fn progress_bar(scenario: &Scenario) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} orders  {msg}  {elapsed}");
    let bar = ProgressBar::new(u64::from(scenario.workload.jobs));
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn cpu_s() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
