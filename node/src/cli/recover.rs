//! `bombyx channels recover`: finds channels on the ledger that a lost store knew, and asks their rest back if told to.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::pay::{ClosingStep, Payer};
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::Time;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use ed25519_dalek::SigningKey;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::print::Printer;
use super::{own, reach};
use crate::api::connect::reach_ledger;
use crate::api::recover::{Book, FoundChannel, Search, Shelf, search};
use crate::driver::ledger::core_state;
use crate::error::NodeError;
use crate::home::config::NodeConfig;
use crate::home::keys::Keys;
use crate::http::admin;
use crate::ledger::{ChannelAccount, CoinName, Ledger, Wallet, clock::clock};
use crate::status::channels::ChannelList;
use crate::status::payee::PayeeCard;
use crate::status::{ChannelStatus, Direction};

/// For how long a close is waited for; one that takes longer is finished by a later run, or by the node.
const WAIT_MAX: Duration = Duration::from_secs(120);
/// Between two looks at channels that close.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Flags of `bombyx channels recover`.
#[derive(Debug, Args)]
pub(super) struct Recover {
    /// A provider that there may be a channel to: the word behind `payee` in its `bombyx status`. May be repeated.
    #[arg(long, value_name = "PAYEE")]
    provider: Vec<String>,
    /// Ask the rest of every channel that is found back.
    #[arg(long)]
    close: bool,
}

/// How far a channel is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    Open,
    Closing,
    Closed,
}

#[derive(Debug, Serialize)]
struct Row {
    account: String,
    provider: Option<String>,
    deposit_nano: u64,
    settled_nano: u64,
    state: Phase,
    /// Whether the store, or the running node, has it now.
    known: bool,
    /// Unix time from which its close can be finished.
    closable_from_s: Option<u32>,
    /// Why its close does not go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report {
    channels: Vec<Row>,
    /// Whether only the newest part of the wallet's history was looked through.
    history_cut: bool,
    /// Where the file is that was no store of this node.
    set_aside: Option<String>,
}

impl Row {
    fn of(found: &FoundChannel) -> Self {
        let mut row = Self {
            account: found.account().to_string(),
            provider: (found.provider != NodeId::UNKNOWN).then(|| found.provider.to_string()),
            deposit_nano: 0,
            settled_nano: 0,
            state: Phase::Open,
            known: true,
            closable_from_s: None,
            error: None,
        };
        row.show(&found.state);
        row
    }

    fn show(&mut self, state: &ChannelAccount) {
        self.deposit_nano = state.deposit.0;
        self.settled_nano = state.settled.0;
        self.closable_from_s = (state.close_at_s != 0).then_some(state.close_at_s);
        self.state = if state.close_at_s == 0 { Phase::Open } else { Phase::Closing };
    }
}

pub(super) async fn run(
    recover: Recover,
    home: &Path,
    config: &NodeConfig,
    printer: Printer,
) -> Result<(), NodeError> {
    let cards = cards(&recover.provider, config)?;
    own::once_free(own::HOME_WAIT, async || recover_now(recover.close, home, config, &cards, printer).await)
        .await
}

/// Recovers through the node that runs in the home, or on the home's own files.
async fn recover_now(
    close: bool,
    home: &Path,
    config: &NodeConfig,
    cards: &[PayeeCard],
    printer: Printer,
) -> Result<(), NodeError> {
    let keys = Keys::load(home)?;
    let wallet = Wallet::from_words(&keys.wallet, config.ledger.network.id())?;
    let node = match reach::running(home).await {
        Ok(node) => Some(node),
        Err(NodeError::NotRunning { .. }) => None,
        Err(error) => return Err(error),
    };
    let challenge_s = config.client.challenge_s;
    if let Some(node) = node {
        let ledger = reach_ledger(&config.ledger, Some(wallet)).await?;
        let search = search(&ledger, &keys, &[], cards, challenge_s).await?;
        return through(&node, &search, close, printer, &config.ledger.coin).await;
    }
    let shelf = Shelf::open(home, &keys)?;
    if let Shelf::Lost(why) = &shelf {
        printer.note(&format!("{why}; a new store is made"));
        printer.note("vouchers that this node has earned and not claimed were in the lost one alone");
    }
    let ledger = reach_ledger(&config.ledger, Some(wallet)).await?;
    let Search { found, is_cut } = search(&ledger, &keys, shelf.records(), cards, challenge_s).await?;
    let (mut book, old) = shelf.adopt(home, &keys, &found).await?;
    let mut rows: BTreeMap<ChannelId, Row> = found.iter().map(|one| (one.account(), Row::of(one))).collect();
    if close {
        let key = SigningKey::from_bytes(&keys.channel);
        let closing = Closer { ledger: &ledger, key: &key, begun: Instant::now() };
        closing.run(&found, &mut book, &mut rows, printer).await?;
    }
    book.close()?;
    let report = Report {
        channels: rows.into_values().collect(),
        history_cut: is_cut,
        set_aside: old.map(|path| path.display().to_string()),
    };
    tell(&report, printer, &config.ledger.coin);
    Ok(())
}

