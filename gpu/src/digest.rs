//! SHA-256 of files, checked against what was pinned, with progress for the large ones.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest;

/// How far a long piece of work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance<'a> {
    /// The work, in words for people: `fetching onnxruntime 1.31.1`.
    pub what: &'a str,
    /// Bytes done.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Receives progress; called often, from the calling thread.
pub type OnAdvance<'a> = &'a mut dyn FnMut(Advance<'_>);

/// A SHA-256 digest; 64 lower-case hexadecimal digits as text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

/// A text that is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a SHA-256 digest is 64 lower-case hexadecimal digits")]
pub struct Sha256Error;

impl FromStr for Sha256 {
    type Err = Sha256Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(Sha256Error);
        }
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Sha256Error)?;
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Why a file is not the pinned one.
#[derive(Debug, thiserror::Error)]
pub enum PinError {
    /// It cannot be read.
    #[error("cannot read it: {0}")]
    Unreadable(#[from] io::Error),
    /// It has another length.
    #[error("it has {found} bytes, expected {expected}")]
    Length {
        /// Bytes pinned.
        expected: u64,
        /// Bytes on disk.
        found: u64,
    },
    /// It has other content.
    #[error("its SHA-256 is {found}, expected {expected}")]
    Content {
        /// Digest pinned.
        expected: Sha256,
        /// Digest of what is on disk.
        found: Sha256,
    },
}

/// Compares a file with its pinned length and digest.
///
/// # Errors
/// The first difference; the caller names the file and says what to do.
pub fn check_file(
    path: &Path,
    bytes: u64,
    sha256: Sha256,
    what: &str,
    on_advance: OnAdvance<'_>,
) -> Result<(), PinError> {
    let file = File::open(path)?;
    let found = file.metadata()?.len();
    if found != bytes {
        return Err(PinError::Length { expected: bytes, found });
    }
    let found = digest(file, |done| on_advance(Advance { what, done, total: bytes }))?;
    if found != sha256 {
        return Err(PinError::Content { expected: sha256, found });
    }
    Ok(())
}

/// Returns the digest of all that can be read from `source`.
///
/// # Errors
/// The source's own.
pub fn digest(mut source: impl Read, mut on_bytes: impl FnMut(u64)) -> io::Result<Sha256> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut done = 0;
    loop {
        let count = source.read(&mut buffer)?;
        if count == 0 {
            return Ok(Sha256(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
        done += count as u64;
        on_bytes(done);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn digests_are_those_of_the_standard() {
        assert_eq!(digest(b"abc".as_slice(), |_| {}).unwrap().to_string(), ABC);
    }

    #[test]
    fn texts_that_are_no_digest_are_refused() {
        for text in ["", "ab", &ABC[1..], &ABC.to_uppercase(), &ABC.replace('b', "g")] {
            assert_eq!(text.parse::<Sha256>(), Err(Sha256Error), "{text}");
        }
    }

    #[test]
    fn a_changed_file_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let sha = ABC.parse().unwrap();
        assert!(matches!(check_file(&path, 3, sha, "file", &mut |_| {}), Err(PinError::Unreadable(_))));
        std::fs::write(&path, "abcd").unwrap();
        assert!(matches!(
            check_file(&path, 3, sha, "file", &mut |_| {}),
            Err(PinError::Length { found: 4, .. })
        ));
        std::fs::write(&path, "abd").unwrap();
        assert!(matches!(check_file(&path, 3, sha, "file", &mut |_| {}), Err(PinError::Content { .. })));
        std::fs::write(&path, "abc").unwrap();
        check_file(&path, 3, sha, "file", &mut |_| {}).unwrap();
    }
}
