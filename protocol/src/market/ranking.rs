//! How the bids of an auction are ranked, which of them is tried, and what the best one is paid.

use std::collections::BTreeSet;

use crate::amount::Nano;
use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::{Bid, BidHash};
use crate::market::call::CallId;
use crate::market::explore::{Due, Exploration};
use crate::market::score::{Fate, Lot, Place, Score, Standing, Valuation};
use crate::work::order::Tier;
use crate::work::price::Price;

/// How a client ranks the bids that it could take, and what it pays the best one. It is the client's own policy: a
/// provider sees nothing of it but the price of its award. The specification's is [`Rule::Reserve`]; the others
/// are there to be compared with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Rule {
    /// By score; the winner is paid as much as the second score allows, but little more than what won lately.
    #[default]
    Reserve,
    /// By score; the winner is paid as much as the score of the next bidder allows, whoever that is.
    SecondScore,
    /// By score; the winner is paid its own bid.
    FirstScore,
    /// By cost alone, however long it takes; the winner is paid its own bid.
    Cheapest,
    /// In an order that nobody chose; the winner is paid its own bid.
    Random,
}

/// What is known of a bidder when its bid comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bidder {
    /// It has served this client well.
    Proven,
    /// It has not.
    Unproven,
    /// It is not waited for: it cannot be paid, has failed this order, or comes after those that the user named. What it asks is the
    /// market's price all the same. (`MK-52`)
    Unasked,
    /// It is being left alone, or the user does not want it: its bid is kept for the account only.
    LeftAlone,
}

/// A bid as it came in.
#[derive(Debug)]
pub(super) struct ReceivedBid {
    pub(super) bid: Bid,
    pub(super) hash: BidHash,
    pub(super) prefix: Prefix,
    pub(super) bidder: Bidder,
}

/// A bid that the order could take.
#[derive(Debug)]
pub(super) struct Contender {
    pub(super) score: Score,
    pub(super) cost_max: Nano,
    pub(super) standing: Standing,
    pub(super) received: ReceivedBid,
}

/// What an auction is held for, and what its client goes by.
#[derive(Debug, Clone, Copy)]
pub struct Wants<'a> {
    /// The task that is left of the order.
    pub lot: Lot,
    /// The output that the client expects.
    pub output_tokens: u64,
    /// Which protection is asked for.
    pub tier: Tier,
    /// What the order may still cost.
    pub budget: Nano,
    /// The most that a bid may ask.
    pub price_max: Price,
    /// What a millisecond of waiting is worth, where the user says so.
    pub nano_per_ms: Option<u64>,
    /// The median of the bids that won lately.
    pub median: Option<Price>,
    /// Who failed the order before.
    pub failed: &'a [NodeId],
    /// Whether others than the best may be tried.
    pub explores: Option<&'a Exploration>,
    /// Whether the order is small enough to be a stranger's first.
    pub is_small: bool,
}

