//! The user's own Python: found on the path, run with a deadline, asked for one pinned wheel at a time.
//!
//! The user may start this program in a directory that a stranger filled, such as a download folder or a cloned
//! repository. Nothing that lies there is run. The interpreter is looked for in the absolute directories of the path
//! only. It starts isolated (`-I`), in an empty directory, without the variables that change what Python loads or what
//! pip does. pip's own configuration files, and the variables that name an index, a proxy or a certificate, still apply.

mod child;

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs, io};

use child::Output;

/// Variable that names the Python interpreter to use.
pub const PYTHON_VARIABLE: &str = "BOMBYX_PYTHON";
/// Longest a download may take.
const DOWNLOAD_DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Longest a question to the interpreter may take.
const QUESTION_DEADLINE: Duration = Duration::from_secs(20);

/// Why Python could not help.
#[derive(Debug, thiserror::Error)]
pub enum PythonError {
    /// No interpreter.
    #[error(
        "no `python3` on the PATH; install Python 3 with pip, set {PYTHON_VARIABLE} to an interpreter, \
         or fetch the wheel elsewhere and give it as a file"
    )]
    NoPython,
    /// The variable names one that is not there.
    #[error(
        "{PYTHON_VARIABLE} is `{name}`, which no absolute directory of the PATH holds; set it to the interpreter's path"
    )]
    NotOnPath {
        /// What it names.
        name: String,
    },
    /// An interpreter without pip.
    #[error(
        "{python} has no pip; install it (`python3 -m ensurepip`, or your system's `python3-pip`). One in a user's own \
         site directory is not looked at"
    )]
    NoPip {
        /// The interpreter.
        python: PathBuf,
    },
    /// It cannot be started.
    #[error("cannot run {python}: {source}")]
    Start {
        /// The interpreter.
        python: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// It took too long and was stopped.
    #[error("{python} was stopped after {seconds} s without an end; check the network and try again")]
    Deadline {
        /// The interpreter.
        python: PathBuf,
        /// How long it ran.
        seconds: u64,
    },
    /// The index cannot be reached.
    #[error(
        "pip cannot reach its package index, or it is the wrong one; check network, proxy and index settings. \
         pip said: {said}"
    )]
    NoNetwork {
        /// The end of pip's messages.
        said: String,
    },
    /// The index has another file than the pinned one.
    #[error(
        "the package index offers another file than the pinned one; do not use that index. pip said: {said}"
    )]
    WrongHash {
        /// The end of pip's messages.
        said: String,
    },
    /// The index does not have the package.
    #[error("the package index has no {requirement} for this system. pip said: {said}")]
    NotOffered {
        /// What was asked for.
        requirement: String,
        /// The end of pip's messages.
        said: String,
    },
    /// pip failed in another way.
    #[error("pip failed to fetch {requirement}: {said}")]
    Failed {
        /// What was asked for.
        requirement: String,
        /// The end of pip's messages.
        said: String,
    },
}

/// What pip says without a network. With retries turned off, it says only that it found nothing.
const NO_NETWORK: [&str; 5] =
    ["ConnectionError", "connection broken", "Max retries", "timed out", "from versions: none"];

/// Prefixes of variables that a child does not inherit: they decide what Python loads at its start and what pip does, or
/// hold the keys of this program.
const SCRUBBED: [&str; 3] = ["PYTHON", "PIP_", "BOMBYX_"];
/// pip's variables that say from where and how to fetch. The others name files to install, or code to run.
const KEPT: [&str; 15] = [
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_NO_INDEX",
    "PIP_FIND_LINKS",
    "PIP_TRUSTED_HOST",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_PROXY",
    "PIP_CONFIG_FILE",
    "PIP_TIMEOUT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_RETRIES",
    "PIP_KEYRING_PROVIDER",
    "PIP_CACHE_DIR",
    "PIP_NO_CACHE_DIR",
];

/// The platform a wheel with native code is built for, in pip's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WheelTag {
    /// Such as `manylinux_2_28_x86_64`.
    pub platform: &'static str,
    /// Such as `311`.
    pub python: &'static str,
}

/// A Python interpreter.
#[derive(Debug, Clone)]
pub struct Python {
    path: PathBuf,
}

impl Python {
    /// Returns the interpreter named by `BOMBYX_PYTHON`, else `python3` on the path (`python` on
    /// Windows).
    ///
    /// # Errors
    /// [`PythonError::NoPython`], [`PythonError::NotOnPath`].
    pub fn find() -> Result<Self, PythonError> {
        let search_path = env::var_os("PATH").unwrap_or_default();
        match env::var_os(PYTHON_VARIABLE).filter(|name| !name.is_empty()) {
            Some(name) => Self::named(Path::new(&name), &search_path),
            None => Self::find_in(&search_path),
        }
    }

