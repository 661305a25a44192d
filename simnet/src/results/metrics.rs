//! The numbers that runs are compared by: each has a name, a unit, and a direction that is good.

use std::collections::BTreeMap;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::Failure;
use bombyx_protocol::wire::message::Refusal;
use serde::Serialize;

use crate::measures::{Failover, JobRow, Outcome, Percentiles, Sample, curve, gini, hhi};
use crate::results::report::Summary;
use crate::world::World;

/// Which way a number should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Good {
    /// Up.
    High,
    /// Down.
    Low,
    /// Neither: it describes.
    Neither,
}

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its key in files.
    pub key: &'static str,
    /// How it is called in reports.
    pub label: &'static str,
    /// Its unit; empty for a plain ratio.
    pub unit: &'static str,
    /// Which way is good.
    pub good: Good,
}

const fn metric(key: &'static str, label: &'static str, unit: &'static str, good: Good) -> Metric {
    Metric { key, label, unit, good }
}

/// All metrics, in the order of reports.
pub const METRICS: [Metric; 57] = [
    metric("success", "orders answered", "%", Good::High),
    metric("lost", "orders lost with their client, which had no power", "%", Good::Low),
    metric("match_ms_p50", "match, median", "ms", Good::Low),
    metric("match_ms_p95", "match, 95th percentile", "ms", Good::Low),
    metric("match_ms_p99", "match, 99th percentile", "ms", Good::Low),
    metric("first_content_ms_p50", "first content, median", "ms", Good::Low),
    metric("first_content_ms_p95", "first content, 95th percentile", "ms", Good::Low),
    metric("first_content_ms_p99", "first content, 99th percentile", "ms", Good::Low),
    metric("bids_ms_p50", "of that, waiting for bids, median", "ms", Good::Low),
    metric("bids_ms_p95", "waiting for bids, 95th percentile", "ms", Good::Low),
    metric("bids_ms_p99", "waiting for bids, 99th percentile", "ms", Good::Low),
    metric("award_ms_p50", "of that, until a provider takes the job, median", "ms", Good::Low),
    metric("award_ms_p95", "until a provider takes the job, 95th percentile", "ms", Good::Low),
    metric("award_ms_p99", "until a provider takes the job, 99th percentile", "ms", Good::Low),
    metric("answer_ms_p50", "of that, until the answer begins, median", "ms", Good::Low),
    metric("answer_ms_p95", "until the answer begins, 95th percentile", "ms", Good::Low),
    metric("answer_ms_p99", "until the answer begins, 99th percentile", "ms", Good::Low),
    metric("whole_ms_p50", "whole answer, median", "ms", Good::Low),
    metric("price_mean", "paid for an answer, mean", "10⁻³ coins", Good::Low),
    metric("price_spread", "price dispersion for equal tokens", "%", Good::Low),
    metric("paid_over_lowest", "paid over the lowest list price", "×", Good::Low),
    metric("cost_over_optimum", "social cost over the clairvoyant bound", "×", Good::Low),
    metric("cost_over_assignment", "social cost over the assignment with capacity", "×", Good::Low),
    metric("welfare_per_order", "welfare of an order, mean", "10⁻³ coins", Good::High),
    metric("efficiency", "welfare over that of the clairvoyant assignment", "%", Good::High),
    metric("optimum_gap", "how far that assignment is known no better", "%", Good::Neither),
    metric("failovers_per_100", "failovers for 100 orders", "", Good::Low),
    metric("busy_per_100", "of those, refused as busy", "", Good::Low),
    metric("messages_per_job", "messages for an order", "", Good::Low),
    metric("kib_per_job", "traffic for an order", "KiB", Good::Low),
    metric("gossip_duplicates", "duplicates of a gossip copy", "", Good::Low),
    metric("uplink_wait_ms", "a message's wait for its sender's uplink, mean", "ms", Good::Low),
    metric("uplink_wait_max_ms", "a message's wait for its sender's uplink, longest", "ms", Good::Low),
    metric("transactions_per_1000", "ledger transactions for 1,000 answers", "", Good::Low),
    metric("fees_share", "ledger fees over what was billed", "%", Good::Low),
    metric("locked_peak", "most capital locked", "coins", Good::Low),
    metric("locked_mean", "capital locked while orders came, mean", "coins", Good::Low),
    metric("utilisation", "slots in use while orders came", "%", Good::Neither),
    metric("income_gini", "inequality of provider income (Gini)", "", Good::Neither),
    metric("income_hhi", "concentration of provider income (HHI)", "", Good::Neither),
    metric("unsettled", "earned and never settled", "10⁻³ coins", Good::Low),
    metric("largest_loss", "largest loss of an honest provider", "10⁻³ coins", Good::Low),
    metric("overpaid", "largest overpayment of an honest client", "10⁻³ coins", Good::Low),
    metric("attack_gain", "attackers' whole profit, honest business included", "10⁻³ coins", Good::Neither),
    metric("attack_profit", "that profit for each coin spent", "×", Good::Neither),
    metric("attackers_share", "honest clients' answers that attackers gave", "%", Good::Neither),
    metric("attackers_bill_over_cost", "bill over serving cost of attackers' jobs", "×", Good::Neither),
    metric("others_profit", "honest providers' profit", "10⁻³ coins", Good::High),
    metric("buyer_price", "paid by an honest client for a true answer, mean", "10⁻³ coins", Good::Low),
    metric("buyer_cost", "the same with its wait", "10⁻³ coins", Good::Low),
    metric("buyer_success", "honest clients' orders answered", "%", Good::High),
    metric("billed", "all bills", "10⁻³ coins", Good::Neither),
    metric("false_answers", "answers that are not what was ordered", "%", Good::Low),
    metric("cheaters_found", "attackers that somebody holds something against", "%", Good::High),
    metric("find_s_p50", "from an attack's start until its host is found, median", "s", Good::Low),
    metric("honest_blamed", "honest hosts that somebody holds something against", "%", Good::Low),
    metric("false_accusations", "rules that honest hosts are said to have broken", "", Good::Low),
];

