//! Runs on disk: one directory for each, named by its id, so that the same run twice is the same directory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::results::report::Report;
use crate::results::{metrics, tables};
use crate::scenario::Scenario;
use crate::world::World;

/// The regions' latencies, as they are compiled in.
const DATA: &[u8] = include_bytes!("../../data/region-latency-20.json");

/// Everything that is needed to repeat a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    /// The run.
    pub run_id: String,
    /// Version of this program.
    pub version: String,
    /// Its commit.
    pub commit: String,
    /// BLAKE3 of the latency table.
    pub data: String,
    /// The seed.
    pub seed: u64,
    /// Which arm of a sweep it is, if it is of one.
    pub arm: Option<String>,
    /// A hash over everything that happened.
    pub digest: String,
    /// The whole scenario, defaults included.
    pub scenario: Scenario,
}

/// The part of a stored run that other commands read again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredRun {
    /// The run.
    pub run_id: String,
    /// Its seed.
    pub seed: u64,
    /// A hash over everything that happened.
    pub digest: String,
    /// Its metrics by key.
    pub metrics: BTreeMap<String, f64>,
    /// Its distributions by name, 101 percentiles each.
    pub curves: BTreeMap<String, Vec<f64>>,
}

#[derive(Serialize)]
struct SummaryFile<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    metrics: BTreeMap<String, f64>,
    curves: BTreeMap<String, Vec<f64>>,
    summary: &'a crate::results::report::Summary,
}

#[derive(Serialize)]
struct Head<'a> {
    run_id: &'a str,
    seed: u64,
    digest: &'a str,
    events: u64,
    cpu_s: f64,
}

/// Why something on disk cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is not what this program writes.
    #[error("{path} is not a file of this program: {what}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no such run.
    #[error("no run {run_id} under {dir}; `simnet list --out {dir}` shows those that there are")]
    Unknown {
        /// What was asked for.
        run_id: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<'_> {
    move |source| StoreError::Io { path: path.to_owned(), source }
}

fn format_error(path: &Path) -> impl FnOnce(serde_json::Error) -> StoreError + use<'_> {
    move |error| StoreError::Format { path: path.to_owned(), what: error.to_string() }
}

/// Writes a value as JSON: to a file beside it first, so that a reader never meets half of one.
///
/// # Errors
/// [`StoreError::Io`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), StoreError> {
    let text = serde_json::to_string_pretty(value).map_err(format_error(path))?;
    write_text(path, &text)
}

/// Writes a text, as [`write_json`] does.
///
/// # Errors
/// [`StoreError::Io`].
pub fn write_text(path: &Path, text: &str) -> Result<(), StoreError> {
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    fs::write(&beside, text).map_err(io_error(&beside))?;
    fs::rename(&beside, path).map_err(io_error(path))
}

/// Reads a JSON file.
///
/// # Errors
/// [`StoreError`] names the file.
pub fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<T, StoreError> {
    let text = fs::read_to_string(path).map_err(io_error(path))?;
    serde_json::from_str(&text).map_err(format_error(path))
}

/// Returns the directory of a run.
#[must_use]
pub fn dir_of(out: &Path, run_id: &str) -> PathBuf {
    out.join("runs").join(run_id)
}

/// Returns whether a run is complete on disk: its summary is written last.
#[must_use]
pub fn is_complete(out: &Path, run_id: &str) -> bool {
    dir_of(out, run_id).join("summary.json").is_file()
}

/// Writes everything that is kept of a run.
///
/// # Errors
/// [`StoreError`] names the file.
pub fn save(out: &Path, world: &World, report: &Report, arm: Option<&str>) -> Result<PathBuf, StoreError> {
    let dir = dir_of(out, &report.run_id);
    fs::create_dir_all(&dir).map_err(io_error(&dir))?;
    let manifest = Manifest {
        run_id: report.run_id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("SIMNET_COMMIT").to_owned(),
        data: blake3::hash(DATA).to_hex().to_string(),
        seed: report.seed,
        arm: arm.map(str::to_owned),
        digest: report.digest.clone(),
        scenario: world.environment.scenario.clone(),
    };
    write_json(&dir.join("manifest.json"), &manifest)?;
    save_table(&dir.join("jobs.parquet"), &tables::jobs(world))?;
    save_table(&dir.join("nodes.parquet"), &tables::nodes(world))?;
    save_table(&dir.join("series.parquet"), &tables::series(world))?;
    let summary = SummaryFile {
        head: Head {
            run_id: &report.run_id,
            seed: report.seed,
            digest: &report.digest,
            events: report.events,
            cpu_s: report.cpu_s,
        },
        metrics: metrics::of(world, &report.summary),
        curves: metrics::curves(world),
        summary: &report.summary,
    };
    write_json(&dir.join("summary.json"), &summary)?;
    Ok(dir)
}

pub(super) fn save_table(path: &Path, columns: &[tables::Column]) -> Result<(), StoreError> {
    let file = File::create(path).map_err(io_error(path))?;
    tables::write(file, columns).map_err(|error| StoreError::Io {
        path: path.to_owned(),
        source: io::Error::other(error.to_string()),
    })
}

/// Returns what came of a run.
///
/// # Errors
/// [`StoreError`] names the file.
pub fn load(out: &Path, run_id: &str) -> Result<StoredRun, StoreError> {
    read_json(&dir_of(out, run_id).join("summary.json"))
}

/// Returns what a run was made of.
///
/// # Errors
/// [`StoreError::Unknown`] where there is no such run.
pub fn manifest(out: &Path, run_id: &str) -> Result<Manifest, StoreError> {
    let path = dir_of(out, run_id).join("manifest.json");
    if path.is_file() {
        read_json(&path)
    } else {
        Err(StoreError::Unknown { run_id: run_id.to_owned(), dir: out.to_owned() })
    }
}

/// Returns the ids of all runs under a directory, in order.
///
/// # Errors
/// [`StoreError::Io`].
pub fn runs(out: &Path) -> Result<Vec<String>, StoreError> {
    let dir = out.join("runs");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    for entry in fs::read_dir(&dir).map_err(io_error(&dir))? {
        let name = entry.map_err(io_error(&dir))?.file_name();
        if let Some(id) = name.to_str().filter(|id| is_complete(out, id)) {
            ids.push(id.to_owned());
        }
    }
    ids.sort_unstable();
    Ok(ids)
}