    /// Finds a program: a bare name on the path, as a shell does; a path is taken as it is.
    fn named(name: &Path, search_path: &OsStr) -> Result<Self, PythonError> {
        let not_there = || PythonError::NotOnPath { name: name.display().to_string() };
        if name.components().count() == 1 && name.file_name() == Some(name.as_os_str()) {
            return on_path(search_path, &[name]).map(|path| Self { path }).ok_or_else(not_there);
        }
        // The child starts in another directory.
        std::path::absolute(name).map(|path| Self { path }).map_err(|_| not_there())
    }

    fn find_in(search_path: &OsStr) -> Result<Self, PythonError> {
        let names: &[&str] = if cfg!(windows) { &["python3.exe", "python.exe"] } else { &["python3"] };
        on_path(search_path, names).map(|path| Self { path }).ok_or(PythonError::NoPython)
    }

    /// Returns the directory of an installed package, without importing it.
    #[must_use]
    pub fn package_dir(&self, package: &str) -> Option<PathBuf> {
        const FIND: &str = "import importlib.util, sys; spec = importlib.util.find_spec(sys.argv[1]); \
                            print(spec.origin if spec else '')";
        // A file of that name in the current directory is not an installed package.
        let empty = tempfile::tempdir().ok()?;
        let mut command = self.isolated(empty.path());
        command.args(["-c", FIND, package]);
        let output =
            self.run(command, QUESTION_DEADLINE, &mut || {}).ok().filter(|output| output.status.success())?;
        Path::new(output.stdout.trim()).parent().filter(|dir| dir.is_absolute()).map(Path::to_owned)
    }

    /// Downloads one wheel into an empty directory by `pip download`, with the user's own index, mirror and proxy
    /// settings. No code of the package is run. `on_bytes` is called with the bytes that have arrived.
    ///
    /// # Errors
    /// All of [`PythonError`].
    pub fn download(
        &self,
        requirement: &str,
        sha256: &str,
        tag: Option<WheelTag>,
        into: &Path,
        on_bytes: &mut dyn FnMut(u64),
    ) -> Result<(), PythonError> {
        let start_error = |source| PythonError::Start { python: self.path.clone(), source };
        let into = &fs::canonicalize(into).map_err(start_error)?;
        let pins = into.join("requirements.txt");
        fs::write(&pins, format!("{requirement} --hash=sha256:{sha256}\n")).map_err(start_error)?;
        let empty = into.join("empty");
        fs::create_dir(&empty).map_err(start_error)?;
        let mut command = self.isolated(&empty);
        command.args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-input",
            "--only-binary=:all:",
            "--require-hashes",
        ]);
        command
            .args(["--disable-pip-version-check", "--progress-bar=off", "--dest"])
            .arg(into)
            .arg("-r")
            .arg(&pins);
        if let Some(tag) = tag {
            command.args([
                "--platform",
                tag.platform,
                "--python-version",
                tag.python,
                "--implementation",
                "cp",
            ]);
        }
        // pip downloads to the temporary directory first: pointed here, its size is the progress.
        for variable in ["TMPDIR", "TEMP", "TMP"] {
            command.env(variable, into);
        }
        let output = self.run(command, DOWNLOAD_DEADLINE, &mut || on_bytes(bytes_below(into)))?;
        if output.status.success() { Ok(()) } else { Err(self.explain(requirement, &output.stderr)) }
    }

    /// Returns a command that starts the interpreter in `directory`, which is empty, and loads only installed packages.
    fn isolated(&self, directory: &Path) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("-I").current_dir(directory);
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy().to_uppercase();
            if SCRUBBED.iter().any(|scrubbed| text.starts_with(scrubbed)) && !KEPT.contains(&text.as_str()) {
                command.env_remove(&name);
            }
        }
        if let Some(search_path) = env::var_os("PATH") {
            command.env("PATH", absolute_only(&search_path));
        }
        command
    }

    fn explain(&self, requirement: &str, stderr: &str) -> PythonError {
        let has = |marks: &[&str]| marks.iter().any(|mark| stderr.contains(mark));
        let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = lines[lines.len().saturating_sub(3)..].join(" | ");
        let requirement = requirement.to_owned();
        if has(&["No module named pip"]) {
            PythonError::NoPip { python: self.path.clone() }
        } else if has(&["DO NOT MATCH THE HASHES"]) {
            PythonError::WrongHash { said }
        } else if has(&NO_NETWORK) {
            PythonError::NoNetwork { said }
        } else if has(&["No matching distribution"]) {
            PythonError::NotOffered { requirement, said }
        } else {
            PythonError::Failed { requirement, said }
        }
    }

    fn run(
        &self,
        command: Command,
        deadline: Duration,
        on_poll: &mut dyn FnMut(),
    ) -> Result<Output, PythonError> {
        let start_error = |source| PythonError::Start { python: self.path.clone(), source };
        let ended = child::run(command, deadline, on_poll).map_err(start_error)?;
        ended.ok_or_else(|| PythonError::Deadline { python: self.path.clone(), seconds: deadline.as_secs() })
    }
}