/// Returns the metric with this key.
#[must_use]
pub fn find(key: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.key == key)
}

/// Returns every metric of a run by its key; one that has no value in this run is absent.
#[must_use]
pub fn of(world: &World, summary: &Summary) -> BTreeMap<String, f64> {
    let jobs = world.jobs();
    let done: Vec<&JobRow> = jobs.iter().filter(|job| job.is_done()).collect();
    let orders = jobs.len().max(1) as f64;
    let billed: Nano = jobs.iter().map(|job| job.cost).sum();
    let income = income(world);
    let mut values = BTreeMap::new();
    let mut put = |key: &str, value: Option<f64>| {
        debug_assert!(find(key).is_some(), "{key} has no description");
        if let Some(value) = value.filter(|value| value.is_finite()) {
            values.insert(key.to_owned(), value);
        }
    };
    let some = |count: usize, value: f64| (count > 0).then_some(value);
    put("success", Some(summary.success * 1e2));
    put("lost", Some(f64::from(summary.lost) * 1e2 / orders));
    for (key, of) in [
        ("match_ms", summary.match_ms),
        ("first_content_ms", summary.first_content_ms),
        ("bids_ms", summary.phases_ms[0]),
        ("award_ms", summary.phases_ms[1]),
        ("answer_ms", summary.phases_ms[2]),
    ] {
        put(&format!("{key}_p50"), some(of.count, of.p50));
        put(&format!("{key}_p95"), some(of.count, of.p95));
        put(&format!("{key}_p99"), some(of.count, of.p99));
    }
    put("whole_ms_p50", some(summary.whole_ms.count, summary.whole_ms.p50));
    put("price_mean", mean(done.iter().map(|job| milli(job.cost))));
    put("price_spread", spread(&done));
    put("paid_over_lowest", mean(done.iter().filter_map(|job| over(job.cost, job.lowest_list()))));
    put("cost_over_optimum", cost_over_optimum(world));
    put("cost_over_assignment", world.cost_over_assignment());
    if let Some(welfare) = world.welfare() {
        put("welfare_per_order", Some(welfare.actual / 1e6 / orders));
        put("efficiency", welfare.efficiency().map(|share| share * 1e2));
        put("optimum_gap", Some(welfare.optimum.gap() * 1e2));
    }
    put("failovers_per_100", Some(f64::from(summary.failovers) * 1e2 / orders));
    put("busy_per_100", Some(refused_as_busy(jobs) * 1e2 / orders));
    put("messages_per_job", Some(summary.messages_per_job));
    put("kib_per_job", Some(summary.bytes_per_job / 1024.0));
    put("gossip_duplicates", Some(summary.gossip_duplicates));
    if let Some(waits) = world.waits() {
        put("uplink_wait_ms", Some(waits.together.0 as f64 / 1e3 / waits.messages.max(1) as f64));
        put("uplink_wait_max_ms", Some(waits.longest.0 as f64 / 1e3));
    }
    put("transactions_per_1000", some(done.len(), summary.ledger.per_1000_jobs));
    put("fees_share", over(world.coordinator.chain.fees(), Some(billed)).map(|share| share * 1e2));
    put(
        "locked_peak",
        world.coordinator.measures.series.iter().map(|sample| coins(sample.locked)).reduce(f64::max),
    );
    let ordering = |sample: &&Sample| sample.ordered > 0 && sample.ordered < jobs.len() as u64;
    let while_ordering = world.coordinator.measures.series.iter().filter(ordering);
    put("locked_mean", mean(while_ordering.map(|sample| coins(sample.locked))));
    put("utilisation", utilisation(world));
    put("income_gini", some(income.len(), gini(&income)));
    put("income_hhi", some(income.len(), hhi(&income)));
    let unsettled: Vec<f64> = unsettled(world);
    put("unsettled", Some(unsettled.iter().sum()));
    put("largest_loss", Some(unsettled.into_iter().fold(0.0, f64::max)));
    put("overpaid", Some(overpaid(world)));
    if !summary.attacks.is_empty() {
        let gained: f64 = summary.attacks.iter().map(|attack| attack.gained).sum();
        let spent: f64 = summary.attacks.iter().map(|attack| attack.spent).sum();
        put("attack_gain", Some((gained - spent) * 1e3));
        put("attack_profit", (spent > 0.0).then(|| (gained - spent) / spent));
        put("billed", Some(milli(billed)));
        for (key, value) in beside_attackers(world) {
            put(key, value);
        }
    }
    let false_answers = done.iter().filter(|job| world.is_answered_falsely(job)).count();
    put("false_answers", some(done.len(), false_answers as f64 / done.len().max(1) as f64 * 1e2));
    let found: Vec<f64> = found_after_s(world).collect();
    let cheaters = world.hosts().filter(|host| host.plan.is_some_and(|plan| plan.is_real())).count();
    put("cheaters_found", some(cheaters, found.len() as f64 / cheaters.max(1) as f64 * 1e2));
    put("find_s_p50", some(found.len(), Percentiles::of(found.iter().copied()).p50));
    put("honest_blamed", honest_blamed(world));
    put("false_accusations", Some(summary.false_accusations as f64));
    values
}

