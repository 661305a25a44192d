//! What belongs to a home: its keys and its store. They are made together, and from then on opened only together: a store that
//! is missing beside keys is a loss, never a new beginning. (`CH-52`)

use std::fs;
use std::path::{Path, PathBuf};

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::Identity;

use crate::error::NodeError;
use crate::home::keys::{self, FOLDER, Keys};
use crate::home::permissions;
use crate::home::{LOCK, STORE};
use crate::store::Store;

/// Marks a home whose keys or store are still being made: a start that finds it finishes the work.
const NEW: &str = "records.new";

/// Opens the keys and the store of `home`; makes both where there is neither.
///
/// # Errors
/// [`NodeError::Store`] for a store that is lost or cannot be used, [`NodeError::Keys`] for keys.
pub(crate) fn open(home: &Path) -> Result<(Keys, Store, Vec<Record>), NodeError> {
    keys::create_private_dir(home)?;
    permissions::tighten(home)?;
    let lock = home.join(LOCK);
    // Freed when the file is closed. Whoever comes second finds what the first has made, and the store in use.
    let held = permissions::touch_private(&lock).and_then(|file| file.lock().map(|()| file));
    let _held = held.map_err(|source| io("lock", &lock, source))?;
    let (path, new) = (home.join(STORE), home.join(NEW));
    if !home.join(FOLDER).exists() && !path.exists() {
        let marked = permissions::touch_private(&new).and_then(|file| file.sync_all());
        marked.map_err(|source| io("write", &new, source))?;
    }
    let keys = Keys::load_or_create(home)?;
    let owner = Identity::from_seed(&keys.identity).id();
    if !new.exists() {
        let (store, records) = Store::open_kept(&path, owner)?;
        return Ok((keys, store, records));
    }
    let (store, records) = Store::open(&path, owner)?;
    fs::remove_file(&new).map_err(|source| io("delete", &new, source))?;
    Ok((keys, store, records))
}

/// Puts the file of a store, if there is one, out of the way; returns where it is now. Nothing is deleted.
///
/// # Errors
/// [`NodeError::Io`].
pub(crate) fn set_aside(path: &Path) -> Result<Option<PathBuf>, NodeError> {
    if !path.exists() {
        return Ok(None);
    }
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(if number == 0 { ".old".to_owned() } else { format!(".old{number}") });
        PathBuf::from(name)
    };
    let free = (0..=u32::MAX).map(name).find(|name| !name.exists());
    let free = free.ok_or_else(|| NodeError::Bug("every name for an old store is taken".into()))?;
    fs::rename(path, &free).map_err(|source| io("rename", path, source))?;
    Ok(Some(free))
}

pub(crate) fn io(what: &'static str, path: &Path, source: std::io::Error) -> NodeError {
    NodeError::Io { what, path: path.into(), source }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::store::StoreError;

    fn opened(home: &Path) -> Result<(), NodeError> {
        open(home).map(|(_, store, _)| store.close().unwrap())
    }

    fn is_lost(home: &Path) -> bool {
        matches!(opened(home), Err(NodeError::Store(StoreError::Lost { .. })))
    }

    /// (CH-52)
    #[test]
    fn a_store_is_made_with_the_keys_and_missed_beside_them_ever_after() {
        let folder = tempfile::tempdir().unwrap();
        let (home, store) = (folder.path().join("home"), folder.path().join("home").join(STORE));
        opened(&home).unwrap();
        opened(&home).unwrap();
        fs::remove_file(&store).unwrap();
        assert!(is_lost(&home) && !store.exists());
        fs::write(&store, "").unwrap();
        assert!(is_lost(&home) && fs::metadata(&store).unwrap().len() == 0);
        assert_eq!(set_aside(&store).unwrap(), Some(home.join("records.redb.old")));
        assert_eq!(set_aside(&store).unwrap(), None);
        assert!(is_lost(&home));
    }

    #[test]
    fn of_many_who_begin_in_one_home_at_once_one_has_it_and_all_the_others_find_it_in_use() {
        for _ in 0..8 {
            let folder = tempfile::tempdir().unwrap();
            let home = folder.path().join("home");
            let start = std::sync::Barrier::new(6);
            let (opened, used): (Vec<_>, Vec<_>) = std::thread::scope(|scope| {
                let begin = || {
                    start.wait();
                    let opened = open(&home);
                    start.wait();
                    opened
                };
                let threads: Vec<_> = (0..6).map(|_| scope.spawn(begin)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).partition(Result::is_ok)
            });
            assert_eq!((opened.len(), used.len()), (1, 5));
            for error in used.into_iter().filter_map(Result::err) {
                assert!(matches!(error, NodeError::Store(StoreError::InUse(_))), "{error}");
            }
        }
    }

    #[test]
    fn a_making_that_a_crash_cut_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        keys::create_private_dir(&home).unwrap();
        fs::write(home.join(NEW), "").unwrap();
        Keys::create(&home).unwrap();
        opened(&home).unwrap();
        assert!(!home.join(NEW).exists());
        opened(&home).unwrap();
    }
}
