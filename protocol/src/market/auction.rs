//! One auction at the client: gathers the bids of a call, awards once by second score, and keeps why each lost.

use crate::amount::Nano;
use crate::ident::NodeId;
use crate::limits;
use crate::market::bid::{Bid, BidHash};
use crate::market::call::CallId;
use crate::market::score::{self, Score};
use crate::time::Time;
use crate::work::order::{Order, Tier};
use crate::work::price::PriceSheet;

/// How a client ranks the bids that it could take, and what it pays the best one. It is the client's own policy: a
/// provider sees nothing of it but the price of its award. The specification's is [`Rule::SecondScore`]; the others
/// are there to be compared with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// By score; the winner is paid as much as the runner-up's score allows.
    #[default]
    SecondScore,
    /// By score; the winner is paid its own bid.
    FirstScore,
    /// By cost alone, however long it takes; the winner is paid its own bid.
    Cheapest,
    /// In an order that nobody chose; the winner is paid its own bid.
    Random,
}

/// A call that is out and the bids that came back.
#[derive(Debug)]
pub struct Auction {
    /// The call.
    pub call: CallId,
    /// When bids stop being read.
    pub closes_at: Time,
    enough: usize,
    bids: Vec<(Bid, BidHash)>,
    rule: Rule,
}

/// A bid that can be awarded, with the price that its owner will be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The bid.
    pub bid: Bid,
    /// The hash that the award names.
    pub hash: BidHash,
    /// The price that is paid: the bid's own or better for the provider.
    pub price: PriceSheet,
}

/// What became of one bid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It won; paid as much as the runner-up's score allows.
    Won {
        /// The runner-up's score, if there was one.
        runner_up: Option<Score>,
    },
    /// Another bid scored lower.
    Outscored {
        /// By how many nano.
        by: u64,
    },
    /// It can cost more than the order allows.
    OverBudget,
    /// It offers less protection than asked for.
    WeakerTier,
    /// Its provider failed this order before.
    FailedBefore,
}

/// One line of the account of an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BidReport {
    /// Who bid.
    pub provider: NodeId,
    /// The most that the order could cost at its price.
    pub cost_max: Nano,
    /// Milliseconds until the first token that it promised.
    pub first_token_ms: u32,
    /// What became of it.
    pub fate: Fate,
}

/// The end of an auction: candidates in order of score, winner first, and the account of every bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Who may be awarded, best first.
    pub candidates: Vec<Candidate>,
    /// What became of every bid, best score first.
    pub reports: Vec<BidReport>,
}

impl Auction {
    /// An auction for a call that is about to go out; it is over early with `enough` bids.
    #[must_use]
    pub const fn new(call: CallId, closes_at: Time, enough: usize) -> Self {
        Self { call, closes_at, enough, bids: Vec::new(), rule: Rule::SecondScore }
    }

    /// The same auction by another rule.
    #[must_use]
    pub fn by(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Takes a verified bid. The first of each provider counts; past [`limits::BIDS_MAX`] none does. (`MK-6`)
    pub fn take(&mut self, bid: Bid, hash: BidHash) {
        let known = self.bids.iter().any(|(other, _)| other.provider == bid.provider);
        if !known && self.bids.len() < limits::BIDS_MAX {
            self.bids.push((bid, hash));
        }
    }

    /// Whether nothing is worth waiting for any more. (`MK-20`)
    #[must_use]
    pub fn has_enough(&self) -> bool {
        self.bids.len() >= self.enough
    }

    /// How many bids were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bids.len()
    }