/// Returns the first of `names` that an absolute directory of the path holds. An empty or relative
/// one means the current directory, or one below it.
fn on_path(search_path: &OsStr, names: &[impl AsRef<Path>]) -> Option<PathBuf> {
    let mut dirs = env::split_paths(search_path).filter(|dir| dir.is_absolute());
    dirs.find_map(|dir| names.iter().map(|name| dir.join(name)).find(|path| path.is_file()))
}

/// Returns the path without the directories that depend on the current one.
fn absolute_only(search_path: &OsStr) -> OsString {
    let dirs = env::split_paths(search_path).filter(|dir| dir.is_absolute());
    // What was split joins again, unless a name holds a quote on Windows: then the child gets no path.
    env::join_paths(dirs).unwrap_or_default()
}

/// Counts the bytes of all files below a directory that another process writes to. A file that vanishes meanwhile counts
/// nothing.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_without_python_is_an_error_with_a_way_out() {
        let empty = tempfile::tempdir().unwrap();
        let error = Python::find_in(empty.path().as_os_str()).unwrap_err();
        assert!(error.to_string().contains(PYTHON_VARIABLE));
    }

    #[cfg(unix)]
    #[test]
    fn the_current_directory_is_not_on_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let planted = dir.path().join("python3");
        fs::write(&planted, "").unwrap();
        let absolute = dir.path().as_os_str();
        assert_eq!(Python::find_in(absolute).unwrap().path, planted);
        assert_eq!(Python::named(Path::new("python3"), absolute).unwrap().path, planted);
        for relative in ["", ".", ":", "./", "..", "bin:.:", "a/b", ":/nowhere", "/nowhere:"] {
            let planted_here = Path::new("python3");
            assert!(
                matches!(Python::find_in(OsStr::new(relative)), Err(PythonError::NoPython)),
                "{relative}"
            );
            let named = Python::named(planted_here, OsStr::new(relative));
            assert!(matches!(named, Err(PythonError::NotOnPath { .. })), "{relative}");
        }
        // A path is meant as it is written.
        for named in ["./python3", "../bin/python3", "/opt/python3"] {
            assert!(Python::named(Path::new(named), OsStr::new("")).unwrap().path.is_absolute(), "{named}");
        }
        assert_eq!(absolute_only(OsStr::new("/a::.:b:/c:")), "/a:/c");
    }

    #[test]
    fn installed_packages_are_found_without_importing_them() {
        let python = Python::find().unwrap();
        assert!(python.package_dir("json").unwrap().join("decoder.py").is_file());
        assert_eq!(python.package_dir("no_such_package_anywhere"), None);
    }

    #[test]
    fn a_child_that_does_not_end_is_stopped() {
        let python = Python::find().unwrap();
        let empty = tempfile::tempdir().unwrap();
        let mut command = python.isolated(empty.path());
        command.args(["-c", "import time; time.sleep(600)"]);
        let result = python.run(command, Duration::from_millis(200), &mut || {});
        assert!(matches!(result.map(drop), Err(PythonError::Deadline { .. })));
    }

    #[test]
    fn what_pip_says_is_told_apart() {
        let python = Python { path: "python3".into() };
        let kind = |stderr: &str| python.explain("x==1", stderr);
        assert!(matches!(kind("/usr/bin/python3: No module named pip"), PythonError::NoPip { .. }));
        assert!(matches!(
            kind(
                "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution"
            ),
            PythonError::NoNetwork { .. }
        ));
        assert!(matches!(
            kind("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES"),
            PythonError::WrongHash { .. }
        ));
        assert!(matches!(
            kind("(from versions: 1.2)\nERROR: No matching distribution"),
            PythonError::NotOffered { .. }
        ));
        assert!(matches!(kind("a\nb\nc\nd"), PythonError::Failed { said, .. } if said == "b | c | d"));
    }
}
