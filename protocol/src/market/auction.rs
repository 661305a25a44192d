//! One auction at the client: gathers the bids of a call, awards once by second score, and keeps why each lost.

use crate::amount::Nano;
use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::{Bid, BidHash};
use crate::market::call::{CallId, Classes};
use crate::market::score::{Fate, Lot, Place, Score, Standing, step_weight};
use crate::time::Time;
use crate::work::order::Tier;
use crate::work::price::Price;

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
    /// The size classes that it told.
    classes: Classes,
    /// When bids stop being read.
    pub closes_at: Time,
    enough: usize,
    bids: Vec<ReceivedBid>,
    /// Answers that are no bids, or bids that cannot be taken.
    declined: usize,
    rule: Rule,
}

/// A bid as it came in.
#[derive(Debug)]
struct ReceivedBid {
    bid: Bid,
    hash: BidHash,
    prefix: Prefix,
    /// Whether its bidder may be asked at all, as far as that is known when it comes.
    counts: bool,
}

/// A bid that the order could take.
#[derive(Debug)]
struct Contender {
    score: Score,
    cost_max: Nano,
    standing: Standing,
    received: ReceivedBid,
}

/// A bid that can be awarded, with the price that its owner will be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The bid.
    pub bid: Bid,
    /// The hash that the award names.
    pub hash: BidHash,
    /// The price that is paid: the bid's own or better for the provider.
    pub price: Price,
    /// The size classes that it is for.
    pub classes: Classes,
    /// Where the bid came from.
    pub prefix: Prefix,
}

/// One line of the account of an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BidReport {
    /// Who bid.
    pub provider: NodeId,
    /// The most that the order could cost at its price.
    pub cost_max: Nano,
    /// Milliseconds until the first token, as it promised.
    pub first_token_ms: u64,
    /// What became of it.
    pub fate: Fate,
}

/// The end of an auction: candidates in order of score, winner first, and the account of every bid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Who may be awarded, best first.
    pub candidates: Vec<Candidate>,
    /// What became of every bid, in the order in which they would be asked.
    pub reports: Vec<BidReport>,
    /// Whether an unknown provider goes before proven ones. (`MK-33`)
    pub explores: bool,
}

impl Auction {
    /// Creates an auction for a call that is about to go out; it is over early with `enough` bids.
    #[must_use]
    pub const fn new(call: CallId, classes: Classes, closes_at: Time, enough: usize) -> Self {
        Self { call, classes, closes_at, enough, bids: Vec::new(), declined: 0, rule: Rule::SecondScore }
    }

    /// Returns the same auction by another rule.
    #[must_use]
    pub fn by(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Accepts a verified bid. The first of each provider counts; past [`limits::BIDS_MAX`] none does. (`MK-6`)
    ///
    /// One that does not count, because its bidder is being left alone, ends nothing early.
    pub fn accept(&mut self, bid: Bid, hash: BidHash, prefix: Prefix, counts: bool) {
        let known = self.bids.iter().any(|received| received.bid.provider == bid.provider);
        // Those that are left alone are kept for the account only, and take nobody's place.
        let alike = self.bids.iter().filter(|received| received.counts == counts).count();
        if !known && alike < limits::BIDS_MAX {
            self.bids.push(ReceivedBid { bid, hash, prefix, counts });
        }
    }

    /// Notes that somebody answered who cannot be awarded.
    pub const fn decline(&mut self) {
        self.declined = self.declined.saturating_add(1);
    }

    /// Returns whether nothing is worth waiting for any more. (`MK-20`)
    #[must_use]
    pub fn has_enough(&self) -> bool {
        self.bids.iter().filter(|received| received.counts).count().saturating_add(self.declined)
            >= self.enough
    }

    /// Returns how many bids were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bids.len()
    }

