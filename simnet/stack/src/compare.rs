//! The two fidelities side by side, over common seeds.

use std::path::Path;
use std::process::{Command, Stdio};

use bombyx_simnet::measures::{Interval, Percentiles, ks};
use bombyx_simnet::scenario::Scenario;

use crate::samples::{Connections, Samples};
use crate::{CommandError, Compare, message, page, run, scenario};

/// How far percentiles may be apart, as a share of the stack's.
pub(crate) const APART_MAX: f64 = 0.10;
/// How far distributions may be apart.
pub(crate) const KS_MAX: f64 = 0.10;

/// One measured distribution in both fidelities, all seeds together.
pub(crate) struct DistributionPair {
    /// What was measured.
    pub(crate) label: &'static str,
    /// In what.
    pub(crate) unit: &'static str,
    pub(crate) message: Vec<f64>,
    pub(crate) stack: Vec<f64>,
}

impl DistributionPair {
    /// Returns the percentiles of both.
    pub(crate) fn percentiles(&self) -> (Percentiles, Percentiles) {
        (Percentiles::of(self.message.iter().copied()), Percentiles::of(self.stack.iter().copied()))
    }

    /// Returns the distance of the distributions.
    pub(crate) fn ks(&self) -> f64 {
        ks(&self.message, &self.stack)
    }
}

/// Returns how far the model's percentile is from the stack's, as a share of the latter.
pub(crate) fn apart(message: f64, stack: f64) -> f64 {
    if stack == 0.0 { 0.0 } else { message / stack - 1.0 }
}

/// A number that each run has one of.
pub(crate) struct Single {
    /// What was measured.
    pub(crate) label: &'static str,
    pub(crate) message: Interval,
    pub(crate) stack: Interval,
}

/// Everything that is compared.
pub(crate) struct Comparison {
    pub(crate) scenario: Scenario,
    pub(crate) seeds: Vec<u64>,
    pub(crate) distributions: Vec<DistributionPair>,
    pub(crate) singles: Vec<Single>,
    pub(crate) connections: Connections,
}

/// Runs both fidelities and writes the page.
pub(crate) fn compare(args: &Compare) -> Result<(), CommandError> {
    let plan = scenario(&args.which)?;
    run::check(&plan)?;
    let seeds: Vec<u64> = (0..u64::from(args.seeds.max(1))).map(|number| plan.seed + number).collect();
    let (mut message, mut stack) = (Vec::new(), Vec::new());
    for seed in &seeds {
        let scenario = Scenario { seed: *seed, ..plan.clone() };
        let run = in_process_of_its_own(args, *seed)?;
        message.push(message::run(&scenario, run.connections)?);
        stack.push(run);
        eprintln!("seed {seed}: both fidelities have run");
    }
    let comparison = Comparison::of(plan, seeds, &message, &stack);
    print!("{}", comparison.table());
    std::fs::write(&args.out, page::page(&comparison, &command(args)))
        .map_err(|error| CommandError::usage(format!("cannot write {}: {error}", args.out.display())))
}

/// Counters of the runtime outlive a thread, so that only the first run of a process is the one that its seed names.
fn in_process_of_its_own(args: &Compare, seed: u64) -> Result<Samples, CommandError> {
    let samples = args.out.with_extension(format!("{seed}.json"));
    let mut run = Command::new(std::env::current_exe().map_err(CommandError::usage)?);
    run.arg("run").args(&args.which.file).args(["--seed", &seed.to_string()]).arg("--samples").arg(&samples);
    for (name, number) in [("--nodes", args.which.nodes), ("--jobs", args.which.jobs)] {
        if let Some(number) = number {
            run.args([name, &number.to_string()]);
        }
    }
    let status = run.stdout(Stdio::null()).status().map_err(CommandError::usage)?;
    if !status.success() {
        return Err(CommandError { code: 3, why: format!("the run with seed {seed} failed: {status}") });
    }
    let read = read(&samples);
    // It lies beside the page for no longer than it is needed.
    let _ = std::fs::remove_file(&samples);
    read
}

fn read(path: &Path) -> Result<Samples, CommandError> {
    let text = std::fs::read_to_string(path).map_err(CommandError::usage)?;
    serde_json::from_str(&text).map_err(CommandError::usage)
}

