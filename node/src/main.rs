//! The `bombyx` binary: one process, one verb, one exit code.

mod wiping;

use std::process::ExitCode;

use bombyx_node::ExitKind;
use bombyx_node::cli::{Cli, harden};
use clap::Parser as _;

#[global_allocator]
static HEAP: wiping::WipingAllocator = wiping::WipingAllocator;

fn main() -> ExitCode {
    if let Err(error) = harden() {
        eprintln!("warning: core dumps and debuggers cannot be turned off for this process: {error}");
    }
    // First of all: from here on the library sends nothing to anyone, and no other thread runs yet.
    bombyx_gpu::runtime::disable_telemetry();
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let kind = match runtime {
        Ok(runtime) => {
            let kind = runtime.block_on(cli.run());
            // What still computes in the background does not hold the end up.
            runtime.shutdown_background();
            kind
        }
        Err(error) => {
            eprintln!(
                "error: cannot start threads: {error}\nhint: the system's limit of threads may be reached"
            );
            ExitKind::Unexpected
        }
    };
    kind.into()
}
