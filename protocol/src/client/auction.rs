//! The auction of an order: the bids that come, and the candidates that are left of them.

use crate::ident::{NodeId, Prefix};
use crate::io::{Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::{Auction, BidReport, BidVerdict, Candidate, Source};
use crate::market::bid::{Bid, BidHash};
use crate::market::explore::Trial;
use crate::market::invite::Share;
use crate::market::ranking::{Bidder, Wants, ceiling};
use crate::market::score::{Fate, Lot, Place};
use crate::session::unseal;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{ReleaseReason, SealedBid};
use crate::wire::signed::{Signed, Verified};
use crate::work::order::OrderId;
use crate::work::price::Price;

use super::no_winner::Answers;
use super::progress::Progress;
use super::purchases::Bought;
use super::room::LateBid;
use super::shared::SharedState;

/// Runners-up that are kept warm for a failover; the others are released at once. (`MK-11`, `MK-13`)
const WARM_MAX: usize = 3;

/// Bids that can be awarded, of which a market has two at least: with fewer, more of the crowd are invited. (`MK-17`)
const ABLE_MIN: usize = 2;
/// As many before there is a median of what won: two strangers may be one. (`MK-17`)
const ABLE_FIRST_MIN: usize = 4;

impl Progress {
    /// Invites more by the next call, as the last one brought too few: after a direct one, whom a first call would.
    pub(super) fn widen(&mut self) {
        self.invites = (!self.is_direct).then(|| self.invited.wider());
    }

    /// Returns whether a provider's answer counts: it was called, or is of the part of the crowd that was invited. The others keep
    /// silent where they are honest, and would else be drowned out by those that are not. (`MK-6`, `MK-16`)
    pub(super) fn asks(&self, auction: &Auction, provider: &NodeId) -> bool {
        auction.calls(provider).unwrap_or_else(|| self.invited.invites(&auction.call.0, provider))
    }

    /// Accepts a bid, if it is what it says and fits the order. (`MK-6`)
    ///
    /// # Errors
    /// [`PeerFault`] tells what is wrong with it.
    pub(super) fn on_bid(
        &mut self,
        now: Time,
        from: NodeId,
        prefix: Prefix,
        sealed: &SealedBid,
        auction: &mut Auction,
        shared: &mut SharedState,
    ) -> Result<(), PeerFault> {
        let signed = unseal(&shared.seal_key, &sealed.call.0, &sealed.sealed)
            .ok()
            .and_then(|bytes| codec::decode_sealed::<Signed>(&bytes).ok())
            .ok_or(PeerFault::Malformed)?;
        let bid = signed.open::<Bid>().map(Verified::into_inner).map_err(|_| PeerFault::Forged)?;
        let fits = bid.provider == from
            && bid.call == sealed.call
            && bid.model == self.order.model
            && bid.payee.network_id == shared.config.network_id;
        if !fits {
            return Err(PeerFault::Malformed);
        }
        // What it needs cannot be given: no fault, and no candidate. (`WI-16`)
        if !bid.extensions.are_understood() {
            return Ok(());
        }
        let is_proven = shared.memory.level(&from) > 0;
        if !self.asks(auction, &from) || !auction.hears(from, is_proven) {
            return Ok(());
        }
        let lot = self.lot();
        shared.book.bid(now, prefix, is_proven, lot.classes(), &bid);
        let stands = self.standing(now, &lot, &bid, prefix, shared);
        let (left, wait) = (self.deadline.since(now).as_ms(), bid.first_token_ms(lot.input.count()));
        if wait >= left && stands.refused.is_none() {
            let answer = shared.memory.purchases.output_tokens(&bid.model, &lot);
            // Of the strangers of one prefix one is believed, as of their bids. (`MK-51`)
            let is_neighbour = |other: &LateBid| !other.is_proven && other.prefix == prefix;
            if is_proven || !self.late.iter().any(is_neighbour) && self.late.len() < limits::BIDS_MAX {
                self.late.push(LateBid::of(&bid, (prefix, is_proven), lot.input.count(), answer, left));
            }
            auction.decline(&from, prefix, is_proven);
            return Ok(());
        }
        let named = self.order.preferences.named();
        let is_asked = !self.failed.contains(&from)
            && stands.refused.is_none()
            && named.is_none_or(|named| named.contains(&from));
        let is_left_alone =
            matches!(stands.place, Place::Last | Place::Barred) || stands.refused == Some(Fate::NotWanted);
        let bidder = match stands.level {
            _ if is_left_alone => Bidder::LeftAlone,
            _ if !is_asked => Bidder::Unasked,
            0 if shared.config.market.quota => Bidder::Unproven,
            _ => Bidder::Proven,
        };
        if auction.accept(bid, BidHash::of(&signed), prefix, bidder) == BidVerdict::Surplus {
            shared.outbox.release(from, auction.call, ReleaseReason::Unfit);
        }
        Ok(())
    }

    /// Scores the bids once, keeps the best as candidates, and releases the others. Returns why the order must end, if
    /// nobody is left to ask and another call would not help.
    pub(super) fn on_auction_end(
        &mut self,
        now: Time,
        id: OrderId,
        mut auction: Auction,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        let call = auction.call;
        if self.is_direct
            && let Some(bought) = shared.memory.purchases.of_mut(self.order.model)
        {
            // What was no answer in time, or no bid, is no market.
            bought.direct.learn(auction.count() >= ABLE_MIN);
        }
        let (late, declines) = (core::mem::take(&mut self.late), self.refusals.take_declined());
        if auction.count() > 0 || !late.is_empty() || !declines.is_empty() {
            self.silent_since = None;
        } else if !self.is_direct && self.invited >= Share::ALL {
            self.silent_since.get_or_insert(self.called_at);
            shared.book.unanswered(&self.order.model, self.called_at);
        }
        let by = auction.take_answered();
        if auction.count() == 0 {
            if self.count.doubt() {
                self.widen();
                return None;
            }
            let heard_all = self.has_heard_all(now, &by, shared);
            let full = self.appointment(now, call, &late, heard_all, shared);
            return full.or_else(|| self.on_no_bids(now, id, &declines, !late.is_empty(), heard_all, shared));
        }
        let lot = self.lot();
        let wants = self.wants(now, &lot, &auction, shared);
        let may_wait_for = |bid: &LateBid| {
            bid.price <= wants.price_max && lot.cost_max(bid.price).is_some_and(|most| most <= wants.budget)
        };
        let is_full = late.iter().any(may_wait_for);
        let mut outcome = auction.close(&wants, |bid, prefix| self.standing(now, &lot, bid, prefix, shared));
        let is_asked = !outcome.candidates.is_empty();
        // Those that are too dear are as good as not there where another only has no time yet. (`MK-50`)
        let is_dear = |bid: &BidReport| matches!(bid.fate, Fate::OverBudget | Fate::OverCeiling { .. });
        let is_only = is_full && outcome.reports.iter().all(is_dear);
        let able_min = if self.is_direct || wants.median.is_some() { ABLE_MIN } else { ABLE_FIRST_MIN };
        // Where a bid can be taken and none came too late, it does not matter.
        let heard_all = (!is_asked || !late.is_empty()) && self.has_heard_all(now, &by, shared);
        let full = self.appointment(now, call, &late, is_only && heard_all, shared);
        if !late.is_empty() || outcome.reports.iter().any(|bid| !self.out.contains(&bid.provider)) {
            self.refusals.somebody_bids();
        }
        if outcome.candidates.len() < able_min && self.invited < Share::ALL {
            // One bid of a part of the crowd is no market: more are asked at once. (`MK-17`)
            for Candidate { bid, .. } in &outcome.candidates {
                shared.outbox.release(bid.provider, call, ReleaseReason::TooLate);
            }
            self.widen();
            if !self.is_direct {
                self.back_off.forget_call();
            }
            outcome.candidates.clear();
            // Nobody has won yet: the next call's account has those that could be taken.
            outcome
                .reports
                .retain(|report| !matches!(report.fate, Fate::Won { .. } | Fate::Outscored { .. }));
        }
        if let Some(tried) = outcome.candidates.first().filter(|first| first.source == Source::Trial) {
            let is_known = shared.memory.level(&tried.bid.provider) > 0;
            if let Some(Bought { exploration, .. }) = shared.memory.purchases.of_mut(self.order.model) {
                exploration.tries(tried.prefix);
                if is_known {
                    exploration.learn(Trial::Known);
                }
            }
        }
        let losers = outcome.candidates.split_off(outcome.candidates.len().min(WARM_MAX));
        let release: Vec<(NodeId, ReleaseReason)> = outcome
            .reports
            .iter()
            .filter_map(|report| Some((report.provider, why_released(report.fate)?)))
            .chain(outcome.unread.iter().map(|unread| (*unread, ReleaseReason::Unfit)))
            .collect();
        self.candidates = outcome.candidates.into();
        let reports = outcome.reports;
        let why = if is_asked || self.count.doubt() {
            None
        } else {
            let answers = Answers { reports: &reports, declines: &declines, late: &late, by: &by };
            full.or_else(|| self.why_nobody(now, &answers, is_only, heard_all, shared))
        };
        shared.outbox.order_news(id, OrderNews::Bids(reports));
        for (provider, why) in release {
            shared.outbox.release(provider, call, why);
        }
        for loser in &losers {
            shared.outbox.release_loser(loser);
        }
        why
    }

    /// Returns what the order wants, and what its client goes by at the end of an auction.
    fn wants<'a>(&'a self, now: Time, lot: &Lot, auction: &Auction, shared: &'a SharedState) -> Wants<'a> {
        let (model, SharedState { memory, config, .. }) = (&self.order.model, shared);
        let bought = memory.purchases.of(model);
        let median = memory.purchases.won_lately(model);
        let price_max = if self.is_direct && median.is_none() {
            // Whoever is called for what it asks is held to what is asked here: a low ask is free.
            let asked = shared.book.median(now, model, |seller| shared.has_served(seller)).map(ceiling);
            self.order.price_max.into_iter().chain(asked).min()
        } else {
            let rivals = auction.rivals(|provider| shared.has_served(provider));
            shared.price_max(&self.order, &rivals)
        };
        Wants {
            lot: *lot,
            output_tokens: memory.purchases.output_tokens(model, lot),
            tier: self.order.tier,
            budget: self.budget(),
            price_max: price_max.unwrap_or(Price(u64::MAX)),
            nano_per_ms: self.order.nano_per_ms,
            median,
            failed: &self.failed,
            // A try is no reason to pass over one that the user has named.
            explores: bought
                .map(|bought| &bought.exploration)
                .filter(|_| config.market.quota && self.order.preferences.order.is_empty()),
            is_small: memory.purchases.is_small(model, lot),
        }
    }
}

/// Returns why a bid that cannot be awarded is given back.
const fn why_released(fate: Fate) -> Option<ReleaseReason> {
    match fate {
        Fate::Won { .. } | Fate::Outscored { .. } => None,
        Fate::OverBudget | Fate::OverCeiling { .. } => Some(ReleaseReason::OverBudget),
        Fate::WeakerTier | Fate::FailedBefore | Fate::NotWanted | Fate::Unpayable { .. } => {
            Some(ReleaseReason::Unfit)
        }
    }
}
