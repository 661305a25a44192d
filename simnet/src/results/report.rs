//! The outcome of a run, as one object.

use std::collections::BTreeMap;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Time;
use serde::Serialize;

use crate::ledger::Transactions;
use crate::measures::{JobRow, Outcome, Percentiles, Traffic};
use crate::network::KINDS;
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
    /// The outcome.
    pub summary: Summary,
}

/// The outcome of a run.
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
    /// Gain and expense of each attack of the scenario.
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
    /// Gain less expense over expense, where there was one: how good their whole business is, and not what the attack adds.
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
                // Answers that a host buys from itself are worth nothing.
                if spec.kind != AttackKind::WashTrader || spec.honest {
                    of.gained +=
                        jobs.filter(|job| job.client == number).map(|job| coins(job.cost)).sum::<f64>();
                }
            } else {
                // A host that buys from itself moves its own money in a circle; others gain what their vouchers say.
                of.gained += if spec.kind == AttackKind::WashTrader && !spec.honest {
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

/// Transactions and money on the ledger.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerSummary {
    /// By kind.
    pub transactions: Transactions,
    /// For a thousand orders that were done.
    pub per_1000_jobs: f64,
    /// Price of all answers, in coins.
    pub billed: String,
    /// Paid out to providers, in coins.
    pub paid_out: String,
    /// Earned by providers and too little to be sent at a close, in coins.
    pub dust: String,
    /// Sum of vouchers that providers hold and no channel, closed or open, has settled, in coins.
    pub unsettled: String,
    /// The most of that at one provider, in coins.
    pub largest_loss: String,
    /// Fees of the ledger, in coins.
    pub fees: String,
    /// Money still in channels, in coins.
    pub locked: String,
    /// Channels that are still open.
    pub open_channels: usize,
    /// Money that exists less money that was created, in nano: zero.
    pub imbalance: i128,
}

/// Returns `sum` over `count`, and zero for none.
pub(super) fn mean(sum: f64, count: f64) -> f64 {
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
