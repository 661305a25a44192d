//! Equal seeds give equal runs, in one process and in two; another seed gives another run.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;

const SMALL: &str = "nodes = 30\n[population]\nmodels = 3\n[workload]\njobs = 12\n";

fn report(seed: u64) -> Report {
    let scenario = Scenario { seed, ..Scenario::parse("small.toml", SMALL).unwrap() };
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    Report::of(&world, 0.0)
}

fn in_a_process(file: &std::path::Path, seed: &str) -> serde_json::Value {
    let out = Command::new(env!("CARGO_BIN_EXE_simnet"))
        .args(["run", file.to_str().unwrap(), "--json", "--seed", seed])
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let shown = String::from_utf8(out.stdout).unwrap();
    serde_json::from_str(shown.lines().last().unwrap()).unwrap()
}

#[test]
fn the_same_seed_gives_the_same_digest_and_another_seed_another() {
    let (first, again, other) = (report(1), report(1), report(2));
    assert_eq!(first.digest, again.digest);
    assert_eq!(first.events, again.events);
    assert_ne!(first.digest, other.digest);
    assert_ne!(first.run_id, other.run_id);
    assert_eq!(first.summary.done, 12);
}

#[test]
fn two_processes_give_the_same_digest() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("small.toml");
    std::fs::write(&file, SMALL).unwrap();
    let (first, again) = (in_a_process(&file, "1"), in_a_process(&file, "1"));
    assert_eq!(first["digest"], again["digest"]);
    assert_eq!(first["digest"], report(1).digest.as_str(), "and so does a library call");
    for key in ["run_id", "seed", "digest", "nodes", "jobs", "events", "cpu_s", "summary"] {
        assert!(!first[key].is_null(), "{key}");
    }
}

#[test]
fn a_wrong_scenario_ends_with_code_2_and_says_where() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("typo.toml");
    std::fs::write(&file, "nodes = 30\n[workload]\njbos = 12\n").unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_simnet")).arg("run").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(2), "{said}");
    assert!(said.contains("typo.toml, line 3") && said.contains("did you mean `jobs`?"), "{said}");
}
