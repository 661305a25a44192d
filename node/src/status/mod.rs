//! What a node says about itself: for `bombyx status`, the admin page and the report of a settlement.

pub(crate) mod books;
pub(crate) mod channels;
mod dues;
pub(crate) mod last_list;
pub(crate) mod models;
pub(crate) mod payee;

use std::fmt;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::provider::Sales;
use serde::{Deserialize, Serialize};

use crate::ledger::clock::clock;
use crate::ledger::{CoinName, MAINNET_ID, friendly, parse_address};

pub(crate) use dues::{DueStatus, OwedStatus, Unpaid, names, owed_lines};

/// Returns a number of things in words.
#[must_use]
pub(crate) fn count(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// From how many seconds on the age of what the ledger said is shown.
pub(crate) const WORTH_SAYING_S: u64 = 10;

/// Returns a balance in words: how old it is where that is worth saying, and that the ledger does not answer.
pub(crate) fn balance(nano: Option<u64>, ago_s: Option<u64>, is_silent: bool, coin: &CoinName) -> String {
    let Some(nano) = nano else { return "unknown (the ledger does not answer)".into() };
    let old = ago_s.filter(|ago_s| is_silent || *ago_s >= WORTH_SAYING_S);
    let old = old.map_or_else(String::new, |ago_s| format!(", as the ledger showed it {ago_s} s ago"));
    let silent = if is_silent { "; it does not answer now" } else { "" };
    format!("{}{old}{silent}", coin.amount(Nano(nano)))
}

/// A node at one moment. It holds sizes and amounts, never a prompt, an answer or a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The node's id.
    pub node_id: String,
    /// The network's name.
    pub network: String,
    /// Unix time of the start: since when this node counts what it sold and bought.
    pub started_s: u64,
    /// Seconds since then.
    pub uptime_s: u64,
    /// Whether it is about to end, and takes no new work.
    pub ending: bool,
    /// Connected peers.
    pub peers: usize,
    /// Multiaddrs that others can join through.
    pub addresses: Vec<String>,
    /// What it sells, if anything.
    pub provider: Option<ProviderStatus>,
    /// How it buys.
    pub client: ClientStatus,
    /// Its money.
    pub ledger: LedgerStatus,
    /// Its channels in both directions.
    pub channels: Vec<ChannelStatus>,
}

/// What a node sells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderStatus {
    /// The models on offer.
    pub models: Vec<ModelStatus>,
    /// Jobs that hold a slot.
    pub jobs_in_flight: usize,
    /// Jobs that ended and of which something was delivered.
    pub jobs_served: u64,
    /// Of these, jobs that this node gave up.
    pub jobs_refused: u64,
    /// What all of them came to, in nano, and those under way so far.
    pub served_nano: u64,
    /// What was served and will not be paid, as far as that came out since the start, in nano: what was due or unpaid on channels
    /// that are gone from the ledger, credit of more than an hour ago, and what was read for clients that need not pay it. What all jobs came to is paid out, due or lost.
    #[serde(default)]
    pub lost_nano: u64,
    /// How its channels are served while the ledger does not answer; nothing while it does.
    #[serde(default)]
    pub without_ledger: Option<WithoutLedger>,
    /// What came of its bids since the start.
    pub sales: SalesStatus,
    /// What is owed and not paid out yet, or not paid at all, by whom and with the reason.
    pub due: Vec<DueStatus>,
    /// How it is paid, for `bombyx channels open`: see [`PayeeCard`](payee::PayeeCard).
    pub payee: String,
}

/// How a provider's channels are served while the ledger does not answer. (`CH-57`)
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithoutLedger {
    /// Channels that are served on what the ledger showed last.
    pub channels: usize,
    /// Open channels that were not looked at for too long.
    pub not_any_more: usize,
    /// Until which Unix second the first of them is served so.
    pub first_until_s: Option<u64>,
    /// Until which Unix second the last of them is served so.
    pub last_until_s: Option<u64>,
}

impl WithoutLedger {
    /// Returns whether there is any channel.
    pub(crate) const fn is_worth_saying(&self) -> bool {
        self.channels > 0 || self.not_any_more > 0
    }
}

impl fmt::Display for WithoutLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |unix_s: u64| clock(u32::try_from(unix_s).unwrap_or(u32::MAX));
        if let Some((first, last)) = self.first_until_s.zip(self.last_until_s) {
            let channels = count(self.channels as u64, "channel");
            write!(f, "{channels} served on what it showed last, until {}", time(first))?;
            if last > first {
                write!(f, " to {}", time(last))?;
            }
            write!(f, " UTC")?;
            if self.not_any_more > 0 {
                write!(f, "; ")?;
            }
        }
        if self.not_any_more > 0 {
            let channels = count(self.not_any_more as u64, "open channel");
            write!(f, "{channels} served within the credit alone, not seen for too long")?;
        }
        Ok(())
    }
}

/// What came of a provider's bids, as far as it can know: what others bid stays the client's secret.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SalesStatus {
    /// Calls heard that invited it, for models that it sells.
    pub heard: u64,
    /// Bids made.
    pub bids: u64,
    /// Bids on which it took a job.
    pub won: u64,
    /// Of these, those paid above the bid.
    pub paid_above: u64,
    /// How far above, on average, in millionths of the bid.
    pub mean_above_ppm: u64,
    /// Bids lost because another scored lower.
    pub outscored: u64,
    /// By how much of the winner's score, on average, in thousandths, as the clients say.
    pub mean_margin: u64,
    /// Bids lost because another bidder was better known, or named by the client's user.
    pub passed_over: u64,
    /// Bids lost because they cost more than the order allowed.
    pub over_budget: u64,
    /// Bids lost because they came when the call was over.
    pub too_late: u64,
    /// Bids lost because their terms or their provider did not suit the client.
    pub unfit: u64,
}

