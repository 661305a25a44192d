//! What is counted while a world runs: one row for each order, and the traffic by kind.

mod job;
mod optimum;
mod stats;

use std::collections::BTreeMap;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{OrderNews, PeerFault};
use bombyx_protocol::market::score::Fate;
use bombyx_protocol::time::{Span, Time};
use serde::Serialize;

use crate::check::{Blames, blames_provider};
use crate::network::{KINDS, Kind};

pub use crate::measures::job::{Failover, JobRow, Outcome};
pub use crate::measures::optimum::{CHOICES_MAX, Choice, Instance, Optimum};
pub use crate::measures::stats::{Interval, gini, hhi, ks};

/// Messages and bytes of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Messages sent.
    pub count: u64,
    /// Their encoded length.
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, more: Self) {
        self.count += more.count;
        self.bytes += more.bytes;
    }
}

/// Gossip as its hosts saw it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hops {
    /// First copies.
    pub first: u64,
    /// Copies of what was known already.
    pub duplicate: u64,
    /// Hops of all first copies together.
    pub hops: u64,
}

/// Gossip messages, by how the world carried them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floods {
    /// Solved as a whole.
    pub solved: u64,
    /// Hop by hop.
    pub carried: u64,
}

/// The world at the end of one virtual second; all numbers count from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// When.
    pub at: Time,
    /// Events.
    pub events: u64,
    /// Hosts that are on.
    pub up: u64,
    /// Orders given.
    pub ordered: u64,
    /// Orders that have ended.
    pub ended: u64,
    /// Messages sent.
    pub traffic: Traffic,
    /// Channels on the ledger now.
    pub channels: u64,
    /// What lies in them now.
    pub locked: Nano,
    /// What reached providers.
    pub paid_out: Nano,
    /// What the ledger took.
    pub fees: Nano,
}

/// Sums over messages, which every shard keeps for its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages by kind, in the order of [`KINDS`].
    traffic: [Traffic; KINDS.len()],
    /// Gossip copies.
    pub hops: Hops,
    /// Gossip messages.
    pub floods: Floods,
}

impl Counts {
    /// Messages of one kind were sent, of so many bytes together.
    pub fn sent(&mut self, kind: Kind, count: u64, bytes: u64) {
        self.traffic[kind as usize].add(Traffic { count, bytes });
    }

    /// Returns all messages of a kind.
    #[must_use]
    pub const fn traffic(&self, kind: Kind) -> Traffic {
        self.traffic[kind as usize]
    }

    /// Returns all messages of all kinds.
    #[must_use]
    pub fn all_traffic(&self) -> Traffic {
        let mut all = Traffic::default();
        self.traffic.iter().for_each(|kind| all.add(*kind));
        all
    }

    /// Adds what another shard has counted.
    pub fn add(&mut self, other: &Self) {
        self.traffic.iter_mut().zip(other.traffic).for_each(|(kind, more)| kind.add(more));
        self.hops.first += other.hops.first;
        self.hops.duplicate += other.hops.duplicate;
        self.hops.hops += other.hops.hops;
        self.floods.solved += other.floods.solved;
        self.floods.carried += other.floods.carried;
    }
}

/// Everything that is counted of orders and hosts.
#[derive(Debug, Default)]
pub struct Measures {
    /// One row for each order, in the order of arrival.
    pub jobs: Vec<JobRow>,
    /// Hosts whose bids could have been awarded in the last auction of an order that has not ended.
    bidders: BTreeMap<u32, Vec<u32>>,
    /// Bids in all auctions.
    pub bids: u64,
    /// One sample for each virtual second.
    pub series: Vec<Sample>,
    /// What hosts hold against each other.
    pub blames: Blames,
    /// Rules that one host says an honest one broke: each is a false accusation.
    pub accusations: BTreeMap<&'static str, u64>,
}

impl Measures {
    /// Makes room for so many orders, and no more, where there is any.
    pub fn expect(&mut self, orders: u32) {
        let _ = self.jobs.try_reserve_exact(orders as usize);
    }

