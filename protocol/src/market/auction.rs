//! One auction at the client: gathers the bids of a call, awards once, and keeps why each lost.

use std::collections::BTreeSet;

use crate::amount::Nano;
use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::{Bid, BidHash};
use crate::market::call::{CallId, Classes};
use crate::market::explore::{Due, Exploration};
use crate::market::invite::Enough;
use crate::market::score::{Fate, Lot, Place, Score, Standing, Valuation};
use crate::time::Time;
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

/// A call that is out and the bids that came back.
#[derive(Debug)]
pub struct Auction {
    /// The call.
    pub call: CallId,
    /// The size classes that it told.
    classes: Classes,
    /// When bids stop being read.
    pub closes_at: Time,
    enough: Enough,
    bids: Vec<ReceivedBid>,
    /// Bids beyond those that are read of a prefix: they are read where no other prefix bids. (`MK-51`)
    beyond: Vec<ReceivedBid>,
    /// Whether everybody was invited, so that who has not bid is not there.
    invites_all: bool,
    /// Those that were called, where the call went to them alone, and of them those that have not answered. (`MK-66`)
    called: Option<(Vec<NodeId>, Vec<NodeId>)>,
    /// Answers of proven providers that are no bids, or bids that cannot be taken.
    declined: usize,
    /// Bids that were not read.
    unread: usize,
    rule: Rule,
}

/// What is known of a bidder when its bid comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bidder {
    /// It has served this client well.
    Proven,
    /// It has not.
    Unproven,
    /// It may not be asked: its bid is kept for the account only.
    LeftAlone,
}

/// A bid as it came in.
#[derive(Debug)]
struct ReceivedBid {
    bid: Bid,
    hash: BidHash,
    prefix: Prefix,
    bidder: Bidder,
}

/// A bid that the order could take.
#[derive(Debug)]
struct Contender {
    score: Score,
    cost_max: Nano,
    standing: Standing,
    received: ReceivedBid,
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

/// A bid that can still be awarded, with the price that its owner will be paid.
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
    /// How it came to be asked.
    pub source: Source,
    /// By how many thousandths of the winner's score its own is higher; nothing where it comes later for another reason.
    pub margin: Option<u32>,
}

/// How a candidate came to be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// It bid, and comes in its turn.
    Auction,
    /// It is being tried. (`MK-33`)
    Trial,
    /// It won an auction before, and its bid still stands. (`MK-14`)
    Lease,
}

/// One line of the account of an auction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BidReport {
    /// Who bid.
    pub provider: NodeId,
    /// Where the bid came from.
    pub prefix: Prefix,
    /// What it asks.
    pub price: Price,
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
    /// Who bid and was not read, as another prefix did as well.
    pub unread: Vec<NodeId>,
}

impl Auction {
    /// Creates an auction for a call that is about to go out.
    #[must_use]
    pub const fn new(call: CallId, classes: Classes, closes_at: Time, enough: Enough) -> Self {
        Self {
            call,
            classes,
            closes_at,
            enough,
            bids: Vec::new(),
            beyond: Vec::new(),
            invites_all: false,
            called: None,
            declined: 0,
            unread: 0,
            rule: Rule::Reserve,
        }
    }

    /// Returns the same auction by another rule.
    #[must_use]
    pub fn by(self, rule: Rule) -> Self {
        Self { rule, ..self }
    }

    /// Returns the same auction of a call that invited everybody, or a part.
    #[must_use]
    pub fn inviting_all(self, invites_all: bool) -> Self {
        Self { invites_all, ..self }
    }

    /// Returns the same auction of a call that went to these alone: it is over when all of them have answered. (`MK-66`)
    #[must_use]
    pub fn among(self, called: Vec<NodeId>) -> Self {
        Self { called: Some((called.clone(), called)), invites_all: true, ..self }
    }

    /// Returns whether a provider was called directly; nothing where everybody was, or a part of the crowd.
    #[must_use]
    pub fn calls(&self, provider: &NodeId) -> Option<bool> {
        self.called.as_ref().map(|(called, _)| called.contains(provider))
    }

    /// Notes an answer. Returns whether it counts: where some were called, only theirs does.
    fn counts(&mut self, provider: &NodeId) -> bool {
        self.called.as_mut().is_none_or(|(called, awaited)| {
            awaited.retain(|other| other != provider);
            called.contains(provider)
        })
    }

    /// Notes that a provider cannot be reached. Returns whether its answer was waited for.
    pub fn is_unreachable(&mut self, provider: &NodeId) -> bool {
        let awaits = self.called.as_ref().is_some_and(|(_, awaited)| awaited.contains(provider));
        awaits && self.counts(provider)
    }