fn command(args: &Compare) -> String {
    let mut command =
        "cargo run --release --manifest-path simnet/stack/Cargo.toml -- \\\n  compare".to_owned();
    if let Some(file) = &args.which.file {
        let name = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        command.push_str(&format!(" {name}"));
    }
    let numbers = [("nodes", args.which.nodes), ("jobs", args.which.jobs), ("seeds", Some(args.seeds))];
    for (name, number) in numbers {
        if let Some(number) = number {
            command.push_str(&format!(" --{name} {number}"));
        }
    }
    command + " --out simnet/reports/stack.html"
}

impl Comparison {
    fn of(scenario: Scenario, seeds: Vec<u64>, message: &[Samples], stack: &[Samples]) -> Self {
        type Values = fn(&Samples) -> Vec<f64>;
        type Value = fn(&Samples) -> f64;
        let distributions: [(&str, &str, Values); 6] = [
            ("Gossip: from publication to each listener", "ms", |of| of.gossip_ms.clone()),
            ("From the order to a provider", "ms", |of| of.match_ms.clone()),
            ("From the order to the first content", "ms", |of| of.first_content_ms.clone()),
            ("From the order to the last content", "ms", |of| of.whole_ms.clone()),
            ("A lookup in the hash table", "ms", |of| of.lookups.iter().map(|one| one.ms).collect()),
            ("Requests of a lookup", "", |of| of.lookups.iter().map(|one| one.requests as f64).collect()),
        ];
        let singles: [(&str, Value); 5] = [
            ("Copies of gossip for each host that heard it", |of| of.copies),
            ("Listeners reached, %", |of| of.gossip_ms.len() as f64 / of.gossip_expected as f64 * 1e2),
            ("Orders answered, %", |of| summary(of, "success") * 1e2),
            ("Bids in an auction", |of| summary(of, "bids_per_auction")),
            ("Failovers", |of| summary(of, "failovers")),
        ];
        let all = |runs: &[Samples], of: Values| runs.iter().flat_map(of).collect();
        let interval = |runs: &[Samples], of: Value| Interval::of(&runs.iter().map(of).collect::<Vec<_>>());
        let mean = |of: fn(&Connections) -> f64| {
            Interval::of(&stack.iter().map(|run| of(&run.connections)).collect::<Vec<_>>()).mean
        };
        let connections = Connections {
            before_lookups: mean(|of| of.before_lookups),
            before_orders: mean(|of| of.before_orders),
        };
        Self {
            scenario,
            seeds,
            distributions: distributions
                .into_iter()
                .map(|(label, unit, of)| DistributionPair {
                    label,
                    unit,
                    message: all(message, of),
                    stack: all(stack, of),
                })
                .collect(),
            singles: singles
                .into_iter()
                .map(|(label, of)| Single {
                    label,
                    message: interval(message, of),
                    stack: interval(stack, of),
                })
                .collect(),
            connections,
        }
    }

    /// Formats the table for a terminal.
    fn table(&self) -> String {
        let mut text = String::new();
        for of in &self.distributions {
            let (message, stack) = of.percentiles();
            text.push_str(&format!("{}: KS {:.3}\n", of.label, of.ks()));
            for (name, message, stack) in [
                ("p50", message.p50, stack.p50),
                ("p95", message.p95, stack.p95),
                ("p99", message.p99, stack.p99),
            ] {
                let apart = apart(message, stack) * 1e2;
                text.push_str(&format!("  {name}: message {message:.1}, stack {stack:.1} ({apart:+.1} %)\n"));
            }
        }
        for of in &self.singles {
            text.push_str(&format!(
                "{}: message {:.2}, stack {:.2}\n",
                of.label, of.message.mean, of.stack.mean
            ));
        }
        text.push_str(&format!(
            "Connections of a mean host: {:.1} before the lookups, {:.1} before the orders\n",
            self.connections.before_lookups, self.connections.before_orders
        ));
        text
    }
}

fn summary(of: &Samples, key: &str) -> f64 {
    of.report["summary"][key].as_f64().unwrap_or(f64::NAN)
}