    /// Records that an order was given.
    pub fn ordered(&mut self, client: u32, at: Time) {
        self.jobs.push(JobRow::new(client, at));
    }

    /// Records that a peer was accused.
    pub fn accused(&mut self, fault: PeerFault) {
        let name = match fault {
            PeerFault::Forged => "forged",
            PeerFault::Malformed => "malformed",
            PeerFault::FalseReceipt => "false receipt",
            PeerFault::FalseVoucher => "false voucher",
            PeerFault::Demanding => "demanding",
            PeerFault::NoTask => "no task",
            PeerFault::NoMoney => "no money",
        };
        *self.accusations.entry(name).or_default() += 1;
    }

    /// Records what happened to an order. `host_of` finds a bidder, `list_cost` what tokens cost at its list price.
    pub fn news(
        &mut self,
        number: u32,
        now: Time,
        news: OrderNews,
        host_of: impl Fn(&NodeId) -> Option<u32>,
        list_cost: impl Fn(u32, u64, u64) -> Option<Nano>,
    ) {
        let Some(row) = self.jobs.get_mut(number as usize) else { return };
        let bill = match news {
            OrderNews::Bids(reports) => {
                self.bids += reports.len() as u64;
                let able = reports
                    .iter()
                    .filter(|report| matches!(report.fate, Fate::Won { .. } | Fate::Outscored { .. }));
                let able: Vec<u32> = able.filter_map(|report| host_of(&report.provider)).collect();
                row.auctioned(now, able.len() as u32);
                self.bidders.insert(number, able);
                return;
            }
            OrderNews::FailedOver { from, why } => {
                let from = host_of(&from);
                row.failed_over(Failover { at: now, from, why });
                if let Some(host) = from.filter(|_| blames_provider(why)) {
                    self.blames.note(host, now);
                }
                return;
            }
            OrderNews::Awarded { .. } => return row.awarded(now),
            OrderNews::Content(_) => return row.told(now),
            OrderNews::Done(bill) => {
                row.done(now);
                bill
            }
            OrderNews::Failed { why, bill } => {
                row.failed(now, why);
                bill
            }
        };
        let bidders = self.bidders.remove(&number).unwrap_or_default().into_iter();
        let lowest = bidders.filter_map(|host| list_cost(host, bill.input_tokens, bill.output_tokens)).min();
        row.billed(&bill, lowest, host_of);
    }

    /// Records that the client of an order lost power.
    pub fn lost(&mut self, number: u32, now: Time) {
        self.bidders.remove(&number);
        if let Some(row) = self.jobs.get_mut(number as usize) {
            row.lost(now);
        }
    }
}

/// Returns the smallest value that this share of all sorted values does not exceed, by nearest
/// rank.
fn rank(sorted: &[f64], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(place).copied().unwrap_or(0.0)
}

/// Returns the 0th to 100th percentile of any numbers, enough to draw their distribution; empty
/// where there are none.
#[must_use]
pub fn curve(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    if sorted.is_empty() { Vec::new() } else { (0..=100).map(|percent| rank(&sorted, percent)).collect() }
}

/// The three percentiles that are shown of a distribution.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// How many values there are.
    pub count: usize,
    /// Half are not above it.
    pub p50: f64,
    /// 95 % are not above it.
    pub p95: f64,
    /// 99 % are not above it.
    pub p99: f64,
}

impl Percentiles {
    /// Summarises numbers by nearest rank; zeros where there are none.
    #[must_use]
    pub fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |percent| rank(&sorted, percent);
        Self { count: sorted.len(), p50: at(50), p95: at(95), p99: at(99) }
    }

    /// Summarises spans, in milliseconds.
    #[must_use]
    pub fn of_ms(spans: impl Iterator<Item = Span>) -> Self {
        Self::of(spans.map(|span| span.0 as f64 / 1e3))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let shown = Percentiles::of((1..=200).rev().map(f64::from));
        assert_eq!((shown.count, shown.p50, shown.p95, shown.p99), (200, 100.0, 190.0, 198.0));
        let one = Percentiles::of([7.0].into_iter());
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert_eq!(Percentiles::of(std::iter::empty()), Percentiles::default());
    }
}