    /// Scores every bid once. `tier` is the protection that is asked for, `budget` what the order may still cost, `failed`
    /// who failed it before, `stands` what the client knows of a bidder; `explore` lets an unknown one go before the proven.
    /// (`MK-13`)
    #[must_use]
    pub fn close(
        self,
        lot: &Lot,
        tier: Tier,
        budget: Nano,
        failed: &[NodeId],
        explore: bool,
        stands: impl Fn(&Bid, Prefix) -> Standing,
    ) -> Outcome {
        let mut contenders = Vec::new();
        let mut reports = Vec::new();
        let (call, classes, rule) = (self.call, self.classes, self.rule);
        for received in self.bids {
            let bid = &received.bid;
            let standing = stands(bid, received.prefix);
            let cost_max = lot.cost_max(bid.price).unwrap_or(Nano(u64::MAX));
            let refused = if failed.contains(&bid.provider) {
                Some(Fate::FailedBefore)
            } else if standing.refused.is_some() {
                standing.refused
            } else if tier == Tier::Confidential && bid.tier == Tier::Open {
                Some(Fate::WeakerTier)
            } else if cost_max > budget {
                Some(Fate::OverBudget)
            } else {
                None
            };
            match (refused, lot.score(bid, &standing, step_weight(standing.level))) {
                (None, Some(score)) => contenders.push(Contender { score, cost_max, standing, received }),
                (fate, _) => reports.push(report(lot, bid, cost_max, fate.unwrap_or(Fate::OverBudget))),
            }
        }
        // Equal scores go to the lower node id: arbitrary, but the same for everyone who recomputes
        // it.
        contenders.sort_by_key(|contender| {
            let rank = rank(rule, call, contender.score, contender.cost_max, &contender.received.bid);
            (contender.standing.turn, contender.standing.place, rank, contender.received.bid.provider)
        });
        reports.sort_by_key(|report| (report.cost_max, report.provider));
        let explores = explore && put_first(lot, &mut contenders);
        let second = contenders.first().zip(contenders.get(1)).and_then(|(first, second)| {
            let weight = step_weight(first.standing.level);
            lot.score(&second.received.bid, &second.standing, weight)
        });
        let best = contenders.first().map(|contender| contender.score);
        let mut accounts = Vec::with_capacity(contenders.len().saturating_add(reports.len()));
        let mut candidates = Vec::with_capacity(contenders.len());
        for (place, contender) in contenders.into_iter().enumerate() {
            let fate = match best {
                Some(best) if place > 0 => Fate::Outscored { by: contender.score.0.saturating_sub(best.0) },
                _ => Fate::Won { runner_up: second },
            };
            accounts.push(report(lot, &contender.received.bid, contender.cost_max, fate));
            // The runner-up of a failover is paid its own bid: the price of a rescue is not raised by it. Nor is that of a
            // first try.
            let price = if place == 0 && rule == Rule::SecondScore && !explores {
                second_price(lot, budget, &contender, second)
            } else {
                contender.received.bid.price
            };
            let ReceivedBid { bid, hash, prefix, .. } = contender.received;
            candidates.push(Candidate { bid, hash, price, classes, prefix });
        }
        accounts.extend(reports);
        Outcome { candidates, reports: accounts, explores }
    }
}

fn report(lot: &Lot, bid: &Bid, cost_max: Nano, fate: Fate) -> BidReport {
    let first_token_ms = bid.first_token_ms(lot.input.count());
    BidReport { provider: bid.provider, cost_max, first_token_ms, fate }
}

/// Puts the best unknown bidder before the proven ones, if its score would be a quarter above the
/// best at the most were it known as well. Returns whether there was one.
fn put_first(lot: &Lot, contenders: &mut [Contender]) -> bool {
    let Some(best) = contenders.first().filter(|contender| contender.standing.place == Place::Proven) else {
        return false;
    };
    let most = u128::from(best.score.0).saturating_mul(5);
    let weight = step_weight(best.standing.level);
    let found = contenders.iter().position(|contender| {
        let score = lot.score(&contender.received.bid, &contender.standing, weight);
        contender.standing.place == Place::Unknown
            && score.is_some_and(|score| u128::from(score.0).saturating_mul(4) <= most)
    });
    if let Some(front) = found.and_then(|place| contenders.get_mut(..=place)) {
        front.rotate_right(1);
    }
    found.is_some()
}

/// Returns where a bid stands by a rule: lower is better.
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

/// Returns the winner's price: its own, raised until its score meets the runner-up's, within the budget. (`MK-8`)
///
/// Alone in an auction it is paid its own bid: there is no second score to be paid by.
fn second_price(lot: &Lot, budget: Nano, winner: &Contender, second: Option<Score>) -> Price {
    let bid = &winner.received.bid;
    let Some(second) = second else { return bid.price };
    let weight = step_weight(winner.standing.level);
    // A bill rounds up, and so does the first step as often as it counts.
    let aside = lot.aside(bid, &winner.standing).saturating_plus(Nano(weight));
    let allowed = Nano(second.0).saturating_minus(aside);
    // A higher price has a dearer first step: both grow together.
    let steps = lot.first_step().saturating_mul(u128::from(weight));
    let by_score = price_of(allowed, lot.units_max().saturating_add(steps));
    let by_budget = price_of(budget, lot.units_max());
    by_score.min(by_budget).max(bid.price)
}

/// Returns the highest price at which so many units cost no more than `amount`.
fn price_of(amount: Nano, units: u128) -> Price {
    let price = u128::from(amount.0).saturating_mul(1_000).checked_div(units);
    Price(price.and_then(|price| u64::try_from(price).ok()).unwrap_or(u64::MAX))
}
