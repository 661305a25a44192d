//! `bombyx channels watch`: answers stale closes for a provider that is away, from a copy of its store.

use std::path::PathBuf;
use std::sync::Arc;

use bombyx_protocol::amount::Nano;
use serde::Serialize;

use crate::config::NodeConfig;
use crate::error::NodeError;
use crate::guard::{self, GuardNews};
use crate::ledger::CoinName;
use crate::node::reach_ledger;
use crate::print::Printer;
use crate::shutdown;
use crate::store::Store;

#[derive(Serialize)]
struct Guarding {
    event: &'static str,
    channels: Vec<String>,
}

/// Guards every channel of the store on which its node earns, until all are closed or a signal comes. No wallet and no key
/// of the node is used.
pub(super) async fn run(config: &NodeConfig, store: PathBuf, printer: Printer) -> Result<(), NodeError> {
    let read = tokio::task::spawn_blocking(move || Store::read_any(&store)).await;
    let records = read.map_err(|_| NodeError::Bug("reading the store panicked".into()))??;
    let vouchers = guard::vouchers(&records);
    let ledger = Arc::new(reach_ledger(&config.ledger, None).await?);
    let channels = vouchers.iter().map(|guarded| hex::encode(guarded.voucher.account)).collect();
    let guarding = Guarding { event: "guarding", channels };
    printer.data(&guarding, || format!("guarding {} channels; Ctrl-C ends it", guarding.channels.len()));
    let tell = |news: GuardNews| printer.data(&news, || words(&news, &config.ledger.coin));
    tokio::select! {
        ended = guard::guard(ledger, config.ledger.poll(), vouchers, tell) => {
            ended?;
            printer.note("every channel is closed: there is nothing left to guard");
            Ok(())
        }
        signal = shutdown::requested() => signal.map_err(|source| NodeError::Io {
            what: "receive signals for",
            path: "the watcher".into(),
            source,
        }),
    }
}

fn words(news: &GuardNews, coin: &CoinName) -> String {
    match news {
        GuardNews::Closing { account, settled_nano } => {
            format!("channel {account} is closing with {} settled", coin.amount(Nano(*settled_nano)))
        }
        GuardNews::Claiming { account, cumulative_nano } => {
            format!("channel {account}: bringing the voucher over {}", coin.amount(Nano(*cumulative_nano)))
        }
        GuardNews::Failed { account, why } => format!("channel {account}: {why}; it is tried again"),
        GuardNews::Closed { account } => format!("channel {account} is closed"),
    }
}
