//! The command line: verbs and their arguments.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use bombyx_simnet::scenario::{Crypto, Fidelity};
use clap::{Args, Parser, Subcommand};

/// The network in a box: the production role machines on virtual time, reproducible to the bit.
///
/// Exit codes: 0 all went well, 2 the command line, a scenario or a file is wrong, 3 an invariant is broken or a replay
/// differs.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand)]
pub(crate) enum Verb {
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
    Fuzz(Fuzz),
    /// Makes a scenario that breaks an invariant as small as it can be.
    Shrink(Which),
    /// Shows the scenarios that ship, and the runs in a directory.
    List(List),
}

/// A scenario and what the command line changes in it.
#[derive(Args)]
pub(crate) struct Which {
    /// The scenario: a TOML file, or the name of one that ships; without one, `first`.
    pub(crate) file: Option<PathBuf>,
    /// Hosts, instead of the scenario's.
    #[arg(long)]
    pub(crate) nodes: Option<u32>,
    /// Orders, instead of the scenario's.
    #[arg(long)]
    pub(crate) jobs: Option<u32>,
    /// Seed, instead of the scenario's.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How much is carried out message by message, instead of the scenario's.
    #[arg(long, value_enum)]
    pub(crate) fidelity: Option<Fidelity>,
    /// What signs, seals and encrypts, instead of the scenario's.
    #[arg(long, value_enum)]
    pub(crate) crypto: Option<Crypto>,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Keep the run under this directory: manifest, summary and Parquet tables.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Print one JSON object as the last line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Threads that share the work of this one run; the results are the same for any number.
    #[arg(long, default_value = "1")]
    pub(crate) threads: NonZeroUsize,
    /// Write sampled orders to this file, as a trace that ui.perfetto.dev and chrome://tracing open.
    #[arg(long)]
    pub(crate) trace: Option<PathBuf>,
    /// Sample every so many orders for the trace.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) trace_every: u32,
}

#[derive(Args)]
pub(crate) struct Sweep {
    #[command(flatten)]
    pub(crate) which: Which,
    /// Where the runs go; those that are there already are not run again.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Seeds, instead of the scenario's.
    #[arg(long)]
    pub(crate) seeds: Option<u32>,
    /// Run one part: `I/N`, I from 0; or `N` alone inside a Slurm array or an indexed Kubernetes Job.
    #[arg(long)]
    pub(crate) shard: Option<String>,
    /// Runs at a time, each on a thread of its own; the results are the same for any number.
    #[arg(long, default_value = "1")]
    pub(crate) threads: NonZeroUsize,
}

#[derive(Args)]
pub(crate) struct Dir {
    /// The directory that the sweep was run into.
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Replay {
    /// The run.
    pub(crate) run_id: String,
    /// The directory that it is kept under.
    #[arg(long, default_value = ".")]
    pub(crate) out: PathBuf,
}

#[derive(Args)]
pub(crate) struct Compare {
    /// A run's directory, or a directory of runs.
    pub(crate) a: PathBuf,
    /// Another one.
    pub(crate) b: PathBuf,
}

#[derive(Args)]
pub(crate) struct Fuzz {
    /// The first world's seed; the others count on from it.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Processor seconds until the last world begins.
    #[arg(long, default_value_t = 60.0)]
    pub(crate) seconds: f64,
}

#[derive(Args)]
pub(crate) struct List {
    /// Also show the runs under this directory.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}
