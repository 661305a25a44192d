//! `bombyx wallet`: the node's coins: where they are, how many, how to move them, and the words that hold them.

use std::path::Path;

use bombyx_protocol::amount::{AmountError, Nano};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::ident::Identity;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::print::Printer;
use super::{channels, own, reach, values};
use crate::api::connect::reach_ledger;
use crate::error::NodeError;
use crate::home::STORE;
use crate::home::config::{Coins, LedgerNetwork, NodeConfig};
use crate::home::keys::Keys;
use crate::http::admin::{SendRequest, receiver};
use crate::ledger::clock;
use crate::ledger::{ChainError, CoinName, LedgerError, TRANSFER_LIFE, Wallet, friendly, parse_address};
use crate::status::channels::ChannelView;
use crate::status::{self, ChannelPhase, Direction, OwedStatus};
use crate::store::Store;

/// Flags of `bombyx wallet`.
#[derive(Debug, Args)]
pub(super) struct WalletArgs {
    /// The ledger's endpoint, where no node runs.
    #[arg(long, value_name = "URL", global = true, value_parser = values::endpoints)]
    ledger: Option<String>,
    #[command(subcommand)]
    verb: Option<WalletVerb>,
}

#[derive(Debug, Subcommand)]
enum WalletVerb {
    /// Show the 24 words of the wallet: whoever reads them has its coins.
    Seed {
        /// Really show them.
        #[arg(long)]
        yes_show_it: bool,
    },
    /// Send coins to an address. They do not come back. Ends when it is known that they were sent, or that they were not and
    /// never will be; exit code 27 says that this is not known yet.
    Send {
        /// The receiver, in raw or user-friendly form.
        address: String,
        /// How many, or `all`.
        #[arg(value_parser = amount)]
        coins: Amount,
    },
}

/// A number of coins, or all there are.
#[derive(Debug, Clone, Copy)]
enum Amount {
    All,
    Coins(Nano),
}

fn amount(text: &str) -> Result<Amount, String> {
    if text == "all" {
        return Ok(Amount::All);
    }
    text.parse().map(|Coins(amount)| Amount::Coins(amount)).map_err(|error: AmountError| error.to_string())
}

#[derive(Serialize)]
struct WalletReport {
    address: String,
    friendly: String,
    balance_nano: Option<u64>,
    /// How many seconds ago the ledger has said so.
    balance_ago_s: Option<u64>,
    /// Whether it answers.
    ledger_answers: bool,
    /// Coins between wallet and channels; nothing while the ledger does not tell.
    on_its_way_nano: Option<u64>,
    /// What this node's deposits hold; nothing while the ledger does not answer.
    locked_nano: Option<u64>,
    /// What the accounts of these channels hold beside, for their closes.
    reserve_nano: Option<u64>,
    /// Channels that it pays on.
    locked_in: usize,
    /// The longest time that a close takes, in seconds.
    locked_for_s_max: u32,
    channel_fees_nano: Option<u64>,
    wallet_fees_nano: Option<u64>,
    /// What was served before the wallet held enough for a channel.
    owed: Vec<OwedStatus>,
    coin: CoinName,
    ledger: String,
}

/// What became of a payment.
#[derive(Serialize)]
struct Paid<'a> {
    to: &'a str,
    amount_nano: u64,
    fate: &'static str,
}

#[derive(Serialize)]
struct Words<'a> {
    words: &'a str,
}

impl WalletArgs {
    pub(super) async fn run(self, home: &Path, printer: Printer) -> Result<(), NodeError> {
        let mut config = NodeConfig::load(home)?;
        config.ledger.url = self.ledger.unwrap_or(config.ledger.url);
        match self.verb {
            None => show(home, &config, printer).await,
            Some(WalletVerb::Seed { yes_show_it }) => seed(home, yes_show_it, printer),
            Some(WalletVerb::Send { address, coins }) => send(home, &config, &address, coins, printer).await,
        }
    }
}