    /// Accepts a verified bid. The first of each provider counts; past [`limits::BIDS_MAX`] of its kind none does, nor past the
    /// few of its prefix, unless everybody was invited and no other prefix bids. (`MK-6`, `MK-51`)
    ///
    /// Returns whether it was read, or is one of too many that were not to tell each of them.
    pub fn accept(&mut self, bid: Bid, hash: BidHash, prefix: Prefix, bidder: Bidder) -> bool {
        if !self.counts(&bid.provider) {
            return true;
        }
        let known =
            self.bids.iter().chain(&self.beyond).any(|received| received.bid.provider == bid.provider);
        let alike = || self.bids.iter().filter(|received| received.bidder == bidder);
        let neighbours = alike().filter(|received| received.prefix == prefix).count();
        let has_room = match bidder {
            Bidder::Proven => neighbours < limits::BIDS_A_PREFIX_MAX,
            Bidder::Unproven => neighbours == 0,
            Bidder::LeftAlone => true,
        };
        if known {
            return true;
        }
        let is_full = alike().count() >= limits::BIDS_MAX;
        let received = ReceivedBid { bid, hash, prefix, bidder };
        if has_room && !is_full {
            self.bids.push(received);
        } else if self.invites_all && !is_full && self.beyond.len() < limits::BIDS_MAX {
            self.beyond.push(received);
        } else {
            self.unread = self.unread.saturating_add(1);
            return self.unread > limits::BIDS_MAX;
        }
        true
    }

    /// Notes that somebody answered who cannot be awarded.
    pub fn decline(&mut self, provider: &NodeId, is_proven: bool) {
        if self.counts(provider) {
            self.declined = self.declined.saturating_add(usize::from(is_proven));
        }
    }

    /// Returns whether nothing is worth waiting for any more. (`MK-20`)
    #[must_use]
    pub fn has_enough(&self) -> bool {
        if let Some((_, awaited)) = &self.called {
            return awaited.is_empty();
        }
        let of = |bidder: Bidder| self.bids.iter().filter(|received| received.bidder == bidder).count();
        let proven = of(Bidder::Proven).saturating_add(self.declined);
        let all = proven.saturating_add(of(Bidder::Unproven));
        proven >= self.enough.proven && all >= self.enough.all
    }

    /// Returns how many bids were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bids.len()
    }

    /// Returns from how many prefixes those bid that may be asked.
    #[must_use]
    pub fn prefixes(&self) -> usize {
        let asked = self.bids.iter().filter(|bid| bid.bidder != Bidder::LeftAlone);
        asked.map(|bid| bid.prefix).collect::<BTreeSet<Prefix>>().len()
    }

    /// Returns whether all that may be asked are of one prefix.
    fn is_of_one_prefix(&self) -> bool {
        let mut prefixes =
            self.bids.iter().filter(|bid| bid.bidder != Bidder::LeftAlone).map(|bid| bid.prefix);
        let first = prefixes.next();
        prefixes.all(|prefix| Some(prefix) == first)
    }

    /// Scores every bid once, by what `stands` says the client knows of each bidder. (`MK-7`, `MK-8`, `MK-13`, `MK-32`)
    #[must_use]
    pub fn close(mut self, wants: &Wants<'_>, stands: impl Fn(&Bid, Prefix) -> Standing) -> Outcome {
        let (call, classes, rule) = (self.call, self.classes, self.rule);
        if self.is_of_one_prefix() {
            self.bids.append(&mut self.beyond);
        }
        let (mut able, mut unable) = (Vec::new(), Vec::new());
        for received in self.bids {
            let standing = stands(&received.bid, received.prefix);
            let cost_max = wants.lot.cost_max(received.bid.price).unwrap_or(Nano(u64::MAX));
            match wants.refuses(&received.bid, &standing, cost_max) {
                Some(fate) => unable.push((received, cost_max, fate)),
                None => able.push((received, standing, cost_max)),
            }
        }
        let valuation = wants.valuation(able.iter().map(|(received, ..)| received.bid.price).min());
        let mut contenders = Vec::with_capacity(able.len());
        for (received, standing, cost_max) in able {
            match valuation.score(&received.bid, &standing) {
                Some(score) => contenders.push(Contender { score, cost_max, standing, received }),
                None => unable.push((received, cost_max, Fate::OverBudget)),
            }
        }
        rank(rule, call, &mut contenders);
        let explores = wants.put_first(call, &mut contenders);
        let second = contenders.split_first().and_then(|(winner, others)| second(rule, winner, others));
        let best = contenders.first().map(|contender| contender.score);
        let mut reports = Vec::with_capacity(contenders.len().saturating_add(unable.len()));
        let mut candidates = Vec::with_capacity(contenders.len());
        for (place, contender) in contenders.into_iter().enumerate() {
            let fate = match best {
                Some(best) if place > 0 => Fate::Outscored { by: contender.score.0.saturating_sub(best.0) },
                _ => Fate::Won { second },
            };
            reports.push(report(&wants.lot, &contender.received, contender.cost_max, fate));
            // The next ones are paid their own bids: the price of a rescue is not raised by it. Nor is that of a try.
            let price = if place == 0 && !explores {
                wants.price(rule, &valuation, &contender, second)
            } else {
                contender.received.bid.price
            };
            let margin = best.and_then(|best| contender.score.margin(best));
            let source = if place == 0 && explores { Source::Trial } else { Source::Auction };
            let ReceivedBid { bid, hash, prefix, .. } = contender.received;
            candidates.push(Candidate { bid, hash, price, classes, prefix, source, margin });
        }
        unable.sort_by_key(|(received, cost_max, _)| (*cost_max, received.bid.provider));
        let lot = &wants.lot;
        reports.extend(
            unable.into_iter().map(|(received, cost_max, fate)| report(lot, &received, cost_max, fate)),
        );
        let unread = self.beyond.iter().map(|received| received.bid.provider).collect();
        Outcome { candidates, reports, unread }
    }
}

