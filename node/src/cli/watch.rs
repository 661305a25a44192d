//! `bombyx channels watch`: answers stale closes for a provider that is away, from a copy of its store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::watch::WatchedVoucher;
use serde::Serialize;
use tokio::sync::mpsc;

use super::print::Printer;
use super::shutdown;
use crate::api::connect::{has_answered, name_ledger};
use crate::driver::watcher::{self, WatchNews};
use crate::error::NodeError;
use crate::home::config::NodeConfig;
use crate::ledger::{ChainError, CoinName, LedgerError};
use crate::status::count;
use crate::store::Store;

#[derive(Serialize)]
struct WatchStart {
    event: &'static str,
    channels: Vec<String>,
}

/// How often the copy of the store is looked at for newer vouchers.
const COPY_EVERY: Duration = Duration::from_secs(5);

/// Watches every channel of the store on which its node earns, until all are closed or a signal comes. No wallet and no key
/// of the node is used. A ledger that does not answer yet is waited for, and a newer copy of the store is read.
pub(super) async fn run(config: &NodeConfig, store: PathBuf, printer: Printer) -> Result<(), NodeError> {
    let version = version(&store);
    let vouchers = read(&store).await?;
    let ledger = Arc::new(name_ledger(&config.ledger, None)?);
    match has_answered(&ledger).await {
        Ok(()) => {}
        // Its channels are others; no patience mends that.
        Err(error @ LedgerError::Chain(ChainError::OtherNetwork { .. })) => return Err(error.into()),
        Err(error) => printer.note(&format!("{error}; it is asked again and again")),
    }
    let channels = vouchers.iter().map(|watched| watched.voucher.account.to_string()).collect();
    let start = WatchStart { event: "guarding", channels };
    let watched = count(start.channels.len() as u64, "channel");
    printer.data(&start, || format!("watching {watched}; Ctrl-C ends it"));
    let (newest, copies) = mpsc::channel(1);
    // The receiver is there.
    let _ = newest.send(vouchers).await;
    let tell = |news: WatchNews| printer.data(&news, || words(&news, &config.ledger.coin));
    tokio::select! {
        ended = watcher::watch(ledger, config.ledger.poll(), copies, tell) => {
            ended?;
            printer.note("every channel is closed: there is nothing left to watch");
            Ok(())
        }
        () = follow(store, version, newest) => Ok(()),
        signal = shutdown::requested() => signal.map_err(|source| NodeError::Io {
            what: "receive signals for",
            path: "the watcher".into(),
            source,
        }),
    }
}

fn words(news: &WatchNews, coin: &CoinName) -> String {
    match news {
        WatchNews::Closing { account, settled_nano } => {
            format!("channel {account} is closing with {} settled", coin.amount(Nano(*settled_nano)))
        }
        WatchNews::Claiming { account, cumulative_nano } => {
            format!("channel {account}: bringing the voucher over {}", coin.amount(Nano(*cumulative_nano)))
        }
        WatchNews::Failed { account, why } => format!("channel {account}: {why}; it is tried again"),
        WatchNews::Closed { account } => format!("channel {account} is closed"),
        WatchNews::Blind => {
            "the ledger does not answer: no close is seen; it is asked again and again".into()
        }
        WatchNews::Seeing => "the ledger answers again".into(),
    }
}

/// Reads the copy again whenever it has changed, until nobody wants its vouchers any more.
async fn follow(store: PathBuf, mut known: Option<Version>, newest: mpsc::Sender<Vec<WatchedVoucher>>) {
    loop {
        tokio::time::sleep(COPY_EVERY).await;
        let now = version(&store);
        if now == known || now.is_none() {
            continue;
        }
        match read(&store).await {
            Ok(vouchers) => {
                // Reading may touch the file.
                known = version(&store);
                tracing::info!(channels = vouchers.len(), "the copy of the store has changed and was read");
                if newest.send(vouchers).await.is_err() {
                    return;
                }
            }
            // Half written perhaps: the next look will tell.
            Err(error) => tracing::warn!(%error, "the copy of the store has changed and cannot be read yet"),
        }
    }
}

/// What changes when a file is written anew.
type Version = (u64, SystemTime);

fn version(store: &Path) -> Option<Version> {
    let metadata = std::fs::metadata(store).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

async fn read(store: &Path) -> Result<Vec<WatchedVoucher>, NodeError> {
    let store = store.to_owned();
    let read = tokio::task::spawn_blocking(move || Store::read_any(&store)).await;
    let records = read.map_err(|_| NodeError::Bug("reading the store panicked".into()))??;
    Ok(watcher::vouchers(&records))
}
