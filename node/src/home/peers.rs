//! The peers that answered, and a few that came, kept in a home for the next start.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names::PEERS;
use super::permissions;
use crate::net::KnownPeer;

/// Bytes of the file that are read at the most: several times what a full list takes.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// One line of the list.
#[derive(Serialize, Deserialize)]
struct Kept {
    address: String,
    since_s: u64,
    answered_s: u64,
    proven: bool,
}

/// Returns the list in `home`; nothing where there is none. Which of it can be used, the swarm decides.
///
/// # Errors
/// What the system refused, or a list that cannot be read.
pub(crate) fn read(home: &Path) -> io::Result<Vec<KnownPeer>> {
    let file = match fs::File::open(home.join(PEERS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    let list: Vec<Kept> = serde_json::from_slice(&bytes)?;
    let peer =
        |Kept { address, since_s, answered_s, proven }| KnownPeer { address, since_s, answered_s, proven };
    Ok(list.into_iter().map(peer).collect())
}

/// Puts a list into `home`, whole or not at all.
///
/// # Errors
/// What the system refused.
pub(crate) fn write(home: &Path, list: &[KnownPeer]) -> io::Result<()> {
    let kept = |peer: &KnownPeer| Kept {
        address: peer.address.clone(),
        since_s: peer.since_s,
        answered_s: peer.answered_s,
        proven: peer.proven,
    };
    let list: Vec<Kept> = list.iter().map(kept).collect();
    let (path, partial) = (home.join(PEERS), home.join(format!(".{PEERS}.partial")));
    let mut file = permissions::create_private(&partial)?;
    file.write_all(&serde_json::to_vec_pretty(&list)?)?;
    fs::rename(&partial, &path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_list_comes_back_and_what_is_no_list_is_said_to_be_none() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(read(home.path()).unwrap(), []);
        let list = vec![KnownPeer {
            address: "/ip4/10.0.0.1/tcp/1/p2p/x".into(),
            since_s: 3,
            answered_s: 7,
            proven: true,
        }];
        write(home.path(), &list).unwrap();
        assert_eq!(read(home.path()).unwrap(), list);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(home.path().join(PEERS)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        for garbage in ["", "{", "[{\"address\": 7}]", "null"] {
            fs::write(home.path().join(PEERS), garbage).unwrap();
            assert!(read(home.path()).is_err(), "{garbage}");
        }
    }
}
