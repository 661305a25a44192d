//! `bombyx channels`: what is deposited, promised, settled and locked, with whom; and closing or topping up one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::Identity;
use bombyx_protocol::limits::PAYOUT_MIN;
use clap::{Args, Subcommand};
use tokio::time::{Instant, sleep};

use super::own::{self, VerbNode};
use super::print::Printer;
use super::recover::{self, Recover};
use super::{reach, values, watch};
use crate::api::connect::reach_ledger;
use crate::error::NodeError;
use crate::home::STORE;
use crate::home::config::{Coins, NodeConfig};
use crate::home::keys::Keys;
use crate::http::admin::{self, OpenRequest, TopUpRequest};
use crate::ledger::{CoinName, Wallet};
use crate::net::check_join;
use crate::status::channels::{self, ChannelList, ChannelView};
use crate::status::payee::PayeeCard;
use crate::status::{ChannelPhase, ChannelStatus, Direction, WORTH_SAYING_S, owed_lines};
use crate::store::Store;

/// How long a verb without a running node waits for closes and deposits.
const CLOSE_PATIENCE: Duration = Duration::from_secs(75);
/// Between two looks at them.
const CLOSE_PAUSE: Duration = Duration::from_millis(250);
/// How long a list waits for the ledger.
const LEDGER_PATIENCE: Duration = Duration::from_secs(5);

/// Flags of `bombyx channels`.
#[derive(Debug, Args)]
pub(super) struct ChannelsArgs {
    /// The ledger's endpoint, where no node runs.
    #[arg(long, value_name = "URL", global = true, value_parser = values::endpoints)]
    ledger: Option<String>,
    /// A node to join through, where no node runs; may be repeated. A provider that is found closes a channel at once.
    #[arg(long, value_name = "MULTIADDR", global = true)]
    join: Vec<String>,
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
        self.join.iter().try_for_each(|address| check_join(address))?;
        config.network.join.extend(self.join);
        match self.verb {
            None => {
                let list = list(home, &config).await?;
                printer.data(&list, || text(&list, &config.ledger.coin));
            }
            Some(ChannelsVerb::Recover(flags)) => recover::run(flags, home, &config, printer).await?,
            Some(ChannelsVerb::Watch { store }) => {
                watch::run(&config, store.unwrap_or_else(|| home.join(STORE)), printer).await?;
            }
            Some(ChannelsVerb::Close { account: None, all: _ }) => {
                let node = VerbNode::of(home, &config).await?;
                let done = close_all(&node, printer).await;
                node.end().await.and(done)?;
            }
            Some(ChannelsVerb::Close { account: Some(account), all: _ }) => {
                let path = format!("/channels/{}/close", digits(&account)?);
                let node = VerbNode::of(home, &config).await?;
                let done = close_one(&node, path, printer).await;
                node.end().await.and(done)?;
            }
            Some(ChannelsVerb::Open { payee, coins }) => {
                let card = admin::payee(&payee)?;
                let node = VerbNode::of(home, &config).await?;
                let done = open(&node, &card, coins.0, printer).await;
                node.end().await.and(done)?;
            }
            Some(ChannelsVerb::Topup { account, coins }) => {
                let path = format!("/channels/{}/topup", digits(&account)?);
                let node = VerbNode::of(home, &config).await?;
                let done = top_up(&node, path, coins.0, printer).await;
                node.end().await.and(done)?;
            }
        }
        Ok(())
    }
}

async fn close_all(node: &VerbNode, printer: Printer) -> Result<(), NodeError> {
    let list: ChannelList = node.pages.get("/channels").await?;
    let closing: Vec<ChannelStatus> = node.pages.post("/channels/close", &()).await?;
    let accounts = closing.iter().map(|channel| format!("channel {} is closing", channel.account));
    let lines = || match closing.len() {
        0 => "there is no open channel".into(),
        _ => accounts.collect::<Vec<_>>().join("\n"),
    };
    printer.data(&closing, lines);
    let coin = &node.pages.status.ledger.coin;
    name_losses(&list, &closing, coin, printer);
    if let Some(owed) = owed_lines(&list.owed, coin, 9) {
        printer.note(&format!("{owed};\n         no close pays that or ends it"));
    }
    // One that was to be closed before may still be shown as open.
    if closing.is_empty() && list.channels.iter().all(|view| view.channel.state == ChannelPhase::Closed) {
        return Ok(());
    }
    until_closed(node, printer).await
}

