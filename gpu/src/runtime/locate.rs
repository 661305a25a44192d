//! Finds an ONNX Runtime library, and says of each that it does not take why.
//!
//! The system's loader gets absolute paths only: given a bare name, it would search directories of its own choice. The
//! library in the cache is a pinned one. A library that the user names, puts beside the program or has among Python's
//! packages is loaded as it is: no pin exists for it, and an attacker who can write there runs code as this user anyway.

use std::path::{Path, PathBuf};
use std::{env, fs};

use super::candidate::{Candidate, LIBRARY_VARIABLE, Origin};
use super::error::RuntimeError;
use super::install;
use crate::cache::Cache;
use crate::python::Python;

/// Returns the first usable library. One that the user named is used or is an error; it is never passed over.
///
/// # Errors
/// [`RuntimeError::Unusable`], or [`RuntimeError::NotFound`] with everything that was looked at.
pub fn locate(explicit: Option<&Path>, cache: &Cache) -> Result<Candidate, RuntimeError> {
    let mut rejected = Vec::new();
    for origin in Origin::ALL {
        for path in paths(origin, explicit, cache) {
            let candidate = Candidate::probe(origin, path);
            match &candidate.fault {
                None => return Ok(candidate),
                Some(_) if origin.is_named_by_user() => return Err(RuntimeError::Unusable(candidate)),
                Some(_) => rejected.push(candidate),
            }
        }
    }
    Err(RuntimeError::NotFound(rejected))
}

/// Lists all libraries, usable or not, in the order in which [`locate`] tries them.
#[must_use]
pub fn list(explicit: Option<&Path>, cache: &Cache) -> Vec<Candidate> {
    Origin::ALL
        .into_iter()
        .flat_map(|origin| {
            paths(origin, explicit, cache).into_iter().map(move |path| Candidate::probe(origin, path))
        })
        .collect()
}

/// Returns the libraries of one place, usable or not.
fn paths(origin: Origin, explicit: Option<&Path>, cache: &Cache) -> Vec<PathBuf> {
    let found = match origin {
        Origin::Explicit => explicit.map(Path::to_owned).into_iter().collect(),
        Origin::Environment => env::var_os(LIBRARY_VARIABLE)
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .into_iter()
            .collect(),
        Origin::Executable => executable_dirs().iter().flat_map(|dir| libraries_in(dir)).collect(),
        Origin::Cache => install::installed(cache).filter(|path| path.exists()).into_iter().collect(),
        Origin::Python => Python::find()
            .ok()
            .and_then(|python| python.package_dir("onnxruntime"))
            .map(|package| libraries_in(&package.join("capi")))
            .unwrap_or_default(),
    };
    // A relative one that the user named is relative to where the user stands.
    found.into_iter().map(|path| std::path::absolute(&path).unwrap_or(path)).collect()
}

fn executable_dirs() -> Vec<PathBuf> {
    let Some(dir) = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)) else {
        return Vec::new();
    };
    let lib = dir.parent().map(|parent| parent.join("lib"));
    [Some(dir), lib].into_iter().flatten().collect()
}

/// Lists files named like the library, versioned ones included (`libonnxruntime.so.1.31.1`), in a fixed order.
fn libraries_in(dir: &Path) -> Vec<PathBuf> {
    let is_library = |name: &str| {
        if cfg!(windows) {
            name == "onnxruntime.dll"
        } else if cfg!(target_os = "macos") {
            name == "libonnxruntime.dylib"
                || (name.starts_with("libonnxruntime.") && name.ends_with(".dylib"))
        } else {
            name == "libonnxruntime.so" || name.starts_with("libonnxruntime.so.")
        }
    };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_library))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_named_library_is_never_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::at(dir.path().to_owned());
        let missing = dir.path().join("none.so");
        let error = locate(Some(&missing), &cache).unwrap_err();
        assert!(error.to_string().contains("no such file"), "{error}");

        let text = dir.path().join("text.so");
        fs::write(&text, "not a library").unwrap();
        let error = locate(Some(&text), &cache).unwrap_err();
        assert!(matches!(&error, RuntimeError::Unusable(candidate) if candidate.origin == Origin::Explicit));
        assert!(error.to_string().contains("cannot be loaded"), "{error}");
    }

    #[test]
    fn versioned_names_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let name = match (cfg!(windows), cfg!(target_os = "macos")) {
            (true, _) => "onnxruntime.dll",
            (_, true) => "libonnxruntime.1.31.1.dylib",
            _ => "libonnxruntime.so.1.31.1",
        };
        for name in [name, "libonnxruntime_providers_shared.so", "other"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(libraries_in(dir.path()), [dir.path().join(name)]);
    }
}