impl Wants<'_> {
    /// Returns why a bid cannot be taken. (`MK-13`)
    pub(super) fn refuses(&self, bid: &Bid, standing: &Standing, cost_max: Nano) -> Option<Fate> {
        if self.failed.contains(&bid.provider) {
            Some(Fate::FailedBefore)
        } else if standing.refused.is_some() {
            standing.refused
        } else if self.tier == Tier::Confidential && bid.tier == Tier::Open {
            Some(Fate::WeakerTier)
        } else if cost_max > self.budget {
            Some(Fate::OverBudget)
        } else {
            (bid.price > self.price_max).then_some(Fate::OverCeiling { most: self.price_max })
        }
    }

    /// Returns how the bids are weighed: what waiting is worth follows the bill that is usual, or the lowest, unless the user
    /// says what it is. (`MK-7`)
    pub(super) fn valuation(&self, lowest: Option<Price>) -> Valuation {
        let valuation = Valuation { lot: self.lot, output_tokens: self.output_tokens, nano_per_ms: 0 };
        let usual = || {
            let price = u128::from(self.median.or(lowest).unwrap_or_default().0);
            let parts = u128::from(limits::WAIT_PARTS).saturating_mul(1_000);
            u64::try_from(price.saturating_mul(valuation.units()).div_ceil(parts)).unwrap_or(u64::MAX)
        };
        Valuation { nano_per_ms: self.nano_per_ms.unwrap_or_else(usual), ..valuation }
    }

    /// Puts another before the best bidder, where it is time to try one. Returns whether there was one: a stranger for a small
    /// order, at most a quarter above the best, or a known one, at most a tenth above. One of the best bidder's own prefix has to
    /// score no worse: a second name of its owner would be paid for asking more. (`MK-33`)
    pub(super) fn put_first(&self, call: CallId, contenders: &mut [Contender]) -> bool {
        let (Some(exploration), Some(best)) = (self.explores, contenders.first()) else { return false };
        if best.standing.place != Place::Proven {
            return false;
        }
        let (best, prefix) = (u128::from(best.score.0), best.received.prefix);
        let is_within = |contender: &Contender, parts: u128, of: u128| {
            u128::from(contender.score.0).saturating_mul(of) <= best.saturating_mul(parts)
        };
        let mut able: Vec<(usize, &Contender)> = contenders
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, contender)| contender.received.prefix != prefix || is_within(contender, 1, 1))
            .filter(|(_, contender)| match contender.standing.place {
                Place::Unknown => self.is_small && is_within(contender, 5, 4),
                Place::Proven => is_within(contender, 11, 10),
                Place::Tried | Place::Doubtful | Place::Last | Place::Barred => false,
            })
            .collect();
        let is_due = match exploration.due() {
            Due::Yes => true,
            Due::ForABargain => able.iter().any(|(_, contender)| is_within(contender, 3, 4)),
            Due::No => false,
        };
        able.sort_by_key(|(_, contender)| contender.score);
        let bidders: Vec<(Prefix, u64)> = able
            .iter()
            .map(|(_, Contender { received, .. })| (received.prefix, received.bid.provider.draw(&call.0)))
            .collect();
        let picked = exploration.pick(&bidders).filter(|_| is_due).and_then(|picked| able.get(picked));
        let Some(place) = picked.map(|(place, _)| *place) else { return false };
        if let Some(front) = contenders.get_mut(..=place) {
            front.rotate_right(1);
        }
        true
    }

    /// Returns the winner's price: its own, raised until its score meets the second, within the budget and nine eighths of the
    /// median of what won lately. (`MK-8`)
    ///
    /// Without a second score, or before there is a median, it is paid its own bid: there is nothing to measure it by.
    pub(super) fn price(
        &self,
        rule: Rule,
        valuation: &Valuation,
        winner: &Contender,
        second: Option<Score>,
    ) -> Price {
        let bid = &winner.received.bid;
        let median = match rule {
            Rule::Reserve => self.median,
            Rule::SecondScore => Some(Price(u64::MAX)),
            Rule::FirstScore | Rule::Cheapest | Rule::Random => None,
        };
        let aside = valuation.aside(bid, &winner.standing);
        let most = price_of(self.budget, self.lot.units_max()).min(self.price_max).max(bid.price);
        paid(bid.price, second, aside, valuation.units(), median).min(most)
    }
}

/// Returns what the winner of an auction is paid: its own price, raised until its score would meet the second, but to nine
/// eighths of the median of what won lately at the most. (`MK-8`)
///
/// `aside` is what its waiting and locking count, `units` what the client expects to be billed.
#[must_use]
pub fn paid(own: Price, second: Option<Score>, aside: Nano, units: u128, median: Option<Price>) -> Price {
    let (Some(second), Some(median)) = (second, median) else { return own };
    price_of(Nano(second.0).saturating_minus(aside), units).min(reserve(median)).max(own)
}

/// Returns the most to which a winner's price is raised, where this is the median of what won lately. (`MK-8`)
#[must_use]
pub fn reserve(median: Price) -> Price {
    let most = u128::from(median.0).saturating_mul(u128::from(limits::PAID_EIGHTHS_MAX)) / 8;
    Price(u64::try_from(most).unwrap_or(u64::MAX))
}

