//! Behaviours of whole worlds: calm, lossy, cut in two, losing power, and under attack. Every run also keeps all invariants.
#![allow(clippy::unwrap_used)]

mod attacks;
mod faults;
mod market;
mod network;
mod workload;

use bombyx_simnet::results::{Report, Summary};
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::World;

fn run(text: &str) -> Report {
    let scenario = Scenario::parse("test.toml", text).unwrap();
    let mut world = World::new(&scenario);
    world.run(|_| ()).unwrap();
    Report::of(&world, 0.0)
}

const BASE: &str = "nodes = 40\n[population]\nmodels = 3\n[workload]\njobs = 30\nrate_per_s = 4.0\n";

fn summary(changes: &str) -> Summary {
    run(&format!("{BASE}{changes}")).summary
}
