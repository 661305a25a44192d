//! What the demo shows at its end: tables for people, one JSON object for programs.

use std::fmt::Write as _;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::auction::BidReport;
use bombyx_protocol::market::score::Fate;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use super::jobs;

/// The whole demonstration.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether everything held: answers, failover, money.
    pub ok: bool,
    /// The jobs, in order.
    pub jobs: Vec<Job>,
    /// Where the money went.
    pub settlement: Settlement,
    /// Nodes in the swarm.
    pub nodes: usize,
    /// Milliseconds from the first process to the last balance.
    pub wall_ms: u64,
}

/// One job.
#[derive(Debug, Serialize)]
pub struct Job {
    /// What was asked for.
    pub task: &'static str,
    /// Of which model.
    pub model: &'static str,
    /// Every bid of its auction, best first.
    pub bids: Vec<Bid>,
    /// The provider that finished it.
    pub provider: String,
    /// From the order to the first part of the answer.
    pub first_token_ms: Option<u64>,
    /// Tokens billed, input and output.
    pub units: u64,
    /// What it cost.
    pub cost_nano: u64,
    /// Receipts that were checked.
    pub receipts: u32,
    /// Vouchers that were signed.
    pub vouchers: u32,
    /// Whether a second provider had to finish it.
    pub failed_over: bool,
    #[serde(skip)]
    answer: String,
}

/// One bid.
#[derive(Debug, Serialize)]
pub struct Bid {
    /// The provider that made it.
    pub provider: String,
    /// The most that the job could cost at its price.
    pub price_nano: u64,
    /// Milliseconds until the first token that it promised.
    pub eta_ms: u64,
    /// Whether it won.
    pub won: bool,
    /// Why, or why not.
    pub why: String,
}

/// Where the money went.
#[derive(Debug, Serialize)]
pub struct Settlement {
    /// Put into channels.
    pub deposited_nano: u64,
    /// Paid to providers.
    pub paid_nano: u64,
    /// Came back.
    pub refunded_nano: u64,
    /// Kept by the ledger.
    pub fees_nano: u64,
    /// Transactions on all accounts.
    pub transactions: usize,
    /// Whether all of it adds up to the nano.
    pub balanced: bool,
    #[serde(skip)]
    pub(super) lines: Vec<Line>,
    #[serde(skip)]
    pub(super) checks: [bool; 5],
}

/// What each of [`Settlement::checks`] means.
const CHECKS: [&str; 5] = [
    "vouchers cover exactly what the receipts billed",
    "every provider was paid what its vouchers say, less the ledger's fees",
    "what the faucet gave is there: balances and fees",
    "fees counted by transaction are those that the ledger collected",
    "every channel is closed",
];

/// One line of the account of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) balance: Nano,
    pub(super) fees: Nano,
    pub(super) transactions: usize,
}

impl Report {
    pub(super) fn new(
        jobs: Vec<jobs::Job>,
        settlement: Settlement,
        nodes: usize,
        wall: Duration,
        name_of: impl Fn(NodeId) -> Option<&'static str>,
    ) -> Self {
        let name = |id: NodeId| name_of(id).map_or_else(|| id.to_string(), str::to_owned);
        let jobs: Vec<Job> = jobs.into_iter().map(|job| Job::new(job, &name)).collect();
        // Answers were compared with what is right where they arrived; a wrong one never gets here.
        // Each model's first auction hears everybody; later ones may end when those that have served have bid. (`MK-20`)
        let competed = [jobs::EMBED, jobs::CHAT]
            .iter()
            .all(|task| jobs.iter().any(|job| job.task == *task && job.bids.len() >= 2));
        let ok = settlement.balanced && competed && jobs.iter().all(|job| !job.bids.is_empty());
        Self { ok, jobs, settlement, nodes, wall_ms: u64::try_from(wall.as_millis()).unwrap_or(u64::MAX) }
    }