impl From<Sales> for SalesStatus {
    fn from(sales: Sales) -> Self {
        let Sales {
            heard, bids, won, paid_above, outscored, passed_over, over_budget, too_late, unfit, ..
        } = sales;
        let (mean_above_ppm, mean_margin) = (sales.mean_above_ppm(), sales.mean_margin());
        Self {
            heard,
            bids,
            won,
            paid_above,
            mean_above_ppm,
            outscored,
            mean_margin,
            passed_over,
            over_budget,
            too_late,
            unfit,
        }
    }
}

impl fmt::Display for SalesStatus {
    /// Says in one sentence why so much was sold, or nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { heard, bids, won, .. } = *self;
        if heard == 0 {
            return f.write_str("heard no call for what it sells");
        }
        write!(f, "heard {}, bid on {bids}, won {won}", count(heard, "call"))?;
        if self.paid_above > 0 {
            let Self { paid_above, mean_above_ppm: ppm, .. } = *self;
            write!(
                f,
                " ({paid_above} paid above the bid, by {}.{} % on average)",
                ppm / 10_000,
                ppm / 1_000 % 10
            )?;
        }
        if self.outscored > 0 {
            let Self { outscored, mean_margin, .. } = *self;
            let (percent, tenth) = (mean_margin / 10, mean_margin % 10);
            write!(
                f,
                "; {} outscored by a lower price or a faster answer, by {percent}.{tenth} % on average",
                count(outscored, "time")
            )?;
        }
        let told = [
            (self.passed_over, "passed over for one that is better known to the client, or that it names"),
            (self.over_budget, "dearer than the order allowed"),
            (self.too_late, "too late for the call"),
            (self.unfit, "left aside: not wanted, not payable, or one of too many"),
        ];
        told.iter()
            .filter(|(times, _)| *times > 0)
            .try_for_each(|(times, why)| write!(f, "; {} {why}", count(*times, "time")))
    }
}

/// A model on offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Nano for a job.
    pub price_job_nano: u64,
    /// Nano for 1,000 input tokens.
    pub price_in_nano: u64,
    /// Nano for 1,000 output tokens.
    pub price_out_nano: u64,
    /// Jobs at a time.
    pub slots: u16,
    /// Milliseconds until an idle engine begins.
    pub start_ms: u32,
    /// Input tokens that it reads in a second, as measured at the start.
    pub read_tps: u32,
    /// Output tokens that it makes in a second, as measured at the start.
    pub write_tps: u32,
}

/// How a node buys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientStatus {
    /// Offers that stand, as far as sought: asking for the status makes the node seek.
    pub asks: usize,
    /// Orders that are not at their end.
    pub orders_in_flight: usize,
    /// Orders that were answered.
    pub orders_done: u64,
    /// Orders that failed.
    pub orders_failed: u64,
    /// What all of them cost, in nano.
    pub spent_nano: u64,
    /// What was served before the wallet held enough for a channel, by provider. (`CH-56`)
    #[serde(default)]
    pub owed: Vec<OwedStatus>,
}

/// A node's ledger and wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerStatus {
    /// The endpoint.
    pub url: String,
    /// Global id of the network.
    pub network_id: i32,
    /// What its coin is called.
    pub coin: CoinName,
    /// The wallet's address.
    pub wallet: String,
    /// What it holds, in nano; nothing while the ledger does not answer.
    pub balance_nano: Option<u64>,
    /// How many seconds ago the ledger has said so.
    pub balance_ago_s: Option<u64>,
    /// Whether it does not answer, as far as this node has noticed.
    pub silent: bool,
}

impl LedgerStatus {
    /// Returns the wallet's address as wallets write it.
    #[must_use]
    pub fn wallet_words(&self) -> String {
        let is_test = self.network_id != MAINNET_ID;
        parse_address(&self.wallet).map_or_else(|| self.wallet.clone(), |address| friendly(address, is_test))
    }
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelStatus {
    /// Its account.
    pub account: String,
    /// `paying` or `earning`.
    pub direction: Direction,
    /// The other party.
    pub peer: String,
    /// What was deposited, in nano, as far as known.
    pub deposit_nano: u64,
    /// What the ledger was asked to add to it and has not shown, in nano.
    pub addition_nano: u64,
    /// What its vouchers cover so far, in nano.
    pub paid_nano: u64,
    /// How far it is in its life.
    pub state: ChannelPhase,
    /// How many seconds its provider has to answer a close that the client asks for.
    pub challenge_s: u32,
}

/// Which way the money goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// This node is the client.
    Paying,
    /// This node is the provider.
    Earning,
}

/// How far a channel is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChannelPhase {
    /// Not seen on the ledger yet.
    Opening,
    /// Open.
    Open,
    /// A close is under way or wanted.
    Closing,
    /// Gone from the ledger.
    Closed,
}

impl fmt::Display for ChannelStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let peer = self.peer.get(..8).unwrap_or(&self.peer);
        write!(f, "{} {} {peer}, {}", self.direction, self.direction.preposition(), self.state)
    }
}

impl Direction {
    /// Returns the word between the verb and the other party's name.
    #[must_use]
    pub const fn preposition(self) -> &'static str {
        match self {
            Self::Paying => "to",
            Self::Earning => "from",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Paying => "pays",
            Self::Earning => "earns",
        })
    }
}

impl fmt::Display for ChannelPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Opening => "opening",
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        })
    }
}

/// What became of the channels that a node was told to close.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleReport {
    /// Closed, and seen gone from the ledger.
    pub closed: Vec<ChannelStatus>,
    /// Not closed within the time given, or with too little to be paid out; they stay on record.
    pub left: Vec<ChannelStatus>,
}
