//! `fuzz` and `shrink`.

use std::path::Path;

use bombyx_simnet::results::store;
use bombyx_simnet::scenario::Scenario;
use bombyx_simnet::world::InvariantError;
use bombyx_simnet::world::fuzz::{self, TRIES_MAX, random_scenario};

use super::{cpu_s, scenario};
use crate::cli::{Fuzz, Which};
use crate::command_error::CommandError;
use crate::say::say;

/// Runs random worlds until the time is up or one breaks.
pub(crate) fn fuzz(args: &Fuzz) -> Result<(), CommandError> {
    let mut seed = args.seed;
    while cpu_s() < args.seconds {
        let scenario = random_scenario(seed);
        if let Err(stopped) = fuzz::run(&scenario) {
            return Err(smaller(&scenario, &stopped)?);
        }
        seed = seed.wrapping_add(1);
    }
    say!("seeds {} to {}: every invariant held", args.seed, seed.wrapping_sub(1));
    Ok(())
}

/// Makes one scenario small.
pub(crate) fn shrink(which: &Which) -> Result<(), CommandError> {
    let scenario = scenario(which)?;
    match fuzz::run(&scenario) {
        Err(stopped) => Err(smaller(&scenario, &stopped)?),
        Ok(()) => Err(CommandError::usage(
            "no invariant is broken in this scenario: there is nothing to make smaller",
        )),
    }
}

/// Writes down the smallest scenario found that breaks the same invariant.
fn smaller(scenario: &Scenario, stopped: &InvariantError) -> Result<CommandError, CommandError> {
    let same = |small: &Scenario| {
        fuzz::run(small).is_err_and(|other| other.violation.invariant == stopped.violation.invariant)
    };
    let small = fuzz::shrink(scenario, TRIES_MAX, same);
    let name = format!("broken-{}.toml", stopped.run_id);
    let text = toml::to_string(&small).map_err(CommandError::broken)?;
    store::write_text(Path::new(&name), &text).map_err(CommandError::usage)?;
    Ok(CommandError::broken(format!(
        "{stopped}\n{} hosts and {} orders are enough: simnet run {name}",
        small.nodes, small.workload.jobs
    )))
}