    /// Scores every bid once. `budget` is what the order may still cost, `failed` who failed it before. (`MK-13`)
    #[must_use]
    pub fn close(self, order: &Order, budget: Nano, failed: &[NodeId]) -> Outcome {
        let mut able = Vec::new();
        let mut reports = Vec::new();
        let (call, rule) = (self.call, self.rule);
        for (bid, hash) in self.bids {
            let cost_max = score::cost(order, &bid).unwrap_or(Nano(u64::MAX));
            let refused = if failed.contains(&bid.provider) {
                Some(Fate::FailedBefore)
            } else if order.tier == Tier::Confidential && bid.tier == Tier::Open {
                Some(Fate::WeakerTier)
            } else if cost_max > budget {
                Some(Fate::OverBudget)
            } else {
                None
            };
            match (refused, score::score(order, &bid)) {
                (None, Some(score)) => able.push((score, cost_max, bid, hash)),
                (fate, _) => reports.push(BidReport {
                    provider: bid.provider,
                    cost_max,
                    first_token_ms: bid.first_token_ms,
                    fate: fate.unwrap_or(Fate::OverBudget),
                }),
            }
        }
        // Equal scores go to the lower node id: arbitrary, but the same for whoever recomputes it.
        able.sort_by_key(|(score, cost_max, bid, _)| {
            (rank(rule, call, *score, *cost_max, bid), bid.provider)
        });
        reports.sort_by_key(|report| (report.cost_max, report.provider));
        let best = able.first().map(|(score, ..)| *score);
        let second = able.get(1).map(|(score, ..)| *score);
        let mut accounts = Vec::with_capacity(able.len().saturating_add(reports.len()));
        let mut candidates = Vec::with_capacity(able.len());
        for (place, (score, cost_max, bid, hash)) in able.into_iter().enumerate() {
            let fate = match best {
                Some(best) if place > 0 => Fate::Outscored { by: score.0.saturating_sub(best.0) },
                _ => Fate::Won { runner_up: second },
            };
            accounts.push(BidReport {
                provider: bid.provider,
                cost_max,
                first_token_ms: bid.first_token_ms,
                fate,
            });
            // The runner-up of a failover is paid its own bid: the price of a rescue is not raised by it.
            let price = if place == 0 && rule == Rule::SecondScore {
                second_price(order, budget, &bid, cost_max, second)
            } else {
                bid.price
            };
            candidates.push(Candidate { bid, hash, price });
        }
        accounts.extend(reports);
        Outcome { candidates, reports: accounts }
    }
}

/// Where a bid stands by a rule: lower is better.
fn rank(rule: Rule, call: CallId, score: Score, cost_max: Nano, bid: &Bid) -> u64 {
    match rule {
        Rule::SecondScore | Rule::FirstScore => score.0,
        Rule::Cheapest => cost_max.0,
        Rule::Random => {
            let mut hasher = blake3::Hasher::new();
            hasher.update(&call.0).update(&bid.provider.0);
            let mut word = [0; 8];
            hasher.finalize_xof().fill(&mut word);
            u64::from_le_bytes(word)
        }
    }
}

/// The winner's price: its sheet scaled up until its score meets the runner-up's, capped by the budget. (`MK-8`)
///
/// Alone in an auction it is paid its own bid: there is no second score to be paid by.
fn second_price(order: &Order, budget: Nano, bid: &Bid, cost_max: Nano, second: Option<Score>) -> PriceSheet {
    let Some(second) = second else { return bid.price };
    let allowed = second.0.saturating_sub(score::wait_cost(order, bid).0).min(budget.0);
    let raised = u128::from(allowed)
        .checked_mul(1_000_000)
        .and_then(|scaled| scaled.checked_div(u128::from(cost_max.0)))
        .and_then(|ppm| u64::try_from(ppm).ok())
        .filter(|ppm| *ppm > 1_000_000)
        .and_then(|ppm| bid.price.scaled(ppm))
        // Bills round up in each part: a raised sheet may not pass what it was allowed to cost.
        .filter(|sheet| sheet.cost_max(&order.task).is_some_and(|cost| cost.0 <= allowed));
    raised.filter(|sheet| sheet.covers(&bid.price)).unwrap_or(bid.price)
}
