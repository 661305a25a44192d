//! Messages of the running program: to stderr, for people or as JSON, and never with a prompt or an answer in them.
//!
//! Types that hold text of users show only sizes in their `Debug` form, so that no line can hold more than that.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Starts writing messages; `RUST_LOG` chooses which, else those of this program from `level` on.
///
/// Does nothing when it was called before.
pub(super) fn start(format: LogFormat, level: &str) {
    // A node that is the first of its network has nobody to ask; the hash table warns of that at every start.
    let default = format!("warn,libp2p_kad=error,bombyx={level},bombyx_node={level},bombyx_gpu={level}");
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // Only the first call counts; a second one in the same process is harmless.
    let _ = match format {
        LogFormat::Human => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
