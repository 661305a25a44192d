//! Whole runs of the program: equal seeds are equal runs, and what comes out is what simnet's other fidelities print.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use bombyx_simnet::results::Report;
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;
use serde_json::Value;

const SMALL: &str = r#"
title = "small"
nodes = 12
[population]
clients = 0.25
models = 1
models_per_client = 1
[workload]
jobs = 6
rate_per_s = 2.0
warm_up_s = 4.0
answer_tokens = 20
"#;

fn run(scenario: &str, name: &str, arguments: &[&str]) -> Output {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, scenario).unwrap();
    Command::new(env!("CARGO_BIN_EXE_simnet-stack")).arg("run").arg(path).args(arguments).output().unwrap()
}

fn report(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// `SI-7`
#[test]
fn equal_seeds_are_equal_to_the_bit_and_another_seed_is_another_run() {
    let one = |name, seed: &'static str| {
        std::thread::spawn(move || report(&run(SMALL, name, &["--json", "--seed", seed])))
    };
    let runs = [one("a.toml", "1"), one("b.toml", "1"), one("c.toml", "2")];
    let [first, again, other] = runs.map(|run| run.join().unwrap());
    assert_eq!(first["digest"], again["digest"]);
    assert_eq!(first["summary"], again["summary"]);
    assert_ne!(first["digest"], other["digest"]);

    let summary = &first["summary"];
    assert_eq!(summary["done"], 6, "{summary}");
    assert_eq!(summary["ledger"]["imbalance"], 0);
    assert_eq!(summary["false_accusations"], 0);
    assert!(summary["gossip_duplicates"].as_f64().unwrap() > 0.5, "gossipsub forwards to a mesh: {summary}");
    assert!(summary["bids_per_auction"].as_f64().unwrap() > 1.0, "calls reach providers: {summary}");
}

/// `SI-8`
#[test]
fn a_run_prints_the_keys_that_the_other_tiers_print() {
    let scenario = Scenario::parse("small.toml", SMALL).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    let message = serde_json::to_value(Report::of(&world, 0.0)).unwrap();
    let stack = report(&run(SMALL, "keys.toml", &["--json"]));
    let keys = |of: &Value| of.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&stack), keys(&message));
    assert_eq!(keys(&stack["summary"]), keys(&message["summary"]));
    assert_eq!(stack["run_id"], message["run_id"]);
}

/// `SI-8`
#[test]
fn what_this_tier_cannot_do_is_refused_before_it_starts() {
    let cut = "nodes = 12\n[[partition]]\nfrom_s = 1.0\nuntil_s = 2.0\nregions = [\"WEU\"]\n";
    let refused = run(cut, "cut.toml", &[]);
    assert_eq!(refused.status.code(), Some(2));
    let why = String::from_utf8(refused.stderr).unwrap();
    assert!(why.contains("[[partition]]") && why.contains("simnet run"), "{why}");
}