/// Says what a close takes from who earned it: so little that it is sent to nobody. (`CH-26`)
fn name_losses(list: &ChannelList, closing: &[ChannelStatus], coin: &CoinName, printer: Printer) {
    let is_closing = |view: &&ChannelView| {
        view.channel.direction == Direction::Earning
            && closing.iter().any(|channel| channel.account == view.channel.account)
    };
    for view in list.channels.iter().filter(is_closing) {
        let due = Nano(view.channel.paid_nano.saturating_sub(view.settled_nano.unwrap_or(0)));
        if due > Nano::ZERO && due < PAYOUT_MIN {
            printer.note(&format!(
                "channel {}: the {} that are due on it go back to its client, as a close pays out no less than {PAYOUT_MIN} coins",
                view.channel.account,
                coin.amount(due)
            ));
        }
    }
}

async fn close_one(node: &VerbNode, path: String, printer: Printer) -> Result<(), NodeError> {
    let list = node.pages.get("/channels").await?;
    let channel: ChannelStatus = node.pages.post(&path, &()).await?;
    printer.data(&channel, || format!("channel {} is closing", channel.account));
    name_losses(&list, std::slice::from_ref(&channel), &node.pages.status.ledger.coin, printer);
    until_closed(node, printer).await
}

/// Waits for closes, where the node that brings them would end with this verb. What takes longer is said, with what to do.
async fn until_closed(node: &VerbNode, printer: Printer) -> Result<(), NodeError> {
    if !node.is_own() {
        return Ok(());
    }
    let until = Instant::now() + CLOSE_PATIENCE;
    loop {
        let list: ChannelList = node.pages.get("/channels").await?;
        let closing = list.channels.iter().filter(|view| view.channel.state == ChannelPhase::Closing);
        let longest = closing.map(|view| view.locked_for_s.unwrap_or(view.channel.challenge_s)).max();
        let Some(left_s) = longest else {
            printer.note("closed: what was left of the deposits is in the wallet");
            return Ok(());
        };
        if Instant::now() >= until {
            // It says so where it is the ledger that is away.
            node.pages.post::<Vec<ChannelStatus>>("/channels/close", &()).await?;
            printer.note(&format!(
                "not closed yet: a provider that is away has {left_s} s to answer. The rest comes back when a node runs in this \
                 home after that time; this command does it"
            ));
            return Ok(());
        }
        sleep(CLOSE_PAUSE).await;
    }
}

async fn open(node: &VerbNode, card: &PayeeCard, deposit: Nano, printer: Printer) -> Result<(), NodeError> {
    let open = OpenRequest { payee: card.to_string(), deposit_nano: deposit.0 };
    let open: OpenRequest = node.pages.post("/channels/open", &open).await?;
    let amount = node.pages.status.ledger.coin.amount(deposit);
    printer.data(&open, || {
        format!("a channel of {amount} to {} is on its way; `bombyx channels` shows it", card.provider)
    });
    until_seen(node, |view| view.channel.state != ChannelPhase::Opening).await
}

async fn top_up(node: &VerbNode, path: String, amount: Nano, printer: Printer) -> Result<(), NodeError> {
    let channel: ChannelStatus = node.pages.post(&path, &TopUpRequest { amount_nano: amount.0 }).await?;
    let coins = node.pages.status.ledger.coin.amount(amount);
    printer.data(&channel, || format!("{coins} are on their way to channel {}", channel.account));
    let is_there = |view: &ChannelView| {
        view.channel.account != channel.account || view.channel.deposit_nano > channel.deposit_nano
    };
    until_seen(node, is_there).await
}

/// Waits until every channel is as hoped, where the node that asked for it would end with this verb.
async fn until_seen(node: &VerbNode, is_hoped: impl Fn(&ChannelView) -> bool) -> Result<(), NodeError> {
    let until = Instant::now() + CLOSE_PATIENCE;
    while node.is_own() && Instant::now() < until {
        let list: ChannelList = node.pages.get("/channels").await?;
        if list.channels.iter().all(&is_hoped) {
            break;
        }
        sleep(CLOSE_PAUSE).await;
    }
    Ok(())
}

fn digits(account: &str) -> Result<String, NodeError> {
    let read = channels::account(account);
    let none = || NodeError::Usage(format!("`{account}` is not a channel's account: 64 hexadecimal digits"));
    read.map(|account| account.to_string()).ok_or_else(none)
}

/// From the running node; else from the store, which a node that was killed leaves behind whole.
pub(super) async fn list(home: &Path, config: &NodeConfig) -> Result<ChannelList, NodeError> {
    own::once_free(own::HOME_WAIT, async || list_now(home, config).await).await
}