    /// Returns the tables.
    #[must_use]
    pub fn tables(&self) -> String {
        let mut text = String::new();
        for (place, job) in self.jobs.iter().enumerate() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "Job {}: {} ({})\n{}\n", place + 1, job.task, job.model, job.auction());
        }
        let _ = writeln!(text, "What the jobs came to\n{}\n", self.bills());
        let _ = writeln!(text, "Settlement\n{}\n{}", self.settlement.accounts(), self.settlement.summary());
        let _ = write!(
            text,
            "{} nodes, {:.1} s: {}",
            self.nodes,
            Duration::from_millis(self.wall_ms).as_secs_f64(),
            if self.ok { "everything held" } else { "NOT everything held" }
        );
        text
    }

    fn bills(&self) -> Table {
        let mut table = table(&[
            "job",
            "answer",
            "served by",
            "first token",
            "tokens",
            "cost, nano",
            "cost, TON",
            "receipts",
            "vouchers",
        ]);
        for job in &self.jobs {
            table.add_row(vec![
                job.task.to_owned(),
                job.answer.clone(),
                if job.failed_over { format!("{} (took over)", job.provider) } else { job.provider.clone() },
                job.first_token_ms.map_or_else(|| "-".into(), |ms| format!("{ms} ms")),
                job.units.to_string(),
                job.cost_nano.to_string(),
                Nano(job.cost_nano).to_string(),
                job.receipts.to_string(),
                job.vouchers.to_string(),
            ]);
        }
        right(&mut table, 3..=8);
        table
    }
}

impl Job {
    fn new(job: jobs::Job, name: &impl Fn(NodeId) -> String) -> Self {
        let jobs::Job { task, model, bids, bill, failed_over, answer } = job;
        Self {
            task,
            model,
            bids: bids.iter().map(|bid| Bid::new(bid, name)).collect(),
            provider: bill.providers.last().map(|id| name(*id)).unwrap_or_default(),
            first_token_ms: bill.first_token.map(|span| span.as_ms()),
            units: bill.input_tokens.saturating_add(bill.output_tokens),
            cost_nano: bill.cost.0,
            receipts: bill.receipts,
            vouchers: bill.vouchers,
            failed_over,
            answer,
        }
    }

    fn auction(&self) -> Table {
        let mut table = table(&["bid of", "costs at most, nano", "first token", "", "why"]);
        for bid in &self.bids {
            let won = if bid.won { "won" } else { "" };
            table.add_row(vec![
                bid.provider.clone(),
                bid.price_nano.to_string(),
                format!("{} ms", bid.eta_ms),
                won.into(),
                bid.why.clone(),
            ]);
        }
        right(&mut table, 1..=2);
        table
    }
}

impl Bid {
    fn new(bid: &BidReport, name: &impl Fn(NodeId) -> String) -> Self {
        let why = match bid.fate {
            Fate::Won { second: Some(score) } => {
                format!(
                    "best of those that are best known; the best other one that is known scored {} nano",
                    score.0
                )
            }
            Fate::Won { second: None } => "best of those that are best known; paid its own bid".into(),
            Fate::OverCeiling { most } => format!("asks more than the {} nano that a bid may", most.0),
            Fate::Outscored { by: 0 } => {
                "scored no higher, but others are better known or were drawn first".into()
            }
            Fate::Outscored { by } => format!("scored {by} nano higher, waiting counted in"),
            Fate::OverBudget => "can cost more than the order allows".into(),
            Fate::WeakerTier => "offers less protection than asked for".into(),
            Fate::NotWanted => "not wanted for this order".into(),
            Fate::FailedBefore => "failed this order before, or another one lately".into(),
            Fate::Unpayable { why, .. } => why.to_string(),
        };
        Self {
            provider: name(bid.provider),
            price_nano: bid.cost_max.0,
            eta_ms: bid.first_token_ms,
            won: matches!(bid.fate, Fate::Won { .. }),
            why,
        }
    }
}

impl Settlement {
    fn accounts(&self) -> Table {
        let mut table =
            table(&["account", "transactions", "fees, nano", "balance at the end, nano", "in TON"]);
        for line in &self.lines {
            table.add_row(vec![
                line.name.clone(),
                line.transactions.to_string(),
                line.fees.0.to_string(),
                line.balance.0.to_string(),
                line.balance.to_string(),
            ]);
        }
        right(&mut table, 1..=4);
        table
    }

    fn summary(&self) -> String {
        let mut text = format!(
            "deposited {}, paid {}, came back {}, fees {} (nano); {} transactions\n",
            self.deposited_nano, self.paid_nano, self.refunded_nano, self.fees_nano, self.transactions
        );
        for (holds, check) in self.checks.iter().zip(CHECKS) {
            let _ = writeln!(text, "  {} {check}", if *holds { "yes" } else { "NO " });
        }
        text
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY).set_header(header.iter().copied());
    table
}

fn right(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}
