//! A library that might be used: where it was found, and what is wrong with it.

use std::fmt;
use std::path::PathBuf;

/// Variable that names the library to use.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";
/// Oldest usable library, 1.24: this crate is compiled for its programming interface.
pub const MINOR_VERSION_MIN: u32 = 24;

/// A place where a library may lie. They are searched in this order.
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
    pub(super) const ALL: [Self; 5] =
        [Self::Explicit, Self::Environment, Self::Executable, Self::Cache, Self::Python];

    /// Whether the user asked for this very library, so that it would be wrong to use another.
    pub(super) fn is_named_by_user(self) -> bool {
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

/// A library that might be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Where it was found.
    pub origin: Origin,
    /// The file.
    pub path: PathBuf,
    /// The second part of its version `1.minor`; `None` if it cannot be loaded.
    pub minor: Option<u32>,
    /// Why it is not usable; `None` if it is.
    pub fault: Option<String>,
}

impl Candidate {
    pub(super) fn probe(origin: Origin, path: PathBuf) -> Self {
        let minor = if path.is_file() { ort::util::probe(&path) } else { None };
        let fault = match minor {
            Some(minor) if minor >= MINOR_VERSION_MIN => None,
            Some(minor) => Some(format!("it is version 1.{minor}, at least 1.{MINOR_VERSION_MIN} is needed")),
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
