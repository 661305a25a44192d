//! The outcome of a run: one object for machines, one table for people.

use std::collections::BTreeMap;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Time;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

use crate::ledger::chain::Transactions;
use crate::measures::job::{JobRow, Outcome};
use crate::measures::{Percentiles, Traffic};
use crate::network::kind::KINDS;
use crate::scenario::AttackKind;
use crate::workload::population;
use crate::world::World;

/// The last line of `simnet run --json`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Names scenario, seed and version.
    pub run_id: String,
    /// The seed.
    pub seed: u64,
    /// A hash over everything that happened.
    pub digest: String,
    /// Hosts.
    pub nodes: u32,
    /// Orders.
    pub jobs: u32,
    /// Events.
    pub events: u64,
    /// Processor time of the run, in seconds.
    pub cpu_s: f64,
    /// What came of it.
    pub summary: Summary,
}

/// What came of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Summary {
    /// Virtual seconds.
    pub virtual_s: f64,
    /// Orders with a complete answer.
    pub done: u32,
    /// Orders without.
    pub failed: u32,
    /// Orders whose client lost power.
    pub lost: u32,
    /// Share of orders that were done, of those that were not lost.
    pub success: f64,
    /// Why orders failed.
    pub failures: BTreeMap<String, u32>,
    /// From the order to the award's acceptance.
    pub match_ms: Percentiles,
    /// From the order to the first content.
    pub first_content_ms: Percentiles,
    /// The wait for the first content: for bids; for a provider that takes the job; for its answer to begin.
    pub phases_ms: [Percentiles; 3],
    /// From the order to its end, of those that were done.
    pub whole_ms: Percentiles,
    /// Orders that were served without an auction.
    pub leased: u32,
    /// Auctions.
    pub auctions: u32,
    /// Bids in a mean auction.
    pub bids_per_auction: f64,
    /// Providers that failed an order and were replaced.
    pub failovers: u32,
    /// Why they failed.
    pub failover_reasons: BTreeMap<String, u32>,
    /// Price of an order that was done, in coins.
    pub price_coins: Percentiles,
    /// Price over what the same tokens cost at the lowest list price among the bidders.
    pub paid_over_lowest: Percentiles,
    /// Input and output tokens billed.
    pub tokens: (u64, u64),
    /// Receipts checked.
    pub receipts: u64,
    /// Vouchers signed.
    pub vouchers: u64,
    /// Messages by kind.
    pub messages: BTreeMap<&'static str, Traffic>,
    /// Messages for one order.
    pub messages_per_job: f64,
    /// Bytes for one order.
    pub bytes_per_job: f64,
    /// Mean hops of a first gossip copy.
    pub gossip_hops: f64,
    /// Copies of what was known for each first copy.
    pub gossip_duplicates: f64,
    /// Rules that honest hosts said others broke.
    pub false_accusations: u64,
    /// What each attack of the scenario came to.
    pub attacks: Vec<AttackSummary>,
    /// The ledger.
    pub ledger: LedgerSummary,
}

/// What an attack brought to those who took part, and what it cost them, in coins.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttackSummary {
    /// What they did.
    pub kind: &'static str,
    /// How many.
    pub hosts: u32,
    /// Clients: the price of all that they were given, unless by themselves. Providers: what they hold
    /// vouchers for.
    pub gained: f64,
    /// Clients: what left their wallets. Providers: what serving cost them; nothing for answers without worth.
    pub spent: f64,
    /// Gain less expense over expense, where there was one.
    pub profit_per_spent: Option<f64>,
}

