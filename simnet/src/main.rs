//! `simnet`: runs scenarios and shows what came of them.

mod verbs;

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

use bombyx_simnet::scenario::{Crypto, Tier};
use clap::{Args, Parser, Subcommand};

/// The network in a box: the production role machines on virtual time, reproducible to the bit.
///
/// Exit codes: 0 all went well, 2 the command line, a scenario or a file is wrong, 3 an invariant is broken or a replay
/// differs.
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
    /// Runs every arm of a scenario's `[sweep]` with every seed, or one shard of that.
    Sweep(Sweep),
    /// Puts the shards of a sweep together: means, paired differences, 95 % intervals.
    Merge(Dir),
    /// Writes report.html for a sweep: question, answer, plots, tables.
    Report(Dir),
    /// Runs a stored run again and compares the digests.
    Replay(Replay),
    /// Compares two runs, or two directories of runs seed by seed.
    Compare(Compare),
    /// Runs random worlds until the time is up; one that breaks an invariant is made small and written down.
    Swarm(Swarm),
    /// Makes a scenario that breaks an invariant as small as it can be.
    Shrink(Which),
    /// Shows the scenarios that ship, and the runs in a directory.
    List(List),
}

/// A scenario and what the command line changes in it.
#[derive(Args)]
struct Which {
    /// The scenario: a TOML file, or the name of one that ships; without one, `first`.
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
    /// How much is carried out message by message, instead of the scenario's.
    #[arg(long, value_enum)]
    tier: Option<Tier>,
    /// What signs, seals and encrypts, instead of the scenario's.
    #[arg(long, value_enum)]
    crypto: Option<Crypto>,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    which: Which,
    /// Keep the run under this directory: manifest, summary and Parquet tables.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print one JSON object as the last line.
    #[arg(long)]
    json: bool,
    /// Threads that share the work of this one run; the results are the same for any number.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
    /// Write sampled orders to this file, as a trace that ui.perfetto.dev and chrome://tracing open.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Sample every so many orders for the trace.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    trace_every: u32,
}

#[derive(Args)]
struct Sweep {
    #[command(flatten)]
    which: Which,
    /// Where the runs go; those that are there already are not run again.
    #[arg(long)]
    out: PathBuf,
    /// Seeds, instead of the scenario's.
    #[arg(long)]
    seeds: Option<u32>,
    /// Run one part: `I/N`, I from 0; or `N` alone inside a Slurm array or an indexed Kubernetes Job.
    #[arg(long)]
    shard: Option<String>,
    /// Runs at a time, each on a thread of its own; the results are the same for any number.
    #[arg(long, default_value = "1")]
    threads: NonZeroUsize,
}

#[derive(Args)]
struct Dir {
    /// The directory that the sweep was run into.
    out: PathBuf,
}

#[derive(Args)]
struct Replay {
    /// The run.
    run_id: String,
    /// The directory that it is kept under.
    #[arg(long, default_value = ".")]
    out: PathBuf,
}

#[derive(Args)]
struct Compare {
    /// A run's directory, or a directory of runs.
    a: PathBuf,
    /// Another one.
    b: PathBuf,
}

#[derive(Args)]
struct Swarm {
    /// The first world's seed; the others count on from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Processor seconds until the last world begins.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
}

#[derive(Args)]
struct List {
    /// Also show the runs under this directory.
    #[arg(long)]
    out: Option<PathBuf>,
}

const USAGE: u8 = 2;
const BROKEN: u8 = 3;

/// Why a command ends with another code than 0.
struct Failed {
    code: u8,
    what: String,
}

impl Failed {
    fn usage(error: impl ToString) -> Self {
        Self { code: USAGE, what: error.to_string() }
    }

    fn broken(error: impl ToString) -> Self {
        Self { code: BROKEN, what: error.to_string() }
    }
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(args) => verbs::run::run(&args),
        Verb::Sweep(args) => verbs::sweep::sweep(&args),
        Verb::Merge(args) => verbs::sweep::merge(&args.out),
        Verb::Report(args) => verbs::sweep::report(&args.out),
        Verb::Replay(args) => verbs::run::replay(&args),
        Verb::Compare(args) => verbs::show::compare(&args),
        Verb::Swarm(args) => verbs::search::swarm(&args),
        Verb::Shrink(args) => verbs::search::shrink(&args),
        Verb::List(args) => verbs::show::list(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { code, what }) => {
            eprintln!("error: {what}");
            ExitCode::from(code)
        }
    }
}
