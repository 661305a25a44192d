//! The scenario `planet` in both fidelities against its goals: processor time, events a second, peak memory; and how long it
//! takes by the clock on one thread and on two, which come to the same digest.
//!
//! `cargo bench -p bombyx-simnet --profile simnet --features fake-crypto --bench planet` runs a tenth of it: hosts, models,
//! orders and their rate divided by ten, for the same hour. With `-- --full` it runs all of it. Each run is a process of its
//! own, so that its peak memory is its own.

use std::path::Path;
use std::process::{Command, ExitCode};

use bombyx_simnet::scenario::{HAS_FAKE_CRYPTO, Scenario};
use serde_json::Value;

const PLANET: &str = include_str!("../scenarios/planet.toml");
/// Processor seconds that the whole of it is meant to take, by fidelity.
const GOALS: [(&str, f64); 2] = [("fast", 60.0), ("message", 180.0)];
/// What makes the C library of a Linux system ask for large pages: most of the time goes to waiting for memory.
const LARGE_PAGES: &str = "glibc.malloc.hugetlb=1";
/// Memory that the whole of it is meant to need.
const GOAL_MIB: f64 = 1024.0;

fn main() -> ExitCode {
    if !HAS_FAKE_CRYPTO {
        eprintln!("the planet is simulated with pretended cryptography: add --features fake-crypto");
        return ExitCode::FAILURE;
    }
    let part = if std::env::args().any(|argument| argument == "--full") { 1 } else { 10 };
    match measure(part) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(part: u32) -> Result<(), Box<dyn std::error::Error>> {
    let mut scenario = Scenario::parse("planet.toml", PLANET)?;
    scenario.nodes /= part;
    scenario.population.models /= part;
    scenario.workload.jobs /= part;
    scenario.workload.rate_per_s /= f64::from(part);
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("planet.toml");
    std::fs::write(&file, toml::to_string(&scenario)?)?;
    println!("{} hosts, {} orders", scenario.nodes, scenario.workload.jobs);
    println!(
        "fidelity threads  clock s   CPU s   over goal   M events   events/s   µs/order   peak MiB   over goal"
    );
    for (fidelity, goal_s) in GOALS {
        let mut digests = Vec::new();
        for threads in ["1", "2"] {
            let began = clock_s();
            let report = run(&file, fidelity, threads)?;
            let took_s = clock_s() - began;
            let number = |name: &str| report[name].as_f64().ok_or(format!("no {name} in the report"));
            let (cpu_s, events, peak_mib) = (number("cpu_s")?, number("events")?, number("peak_mib")?);
            println!(
                "{fidelity:8}{threads:>8}{took_s:9.1}{cpu_s:8.1}{:12.2}{:11.1}{:11.0}{:11.0}{peak_mib:11.0}{:12.2}",
                cpu_s * f64::from(part) / goal_s,
                events / 1e6,
                events / cpu_s,
                cpu_s * 1e6 / f64::from(scenario.workload.jobs),
                peak_mib * f64::from(part) / GOAL_MIB,
            );
            digests.push(report["digest"].clone());
        }
        if digests[0] != digests[1] {
            return Err(format!("{fidelity}: one thread and two came to different digests").into());
        }
    }
    if part > 1 {
        println!("goals are divided by {part}");
    }
    Ok(())
}

fn clock_s() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// Runs one fidelity on so many threads and reads its report.
fn run(file: &Path, fidelity: &str, threads: &str) -> Result<Value, Box<dyn std::error::Error>> {
    let output = Command::new(env!("CARGO_BIN_EXE_simnet"))
        .arg("run")
        .arg(file)
        .args(["--fidelity", fidelity, "--threads", threads, "--crypto", "fake", "--json"])
        .env("GLIBC_TUNABLES", LARGE_PAGES)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?)
}
