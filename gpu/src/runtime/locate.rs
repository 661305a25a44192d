//! Where an ONNX Runtime library is looked for, and why one that is there is not taken.
//!
//! Only absolute paths are handed to the system's loader: given a bare name it would search directories of its own choice.
//! The library in the cache is a pinned one. What the user names, puts beside the program or has in Python's packages is
//! loaded as it is: no pin exists for it, and whoever can write there runs code as this user anyway.

use std::path::{Path, PathBuf};
use std::{env, fmt, fs};

use super::{RuntimeError, install};
use crate::cache::Cache;
use crate::python::Python;

/// Variable that names the library to use.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Oldest usable library is 1.24: the programming interface this crate is compiled for.
pub const MIN_MINOR_VERSION: u32 = 24;

/// A place that is looked at; in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Named in the configuration or on the command line.
    Explicit,
    /// Named by `ORT_DYLIB_PATH`.
    Environment,
    /// Beside the executable, or in `lib` beside its directory.
    Executable,
    /// Installed into the cache.
    Cache,
    /// Part of an `onnxruntime` package of the user's Python.
    Python,
}

impl Origin {
    const ALL: [Self; 5] = [Self::Explicit, Self::Environment, Self::Executable, Self::Cache, Self::Python];

    fn paths(self, explicit: Option<&Path>, cache: &Cache) -> Vec<PathBuf> {
        let found = match self {
            Self::Explicit => explicit.map(Path::to_owned).into_iter().collect(),
            Self::Environment => env::var_os(LIBRARY_VARIABLE)
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
                .into_iter()
                .collect(),
            Self::Executable => executable_dirs().iter().flat_map(|dir| libraries_in(dir)).collect(),
            Self::Cache => install::installed(cache).filter(|path| path.exists()).into_iter().collect(),
            Self::Python => Python::find()
                .ok()
                .and_then(|python| python.package_dir("onnxruntime"))
                .map(|package| libraries_in(&package.join("capi")))
                .unwrap_or_default(),
        };
        // A relative one that the user named is relative to where the user stands.
        found.into_iter().map(|path| std::path::absolute(&path).unwrap_or(path)).collect()
    }

    /// Returns whether the user asked for this very library, so that taking another one would be
    /// wrong.
    fn is_order(self) -> bool {
        matches!(self, Self::Explicit | Self::Environment)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Explicit => "configured",
            Self::Environment => LIBRARY_VARIABLE,
            Self::Executable => "beside the executable",
            Self::Cache => "installed",
            Self::Python => "python package",
        })
    }
}

/// A library that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Why it was looked at.
    pub origin: Origin,
    /// The file.
    pub path: PathBuf,
    /// Its version is `1.minor`, if it could be loaded.
    pub minor: Option<u32>,
    /// Why it is not usable; `None` if it is.
    pub fault: Option<String>,
}

impl Candidate {
    fn probe(origin: Origin, path: PathBuf) -> Self {
        let minor = if path.is_file() { ort::util::probe(&path) } else { None };
        let fault = match minor {
            Some(minor) if minor >= MIN_MINOR_VERSION => None,
            Some(minor) => Some(format!("it is version 1.{minor}, at least 1.{MIN_MINOR_VERSION} is needed")),
            None if !path.exists() => Some("there is no such file".to_owned()),
            None if !path.is_file() => Some("it is not a file".to_owned()),
            None => Some(
                "it cannot be loaded: not an ONNX Runtime library for this machine, or a library it needs is missing"
                    .to_owned(),
            ),
        };
        Self { origin, path, minor, fault }
    }
}

/// Returns the first usable library. A library the user named is taken or is an error; it is never
/// passed over.
///
/// # Errors
/// [`RuntimeError::Unusable`], or [`RuntimeError::NotFound`] with everything that was looked at.
pub fn locate(explicit: Option<&Path>, cache: &Cache) -> Result<Candidate, RuntimeError> {
    let mut rejected = Vec::new();
    for origin in Origin::ALL {
        for path in origin.paths(explicit, cache) {
            let candidate = Candidate::probe(origin, path);
            match &candidate.fault {
                None => return Ok(candidate),
                Some(_) if origin.is_order() => return Err(RuntimeError::Unusable(candidate)),
                Some(_) => rejected.push(candidate),
            }
        }
    }
    Err(RuntimeError::NotFound(rejected))
}

/// Returns every library there is, in the order in which they would be taken, usable or not.
#[must_use]
pub fn list(explicit: Option<&Path>, cache: &Cache) -> Vec<Candidate> {
    Origin::ALL
        .into_iter()
        .flat_map(|origin| {
            origin.paths(explicit, cache).into_iter().map(move |path| Candidate::probe(origin, path))
        })
        .collect()
}

pub(super) fn describe(rejected: &[Candidate]) -> String {
    if rejected.is_empty() {
        return "nothing that looks like it".to_owned();
    }
    let describe = |candidate: &Candidate| {
        let fault = candidate.fault.as_deref().unwrap_or("usable");
        format!("{} ({}): {fault}", candidate.path.display(), candidate.origin)
    };
    rejected.iter().map(describe).collect::<Vec<_>>().join("; ")
}

fn executable_dirs() -> Vec<PathBuf> {
    let Some(dir) = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned)) else {
        return Vec::new();
    };
    let lib = dir.parent().map(|parent| parent.join("lib"));
    [Some(dir), lib].into_iter().flatten().collect()
}

/// Files named like the library, versioned ones included (`libonnxruntime.so.1.31.1`), in a fixed order.
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