async fn show(home: &Path, config: &NodeConfig, printer: Printer) -> Result<(), NodeError> {
    let (address, is_silent, ledger) = match reach::running(home).await {
        Ok(node) => {
            let told = node.status.ledger;
            let address = parse_address(&told.wallet)
                .ok_or_else(|| NodeError::Bug("the node names a wallet that is no address".into()))?;
            (address, told.silent, told.url)
        }
        Err(NodeError::NotRunning { .. }) => {
            let keys = Keys::load(home)?;
            let wallet = Wallet::from_words(&keys.wallet, config.ledger.network.id())?;
            let address = wallet.address();
            // Coins of another network are no answer.
            if let Err(error @ NodeError::Ledger(LedgerError::Chain(ChainError::OtherNetwork { .. }))) =
                reach_ledger(&config.ledger, Some(wallet)).await
            {
                return Err(error);
            }
            (address, false, config.ledger.url.clone())
        }
        Err(error) => return Err(error),
    };
    let list = channels::list(home, config).await?;
    let paying = || {
        let views = list.channels.iter().filter(|view| view.channel.direction == Direction::Paying);
        views.filter(|view| view.channel.state != ChannelPhase::Closed)
    };
    let test_network = config.ledger.network != LedgerNetwork::Mainnet;
    let shown = WalletReport {
        address: address.to_string(),
        friendly: friendly(address, test_network),
        balance_nano: list.balance_nano,
        balance_ago_s: list.balance_ago_s,
        ledger_answers: list.balance_nano.is_some() && !is_silent,
        on_its_way_nano: list.on_its_way_nano,
        locked_nano: list.locked().map(|Nano(nano)| nano),
        reserve_nano: list.reserved().map(|Nano(nano)| nano),
        locked_in: paying().count(),
        locked_for_s_max: paying().map(close_takes_s).max().unwrap_or(0),
        channel_fees_nano: list.channel_fees().map(|Nano(nano)| nano),
        wallet_fees_nano: list.wallet_fees_nano,
        owed: list.owed.clone(),
        coin: config.ledger.coin.clone(),
        ledger,
    };
    printer.data(&shown, || {
        let balance = status::balance(list.balance_nano, list.balance_ago_s, !shown.ledger_answers, &shown.coin);
        let locked = match shown.locked_in {
            0 => "nothing: there is no channel that this node pays on".into(),
            count => format!(
                "{} in {}, and {} in reserve for {}, which takes {} s at most",
                list.locked_words(&shown.coin),
                if count == 1 {
                    "1 channel until it is closed".to_owned()
                } else {
                    format!("{count} channels, each until it is closed")
                },
                shown.reserve_nano.map_or_else(|| "an unknown amount".into(), |nano| shown.coin.amount(Nano(nano))),
                if count == 1 { "its close" } else { "each close" },
                shown.locked_for_s_max
            ),
        };
        let on_its_way = match shown.on_its_way_nano {
            None | Some(0) => String::new(),
            Some(nano) => format!("\n         {} on its way between wallet and channels", shown.coin.amount(Nano(nano))),
        };
        let owed = status::owed_lines(&shown.owed, &shown.coin, 9);
        let owed = owed.map_or_else(String::new, |owed| format!("\n{owed}"));
        format!(
            "address  {}\n         {}\nbalance  {balance}\nlocked   {locked}{}{on_its_way}{owed}\nfees     so far {}\nledger   {}",
            shown.friendly,
            shown.address,
            channels::age(&list),
            channels::fees(&list, &shown.coin),
            shown.ledger
        )
    });
    Ok(())
}

/// Returns how long a channel's close takes at most, counted from now or from when it is asked for.
fn close_takes_s(view: &ChannelView) -> u32 {
    view.locked_for_s.unwrap_or(view.channel.challenge_s)
}

fn seed(home: &Path, confirmed: bool, printer: Printer) -> Result<(), NodeError> {
    if !confirmed {
        let text = "whoever reads the wallet's words has its coins; say --yes-show-it to see them here";
        return Err(NodeError::Usage(text.into()));
    }
    let keys = Keys::load(home)?;
    printer.data(&Words { words: &keys.wallet }, || keys.wallet.to_string());
    Ok(())
}

async fn send(
    home: &Path,
    config: &NodeConfig,
    to: &str,
    amount: Amount,
    printer: Printer,
) -> Result<(), NodeError> {
    let amount = match amount {
        Amount::All => None,
        Amount::Coins(amount) => Some(amount),
    };
    let receiver = receiver(to)?;
    if amount == Some(Nano::ZERO) {
        return Err(NodeError::Usage("nothing is to be sent".into()));
    }
    let order = SendRequest { to: to.to_owned(), amount_nano: amount.map(|Nano(nano)| nano) };
    let sent =
        own::once_free(own::HOME_WAIT, async || send_now(home, config, &order, receiver).await).await?;
    let paid = Paid { to, amount_nano: sent.0, fate: "sent" };
    printer.data(&paid, || format!("sent {} to {to}", config.ledger.coin.amount(sent)));
    Ok(())
}

/// Sends by the running node, or by this process as the only one in the home; returns how much.
async fn send_now(
    home: &Path,
    config: &NodeConfig,
    order: &SendRequest,
    receiver: Address,
) -> Result<Nano, NodeError> {
    let sent = async {
        let node = reach::running(home).await?;
        node.post::<SendRequest>("/wallet/send", order).await.map_err(unanswered)
    };
    match sent.await {
        Ok(done) => Ok(Nano(done.amount_nano.unwrap_or_default())),
        Err(NodeError::NotRunning { .. }) => {
            let keys = Keys::load(home)?;
            let owner = Identity::from_seed(&keys.identity).id();
            // Held until the coins have left: two processes must not number the wallet's transfers.
            let (store, _) = Store::open_kept(&home.join(STORE), owner)?;
            let wallet = Wallet::from_words(&keys.wallet, config.ledger.network.id())?;
            let ledger = reach_ledger(&config.ledger, Some(wallet)).await?;
            let sending = async {
                let amount = match order.amount_nano {
                    Some(amount) => Nano(amount),
                    None => ledger.sendable().await?,
                };
                ledger.send(receiver, amount).await.map(|()| amount)
            };
            let sent = sending.await;
            store.close()?;
            Ok(sent?)
        }
        Err(error) => Err(error),
    }
}

/// Describes that the running node ended while it was sending: what it sent may be executed as long as it
/// is valid.
fn unanswered(error: NodeError) -> NodeError {
    if !matches!(error, NodeError::Stopped(_)) {
        return error;
    }
    let life_s = TRANSFER_LIFE.as_secs();
    let until_s = u32::try_from(u64::from(clock::now_s()) + life_s + life_s / 4).unwrap_or(u32::MAX);
    let why = "the node ended before it answered".to_owned();
    LedgerError::Unknown { operation: "send coins", until_s, why }.into()
}
