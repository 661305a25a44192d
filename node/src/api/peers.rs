//! Keeping a running node's known peers in its home.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::home::peers;
use crate::net::KnownPeer;

/// Changes within this time of one that was written are written together.
const PAUSE: Duration = Duration::from_secs(1);

/// Returns the peers that answered earlier lives of the node in `home`. A list that cannot be read is no reason not to start.
pub(super) fn read(home: &std::path::Path) -> Vec<KnownPeer> {
    peers::read(home).unwrap_or_else(|error| {
        tracing::warn!(%error, "the list of peers that answered before cannot be read; it begins anew");
        Vec::new()
    })
}

/// Writes the list whenever it has changed, until the swarm ends; its last state is written as well.
pub(super) async fn keep(home: PathBuf, mut known: watch::Receiver<Vec<KnownPeer>>) {
    let mut lives = true;
    while lives {
        // The first is written at once: a node that is killed a moment later finds back by it.
        lives = known.changed().await.is_ok();
        let list = known.borrow_and_update().clone();
        let into = home.clone();
        let written = tokio::task::spawn_blocking(move || peers::write(&into, &list)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the list of peers that answered cannot be kept");
        }
        if lives {
            tokio::select! {
                () = sleep(PAUSE) => {}
                // The swarm has ended.
                () = ended(known.clone()) => {}
            }
        }
    }
}

async fn ended(mut known: watch::Receiver<Vec<KnownPeer>>) {
    while known.changed().await.is_ok() {}
}
