//! `simnet`: runs scenarios and shows what came of them.

mod cli;
mod command_error;
mod say;
mod verbs;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Verb};
use crate::command_error::CommandError;

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Run(args) => verbs::run::run(&args),
        Verb::Sweep(args) => verbs::sweep::sweep(&args),
        Verb::Merge(args) => verbs::sweep::merge(&args.out),
        Verb::Report(args) => verbs::sweep::report(&args.out),
        Verb::Replay(args) => verbs::run::replay(&args),
        Verb::Compare(args) => verbs::show::compare(&args),
        Verb::Fuzz(args) => verbs::search::fuzz(&args),
        Verb::Shrink(args) => verbs::search::shrink(&args),
        Verb::List(args) => verbs::show::list(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError { code, what }) => {
            eprintln!("error: {what}");
            ExitCode::from(code)
        }
    }
}
