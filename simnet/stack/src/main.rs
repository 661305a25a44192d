//! `simnet-stack`: the scenarios of simnet over the node's own swarm, on virtual time, and the comparison with simnet's
//! model of it.
//!
//! ```text
//!   role machines, disks, engines, ledger, orders     bombyx-simnet's world, its messages carried outside
//!   node/src/net as it is                             discovery, dialling, streams, gossip settings
//!   rust-libp2p                                       gossipsub, Kademlia, identify, ping
//!   internet, link, fabric                            QUIC's manners over simnet's link model
//!   tokio's paused clock, entropy                     virtual time, seeded randomness
//! ```

mod compare;
#[path = "../../../node/src/driver/early_gossip.rs"]
mod early_gossip;
mod ears;
mod entropy;
mod fabric;
mod internet;
mod link;
mod message;
#[path = "../../../node/src/net/mod.rs"]
#[allow(dead_code, unused_imports, unreachable_pub, reason = "the node uses all of it, this program a part")]
mod net;
mod page;
mod run;
mod samples;

use std::path::PathBuf;
use std::process::ExitCode;

use bombyx_simnet::scenario::{FIRST, SHIPPED, Scenario};
use clap::{Args, Parser, Subcommand};

/// The network in a box over the node's own swarm: real gossipsub, Kademlia and identify on virtual time.
///
/// Exit codes: 0 all went well, 2 the command line, a scenario or a file is wrong, 3 an invariant is broken.
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
    /// Runs a scenario here and in simnet's `message` fidelity over common seeds, and writes how far they are apart.
    Compare(Compare),
}

/// A scenario and what the command line changes in it.
#[derive(Args, Clone)]
struct Which {
    /// The scenario: a TOML file, or the name of one that ships; without one, `first`.
    file: Option<PathBuf>,
    /// Hosts, instead of the scenario's. Up to 200 take minutes.
    #[arg(long)]
    nodes: Option<u32>,
    /// Orders, instead of the scenario's.
    #[arg(long)]
    jobs: Option<u32>,
    /// Seed, instead of the scenario's.
    #[arg(long)]
    seed: Option<u64>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    which: Which,
    /// Print one JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// Write every single value, for a comparison, to this file.
    #[arg(long)]
    samples: Option<PathBuf>,
}

#[derive(Args)]
struct Compare {
    #[command(flatten)]
    which: Which,
    /// Seeds, counted from the scenario's.
    #[arg(long, default_value_t = 3)]
    seeds: u32,
    /// Where the page goes.
    #[arg(long, default_value = "stack.html")]
    out: PathBuf,
}

/// A failure, and the code with which the program ends.
struct CommandError {
    code: u8,
    why: String,
}

impl CommandError {
    fn usage(why: impl std::fmt::Display) -> Self {
        Self { code: 2, why: why.to_string() }
    }
}

impl From<Box<bombyx_simnet::world::InvariantError>> for CommandError {
    fn from(why: Box<bombyx_simnet::world::InvariantError>) -> Self {
        Self { code: 3, why: why.to_string() }
    }
}

impl From<run::RunError> for CommandError {
    fn from(why: run::RunError) -> Self {
        let code = if matches!(why, run::RunError::Unsupported(_)) { 2 } else { 3 };
        Self { code, why: why.to_string() }
    }
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().verb {
        Verb::Run(args) => run_one(&args),
        Verb::Compare(args) => compare::compare(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {}", failed.why);
            ExitCode::from(failed.code)
        }
    }
}

/// Returns the scenario of a command line: a file, else one that ships.
fn scenario(which: &Which) -> Result<Scenario, CommandError> {
    let (name, text) = match &which.file {
        None => ("first.toml".to_owned(), FIRST.to_owned()),
        Some(path) => {
            let name = path.display().to_string();
            let shipped = SHIPPED.iter().find(|(shipped, _)| *shipped == name && !path.exists());
            let text = match shipped {
                Some((_, text)) => (*text).to_owned(),
                None => std::fs::read_to_string(path)
                    .map_err(|error| CommandError::usage(format!("cannot read {name}: {error}")))?,
            };
            (name, text)
        }
    };
    let mut scenario = Scenario::parse(&name, &text).map_err(CommandError::usage)?;
    scenario.nodes = which.nodes.unwrap_or(scenario.nodes);
    scenario.workload.jobs = which.jobs.unwrap_or(scenario.workload.jobs);
    scenario.seed = which.seed.unwrap_or(scenario.seed);
    scenario.check().map_err(|(_, what)| CommandError::usage(format!("command line: {what}")))?;
    Ok(scenario)
}

fn run_one(args: &Run) -> Result<(), CommandError> {
    // Set once for the process; nothing else logs here.
    let _ = tracing::subscriber::set_global_default(ears::Ears);
    let samples = run::run(scenario(&args.which)?)?;
    if let Some(path) = &args.samples {
        let text = serde_json::to_string(&samples).map_err(CommandError::usage)?;
        std::fs::write(path, text)
            .map_err(|error| CommandError::usage(format!("cannot write {}: {error}", path.display())))?;
    }
    let shown = if args.json {
        serde_json::to_string(&samples.report)
    } else {
        serde_json::to_string_pretty(&samples.report)
    };
    println!("{}", shown.map_err(CommandError::usage)?);
    Ok(())
}

fn cpu_s() -> f64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