/// Returns the distributions that a report draws: 101 percentiles each.
#[must_use]
pub fn curves(world: &World) -> BTreeMap<String, Vec<f64>> {
    let jobs = world.jobs();
    let ms = |span: bombyx_protocol::time::Span| span.0 as f64 / 1e3;
    let matched = curve(jobs.iter().filter_map(|job| job.matched()).map(ms));
    let first = curve(jobs.iter().filter_map(|job| job.first_content()).map(ms));
    let price = curve(jobs.iter().filter(|job| job.is_done()).map(|job| milli(job.cost)));
    [("match_ms", matched), ("first_content_ms", first), ("price", price)]
        .map(|(name, curve)| (name.to_owned(), curve))
        .into()
}

fn coins(nano: Nano) -> f64 {
    nano.0 as f64 / 1e9
}

fn milli(nano: Nano) -> f64 {
    nano.0 as f64 / 1e6
}

fn over(paid: Nano, reference: Option<Nano>) -> Option<f64> {
    let reference = reference.filter(|reference| *reference > Nano::ZERO)?;
    Some(paid.0 as f64 / reference.0 as f64)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// Returns how those fare who attack nobody, in a world in which somebody may.
fn beside_attackers(world: &World) -> [(&'static str, Option<f64>); 6] {
    let attacks = |host: u32| world.host(host).plan.is_some();
    let orders: Vec<&JobRow> =
        world.jobs().iter().filter(|job| !attacks(job.client) && job.outcome() != Outcome::Lost).collect();
    let answered: Vec<&JobRow> = orders.iter().copied().filter(|job| job.is_done()).collect();
    let is_true = |job: &&&JobRow| !world.is_answered_falsely(job);
    let wait_price = world.environment.scenario.workload.nano_per_ms as f64;
    let wait =
        |job: &JobRow| job.first_content().map_or(0.0, |first| first.0 as f64 / 1e3 * wait_price / 1e6);
    let percent = |count: usize, of: usize| (of > 0).then(|| count as f64 / of as f64 * 1e2);
    let by_attackers = answered.iter().filter(|job| job.server().is_some_and(attacks)).count();
    let cost_of = |job: &JobRow| world.host(job.server()?).cost_of(job.tokens());
    let of_attackers = world
        .jobs()
        .iter()
        .filter(|job| job.is_done() && (attacks(job.client) || job.server().is_some_and(attacks)));
    let (bills, costs) = of_attackers.fold((0.0, 0.0), |(bills, costs), job| {
        (bills + milli(job.cost), costs + cost_of(job).map_or(0.0, milli))
    });
    let unsettled: f64 = unsettled(world).iter().sum();
    let served = world.jobs().iter().filter(|job| job.server().is_some_and(|host| !attacks(host)));
    let spent: f64 = served.filter_map(cost_of).map(milli).sum();
    [
        ("attackers_share", percent(by_attackers, answered.len())),
        ("attackers_bill_over_cost", (costs > 0.0).then(|| bills / costs)),
        ("others_profit", Some(income(world).iter().sum::<f64>() * 1e3 - unsettled - spent)),
        ("buyer_price", mean(answered.iter().filter(is_true).map(|job| milli(job.cost)))),
        ("buyer_cost", mean(answered.iter().filter(is_true).map(|job| milli(job.cost) + wait(job)))),
        ("buyer_success", percent(answered.len(), orders.len())),
    ]
}

/// Returns what every provider that follows the protocol holds vouchers for, in coins.
fn income(world: &World) -> Vec<f64> {
    let earned = world.coordinator.check.earned();
    let honest = world.hosts().filter(|host| host.is_provider() && host.plan.is_none());
    honest.map(|host| coins(earned.get(&host.wallet).copied().unwrap_or_default())).collect()
}

fn unsettled(world: &World) -> Vec<f64> {
    let unsettled = world.coordinator.check.unsettled(&world.coordinator.chain);
    let honest = world.hosts().filter(|host| host.is_provider() && host.plan.is_none());
    honest.map(|host| milli(unsettled.get(&host.wallet).copied().unwrap_or_default())).collect()
}

/// Returns the most that the ledger took out of an honest client's channels beyond its bills, in
/// thousandths of a coin. A client that lost power with an order open never saw that order's bill
/// and is left out.
fn overpaid(world: &World) -> f64 {
    let settled = world.coordinator.check.settled_by_payer(&world.coordinator.chain);
    let mut billed: BTreeMap<u32, Option<Nano>> = BTreeMap::new();
    for job in world.jobs() {
        let sum = billed.entry(job.client).or_insert(Some(Nano::ZERO));
        *sum = sum.filter(|_| job.outcome() != Outcome::Lost).and_then(|sum| sum.plus(job.cost));
    }
    let honest = billed.into_iter().filter(|(host, _)| world.host(*host).plan.is_none());
    honest
        .filter_map(|(host, billed)| {
            let taken = settled.get(&world.host(host).wallet).copied().unwrap_or_default();
            Some(milli(taken.saturating_minus(billed?)))
        })
        .fold(0.0, f64::max)
}

fn refused_as_busy(jobs: &[JobRow]) -> f64 {
    let busy = |failover: &&Failover| failover.why == Failure::Refused(Refusal::Busy);
    jobs.iter().flat_map(|job| job.failovers()).filter(busy).count() as f64
}

/// Returns the time from the start of its attack until somebody held something against it, of every attacker that was found.
fn found_after_s(world: &World) -> impl Iterator<Item = f64> {
    (0u32..).zip(world.hosts()).filter_map(|(number, host)| {
        let plan = host.plan.filter(|plan| plan.is_real())?;
        let first = world.coordinator.measures.blames.first(number)?;
        Some(first.since(plan.from.min(first)).0 as f64 / 1e6)
    })
}

/// Returns the share of honest hosts that somebody blames, of all honest ones, in percent: some were only cut off or without power.
fn honest_blamed(world: &World) -> Option<f64> {
    let honest: Vec<u32> = (0u32..)
        .zip(world.hosts())
        .filter(|(_, host)| host.plan.is_none())
        .map(|(number, _)| number)
        .collect();
    let blamed =
        honest.iter().filter(|host| world.coordinator.measures.blames.first(**host).is_some()).count();
    (!honest.is_empty()).then(|| blamed as f64 / honest.len() as f64 * 1e2)
}

/// Returns the coefficient of variation of the price of 1,000 tokens.
fn spread(done: &[&JobRow]) -> Option<f64> {
    let prices: Vec<f64> = done
        .iter()
        .map(|job| (job.cost.0 as f64, (job.tokens().0 + job.tokens().1) as f64))
        .filter(|(_, tokens)| *tokens > 0.0)
        .map(|(cost, tokens)| cost / tokens)
        .collect();
    let centre = mean(prices.iter().copied()).filter(|centre| *centre > 0.0)?;
    let variance = mean(prices.iter().map(|price| (price - centre) * (price - centre)))?;
    Some(libm::sqrt(variance) / centre * 1e2)
}

/// Slots that served while orders came, of all slots.
fn utilisation(world: &World) -> Option<f64> {
    let slots: f64 = world.hosts().filter_map(|host| host.offer()).map(|offer| f64::from(offer.slots)).sum();
    let jobs = world.jobs();
    let first = jobs.first()?.at;
    let last = jobs.last()?.at;
    let served = jobs.iter().filter_map(|job| {
        let matched = job.at + job.matched()?;
        Some(job.ended()?.min(last).since(matched).0 as f64)
    });
    let time = last.since(first).0 as f64 * slots;
    (time > 0.0).then(|| served.sum::<f64>() / time * 1e2)
}

/// Returns what answers cost society, over a bound that no mechanism can beat.
///
/// An answer costs what its provider's own list price says of its tokens, and the buyer's wait until the first content.
/// The bound sends each order, with full knowledge and without a message, to the provider that costs least in that sense,
/// as though nobody else were served.
fn cost_over_optimum(world: &World) -> Option<f64> {
    let wait_price = world.environment.scenario.workload.nano_per_ms as f64;
    let (mut actual, mut bound) = (0.0, 0.0);
    let is_true = |job: &&JobRow| job.is_done() && !world.is_answered_falsely(job);
    for job in world.jobs().iter().filter(is_true) {
        let (Some(server), Some(first)) = (job.server(), job.first_content()) else { continue };
        let tokens = job.tokens();
        let Some(own) = world.host(server).cost_of(tokens) else { continue };
        let Some(best) = world.least_cost(job.client, server, tokens, wait_price) else { continue };
        actual += own.0 as f64 + first.0 as f64 / 1e3 * wait_price;
        bound += best;
    }
    (bound > 0.0).then(|| actual / bound)
}

impl World {
    /// Returns the least that tokens could cost a client with any provider of the model that
    /// `server` has.
    fn least_cost(&self, client: u32, server: u32, tokens: (u64, u64), wait_price: f64) -> Option<f64> {
        let model = self.host(server).offer()?.model;
        let location = self.host(client).location;
        let able = self.hosts().filter(|host| {
            let is_true = host.plan.is_none_or(|plan| !plan.is_real() || !plan.kind.answers_falsely());
            is_true && host.offer().is_some_and(|offer| offer.model == model)
        });
        able.filter_map(|host| {
            let there = self.environment.links.undisturbed(location, host.location).0
                + self.environment.links.undisturbed(host.location, location).0;
            let wait_us = there + host.engine.speed().first_token_after(tokens.0).0;
            Some(host.cost_of(tokens)?.0 as f64 + wait_us as f64 / 1e3 * wait_price)
        })
        .reduce(f64::min)
    }
}
