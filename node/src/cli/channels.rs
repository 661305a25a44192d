//! `bombyx channels`: what is deposited, promised, settled and locked, with whom; and closing or topping up one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::Identity;
use clap::{Args, Subcommand};

use super::print::Printer;
use super::recover::{self, Recover};
use super::status::WORTH_SAYING_S;
use super::{reach, values, watch};
use crate::api::connect::reach_ledger;
use crate::error::NodeError;
use crate::home::STORE;
use crate::home::config::{Coins, NodeConfig};
use crate::home::keys::Keys;
use crate::http::admin::{self, OpenRequest, TopUpRequest};
use crate::ledger::{CoinName, Wallet};
use crate::status::channels::{self, ChannelList, ChannelView};
use crate::status::{ChannelPhase, ChannelStatus, Direction};
use crate::store::Store;

/// How long a list waits for the ledger.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// Flags of `bombyx channels`.
#[derive(Debug, Args)]
pub(super) struct ChannelsArgs {
    /// The ledger's endpoint, where no node runs.
    #[arg(long, value_name = "URL", value_parser = values::endpoints)]
    ledger: Option<String>,
    #[command(subcommand)]
    verb: Option<ChannelsVerb>,
}

#[derive(Debug, Subcommand)]
enum ChannelsVerb {
    /// Close a channel, or all: at once where this node earns, after the challenge time where it pays.
    Close {
        /// The channel's account, as the list shows it.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        account: Option<String>,
        /// Close every channel that is open, in both directions.
        #[arg(long)]
        all: bool,
    },
    /// Open a channel to a provider before there is work for it. Jobs open channels by themselves.
    Open {
        /// How the provider is paid: the word behind `payee` in its `bombyx status`.
        payee: String,
        /// The deposit.
        coins: Coins,
    },
    /// Add to the deposit of a channel that this node pays on.
    Topup {
        /// The channel's account, as the list shows it.
        account: String,
        /// How many.
        coins: Coins,
    },
    /// Find channels of this home's key on the ledger after its store was lost, and take them into a new one.
    Recover(Recover),
    /// Answer stale closes for a provider that is away, with the vouchers of its store. Needs none of its keys.
    Watch {
        /// A copy of the provider's store, made while it did not run [default: that of the home].
        #[arg(long, value_name = "FILE")]
        store: Option<PathBuf>,
    },
}

impl ChannelsArgs {
    pub(super) async fn run(self, home: &Path, printer: Printer) -> Result<(), NodeError> {
        let mut config = NodeConfig::load(home)?;
        config.ledger.url = self.ledger.unwrap_or(config.ledger.url);
        match self.verb {
            None => {
                let list = list(home, &config).await?;
                printer.data(&list, || text(&list, &config.ledger.coin));
            }
            Some(ChannelsVerb::Close { account: None, all: _ }) => {
                let node = reach::running(home).await?;
                let closing: Vec<ChannelStatus> = node.post("/channels/close", &()).await?;
                let accounts =
                    closing.iter().map(|channel| format!("channel {} is closing", channel.account));
                let lines = || match closing.len() {
                    0 => "there is no open channel".into(),
                    _ => accounts.collect::<Vec<_>>().join("\n"),
                };
                printer.data(&closing, lines);
            }
            Some(ChannelsVerb::Close { account: Some(account), all: _ }) => {
                let node = reach::running(home).await?;
                let path = format!("/channels/{}/close", digits(&account)?);
                let channel: ChannelStatus = node.post(&path, &()).await?;
                printer.data(&channel, || format!("channel {} is closing", channel.account));
            }
            Some(ChannelsVerb::Open { payee, coins }) => {
                let card = admin::payee(&payee)?;
                let node = reach::running(home).await?;
                let open = OpenRequest { payee: card.to_string(), deposit_nano: coins.0.0 };
                let open: OpenRequest = node.post("/channels/open", &open).await?;
                let amount = node.status.ledger.coin.amount(coins.0);
                printer.data(&open, || {
                    format!(
                        "a channel of {amount} to {} is on its way; `bombyx channels` shows it",
                        card.provider
                    )
                });
            }
            Some(ChannelsVerb::Topup { account, coins }) => {
                let node = reach::running(home).await?;
                let path = format!("/channels/{}/topup", digits(&account)?);
                let channel: ChannelStatus =
                    node.post(&path, &TopUpRequest { amount_nano: coins.0.0 }).await?;
                let amount = node.status.ledger.coin.amount(coins.0);
                printer
                    .data(&channel, || format!("{amount} are on their way to channel {}", channel.account));
            }
            Some(ChannelsVerb::Recover(flags)) => recover::run(flags, home, &config, printer).await?,
            Some(ChannelsVerb::Watch { store }) => {
                watch::run(&config, store.unwrap_or_else(|| home.join(STORE)), printer).await?;
            }
        }
        Ok(())
    }
}

