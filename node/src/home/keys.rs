//! A node's secrets: five files that only their owner may read.
//!
//! Each key has one purpose, so that none can be made to speak for another: `identity` signs statements and is the
//! swarm's key, `channel` signs vouchers, `session` is the provider's end of encrypted sessions, `close` signs a
//! provider's close orders, `wallet` holds the 24 words of the wallet. There is no file for randomness: every run
//! takes a fresh seed from the operating system, because a seed used twice repeats its keys.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use crate::ledger::Wallet;

/// The folder in a node's home.
pub const FOLDER: &str = "keys";
const IDENTITY: &str = "identity";
const CHANNEL: &str = "channel";
const SESSION: &str = "session";
const CLOSE: &str = "close";
const WALLET: &str = "wallet";

/// A 32-byte secret, wiped when dropped.
pub type Seed = Zeroizing<[u8; 32]>;

/// All secrets of a node. Wiped when dropped.
pub struct Keys {
    /// Signs statements; its public half is the node's id.
    pub identity: Seed,
    /// Signs vouchers.
    pub channel: Seed,
    /// The provider's static key of encrypted sessions.
    pub session: Seed,
    /// Signs the provider's close orders.
    pub close: Seed,
    /// The wallet's 24 words.
    pub wallet: Zeroizing<String>,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no such folder or file.
    #[error("there is no key file {0}")]
    Missing(PathBuf),
    /// Keys are there already.
    #[error("{0} holds keys already; they are never overwritten")]
    Exists(PathBuf),
    /// Others may read it.
    #[error("{path} can be read by others (mode {mode:o})")]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file does not hold a key.
    #[error("{0} does not hold 64 hexadecimal digits")]
    Unreadable(PathBuf),
    /// The operating system refused.
    #[error("cannot {what} {path}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The operating system gives no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Entropy(String),
}

/// Returns a fresh secret from the operating system.
///
/// # Errors
/// [`KeysError::Entropy`] when the system gives none.
pub fn fresh_seed() -> Result<Seed, KeysError> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *seed).map_err(|error| KeysError::Entropy(error.to_string()))?;
    Ok(seed)
}

impl Keys {
    /// Makes fresh keys in `home`, each in a file of its own.
    ///
    /// # Errors
    /// [`KeysError::Exists`] where there are keys already, and what the system refused.
    pub fn create(home: &Path) -> Result<Self, KeysError> {
        let folder = home.join(FOLDER);
        if folder.exists() {
            return Err(KeysError::Exists(folder));
        }
        let keys = Self {
            identity: fresh_seed()?,
            channel: fresh_seed()?,
            session: fresh_seed()?,
            close: fresh_seed()?,
            wallet: Wallet::generate_words(),
        };
        // Made whole beside its place and then renamed: a crash leaves no half set of keys behind.
        let partial = home.join(format!(".{FOLDER}.partial"));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(|source| io_error("delete", &partial, source))?;
        }
        create_private_dir(&partial)?;
        for (name, seed) in [
            (IDENTITY, &keys.identity),
            (CHANNEL, &keys.channel),
            (SESSION, &keys.session),
            (CLOSE, &keys.close),
        ] {
            write_private(&partial.join(name), &Zeroizing::new(hex::encode(**seed)))?;
        }
        write_private(&partial.join(WALLET), &keys.wallet)?;
        fs::rename(&partial, &folder).map_err(|source| io_error("create", &folder, source))?;
        Ok(keys)
    }

    /// Returns the keys in `home`.
    ///
    /// # Errors
    /// [`KeysError`] names the file that is missing, unreadable or open to others.
    pub fn load(home: &Path) -> Result<Self, KeysError> {
        let folder = home.join(FOLDER);
        if !folder.is_dir() {
            return Err(KeysError::Missing(folder));
        }
        check_private(&folder)?;
        Ok(Self {
            identity: read_seed(&folder.join(IDENTITY))?,
            channel: read_seed(&folder.join(CHANNEL))?,
            session: read_seed(&folder.join(SESSION))?,
            close: read_seed(&folder.join(CLOSE))?,
            wallet: read_private(&folder.join(WALLET))?,
        })
    }

    /// Returns the keys in `home`; fresh ones where there are none yet.
    ///
    /// # Errors
    /// As [`Self::load`] and [`Self::create`].
    pub fn load_or_create(home: &Path) -> Result<Self, KeysError> {
        if home.join(FOLDER).exists() { Self::load(home) } else { Self::create(home) }
    }
}

