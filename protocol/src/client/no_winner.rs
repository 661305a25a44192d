//! What follows where an auction has no winner: whom the next call invites, when the order may come back, and why it ends.

use std::collections::BTreeSet;

use crate::ident::NodeId;
use crate::io::{Failure, OrderNews};
use crate::limits;
use crate::market::auction::BidReport;
use crate::market::call::CallId;
use crate::market::invite::Share;
use crate::market::score::Fate;
use crate::time::{Span, Time};
use crate::wire::message::{Refusal, Release, ReleaseReason, ToProvider};
use crate::work::order::OrderId;

use super::obstacles;
use super::progress::Progress;
use super::refusals::{self, Statement};
use super::room::{LateBid, Room};
use super::shared::{SharedState, Survey};
use super::verdict::passes;

/// What came back of a call for which there were bids.
pub(super) struct Answers<'a> {
    /// The bids that were read, and what became of them.
    pub(super) reports: &'a [BidReport],
    /// Why others did not bid.
    pub(super) declines: &'a [Statement],
    /// The bids that came too late.
    pub(super) late: &'a [LateBid],
    /// Who has answered at all.
    pub(super) by: &'a BTreeSet<NodeId>,
}

impl Progress {
    /// Prepares the next call where no bid came in time. Returns why the order must end, if another call would not help.
    pub(super) fn on_no_bids(
        &mut self,
        now: Time,
        id: OrderId,
        declines: &[Statement],
        has_late: bool,
        heard_all: bool,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        if has_late {
            self.refusals.somebody_bids();
        } else if let Some(ends) = self.on_declines(declines, heard_all) {
            return ends;
        }
        if self.is_direct {
            self.widen();
            return None;
        }
        let why = self.why_silent(now, shared);
        shared.outbox.order_news(id, OrderNews::Bids(Vec::new()));
        // Silence of a part says little: only that of everybody counts, and of whoever had time to speak.
        let was_last = self.invited >= Share::ALL;
        let had_time = now >= self.called_at + shared.config.bid_window;
        if !has_late && (why != Failure::NoBids || (was_last && had_time)) {
            self.obstacle = Some(why);
        }
        self.widen();
        let is_unsold = !has_late && matches!(why, Failure::NotConnected | Failure::NoSeller { .. });
        if !was_last || (is_unsold && self.unanswered > 0) {
            // Nor does that of nobody: it is soon over.
            self.back_off.forget_call();
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
        }
        (is_unsold && was_last && self.is_hopeless()).then_some(why)
    }