fn digits(account: &str) -> Result<String, NodeError> {
    let read = channels::account(account);
    let none = || NodeError::Usage(format!("`{account}` is not a channel's account: 64 hexadecimal digits"));
    read.map(|account| account.to_string()).ok_or_else(none)
}

/// From the running node; else from the store, which a node that was killed leaves behind whole.
pub(super) async fn list(home: &Path, config: &NodeConfig) -> Result<ChannelList, NodeError> {
    match reach::running(home).await {
        Ok(node) => return node.get("/channels").await,
        Err(NodeError::NotRunning { .. }) => {}
        Err(error) => return Err(error),
    }
    let keys = Keys::load(home)?;
    let owner = Identity::from_seed(&keys.identity).id();
    let path = home.join(STORE);
    let records = tokio::task::spawn_blocking(move || Store::read(&path, owner)).await;
    let records = records.map_err(|_| NodeError::Bug("reading the store panicked".into()))??;
    let known = channels::recorded(&records);
    let wallet = Wallet::from_words(&keys.wallet, config.ledger.network.id())?;
    let ledger = reach_ledger(&config.ledger, Some(wallet)).await.ok();
    Ok(ChannelList::of(owner, known, ledger.as_ref(), LEDGER_PATIENCE).await)
}

fn text(list: &ChannelList, coin: &CoinName) -> String {
    if list.channels.is_empty() {
        return "there is no channel".into();
    }
    let oldest_s = list.channels.iter().filter_map(|view| view.seen_ago_s).max().unwrap_or(0);
    let ago = if oldest_s < WORTH_SAYING_S {
        String::new()
    } else {
        format!("; as the ledger showed it {oldest_s} s ago or later")
    };
    format!(
        "{}\namounts in {coin}; {} locked by this node's deposits,\nfees so far {}{ago}",
        list.channels.iter().map(entry).collect::<Vec<_>>().join("\n"),
        list.locked_words(coin),
        fees(list, coin)
    )
}

/// Returns the fees of channels and wallet in words.
pub(super) fn fees(list: &ChannelList, coin: &CoinName) -> String {
    let wallet = list.wallet_fees_nano.map_or_else(|| "?".into(), |nano| coin.amount(Nano(nano)));
    format!("{} out of channels, {wallet} out of the wallet", coin.amount(list.channel_fees()))
}

/// Returns until when its coins are locked, in words.
fn until(view: &ChannelView) -> String {
    let challenge_s = view.channel.challenge_s;
    match (view.channel.state, view.channel.direction, view.locked_for_s) {
        (ChannelPhase::Closed | ChannelPhase::Opening, _, _) => "-".into(),
        (_, _, Some(0)) => "now: the close can be finished".into(),
        (_, _, Some(left_s)) => format!("{left_s} s from now, or the provider's close"),
        (_, Direction::Paying, None) => format!("closed; a close takes {challenge_s} s at most"),
        (_, Direction::Earning, None) => "closed; a close takes effect at once".into(),
    }
}

/// Returns one channel on three lines, none wider than an account needs.
fn entry(view: &ChannelView) -> String {
    let coins = |nano: Option<u64>| nano.map_or_else(|| "?".into(), |nano| Nano(nano).to_string());
    let channel = &view.channel;
    let with = match channel.direction {
        Direction::Paying => "to",
        Direction::Earning => "from",
    };
    format!(
        "channel  {}\n         {} {with} {}, {}: deposit {}, promised {}, settled {}, fees {}\n         locked {}, until {}",
        channel.account,
        channel.direction,
        channel.peer.get(..8).unwrap_or(&channel.peer),
        channel.state,
        coins(Some(channel.deposit_nano)),
        coins(Some(channel.paid_nano)),
        coins(view.settled_nano),
        coins(view.fees_nano),
        coins(view.locked_nano),
        until(view),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_channels_fits_a_terminal() {
        let channel = |direction, state| {
            let mut view = ChannelView::from(ChannelStatus {
                account: "ab".repeat(32),
                direction,
                peer: "772ce054".repeat(8),
                deposit_nano: 1_000_000_000,
                paid_nano: 357_123,
                state,
                challenge_s: 172_800,
            });
            view.settled_nano = Some(357_123);
            view.locked_for_s = (state == ChannelPhase::Closing).then_some(172_800);
            view
        };
        let channels = vec![
            channel(Direction::Paying, ChannelPhase::Open),
            channel(Direction::Earning, ChannelPhase::Closing),
        ];
        let list = ChannelList { node_id: "id".into(), channels, wallet_fees_nano: None };
        let text = text(&list, &CoinName::default());
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 100), "{text}");
        for words in [
            "pays to 772ce054, open: deposit 1, promised 0.000357123, settled 0.000357123, fees ?",
            "earns from 772ce054, closing:",
            "locked ?, until 172800 s from now, or the provider's close",
            "an unknown amount locked",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