/// Returns a folder for its owner only, with every folder above it.
///
/// # Errors
/// [`KeysError::Io`].
pub fn create_private_dir(path: &Path) -> Result<(), KeysError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|source| io_error("create", path, source))
}

/// Writes a file for its owner only, in the place of one that is there.
///
/// # Errors
/// [`KeysError::Io`].
pub(crate) fn replace_private(path: &Path, text: &str) -> Result<(), KeysError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(io_error("replace", path, source)),
        Ok(()) | Err(_) => write_private(path, text),
    }
}

fn write_private(path: &Path, text: &str) -> Result<(), KeysError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || -> io::Result<()> {
        let mut file = options.open(path)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()
    };
    write().map_err(|source| io_error("write", path, source))
}

/// Returns the text of a file that only its owner can read.
///
/// # Errors
/// [`KeysError`] when it is missing, or others can read it.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, KeysError> {
    check_private(path)?;
    let mut text =
        fs::read_to_string(path).map(Zeroizing::new).map_err(|source| io_error("read", path, source))?;
    let length = text.trim_end().len();
    text.truncate(length);
    Ok(text)
}

fn read_seed(path: &Path) -> Result<Seed, KeysError> {
    let text = read_private(path)?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.as_bytes(), &mut *seed).map_err(|_| KeysError::Unreadable(path.into()))?;
    Ok(seed)
}

#[cfg_attr(not(unix), expect(clippy::unnecessary_wraps, reason = "other systems have no permission bits"))]
fn check_private(path: &Path) -> Result<(), KeysError> {
    let metadata = fs::metadata(path).map_err(|source| {
        let missing = source.kind() == io::ErrorKind::NotFound;
        if missing { KeysError::Missing(path.into()) } else { io_error("read", path, source) }
    })?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed { path: path.into(), mode });
        }
    }
    #[cfg(not(unix))]
    let _ = metadata;
    Ok(())
}

fn io_error(what: &'static str, path: &Path, source: io::Error) -> KeysError {
    KeysError::Io { what, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_made_once_and_come_back() {
        let home = tempfile::tempdir().unwrap();
        let made = Keys::create(home.path()).unwrap();
        let loaded = Keys::load_or_create(home.path()).unwrap();
        assert_eq!(made.identity, loaded.identity);
        assert_eq!(made.wallet, loaded.wallet);
        assert_ne!(made.identity, made.channel);
        assert!(matches!(Keys::create(home.path()), Err(KeysError::Exists(_))));
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused_with_its_name() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        Keys::create(home.path()).unwrap();
        let folder = home.path().join(FOLDER);
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        for name in [IDENTITY, CHANNEL, SESSION, CLOSE, WALLET] {
            let path = folder.join(name);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let refused = Keys::load(home.path()).err().unwrap().to_string();
            assert!(refused.contains(name) && refused.contains("640"), "{refused}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(Keys::load(home.path()), Err(KeysError::Exposed { .. })));
    }

    #[test]
    fn a_damaged_key_is_named_and_not_shown() {
        let home = tempfile::tempdir().unwrap();
        Keys::create(home.path()).unwrap();
        let path = home.path().join(FOLDER).join(CHANNEL);
        fs::write(&path, "not a key").unwrap();
        let refused = Keys::load(home.path()).err().unwrap().to_string();
        assert!(refused.contains("channel") && !refused.contains("not a key"), "{refused}");
    }
}