fn cards(texts: &[String], config: &NodeConfig) -> Result<Vec<PayeeCard>, NodeError> {
    let card = |text: &String| {
        let card = admin::payee(text)?;
        if card.payee.network_id == config.ledger.network.id() {
            return Ok(card);
        }
        Err(NodeError::Usage(format!("`{text}` is of another network than `ledger.network`")))
    };
    texts.iter().map(card).collect()
}

/// Closes through a running node, which has the store: what it knows is closed by it, and the rest needs it to
/// stop.
async fn through(
    node: &reach::LocalNode,
    search: &Search,
    close: bool,
    printer: Printer,
    coin: &CoinName,
) -> Result<(), NodeError> {
    let list: ChannelList = node.get("/channels").await?;
    let mut rows = Vec::new();
    for found in &search.found {
        let mut row = Row::of(found);
        let known = list
            .channels
            .iter()
            .find(|view| view.channel.account == row.account && view.channel.direction == Direction::Paying);
        row.known = known.is_some();
        if close && row.known && row.state == Phase::Open {
            let closed = node.post::<ChannelStatus>(&format!("/channels/{}/close", row.account), &()).await;
            match closed {
                Ok(_) => row.state = Phase::Closing,
                Err(error) => row.error = Some(error.to_string()),
            }
        }
        rows.push(row);
    }
    let unknown = rows.iter().filter(|row| !row.known).count();
    let report = Report { channels: rows, history_cut: search.is_cut, set_aside: None };
    tell(&report, printer, coin);
    if unknown == 0 {
        return Ok(());
    }
    Err(NodeError::Usage(format!(
        "the running node does not know {unknown} of these channels: stop it, and run this again to adopt them"
    )))
}

/// Closes that this process brings about itself, by the same rules as a node. (`CH-11`, `CH-30`)
struct Closer<'a> {
    ledger: &'a Ledger,
    key: &'a SigningKey,
    begun: Instant,
}

