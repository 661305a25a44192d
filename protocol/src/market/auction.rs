//! One auction at the client: gathers the bids of a call, awards once, and keeps why each lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Nano;
use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::{Bid, BidHash};
use crate::market::call::{CallId, Classes};
use crate::market::invite::Enough;
use crate::market::ranking::{Bidder, Contender, ReceivedBid, Rival, Rule, Wants, rank, second};
use crate::market::score::{Fate, Lot, Standing};
use crate::time::Time;
use crate::work::price::Price;

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
    /// Those that were called besides a part of the crowd. (`MK-17`)
    besides: Vec<NodeId>,
    /// Those that have answered: each has one word.
    answered: BTreeSet<NodeId>,
    /// Answers of proven providers that are no bids, or bids that cannot be taken.
    declined: BTreeMap<Prefix, usize>,
    /// Bids that were not read.
    unread: usize,
    rule: Rule,
}

/// What becomes of a bid as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BidVerdict {
    /// It is scored at the end, if there is room for it then.
    Kept,
    /// There is no room for it: its bidder is told.
    Surplus,
    /// It counts for nothing, and nobody is told: its bidder was not called or has bid before, or too many were told.
    Ignored,
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
            besides: Vec::new(),
            answered: BTreeSet::new(),
            declined: BTreeMap::new(),
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

    /// Returns the same auction of a call that went to these besides. (`MK-17`)
    #[must_use]
    pub fn beside(self, besides: Vec<NodeId>) -> Self {
        Self { besides, ..self }
    }

    /// Returns whether a provider was called directly; nothing where everybody was, or a part of the crowd.
    #[must_use]
    pub fn calls(&self, provider: &NodeId) -> Option<bool> {
        if self.besides.contains(provider) {
            return Some(true);
        }
        self.called.as_ref().map(|(called, _)| called.contains(provider))
    }

    /// Notes that a provider answers the call. Returns whether it is its first word: a second one counts for nothing. Of strangers
    /// no more are heard than answer a seek. (`MK-6`)
    pub fn hears(&mut self, provider: NodeId, is_proven: bool) -> bool {
        if is_proven || self.answered.len() < limits::ASKS_MAX {
            return self.answered.insert(provider);
        }
        // Whoever says more than there is room for keeps no other out.
        let mut bids = self.bids.iter().chain(&self.beyond);
        !self.answered.contains(&provider) && !bids.any(|received| received.bid.provider == provider)
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

    /// Accepts a verified bid that was heard ([`Self::hears`]). Past [`limits::BIDS_MAX`] of its kind none does, nor past the
    /// few of its prefix, unless everybody was invited and no other prefix bids. (`MK-6`, `MK-51`)
    pub fn accept(&mut self, bid: Bid, hash: BidHash, prefix: Prefix, bidder: Bidder) -> BidVerdict {
        if !self.counts(&bid.provider) {
            return BidVerdict::Ignored;
        }
        let alike = || self.bids.iter().filter(|received| received.bidder == bidder);
        let neighbours = alike().filter(|received| received.prefix == prefix).count();
        let has_room = match bidder {
            Bidder::Proven => neighbours < limits::BIDS_A_PREFIX_MAX,
            Bidder::Unproven => neighbours == 0,
            Bidder::Unasked | Bidder::LeftAlone => true,
        };
        let is_full = alike().count() >= limits::BIDS_MAX;
        let received = ReceivedBid { bid, hash, prefix, bidder };
        if has_room && !is_full {
            self.bids.push(received);
            BidVerdict::Kept
        } else if self.invites_all && !is_full && self.beyond.len() < limits::BIDS_MAX {
            self.beyond.push(received);
            BidVerdict::Kept
        } else {
            self.unread = self.unread.saturating_add(1);
            if self.unread > limits::BIDS_MAX { BidVerdict::Ignored } else { BidVerdict::Surplus }
        }
    }

    /// Notes that somebody answered who cannot be awarded.
    pub fn decline(&mut self, provider: &NodeId, prefix: Prefix, is_proven: bool) {
        if self.counts(provider) && is_proven {
            let of_prefix = self.declined.entry(prefix).or_default();
            *of_prefix = of_prefix.saturating_add(1);
        }
    }

    /// Returns those that have answered the call, and forgets them: nobody is heard any more.
    #[must_use]
    pub fn take_answered(&mut self) -> BTreeSet<NodeId> {
        core::mem::take(&mut self.answered)
    }

    /// Returns whether nothing is worth waiting for any more. (`MK-20`)
    #[must_use]
    pub fn has_enough(&self) -> bool {
        if let Some((_, awaited)) = &self.called {
            return awaited.is_empty();
        }
        let of = |bidder: Bidder| self.bids.iter().filter(|received| received.bidder == bidder).count();
        // Of the words of a prefix no more count than of its bids. (`MK-51`)
        let declined = self.declined.iter().map(|(prefix, count)| {
            let bids = self.bids.iter().filter(|bid| bid.bidder == Bidder::Proven && bid.prefix == *prefix);
            (*count).min(limits::BIDS_A_PREFIX_MAX.saturating_sub(bids.count()))
        });
        let proven = of(Bidder::Proven).saturating_add(declined.sum());
        let all = proven.saturating_add(of(Bidder::Unproven));
        !self.bids.is_empty() && proven >= self.enough.proven && all >= self.enough.all
    }

    /// Returns how many bids were taken.
    #[must_use]
    pub fn count(&self) -> usize {
        self.bids.len()
    }

    /// Returns what those ask that are not left alone, whether or not they can be asked: it bounds others. (`MK-52`)
    #[must_use]
    pub fn rivals(&self, has_served: impl Fn(&NodeId) -> bool) -> Vec<Rival> {
        let bids = self.bids.iter().filter(|received| received.bidder != Bidder::LeftAlone);
        bids.map(|ReceivedBid { bid, prefix, .. }| Rival {
            prefix: *prefix,
            price: bid.price,
            has_served: has_served(&bid.provider),
        })
        .collect()
    }

    fn prefixes_of(&self, counts: impl Fn(&ReceivedBid) -> bool) -> usize {
        self.bids.iter().filter(|bid| counts(bid)).map(|bid| bid.prefix).collect::<BTreeSet<Prefix>>().len()
    }

    /// Scores every bid once, by what `stands` says the client knows of each bidder. (`MK-7`, `MK-8`, `MK-13`, `MK-32`)
    #[must_use]
    pub fn close(mut self, wants: &Wants<'_>, stands: impl Fn(&Bid, Prefix) -> Standing) -> Outcome {
        let (call, classes, rule) = (self.call, self.classes, self.rule);
        if self.prefixes_of(|bid| matches!(bid.bidder, Bidder::Proven | Bidder::Unproven)) <= 1 {
            self.bids.append(&mut self.beyond);
        }
        let (mut able, mut unable) = (Vec::new(), Vec::new());
        for received in self.bids {
            let standing = stands(&received.bid, received.prefix);
            let cost_max = wants.lot.cost_max(received.bid.price).unwrap_or(Nano(u64::MAX));
            match wants.refuses(&received.bid, &standing, cost_max) {
                Some(fate) => unable.push((received, standing, cost_max, fate)),
                None => able.push((received, standing, cost_max)),
            }
        }
        let valuation = wants.valuation(able.iter().map(|(received, ..)| received.bid.price).min());
        let mut contenders = Vec::with_capacity(able.len());
        for (received, standing, cost_max) in able {
            match valuation.score(&received.bid, &standing) {
                Some(score) => contenders.push(Contender { score, cost_max, standing, received }),
                None => unable.push((received, standing, cost_max, Fate::OverBudget)),
            }
        }
        rank(rule, call, &mut contenders);
        let explores = wants.put_first(call, &mut contenders);
        // What is too dear for this order is what it costs elsewhere all the same: else a budget would choose the second.
        let dear =
            unable.iter().filter(|(.., fate)| fate.is_for_price()).filter_map(|(received, standing, ..)| {
                Some((received.prefix, standing.level, valuation.score(&received.bid, standing)?))
            });
        let second = contenders.split_first().and_then(|(winner, others)| {
            let able = others.iter().map(|other| (other.received.prefix, other.standing.level, other.score));
            second(rule, winner.received.prefix, able.chain(dear))
        });
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
        unable.sort_by_key(|(received, _, cost_max, _)| (*cost_max, received.bid.provider));
        let lot = &wants.lot;
        reports.extend(
            unable.into_iter().map(|(received, _, cost_max, fate)| report(lot, &received, cost_max, fate)),
        );
        let unread = self.beyond.iter().map(|received| received.bid.provider).collect();
        Outcome { candidates, reports, unread }
    }
}

fn report(lot: &Lot, received: &ReceivedBid, cost_max: Nano, fate: Fate) -> BidReport {
    let ReceivedBid { bid, prefix, .. } = received;
    let first_token_ms = bid.first_token_ms(lot.input.count());
    BidReport { provider: bid.provider, prefix: *prefix, price: bid.price, cost_max, first_token_ms, fate }
}