impl AttackSummary {
    fn of(world: &World, attack: usize) -> Self {
        let spec = &world.environment.scenario.attack[attack];
        let earned = world.coordinator.check.earned();
        let names = population::names_by_owner(world.hosts());
        let mut of =
            Self { kind: spec.kind.name(), hosts: 0, gained: 0.0, spent: 0.0, profit_per_spent: None };
        for (number, host) in (0u32..).zip(world.hosts()) {
            if host.plan.is_none_or(|plan| plan.attack != attack) {
                continue;
            }
            of.hosts += 1;
            let start = coins(population::start_money(&world.environment.scenario, &names, host));
            let change = coins(world.coordinator.chain.balance(&host.wallet)) - start;
            let jobs = world.coordinator.measures.jobs.iter();
            if host.is_client() {
                of.spent -= change;
                // Who buys from itself gets answers that are worth nothing.
                if spec.kind != AttackKind::WashTrader {
                    of.gained +=
                        jobs.filter(|job| job.client == number).map(|job| coins(job.cost)).sum::<f64>();
                }
            } else {
                // Who buys from itself moves its own money in a circle; others are worth what their vouchers say.
                of.gained += if spec.kind == AttackKind::WashTrader {
                    change
                } else {
                    earned.get(&host.wallet).copied().map_or(0.0, coins)
                };
                let served = jobs.filter(|job| job.server() == Some(number));
                of.spent += served.filter_map(|job| host.cost_of(job.tokens())).map(coins).sum::<f64>();
            }
        }
        of.profit_per_spent = (of.spent > 0.0).then(|| (of.gained - of.spent) / of.spent);
        of
    }
}

/// What happened on the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerSummary {
    /// By kind.
    pub transactions: Transactions,
    /// For a thousand orders that were done.
    pub per_1000_jobs: f64,
    /// What clients owe for all answers, in coins.
    pub billed: String,
    /// What reached providers, in coins.
    pub paid_out: String,
    /// Earned by providers and too little to be sent at a close, in coins.
    pub dust: String,
    /// What providers hold vouchers for and channels that are gone, or still open, did not settle, in coins.
    pub unsettled: String,
    /// The most of that at one provider, in coins.
    pub largest_loss: String,
    /// What the ledger took, in coins.
    pub fees: String,
    /// What still lies in channels, in coins.
    pub locked: String,
    /// Channels that are still open.
    pub open_channels: usize,
    /// Money that exists less money that was created, in nano: zero.
    pub imbalance: i128,
}

fn mean(sum: f64, count: f64) -> f64 {
    if count > 0.0 { sum / count } else { 0.0 }
}

fn coins(nano: Nano) -> f64 {
    nano.0 as f64 / 1e9
}

impl Report {
    /// Returns the report of a world that has run.
    #[must_use]
    pub fn of(world: &World, cpu_s: f64) -> Self {
        Self {
            run_id: world.environment.scenario.run_id(),
            seed: world.environment.scenario.seed,
            digest: world.digest(),
            nodes: world.environment.scenario.nodes,
            jobs: world.environment.scenario.workload.jobs,
            events: world.events(),
            cpu_s,
            summary: Summary::of(world),
        }
    }
}

