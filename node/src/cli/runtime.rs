//! `bombyx runtime`: find, fetch or check ONNX Runtime.

use std::path::{Path, PathBuf};

use bombyx_gpu::cache::Cache;
use bombyx_gpu::fetch::WheelSource;
use bombyx_gpu::runtime::{self, Candidate, RuntimeError};
use clap::Subcommand;
use serde::Serialize;

use super::print::{Bars, Printer};
use crate::error::NodeError;
use crate::home::config::NodeConfig;

#[derive(Debug, Subcommand)]
pub(super) enum RuntimeVerb {
    /// Fetch the pinned library with Python's pip, check it, and keep it in the cache.
    Install {
        /// Take it from this wheel instead; it must be the pinned one.
        #[arg(long, value_name = "FILE.whl")]
        from: Option<PathBuf>,
    },
    /// Show every library there is, in the order in which they would be taken.
    List,
    /// Compare the installed library with its pinned hash.
    Verify,
}

#[derive(Serialize)]
struct Library {
    path: String,
}

#[derive(Serialize)]
struct RuntimeReport {
    path: String,
    origin: String,
    version: Option<String>,
    fault: Option<String>,
}

pub(super) async fn run(verb: RuntimeVerb, home: &Path, printer: Printer) -> Result<(), NodeError> {
    let named = NodeConfig::load(home)?.provide.runtime;
    let work = move || work(verb, (!named.is_empty()).then(|| PathBuf::from(named)).as_deref(), printer);
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| NodeError::Bug("the work on the library panicked".into()))?
}

fn work(verb: RuntimeVerb, named: Option<&Path>, printer: Printer) -> Result<(), NodeError> {
    let cache = Cache::open().map_err(|error| RuntimeError::Fetch(error.into()))?;
    let mut bars = Bars::default();
    let mut show = |advance: bombyx_gpu::digest::Advance<'_>| bars.show(advance);
    match verb {
        RuntimeVerb::Install { from } => {
            let source = from.map_or(WheelSource::Index, WheelSource::File);
            say(&runtime::install(&cache, &source, &mut show)?, printer);
        }
        RuntimeVerb::Verify => say(&runtime::verify(&cache, &mut show)?, printer),
        RuntimeVerb::List => list(&runtime::list(named, &cache), printer),
    }
    Ok(())
}

fn say(path: &Path, printer: Printer) {
    let library = Library { path: path.display().to_string() };
    printer.data(&library, || library.path.clone());
}

fn list(candidates: &[Candidate], printer: Printer) {
    let found: Vec<RuntimeReport> = candidates
        .iter()
        .map(|candidate| RuntimeReport {
            path: candidate.path.display().to_string(),
            origin: candidate.origin.to_string(),
            version: candidate.minor.map(|minor| format!("1.{minor}")),
            fault: candidate.fault.clone(),
        })
        .collect();
    printer.data(&found, || {
        if found.is_empty() {
            return "no library is found; fetch one with `bombyx runtime install`".into();
        }
        let line = |library: &RuntimeReport| {
            let verdict =
                library.fault.as_ref().map_or("usable".into(), |fault| format!("not usable: {fault}"));
            let version = library.version.as_deref().unwrap_or("-");
            format!("{version:6} {:22} {}  {verdict}", library.origin, library.path)
        };
        found.iter().map(line).collect::<Vec<_>>().join("\n")
    });
}