async fn list_now(home: &Path, config: &NodeConfig) -> Result<ChannelList, NodeError> {
    let told = async { reach::running(home).await?.get("/channels").await };
    match told.await {
        Err(NodeError::NotRunning { .. }) => {}
        told => return told,
    }
    let keys = Keys::load(home)?;
    let owner = Identity::from_seed(&keys.identity).id();
    let path = home.join(STORE);
    let records = tokio::task::spawn_blocking(move || Store::read(&path, owner)).await;
    let records = records.map_err(|_| NodeError::Bug("reading the store panicked".into()))??;
    let wallet = Wallet::from_words(&keys.wallet, config.ledger.network.id())?;
    let ledger = reach_ledger(&config.ledger, Some(wallet)).await.ok();
    Ok(ChannelList::of(owner, &records, ledger.as_ref(), LEDGER_PATIENCE).await)
}

fn text(list: &ChannelList, coin: &CoinName) -> String {
    let mut lines: Vec<String> = list.channels.iter().map(entry).collect();
    lines.push(if lines.is_empty() {
        "there is no channel".into()
    } else {
        let (locked, fees) = (list.locked_words(coin), fees(list, coin));
        format!(
            "amounts in {coin}; {locked} locked by this node's deposits,\nfees so far {fees}{}",
            age(list)
        )
    });
    lines.extend(owed_lines(&list.owed, coin, 9));
    lines.join("\n")
}

/// Returns how old the oldest of what is shown of channels is, in words, where that is worth saying.
pub(super) fn age(list: &ChannelList) -> String {
    match list.channels.iter().filter_map(|view| view.seen_ago_s).max() {
        Some(oldest_s) if oldest_s >= WORTH_SAYING_S => {
            format!("; as the ledger showed it {oldest_s} s ago or later")
        }
        Some(_) | None => String::new(),
    }
}

/// Returns the fees of channels and wallet in words.
pub(super) fn fees(list: &ChannelList, coin: &CoinName) -> String {
    let words = |fees: Option<Nano>| fees.map_or_else(|| "unknown".into(), |fees| coin.amount(fees));
    let wallet = words(list.wallet_fees_nano.map(Nano));
    format!("{} out of channels, {wallet} out of the wallet", words(list.channel_fees()))
}

/// Returns what is locked, and until when, in words.
fn locked(view: &ChannelView) -> String {
    let challenge_s = view.channel.challenge_s;
    let amount = view.locked_nano.map_or_else(|| "an unknown amount".into(), |nano| Nano(nano).to_string());
    match (view.channel.state, view.channel.direction, view.locked_for_s) {
        (ChannelPhase::Closed, _, _) => "nothing is locked any more".into(),
        (ChannelPhase::Opening, _, _) => "nothing is locked yet, as far as the ledger has shown".into(),
        (_, _, Some(0)) => format!("{amount} locked; the close can be finished now"),
        (_, _, Some(left_s)) => format!("{amount} locked for {left_s} s more, or until the provider closes"),
        (_, Direction::Paying, None) => {
            format!("{amount} locked until it is closed, which takes {challenge_s} s at most")
        }
        (_, Direction::Earning, None) => {
            format!("{amount} locked until it is closed, which takes effect at once")
        }
    }
}

/// Returns one channel on three lines, none wider than an account needs.
fn entry(view: &ChannelView) -> String {
    let coins = |nano: Option<u64>| nano.map_or_else(|| "?".into(), |nano| Nano(nano).to_string());
    let channel = &view.channel;
    format!(
        "channel  {}\n         {channel}: deposit {}, promised {}, settled {}, fees {}\n         {}",
        channel.account,
        coins(Some(channel.deposit_nano)),
        coins(Some(channel.paid_nano)),
        coins(view.settled_nano),
        coins(view.fees_nano),
        locked(view),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::OwedStatus;

    #[test]
    fn a_list_of_channels_fits_a_terminal() {
        let channel = |direction, state| {
            let mut view = ChannelView::from(ChannelStatus {
                account: "ab".repeat(32),
                direction,
                peer: "772ce054".repeat(8),
                deposit_nano: 1_000_000_000,
                addition_nano: 0,
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
        let owed = vec![OwedStatus { peer: "c7".repeat(32), owed_nano: 91_040 }];
        let list = ChannelList::new("id".into(), channels, owed);
        let text = text(&list, &CoinName::default());
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest.is_some_and(|widest| widest <= 100), "{text}");
        for words in [
            "pays to 772ce054, open: deposit 1, promised 0.000357123, settled 0.000357123, fees ?",
            "earns from 772ce054, closing:",
            "an unknown amount locked for 172800 s more, or until the provider closes",
            "an unknown amount locked by this node's deposits",
            "owed     0.00009104 TON to c7c7c7c7, served before",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
        for (state, words) in [
            (ChannelPhase::Closed, "\n         nothing is locked any more"),
            (ChannelPhase::Opening, "\n         nothing is locked yet"),
            (ChannelPhase::Open, "until it is closed, which takes 172800 s at most"),
        ] {
            let shown = entry(&channel(Direction::Paying, state));
            assert!(shown.contains(words), "{shown}");
        }
    }
}