impl Summary {
    fn of(world: &World) -> Self {
        let jobs = &world.coordinator.measures.jobs;
        let done: Vec<&JobRow> = jobs.iter().filter(|job| job.is_done()).collect();
        let lost = count(jobs, |job| job.outcome() == Outcome::Lost);
        let mut failures = BTreeMap::new();
        for job in jobs {
            if let Outcome::Failed(why) = job.outcome() {
                *failures.entry(why.to_string()).or_default() += 1;
            }
        }
        let mut failover_reasons = BTreeMap::new();
        for failover in jobs.iter().flat_map(|job| job.failovers()) {
            *failover_reasons.entry(failover.why.to_string()).or_default() += 1;
        }
        let counts = world.counts();
        let messages: BTreeMap<&'static str, Traffic> =
            KINDS.iter().map(|(kind, name)| (*name, counts.traffic(*kind))).collect();
        let for_jobs = counts.all_traffic();
        let auctions: u32 = jobs.iter().map(|job| job.auctions).sum();
        let hops = counts.hops;
        let orders = jobs.len() as f64;
        Self {
            virtual_s: world.now.0 as f64 / 1e6,
            done: done.len() as u32,
            failed: count(jobs, |job| matches!(job.outcome(), Outcome::Failed(_) | Outcome::Open)),
            lost,
            success: mean(done.len() as f64, orders - f64::from(lost)),
            failures,
            match_ms: Percentiles::of_ms(jobs.iter().filter_map(|job| job.matched())),
            first_content_ms: Percentiles::of_ms(jobs.iter().filter_map(|job| job.first_content())),
            phases_ms: std::array::from_fn(|phase| {
                Percentiles::of_ms(jobs.iter().filter_map(|job| job.phases().map(|phases| phases[phase])))
            }),
            whole_ms: Percentiles::of_ms(
                done.iter().filter_map(|job| job.ended().map(|at: Time| at.since(job.at))),
            ),
            leased: count(jobs, |job| job.auctions == 0 && job.is_done()),
            auctions,
            bids_per_auction: mean(world.coordinator.measures.bids as f64, f64::from(auctions)),
            failovers: jobs.iter().map(|job| job.failovers().len() as u32).sum(),
            failover_reasons,
            price_coins: Percentiles::of(done.iter().map(|job| coins(job.cost))),
            paid_over_lowest: Percentiles::of(done.iter().filter_map(|job| {
                let lowest = job.lowest_list().filter(|lowest| *lowest > Nano::ZERO)?;
                Some(job.cost.0 as f64 / lowest.0 as f64)
            })),
            tokens: jobs
                .iter()
                .fold((0, 0), |(input, output), job| (input + job.tokens().0, output + job.tokens().1)),
            receipts: jobs.iter().map(|job| u64::from(job.receipts)).sum(),
            vouchers: jobs.iter().map(|job| u64::from(job.vouchers)).sum(),
            messages,
            messages_per_job: mean(for_jobs.count as f64, orders),
            bytes_per_job: mean(for_jobs.bytes as f64, orders),
            gossip_hops: mean(hops.hops as f64, hops.first as f64),
            gossip_duplicates: mean(hops.duplicate as f64, hops.first as f64),
            false_accusations: world.coordinator.measures.accusations.values().sum(),
            attacks: (0..world.environment.scenario.attack.len())
                .map(|attack| AttackSummary::of(world, attack))
                .collect(),
            ledger: LedgerSummary::of(world, done.len()),
        }
    }
}

impl LedgerSummary {
    fn of(world: &World, done: usize) -> Self {
        let transactions = world.coordinator.chain.transactions();
        let unsettled = world.coordinator.check.unsettled(&world.coordinator.chain);
        Self {
            transactions,
            per_1000_jobs: mean(transactions.total() as f64 * 1e3, done as f64),
            billed: world.coordinator.measures.jobs.iter().map(|job| job.cost).sum::<Nano>().to_string(),
            paid_out: world.coordinator.chain.paid_out().to_string(),
            dust: world.coordinator.chain.dust().to_string(),
            unsettled: unsettled.values().copied().sum::<Nano>().to_string(),
            largest_loss: unsettled.values().copied().max().unwrap_or_default().to_string(),
            fees: world.coordinator.chain.fees().to_string(),
            locked: world.coordinator.chain.locked().to_string(),
            open_channels: world.coordinator.chain.open_channels(),
            imbalance: world.coordinator.chain.imbalance(),
        }
    }
}

fn count(jobs: &[JobRow], counts: impl Fn(&JobRow) -> bool) -> u32 {
    jobs.iter().filter(|job| counts(job)).count() as u32
}