    /// Returns why nobody answered a call, as far as those that sell have been looked up since the order came. (`MK-65`)
    fn why_silent(&self, now: Time, shared: &SharedState) -> Failure {
        match shared.survey.filter(|survey| survey.at >= self.started) {
            // A peer that has left since is one all the same: its going is the cause, and no lack of peers.
            Some(Survey { alone_since: Some(since), .. }) if since <= self.started => Failure::NotConnected,
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

    /// Returns whether everybody that is known to sell the model has answered, or had a moment for it: what those say that have come
    /// first ends no order that another would serve. (`MK-15`)
    pub(super) fn has_heard_all(&self, now: Time, by: &BTreeSet<NodeId>, shared: &SharedState) -> bool {
        if self.had_grace() {
            return true;
        }
        let model = &self.order.model;
        let sellers = shared.book.sellers(now, model);
        let proven = shared.memory.proven(model).map(|(provider, _)| provider);
        let known: BTreeSet<&NodeId> = sellers.iter().map(|seller| &seller.provider).chain(proven).collect();
        // Who has just bid is known for it: where they are all strangers, others have half of that moment.
        let had_half = self.called_at >= self.started + Span(limits::SELLER_GRACE.0 / 2);
        let is_market = had_half || known.iter().any(|seller| shared.has_served(seller));
        is_market && known.into_iter().all(|seller| by.contains(seller))
    }

    /// Returns those that the order's user names and that are known to sell its model.
    fn named_sellers(&self, now: Time, shared: &SharedState) -> Vec<NodeId> {
        let model = &self.order.model;
        let sellers = shared.book.sellers(now, model).into_iter().map(|seller| seller.provider);
        let known: BTreeSet<NodeId> = sellers.collect();
        let named = self.order.preferences.named().unwrap_or_default();
        named.iter().filter(|provider| known.contains(provider)).copied().collect()
    }

    /// Gives the next call twice the time where not everybody has answered the last one: who is slow is heard as well. (`MK-15`)
    fn waits_longer(&mut self, heard_all: bool) {
        self.unanswered = self.unanswered.max(u32::from(!heard_all));
    }

    /// Returns whether who has just come had a moment before the last call.
    fn had_grace(&self) -> bool {
        self.called_at >= self.started + limits::SELLER_GRACE
    }

    /// Gives the bids back that come too late, with the time at which this order comes back where there is none in time. Returns
    /// that. (`MK-50`)
    pub(super) fn appointment(
        &mut self,
        now: Time,
        call: CallId,
        late: &[LateBid],
        is_only: bool,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        self.room = Some(Room::of(now, late)?);
        let left = self.deadline.since(now);
        let is_hopeless = !late.iter().any(|bid| bid.may_be_in_time(left));
        // A part of the crowd says little of the rest.
        let all_say_so = is_only && self.invited >= Share::ALL && self.last_failure.is_none_or(passes);
        let ends = all_say_so && is_hopeless;
        // Who has no time to read it, by its word, has none for it later: no appointment would be kept.
        let is_too_long = late.iter().all(|bid| bid.reading >= self.order.deadline);
        let full = (ends && !is_too_long).then(|| self.full(now, shared));
        let come_back_s = if let Some(Failure::Full { come_back_s, .. }) = full { come_back_s } else { 0 };
        for bid in late {
            let release = Release {
                come_back_ms: come_back_s.saturating_mul(1_000),
                ..Release::of(call, ReleaseReason::TooLate)
            };
            shared.outbox.send_to_provider(bid.provider, ToProvider::Release(release));
        }
        if is_too_long {
            self.obstacle = Some(Failure::Deadline);
            return ends.then_some(Failure::Deadline);
        }
        // Where it does not end now, the appointment is made when it does.
        self.obstacle = full.or(Some(Failure::Full { bids: 0, come_back_s: 0, answer_s: None }));
        full
    }

    /// Learns from those that said why they do not bid, where everybody was asked and nobody bids. Once they are believed, an answer
    /// that is too long is narrowed, and what is refused for what it is ends the order. Returns how it goes on, if they said anything
    /// of use. (`MK-47`, `MK-49`)
    fn on_declines(&mut self, declines: &[Statement], heard_all: bool) -> Option<Option<Failure>> {
        if self.invited < Share::ALL {
            return None;
        }
        let why = Failure::Refused(refusals::cause(declines)?);
        self.obstacle = Some(why);
        self.invites = Some(self.invited);
        // Another that sells may be away for a moment, or slow.
        self.waits_longer(heard_all);
        if !self.refusals.nobody_else_bids(declines, heard_all) {
            return Some(None);
        }
        let lot = self.lot();
        let most = lot.input.count().saturating_add(lot.output_tokens_max);
        if let Some(context) = refusals::context(declines, most)
            && self.narrow(context)
        {
            self.back_off.forget_call();
            return Some(None);
        }
        Some(Some(why))
    }

    /// Notes why none of the bids can be taken. Returns why the order must end for it, if another call would bring no other
    /// bids: those that came too late may be in time then, and those that failed it are asked again unless they refused it for what
    /// it is.
    pub(super) fn why_nobody(
        &mut self,
        now: Time,
        answers: &Answers<'_>,
        is_full: bool,
        heard_all: bool,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        let Answers { reports, declines, late, by } = *answers;
        self.widen();
        self.waits_longer(heard_all);
        let is_last = self.invited >= Share::ALL;
        let dear = reports.iter().filter_map(|report| {
            if let Fate::OverCeiling { most } = report.fate { Some((report.price, most)) } else { None }
        });
        let dear = dear.min().map(|(lowest, most)| Failure::OverCeiling { lowest, most });
        let why = match obstacles::commonest(reports, declines, self.order.tier, |ceiling| {
            self.least(ceiling)
        }) {
            Some(why) => why,
            // Where one that the order wants has failed it, that is the cause, and not that it wants no other.
            None if reports.iter().all(|report| report.fate == Fate::NotWanted) => match self.last_failure {
                Some(_) if self.delivered_count() > 0 => self.why_cut(false),
                Some(failed) => failed,
                None => Failure::NotWanted { others: u32::try_from(reports.len()).unwrap_or(u32::MAX) },
            },
            None => {
                // All that bid failed this order: they are asked again where nobody else is left, unless they are left alone
                // for what they did.
                self.forgive();
                let failed = || reports.iter().filter(|report| report.fate == Fate::FailedBefore);
                if failed().all(|report| self.out.contains(&report.provider)) {
                    let is_own = |why: &Failure| heard_all || matches!(why, Failure::Payment(_));
                    return self.why_out().filter(|why| is_last && is_own(why) && late.is_empty());
                }
                let memory = &shared.memory;
                let again = failed()
                    .filter(|report| !self.out.contains(&report.provider))
                    .map(|bid| memory.asked_again_at(now, &bid.provider, bid.prefix));
                let again_at = again.min().unwrap_or(now);
                self.asked_again_at = again_at;
                self.obstacle = Some(Failure::left_alone(now, again_at));
                // Nobody is asked again before the order's time is over, and who has just come had a moment. (`MK-65`)
                let is_vain = is_last && again_at >= self.deadline && self.had_grace();
                return is_vain.then(|| self.why_over(now, shared));
            }
        };
        let is_price = matches!(why, Failure::OverBudget { .. } | Failure::OverCeiling { .. });
        let why = match self.last_failure.filter(|failed| is_price && is_of_channel(failed)) {
            // Who asks more than it may could be paid, else it would be set aside for that: its price is all that stands in the way.
            Some(failed @ Failure::Payment(_)) => dear.unwrap_or(failed),
            failed => failed.unwrap_or(why),
        };
        if !is_full {
            self.obstacle = Some(why);
        }
        let is_asked_again = |bid: &BidReport| {
            bid.fate == Fate::FailedBefore
                && !self.out.contains(&bid.provider)
                && bid.cost_max <= self.budget()
                && shared.memory.asked_again_at(now, &bid.provider, bid.prefix) < self.deadline
        };
        let left = self.deadline.since(now);
        let may_be_in_time = late.iter().any(|bid| bid.may_be_in_time(left));
        // One that the user names, and that sells the model, is waited for as it is where nobody else bids.
        let awaits = |provider: &NodeId| !by.contains(provider) && !self.out.contains(provider);
        let awaits_named = self.named_sellers(now, shared).iter().any(awaits);
        let is_hoped = !heard_all || awaits_named || may_be_in_time || reports.iter().any(is_asked_again);
        match self.affordable(reports) {
            // `max_tokens` is a limit: an answer that can be paid for is better than none.
            Some(tokens) if is_last && self.shorten(tokens) => None,
            // Not every bid is in vain: a single one that nobody can take ends no order that others serve.
            _ if is_last && is_hoped => {
                self.forgive();
                None
            }
            _ => is_last.then_some(why),
        }
    }

    /// Returns the longest answer that one of those that are set aside for what it can cost could be paid for.
    fn affordable(&self, reports: &[BidReport]) -> Option<u64> {
        let (lot, budget) = (self.lot(), self.budget());
        let tokens = reports.iter().filter_map(|report| match report.fate {
            Fate::OverBudget => Some(lot.affordable(budget, report.cost_max)),
            Fate::Unpayable { most, .. } => Some(lot.affordable(most.min(budget), report.cost_max)),
            Fate::Won { .. }
            | Fate::Outscored { .. }
            | Fate::OverCeiling { .. }
            | Fate::WeakerTier
            | Fate::FailedBefore
            | Fate::NotWanted => None,
        });
        tokens.max()
    }

    /// Lets those be asked again that failed the order, unless they would for good.
    fn forgive(&mut self) {
        let out = &self.out;
        self.failed.retain(|provider| out.contains(provider));
    }

    /// Returns what stands in the way of the order where all that bid would fail it for good.
    fn why_out(&self) -> Option<Failure> {
        let unpaid = self.last_failure.filter(|why| matches!(why, Failure::Payment(_)));
        unpaid.or(self.refusals.cause()).or(self.last_failure)
    }
}

/// Returns whether an order failed for its channel or the ledger: what others ask is not what stood in its way. (`MK-15`)
const fn is_of_channel(why: &Failure) -> bool {
    matches!(why, Failure::Payment(_) | Failure::Refused(Refusal::ChallengeTooShort | Refusal::Unfunded))
}