/// Returns what a bid may ask where so much is usual. (`MK-52`)
#[must_use]
pub const fn ceiling(usual: Price) -> Price {
    Price(usual.0.saturating_mul(limits::CEILING_TIMES))
}

/// What one asks, as far as it bounds others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// Where its bid comes from.
    pub prefix: Prefix,
    /// What it asks.
    pub price: Price,
    /// Whether it has served the client.
    pub has_served: bool,
}

/// Returns the most that a bid may ask where so much won lately and so many orders have ended for it since: what the user says, or else
/// what bounds a few sellers that nobody else does. (`MK-52`)
///
/// Three prefixes that ask about the same are a market whose price has risen. A stranger's low bid makes none: it costs nothing.
#[must_use]
pub fn price_max(
    of_order: Option<Price>,
    won_lately: Option<Price>,
    refused: u32,
    rivals: &[Rival],
) -> Option<Price> {
    let most = || {
        let most = (0..refused.min(u64::BITS)).fold(ceiling(won_lately?), |most, _| ceiling(most));
        let lowest = rivals.iter().map(|rival| rival.price).filter(|price| *price > most).min();
        let near = |lowest: Price| Price(lowest.0.saturating_add(lowest.0 / limits::MARKET_PARTS));
        let is_market = |most_of_market: &Price| {
            let counts =
                |rival: &&Rival| rival.price <= *most_of_market && (rival.price > most || rival.has_served);
            let prefixes: BTreeSet<Prefix> = rivals.iter().filter(counts).map(|rival| rival.prefix).collect();
            prefixes.len() >= limits::MARKET_PREFIXES_MIN
        };
        Some(lowest.map(near).filter(is_market).unwrap_or(most))
    };
    of_order.or_else(most)
}

/// Puts the contenders in the order in which they are asked: by place, then by the rule. Scores within a fiftieth of the best of
/// a place are equal and drawn, so that of twins both eat. (`MK-7`, `MK-32`)
pub(super) fn rank(rule: Rule, call: CallId, contenders: &mut [Contender]) {
    let draw = |contender: &Contender| contender.received.bid.provider.draw(&call.0);
    contenders.sort_by_key(|contender| {
        let rank = match rule {
            Rule::Reserve | Rule::SecondScore | Rule::FirstScore => contender.score.0,
            Rule::Cheapest => contender.cost_max.0,
            Rule::Random => draw(contender),
        };
        (contender.standing.turn, contender.standing.place, rank, contender.received.bid.provider)
    });
    if matches!(rule, Rule::Cheapest | Rule::Random) {
        return;
    }
    let turn = |contender: &Contender| (contender.standing.turn, contender.standing.place);
    for tied in contenders.chunk_by_mut(|one, next| turn(one) == turn(next)) {
        let Some(best) = tied.first().map(|best| best.score.0) else { continue };
        let most = best.saturating_add(best.checked_div(limits::TIE_PARTS).unwrap_or(0));
        let equal = tied.partition_point(|contender| contender.score.0 <= most);
        if let Some(equal) = tied.get_mut(..equal) {
            equal.sort_by_key(|contender| (draw(contender), contender.received.bid.provider));
        }
    }
}

/// Returns the score that the winner is paid by: the best of another that is proven and of another prefix. Of the others there are
/// prefix, level and score. (`MK-8`)
pub(super) fn second(
    rule: Rule,
    winner: Prefix,
    others: impl Iterator<Item = (Prefix, u8, Score)>,
) -> Option<Score> {
    let is_independent = |(prefix, level, _): &(Prefix, u8, Score)| {
        rule == Rule::SecondScore || (*level > 0 && *prefix != winner)
    };
    others.filter(is_independent).map(|(.., score)| score).min()
}

/// Returns the highest price at which so many units cost no more than `amount`.
#[must_use]
pub fn price_of(amount: Nano, units: u128) -> Price {
    let price = u128::from(amount.0).saturating_mul(1_000).checked_div(units);
    Price(price.and_then(|price| u64::try_from(price).ok()).unwrap_or(u64::MAX))
}