impl Wants<'_> {
    /// Returns why a bid cannot be taken. (`MK-13`)
    fn refuses(&self, bid: &Bid, standing: &Standing, cost_max: Nano) -> Option<Fate> {
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
    fn valuation(&self, lowest: Option<Price>) -> Valuation {
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
    fn put_first(&self, call: CallId, contenders: &mut [Contender]) -> bool {
        let (Some(exploration), Some(best)) = (self.explores, contenders.first()) else { return false };
        let (best, prefix) = (u128::from(best.score.0), best.received.prefix);
        let is_within = |contender: &Contender, parts: u128, of: u128| {
            u128::from(contender.score.0).saturating_mul(of) <= best.saturating_mul(parts)
        };
        let able: Vec<(usize, (Prefix, u64))> = contenders
            .iter()
            .enumerate()
            .skip(1)
            .filter(|(_, contender)| contender.received.prefix != prefix || is_within(contender, 1, 1))
            .filter(|(_, contender)| match contender.standing.place {
                Place::Unknown => self.is_small && is_within(contender, 5, 4),
                Place::Proven => is_within(contender, 11, 10),
                Place::Tried | Place::Doubtful | Place::Last | Place::Barred => false,
            })
            .map(|(place, contender)| {
                let draw = contender.received.bid.provider.draw(&call.0);
                (place, (contender.received.prefix, draw))
            })
            .collect();
        let has_bargain = able
            .iter()
            .any(|(place, _)| contenders.get(*place).is_some_and(|contender| is_within(contender, 3, 4)));
        let is_due = match exploration.due() {
            Due::Yes => true,
            Due::ForABargain => has_bargain,
            Due::No => false,
        };
        let is_proven = contenders.first().is_some_and(|best| best.standing.place == Place::Proven);
        let mut by_score = able;
        by_score.sort_by_key(|(place, _)| contenders.get(*place).map(|contender| contender.score));
        let bidders: Vec<(Prefix, u64)> = by_score.iter().map(|(_, bidder)| *bidder).collect();
        let picked = exploration.pick(&bidders).filter(|_| is_due && is_proven);
        let Some((place, _)) = picked.and_then(|picked| by_score.get(picked)) else { return false };
        if let Some(front) = contenders.get_mut(..=*place) {
            front.rotate_right(1);
        }
        true
    }

    /// Returns the winner's price: its own, raised until its score meets the second, within the budget and nine eighths of the
    /// median of what won lately. (`MK-8`)
    ///
    /// Without a second score, or before there is a median, it is paid its own bid: there is nothing to measure it by.
    fn price(&self, rule: Rule, valuation: &Valuation, winner: &Contender, second: Option<Score>) -> Price {
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
    let most = u128::from(median.0).saturating_mul(u128::from(limits::PAID_EIGHTHS_MAX)) / 8;
    let reserve = Price(u64::try_from(most).unwrap_or(u64::MAX));
    price_of(Nano(second.0).saturating_minus(aside), units).min(reserve).max(own)
}

/// Puts the contenders in the order in which they are asked: by place, then by the rule. Scores within a fiftieth of the best of
/// a place are equal and drawn, so that of twins both eat. (`MK-7`, `MK-32`)
fn rank(rule: Rule, call: CallId, contenders: &mut [Contender]) {
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

/// Returns the score that the winner is paid by: the best of another that is proven and of another prefix. (`MK-8`)
fn second(rule: Rule, winner: &Contender, others: &[Contender]) -> Option<Score> {
    let is_independent = |other: &&Contender| {
        rule == Rule::SecondScore
            || (other.standing.level > 0 && other.received.prefix != winner.received.prefix)
    };
    others.iter().filter(is_independent).map(|other| other.score).min()
}

fn report(lot: &Lot, received: &ReceivedBid, cost_max: Nano, fate: Fate) -> BidReport {
    let ReceivedBid { bid, prefix, .. } = received;
    let first_token_ms = bid.first_token_ms(lot.input.count());
    BidReport { provider: bid.provider, prefix: *prefix, price: bid.price, cost_max, first_token_ms, fate }
}

/// Returns the highest price at which so many units cost no more than `amount`.
fn price_of(amount: Nano, units: u128) -> Price {
    let price = u128::from(amount.0).saturating_mul(1_000).checked_div(units);
    Price(price.and_then(|price| u64::try_from(price).ok()).unwrap_or(u64::MAX))
}
