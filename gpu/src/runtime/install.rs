//! Puts the pinned ONNX Runtime of this machine into the cache.

use std::env::consts::{ARCH, OS};
use std::path::PathBuf;

use super::error::RuntimeError;
use super::pins::{PACKAGES, REQUIREMENT, RUNTIME_VERSION, RuntimePackage, target_name};
use crate::cache::Cache;
use crate::digest::{OnAdvance, check_file};
use crate::fetch::{FetchError, WheelSource, fetch};

const AREA: &str = "runtimes";

/// Returns the build for this machine.
///
/// # Errors
/// [`RuntimeError::NoPackage`].
pub fn package() -> Result<&'static RuntimePackage, RuntimeError> {
    let here = (OS, ARCH);
    // The Linux builds need glibc.
    let found = PACKAGES.iter().find(|package| package.target == here && !cfg!(target_env = "musl"));
    found.ok_or_else(|| RuntimeError::NoPackage { target: target_name(here) })
}

/// Puts the pinned library into the cache, unless it is there, and returns its path.
///
/// # Errors
/// [`RuntimeError::NoPackage`], [`RuntimeError::Fetch`].
pub fn install(
    cache: &Cache,
    source: &WheelSource,
    on_advance: OnAdvance<'_>,
) -> Result<PathBuf, RuntimeError> {
    let package = package()?;
    let members = [package.library];
    let entry = cache.entry_or_fill(AREA, &entry_name(package), |into| {
        fetch(&package.wheel, &members, source, into, on_advance)
    })?;
    Ok(entry.join(package.library.file_name()))
}

/// Compares the installed library with its pin and returns its path.
///
/// # Errors
/// [`RuntimeError::NoPackage`]; [`RuntimeError::Fetch`] if the library is missing or changed.
pub fn verify(cache: &Cache, on_advance: OnAdvance<'_>) -> Result<PathBuf, RuntimeError> {
    let library = &package()?.library;
    let path = cache.entry(AREA, &entry_name(package()?)).join(library.file_name());
    let sha256 = library.sha256.parse().expect("pins in the source are digests; a test reads them all");
    match check_file(&path, library.bytes, sha256, "verifying ONNX Runtime", on_advance) {
        Ok(()) => Ok(path),
        Err(mismatch) => Err(FetchError::WrongFile {
            file: path.display().to_string(),
            mismatch,
            requirement: REQUIREMENT,
        }
        .into()),
    }
}

/// Returns where the library lies if it is installed.
pub(super) fn installed(cache: &Cache) -> Option<PathBuf> {
    let package = package().ok()?;
    Some(cache.entry(AREA, &entry_name(package)).join(package.library.file_name()))
}

fn entry_name(package: &RuntimePackage) -> String {
    format!("onnxruntime-{RUNTIME_VERSION}-{}", target_name(package.target))
}
