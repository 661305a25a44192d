//! The auction of an order: the call that opens it, the bids that come, and the candidates that are left of it.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::ident::{NodeId, Prefix};
use crate::io::{Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::{Auction, BidReport, BidVerdict, Candidate, Source};
use crate::market::bid::{Bid, BidHash};
use crate::market::call::CallId;
use crate::market::explore::Trial;
use crate::market::invite::Share;
use crate::market::ranking::{Bidder, Wants};
use crate::market::score::{Fate, Lot, Place};
use crate::session::unseal;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{Refusal, Release, ReleaseReason, SealedBid, ToProvider};
use crate::wire::signed::{Signed, Verified};
use crate::work::order::OrderId;
use crate::work::price::Price;

use super::memory::Bought;
use super::progress::Progress;
use super::room::{LateBid, Room};
use super::shared::{SharedState, Survey};
use super::verdict::{longest_challenge, passes, standing};

/// Runners-up that are kept warm for a failover; the others are released at once. (`MK-11`, `MK-13`)
const WARM_MAX: usize = 3;

/// Bids that can be awarded, of which a market has two at least: with fewer, more of the crowd are invited. (`MK-17`)
const ABLE_MIN: usize = 2;
/// As many before there is a median of what won: two strangers may be one. (`MK-17`)
const ABLE_FIRST_MIN: usize = 4;

impl Progress {
    /// Invites more by the next call, as the last one brought too few: after a direct one, whom a first call would.
    fn widen(&mut self) {
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
        if !self.asks(auction, &from) {
            return Ok(());
        }
        let lot = self.lot();
        shared.book.bid(now, prefix, shared.memory.level(&from) > 0, lot.classes(), &bid);
        let stands = standing(now, &lot, &self.order.preferences, &bid, prefix, shared);
        let (left, wait) = (self.deadline.since(now).as_ms(), bid.first_token_ms(lot.input.count()));
        if wait >= left && stands.refused.is_none() {
            let answer = shared.memory.output_tokens(&bid.model, &lot);
            if self.late.len() < limits::BIDS_MAX {
                self.late.push(LateBid::of(&bid, lot.input.count(), answer, left));
            }
            auction.decline(&from, shared.memory.level(&from) > 0);
            return Ok(());
        }
        let named = self.order.preferences.named();
        let is_asked = !self.failed.contains(&from)
            && stands.refused.is_none()
            && stands.place != Place::Last
            && named.is_none_or(|named| named.contains(&from));
        let bidder = match stands.level {
            _ if !is_asked => Bidder::LeftAlone,
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
        auction: Auction,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        let call = auction.call;
        if self.is_direct
            && let Some(bought) = shared.memory.bought(self.order.model)
        {
            // What was no answer in time, or no bid, is no market.
            bought.direct.learn(auction.count() >= ABLE_MIN);
        }
        let (late, declines) = (core::mem::take(&mut self.late), core::mem::take(&mut self.declines));
        let full = self.appointment(now, call, &late, auction.count() == 0, shared);
        if auction.count() > 0 || !late.is_empty() || !declines.is_empty() {
            self.silent_since = None;
        } else if !self.is_direct && self.invited >= Share::ALL {
            self.silent_since.get_or_insert(self.called_at);
            shared.book.unanswered(&self.order.model, self.called_at);
        }
        if auction.count() == 0 {
            if full.is_some() {
                return full;
            }
            if let Some(ends) = self.on_declines(&declines) {
                return ends;
            }
            if self.is_direct {
                self.widen();
                return None;
            }
            let why = self.why_silent(now, shared);
            self.obstacle = Some(why);
            shared.outbox.order_news(id, OrderNews::Bids(Vec::new()));
            // Silence of a part says little: only that of everybody counts.
            let was_last = self.invited >= Share::ALL;
            self.widen();
            let is_unsold = matches!(why, Failure::NotConnected | Failure::NoSeller { .. });
            if !was_last || (is_unsold && self.unanswered > 0) {
                // Nor does that of nobody: it is soon over.
                self.back_off.forget_call();
            } else {
                self.unanswered = self.unanswered.saturating_add(1);
            }
            return (is_unsold && was_last && self.is_hopeless()).then_some(why);
        }
        let lot = self.lot();
        let wants = self.wants(now, &lot, auction.prefixes(), shared);
        let mut outcome = auction
            .close(&wants, |bid, prefix| standing(now, &lot, &self.order.preferences, bid, prefix, shared));
        let is_asked = !outcome.candidates.is_empty();
        let able_min = if self.is_direct || wants.median.is_some() { ABLE_MIN } else { ABLE_FIRST_MIN };
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
            if let Some(Bought { exploration, .. }) = shared.memory.bought(self.order.model) {
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
            .filter_map(|report| match report.fate {
                Fate::Won { .. } | Fate::Outscored { .. } => None,
                Fate::OverBudget | Fate::OverCeiling { .. } => {
                    Some((report.provider, ReleaseReason::OverBudget))
                }
                Fate::WeakerTier
                | Fate::FailedBefore
                | Fate::NotWanted
                | Fate::LongChallenge { .. }
                | Fate::LocksTooMuch { .. } => Some((report.provider, ReleaseReason::Unfit)),
            })
            .chain(outcome.unread.iter().map(|unread| (*unread, ReleaseReason::Unfit)))
            .collect();
        self.candidates = outcome.candidates.into();
        let reports = outcome.reports;
        let why = if is_asked { None } else { self.why_nobody(now, &reports, shared) };
        shared.outbox.order_news(id, OrderNews::Bids(reports));
        for (provider, why) in release {
            shared.outbox.release(provider, call, why);
        }
        for loser in &losers {
            shared.outbox.release_loser(loser);
        }
        why
    }

    /// Returns why nobody answered a call, as far as those that sell have been looked up since the order came. (`MK-65`)
    fn why_silent(&self, now: Time, shared: &SharedState) -> Failure {
        match shared.survey.filter(|survey| survey.at >= self.started) {
            Some(Survey { peers: 0, .. }) => Failure::NotConnected,
            Some(_) if !self.is_offered(now, shared) => shared.no_seller(now, &self.order.model),
            Some(_) | None => Failure::NoBids,
        }
    }

    /// Returns whether anybody offers the model by an ask that counts: none does once an order has met with silence for as long as
    /// an ask stands. (`MK-65`)
    fn is_offered(&self, now: Time, shared: &SharedState) -> bool {
        let is_heard = self.silent_since.is_none_or(|since| now < since + limits::ASK_VALID);
        is_heard && shared.book.is_offered(now, &self.order.model)
    }

    /// Returns whether an order whose model nobody sells need not wait for it any longer: nobody ever took it. (`MK-65`)
    fn is_hopeless(&self) -> bool {
        !self.was_awarded && self.had_grace()
    }

    /// Returns whether who has just come had a moment before the last call.
    fn had_grace(&self) -> bool {
        self.called_at >= self.started + limits::SELLER_GRACE
    }

    /// Gives the bids back that come too late, with the time at which this order comes back where there is none in time. Returns
    /// that. (`MK-50`)
    fn appointment(
        &mut self,
        now: Time,
        call: CallId,
        late: &[LateBid],
        is_only: bool,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        self.room = Some(Room::of(now, late)?);
        let wait = late.iter().map(|bid| bid.wait).min().unwrap_or_default();
        // A foretold wait may be too long by half: an order that has about as much time goes on asking.
        let is_hopeless = wait.0 / limits::WAIT_TIMES_HOPED >= self.deadline.since(now).0;
        // A part of the crowd says little of the rest.
        let all_say_so = is_only && self.invited >= Share::ALL && self.last_failure.is_none_or(passes);
        let ends = all_say_so && is_hopeless;
        let full = ends.then(|| self.full(now, shared));
        let come_back_s = if let Some(Failure::Full { come_back_s, .. }) = full { come_back_s } else { 0 };
        for bid in late {
            let release = Release {
                come_back_ms: come_back_s.saturating_mul(1_000),
                ..Release::of(call, ReleaseReason::TooLate)
            };
            shared.outbox.send_to_provider(bid.provider, ToProvider::Release(release));
        }
        // Where it does not end now, the appointment is made when it does.
        self.obstacle = full.or(Some(Failure::Full { bids: 0, come_back_s: 0 }));
        full
    }

    /// Learns from those that said why they do not bid, where everybody was asked: an answer that is too long is narrowed, and what
    /// is refused for what it is ends the order as `MK-47` says. Returns how it goes on, if they said anything of use. (`MK-49`)
    fn on_declines(&mut self, declines: &[Refusal]) -> Option<Option<Failure>> {
        if self.invited < Share::ALL {
            return None;
        }
        let context = declines
            .iter()
            .filter_map(|why| if let Refusal::OverContext(limit) = why { Some(*limit) } else { None });
        if let Some(context) = context.max()
            && self.narrow(context)
        {
            self.invites = Some(self.invited);
            self.back_off.forget_call();
            return Some(None);
        }
        let mut finals = declines.iter().filter(|why| why.is_final());
        let why = Failure::Refused(*finals.next()?);
        let others = u32::try_from(finals.count()).unwrap_or(u32::MAX);
        // One alone is asked once more: it may be the first to answer, and lie.
        self.final_refusals = self.final_refusals.saturating_add(others).saturating_add(1);
        let ends = self.final_refusals >= limits::FINAL_REFUSALS;
        self.obstacle = Some(why);
        ends.then_some(Some(why))
    }

    /// Returns what the order wants, and what its client goes by, where bids came from so many prefixes.
    fn wants<'a>(&'a self, now: Time, lot: &Lot, prefixes: usize, shared: &'a SharedState) -> Wants<'a> {
        let (model, SharedState { memory, config, .. }) = (&self.order.model, shared);
        let bought = memory.model(model);
        let median = bought.and_then(|bought| bought.history.median_bid());
        let ceiling = |usual: Price| Price(usual.0.saturating_mul(limits::CEILING_TIMES));
        let has_ceiling = config.market.ceiling && prefixes < limits::MARKET_PREFIXES_MIN;
        let price_max = if self.is_direct && median.is_none() {
            // Whoever is called for what it asks is held to what is asked here: a low ask is free.
            let asked = shared.book.median(now, model).map(ceiling);
            self.order.price_max.into_iter().chain(asked).min()
        } else {
            self.order.price_max.or(median.map(ceiling).filter(|_| has_ceiling))
        };
        Wants {
            lot: *lot,
            output_tokens: memory.output_tokens(model, lot),
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
            is_small: memory.is_small(model, lot),
        }
    }

    /// Notes why none of the bids can be taken. Returns why the order must end for it, if another call would bring no other
    /// bids.
    fn why_nobody(&mut self, now: Time, reports: &[BidReport], shared: &mut SharedState) -> Option<Failure> {
        self.widen();
        let lowest =
            reports.iter().filter(|report| report.fate == Fate::OverBudget).map(|r| r.cost_max).min();
        let tier = reports.iter().any(|report| report.fate == Fate::WeakerTier);
        let challenge = reports.iter().find_map(|report| {
            if let Fate::LongChallenge { asks_s } = report.fate { Some(asks_s) } else { None }
        });
        let locks = reports.iter().filter_map(|report| {
            if let Fate::LocksTooMuch { needs } = report.fate { Some(needs) } else { None }
        });
        let needs = locks.min().unwrap_or(Nano::ZERO);
        let dear = reports.iter().filter_map(|report| {
            if let Fate::OverCeiling { most } = report.fate { Some((report.price, most)) } else { None }
        });
        let why = match (lowest, dear.min(), challenge) {
            (Some(lowest), ..) => Failure::OverBudget { lowest },
            (None, Some((lowest, most)), _) => Failure::OverCeiling { lowest, most },
            (None, None, _) if tier => Failure::NoTier(self.order.tier),
            _ if reports.iter().all(|report| report.fate == Fate::NotWanted) => {
                Failure::NotWanted { others: u32::try_from(reports.len()).unwrap_or(u32::MAX) }
            }
            (None, None, Some(wanted_s)) => {
                let most_s = longest_challenge(&shared.config, 0);
                let too_long = Failure::Payment(PaymentFault::ChallengeTooLong { wanted_s, most_s });
                self.last_failure.unwrap_or(too_long)
            }
            (None, None, None) if needs > Nano::ZERO => {
                let most = shared.config.policy.strangers_locked_max;
                Failure::Payment(PaymentFault::StrangersLocked { needs, most })
            }
            (None, None, None) => {
                // All that bid failed this order: they are asked again where nobody else is left, unless they are left alone
                // for what they did.
                self.failed.clear();
                let memory = &shared.memory;
                let failed = reports.iter().filter(|report| report.fate == Fate::FailedBefore);
                let again = failed.map(|bid| memory.asked_again_at(now, &bid.provider, bid.prefix));
                let again_at = again.min().unwrap_or(now);
                self.asked_again_at = again_at;
                self.obstacle = Some(Failure::left_alone(now, again_at));
                // Nobody is asked again before the order's time is over, and who has just come had a moment. (`MK-65`)
                let is_vain = self.invited >= Share::ALL && again_at >= self.deadline && self.had_grace();
                let over = is_vain.then(|| self.why_over(now, shared));
                return self.last_failure.filter(is_final).or(over);
            }
        };
        self.obstacle = Some(why);
        let is_last = self.invited >= Share::ALL;
        match lowest {
            // `max_tokens` is a limit: an answer that the budget pays for is better than none.
            Some(lowest) if is_last && self.shorten(lowest) => None,
            _ => is_last.then_some(why),
        }
    }
}

/// Returns whether a provider refused the task for what it is, so that every other one would. (`MK-47`)
pub(super) const fn is_final(why: &Failure) -> bool {
    matches!(why, Failure::Refused(refusal) if refusal.is_final())
}