/// Returns the report as a table for people.
#[must_use]
pub fn table(report: &Report) -> String {
    let summary = &report.summary;
    let mut text = String::new();
    text.push_str(&format!(
        "{} nodes, {} orders, seed {}: {:.0} virtual seconds, {} events in {:.1} s of processor time\n",
        report.nodes, report.jobs, report.seed, summary.virtual_s, report.events, report.cpu_s
    ));
    let mut times = numbers(["", "p50", "p95", "p99"]);
    let rows = [
        ("match, ms", summary.match_ms, 0),
        ("first content, ms", summary.first_content_ms, 0),
        ("  of that for bids", summary.phases_ms[0], 0),
        ("  for a provider's yes", summary.phases_ms[1], 0),
        ("  for its first content", summary.phases_ms[2], 0),
        ("whole answer, ms", summary.whole_ms, 0),
        ("price, coins", summary.price_coins, 6),
        ("price over lowest list price", summary.paid_over_lowest, 3),
    ];
    for (name, of, digits) in rows {
        let show = |number: f64| format!("{number:.digits$}");
        times.add_row([name.to_owned(), show(of.p50), show(of.p95), show(of.p99)]);
    }
    let mut traffic = numbers(["message", "count", "bytes each", "per order"]);
    for (name, of) in &summary.messages {
        let each = mean(of.bytes as f64, of.count as f64);
        let per_order = mean(of.count as f64, f64::from(report.jobs));
        traffic.add_row([
            (*name).to_owned(),
            of.count.to_string(),
            format!("{each:.0}"),
            format!("{per_order:.1}"),
        ]);
    }
    text.push_str(&format!("{}\n{times}\n{traffic}\n{}", orders(summary), money(&summary.ledger)));
    for attack in &summary.attacks {
        let profit = attack
            .profit_per_spent
            .map_or_else(String::new, |profit| format!(", {profit:+.2} for each coin spent"));
        text.push_str(&format!(
            "attack {} by {} hosts: gained {:.6}, spent {:.6}{profit}\n",
            attack.kind, attack.hosts, attack.gained, attack.spent
        ));
    }
    text.push_str(&format!("run {}  digest {}\n", report.run_id, report.digest));
    text
}

/// Makes a table with names on the left and numbers on the right.
fn numbers(header: [&str; 4]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn orders(summary: &Summary) -> String {
    let mut text = format!(
        "done {} ({:.1} %), failed {}, lost with their client {}; {} auctions with {:.1} bids each, {} orders on a \
         lease, {} failovers\n",
        summary.done,
        summary.success * 1e2,
        summary.failed,
        summary.lost,
        summary.auctions,
        summary.bids_per_auction,
        summary.leased,
        summary.failovers
    );
    for (why, count) in &summary.failures {
        text.push_str(&format!("  {count} × {why}\n"));
    }
    for (why, count) in &summary.failover_reasons {
        text.push_str(&format!("  failed over {count} × {why}\n"));
    }
    text.push_str(&format!(
        "{} input and {} output tokens, {} receipts, {} vouchers; gossip: {:.1} hops, {:.1} duplicates a copy; {} false \
         accusations",
        summary.tokens.0,
        summary.tokens.1,
        summary.receipts,
        summary.vouchers,
        summary.gossip_hops,
        summary.gossip_duplicates,
        summary.false_accusations
    ));
    text
}

fn money(ledger: &LedgerSummary) -> String {
    let of = &ledger.transactions;
    let balance = if ledger.imbalance == 0 {
        "every nano accounted for".to_owned()
    } else {
        format!("{} NANO OFF", ledger.imbalance)
    };
    format!(
        "ledger: {} transactions ({} opened, {} topped up, {} claimed, {} closed, {} asked to close, {} finalised; {} \
         refused), {:.0} for 1,000 answers\nmoney: billed {}, paid out {} (and {} \
         too small to send), never settled {} (at most {} of one provider), fees {}, still in {} channels {}; {balance}\n",
        of.total(),
        of.open,
        of.top_up,
        of.claim,
        of.close,
        of.request_close,
        of.finalize,
        of.refused,
        ledger.per_1000_jobs,
        ledger.billed,
        ledger.paid_out,
        ledger.dust,
        ledger.unsettled,
        ledger.largest_loss,
        ledger.fees,
        ledger.open_channels,
        ledger.locked
    )
}