impl Closer<'_> {
    async fn run(
        &self,
        found: &[FoundChannel],
        book: &mut Book,
        rows: &mut BTreeMap<ChannelId, Row>,
        printer: Printer,
    ) -> Result<(), NodeError> {
        let mut left = Vec::new();
        for one in found {
            let Some(record) = book.paying(&one.account()).cloned() else { continue };
            let mut payer = Payer::restored(record);
            payer.observe(self.now(), &core_state(&one.state));
            payer.want_close();
            // On disk before the ledger hears of it.
            book.write(Record::Payer(payer.record())).await?;
            if let Some(request) = payer.close_request() {
                let asked = self.ledger.request_close_signed(&request, request.sign(self.key)).await;
                if let (Err(error), Some(row)) = (asked, rows.get_mut(&one.account())) {
                    row.error = Some(error.to_string());
                }
            }
            left.push(payer);
        }
        let mut noted = false;
        loop {
            let mut soon = false;
            let mut still = Vec::new();
            for mut payer in left {
                let Some(row) = rows.get_mut(&payer.account()) else { continue };
                let wait_s = self.step(&mut payer, row).await;
                if row.state == Phase::Closed {
                    payer.vanish();
                    book.write(Record::Payer(payer.record())).await?;
                    continue;
                }
                let rest = WAIT_MAX.saturating_sub(self.begun.elapsed());
                soon |= wait_s.is_some_and(|wait_s| Duration::from_secs(wait_s.into()) < rest);
                still.push(payer);
            }
            left = still;
            if !soon {
                return Ok(());
            }
            if !noted {
                printer.note(
                    "the challenge time runs; the rest comes when it is over, or when the provider closes",
                );
                noted = true;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks at a channel that closes and takes the step that is due; returns for how long its challenge still runs, if it
    /// does.
    async fn step(&self, payer: &mut Payer, row: &mut Row) -> Option<u32> {
        let account = payer.account().address();
        let state = match self.ledger.channel(account).await {
            Ok(state) => state.filter(|state| state.epoch != 0),
            Err(error) => {
                row.error = Some(error.to_string());
                return Some(0);
            }
        };
        let Some(state) = state else {
            row.state = Phase::Closed;
            row.closable_from_s = None;
            row.error = None;
            return None;
        };
        row.show(&state);
        payer.observe(self.now(), &core_state(&state));
        let done = match payer.closing_step(self.now()) {
            ClosingStep::Wait => Ok(()),
            ClosingStep::Finalize => self.ledger.finalize(account).await,
            ClosingStep::ClaimForProvider => {
                payer.brought(self.now());
                match payer.voucher() {
                    Some(voucher) => self.ledger.claim(&voucher.signed(self.key)).await,
                    None => Ok(()),
                }
            }
        };
        if state.close_at_s != 0 {
            row.error = done.err().map(|error| error.to_string());
        }
        (state.close_at_s != 0).then(|| state.close_at_s.saturating_sub(state.chain_time_s))
    }

    fn now(&self) -> Time {
        let elapsed = self.begun.elapsed().as_micros();
        Time(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

fn tell(report: &Report, printer: Printer, coin: &CoinName) {
    printer.data(report, || text(report, coin));
    if let Some(path) = &report.set_aside {
        printer.note(&format!("what was in the place of the store is kept as {path}"));
    }
    if report.history_cut {
        printer.note(
            "the wallet has more transactions than were looked through: name providers that it may have channels to with \
             --provider",
        );
    }
    for row in report.channels.iter().filter(|row| row.error.is_some()) {
        printer.note(&format!("channel {}: {}", row.account, row.error.as_deref().unwrap_or_default()));
    }
    let unnamed = report.channels.iter().filter(|row| row.provider.is_none() && row.state == Phase::Open);
    match unnamed.count() {
        0 => {}
        count => printer.note(&format!(
            "nothing can be ordered on {count} of these channels while it is unknown whose they are: run this again with \
             --provider and the word behind `payee` in that provider's `bombyx status`, or with --close to have the rest back"
        )),
    }
    let closing = report.channels.iter().filter(|row| row.state == Phase::Closing);
    if closing.count() > 0 {
        printer.note(
            "`bombyx up` finishes closes by itself when their challenge is over; so does this verb, run again with \
             --close",
        );
    }
}

fn text(report: &Report, coin: &CoinName) -> String {
    if report.channels.is_empty() {
        return "no channel of this key stands on the ledger".into();
    }
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["account", "provider", "deposit", "settled", "state"]);
    for row in &report.channels {
        let state = match (row.state, row.closable_from_s) {
            (Phase::Open, _) if !row.known => "open, unknown to the node".into(),
            (Phase::Open, _) => "open".into(),
            (Phase::Closing, Some(from_s)) => format!("closing; can be finished from {} UTC", clock(from_s)),
            (Phase::Closing, None) => "closing".into(),
            (Phase::Closed, _) => "closed".into(),
        };
        table.add_row([
            row.account.clone(),
            row.provider.as_deref().and_then(|id| id.get(..8)).unwrap_or("unknown").into(),
            Nano(row.deposit_nano).to_string(),
            Nano(row.settled_nano).to_string(),
            state,
        ]);
    }
    format!("{table}\namounts in {coin}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_that_takes_longer_is_named_with_date_and_time() {
        let row = Row {
            account: "ab".repeat(32),
            provider: None,
            deposit_nano: 1,
            settled_nano: 0,
            state: Phase::Closing,
            known: true,
            closable_from_s: Some(1_790_000_000),
            error: None,
        };
        let report = Report { channels: vec![row], history_cut: false, set_aside: None };
        let text = text(&report, &CoinName::default());
        assert!(text.contains("can be finished from 2026-09-21 14:13:20 UTC"), "{text}");
    }
}
