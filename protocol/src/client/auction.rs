//! The auction of an order: the call that opens it, the bids that come, and the candidates that are left of it.

use crate::channel::fault::PaymentFault;
use crate::ident::{NodeId, Prefix};
use crate::io::{Failure, Offer, OrderNews, Output, PeerFault};
use crate::limits;
use crate::market::auction::{Auction, BidReport};
use crate::market::bid::{Bid, BidHash};
use crate::market::call::{Call, CallId, Caller};
use crate::market::invite::Share;
use crate::market::score::Fate;
use crate::market::score::Place;
use crate::market::topic::Topic;
use crate::session::unseal;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::message::{Gossip, Refusal, Release, ReleaseReason, SealedBid, ToProvider};
use crate::wire::signed::{Signed, Verified};
use crate::work::order::OrderId;

use super::back_off::BackOff;
use super::progress::{LateBid, Progress};
use super::shared::SharedState;
use super::verdict::{longest_challenge, passes, standing};

/// Runners-up that are kept warm for a failover; the others are released at once. (`MK-11`, `MK-13`)
const WARM_MAX: usize = 3;

impl Progress {
    /// Calls for bids.
    pub(super) fn call(&mut self, now: Time, shared: &mut SharedState) -> Auction {
        let id = CallId(shared.entropy.bytes());
        let config = &shared.config;
        // A call to everybody that nobody answered may have been lost, or the topic is not joined yet: each one waits
        // longer. (`MK-15`)
        let window = BackOff::span(config.bid_window, self.unanswered);
        self.back_off.called(now);
        let topic = Topic::Model(self.order.model);
        let again = self.invites.is_some() || self.back_off.failures() > 0;
        // Each failure doubles the number of bids wanted. (`MK-17`)
        let wanted = config.enough_bids.saturating_mul(1 << self.back_off.failures().min(8));
        // Of providers that the user names, none may be left out by chance.
        let named = self.order.preferences.named().map(<[NodeId]>::len);
        let known = || match named {
            Some(_) => Share::ALL,
            None => shared.crowds.share(topic, wanted).unwrap_or(Share::FIRST),
        };
        self.invited = self.invites.take().unwrap_or_else(known);
        let invited = self.invited;
        let caller = Caller {
            client: shared.identity.id(),
            seal_key: shared.seal_key.public(),
            made_s: shared.memory.clock.unix_s(now),
        };
        let (classes, left) = (self.lot().classes(), self.deadline.since(now));
        let call = Call::for_order(id, caller, &self.order, classes, left, window, invited);
        let closes_at = (now + window).min(self.deadline);
        // Providers that were silent before are waited for again: they may only have been busy or
        // slow.
        let enough = match named {
            Some(named) => named,
            None if again => config.enough_bids,
            None => shared.crowds.enough(topic, config.enough_bids),
        };
        shared.crowds.invite(id.0, topic, invited, closes_at);
        let gossip = Gossip::Call(call.sign(&shared.identity));
        shared.outbox.push(Output::Broadcast { topic, gossip });
        Auction::new(id, classes, closes_at, enough).by(config.rule)
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
        shared: &SharedState,
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
        let lot = self.lot();
        let stands = standing(now, &lot, &self.order.preferences, &bid, prefix, shared);
        let (left, wait) = (self.deadline.since(now).as_ms(), bid.first_token_ms(lot.input.count()));
        if wait >= left && stands.refused.is_none() {
            let late = Span::from_ms(wait.saturating_sub(left).saturating_add(u64::from(bid.ahead_ms)));
            let answer = Offer::expected_answer(lot.output_tokens_max);
            let job = Span::from_ms(
                wait.saturating_sub(u64::from(bid.start_ms)).saturating_add(bid.writing_ms(answer)),
            );
            if self.late.len() < limits::BIDS_MAX {
                self.late.push(LateBid { provider: from, late, job });
            }
            auction.decline();
            return Ok(());
        }
        let named = self.order.preferences.named();
        let counts = !self.failed.contains(&from)
            && stands.refused.is_none()
            && stands.place != Place::Last
            && named.is_none_or(|named| named.contains(&from));
        auction.accept(bid, BidHash::of(&signed), prefix, counts);
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
        // A first try of an unknown provider is no reason to pass over one that the user has named.
        let explore = shared.memory.may_explore() && self.order.preferences.order.is_empty();
        let call = auction.call;
        let (late, declines) = (core::mem::take(&mut self.late), core::mem::take(&mut self.declines));
        let full = self.appointment(now, call, &late, auction.count() == 0, shared);
        if auction.count() == 0 {
            if full.is_some() {
                return full;
            }
            if let Some(ends) = self.on_declines(&declines) {
                return ends;
            }
            // Silence of a part says little: only that of everybody counts.
            if self.invited >= Share::ALL {
                self.unanswered = self.unanswered.saturating_add(1);
            } else {
                self.back_off.forget_call();
            }
            self.invites = Some(self.invited.wider());
            self.obstacle = Some(Failure::NoBids);
            shared.outbox.order_news(id, OrderNews::Bids(Vec::new()));
            return None;
        }
        let (lot, tier, wanted) = (self.lot(), self.order.tier, &self.order.preferences);
        let mut outcome = auction.close(&lot, tier, self.budget(), &self.failed, explore, |bid, prefix| {
            standing(now, &lot, wanted, bid, prefix, shared)
        });
        if outcome.explores {
            shared.memory.explores();
        }
        let losers = outcome.candidates.split_off(outcome.candidates.len().min(WARM_MAX));
        let release: Vec<(NodeId, ReleaseReason)> = outcome
            .reports
            .iter()
            .filter_map(|report| match report.fate {
                Fate::Won { .. } | Fate::Outscored { .. } => None,
                Fate::OverBudget => Some((report.provider, ReleaseReason::OverBudget)),
                Fate::WeakerTier | Fate::FailedBefore | Fate::NotWanted | Fate::LongChallenge { .. } => {
                    Some((report.provider, ReleaseReason::Unfit))
                }
            })
            .chain(losers.iter().map(|loser| (loser.bid.provider, ReleaseReason::Outscored)))
            .collect();
        self.candidates = outcome.candidates.into();
        let reports = outcome.reports;
        let why = if self.candidates.is_empty() { self.why_nobody(&reports, shared) } else { None };
        shared.outbox.order_news(id, OrderNews::Bids(reports));
        for (provider, why) in release {
            shared.outbox.release(provider, call, why);
        }
        why
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
        let best = late.iter().min_by_key(|bid| bid.late)?;
        // A part of the crowd says little of the rest.
        let ends = is_only && self.invited >= Share::ALL && self.last_failure.is_none_or(passes);
        let come_back_s = if ends {
            let SharedState { appointments, entropy, .. } = shared;
            appointments.make(now, self.order.model, best.late, best.job, entropy.number())
        } else {
            0
        };
        for bid in late {
            let release = Release {
                come_back_ms: come_back_s.saturating_mul(1_000),
                ..Release::of(call, ReleaseReason::TooLate)
            };
            shared.outbox.send_to_provider(bid.provider, ToProvider::Release(release));
        }
        let bids = u32::try_from(late.len()).unwrap_or(u32::MAX);
        let full = Failure::Full { bids, come_back_s: come_back_s.max(1) };
        self.obstacle = Some(full);
        ends.then_some(full)
    }

    /// Learns from those that said why they do not bid: an answer that is too long is narrowed, and what is refused for what it
    /// is ends the order as `MK-47` says. Returns how it goes on, if they said anything of use. (`MK-49`)
    fn on_declines(&mut self, declines: &[Refusal]) -> Option<Option<Failure>> {
        let context = declines.iter().filter_map(|why| match why {
            Refusal::OverContext(limit) => Some(*limit),
            _ => None,
        });
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
        let ends = others.saturating_add(1) >= limits::FINAL_REFUSALS || self.invited >= Share::ALL;
        self.obstacle = Some(why);
        ends.then_some(Some(why))
    }

    /// Notes why none of the bids can be taken. Returns why the order must end for it, if another call would bring no other
    /// bids.
    fn why_nobody(&mut self, reports: &[BidReport], shared: &SharedState) -> Option<Failure> {
        self.invites = Some(self.invited.wider());
        let lowest =
            reports.iter().filter(|report| report.fate == Fate::OverBudget).map(|r| r.cost_max).min();
        let tier = reports.iter().any(|report| report.fate == Fate::WeakerTier);
        let challenge = reports.iter().find_map(|report| {
            if let Fate::LongChallenge { asks_s } = report.fate { Some(asks_s) } else { None }
        });
        let why = match (lowest, challenge) {
            (Some(lowest), _) => Failure::OverBudget { lowest },
            (None, _) if tier => Failure::NoTier(self.order.tier),
            _ if reports.iter().all(|report| report.fate == Fate::NotWanted) => {
                Failure::NotWanted { others: u32::try_from(reports.len()).unwrap_or(u32::MAX) }
            }
            (None, Some(wanted_s)) => {
                let most_s = longest_challenge(&shared.config, 0);
                let too_long = Failure::Payment(PaymentFault::ChallengeTooLong { wanted_s, most_s });
                self.last_failure.unwrap_or(too_long)
            }
            (None, None) => {
                // All that bid failed this order: they are asked again where nobody else is left, unless they are left alone
                // for what they did.
                self.failed.clear();
                self.obstacle = Some(Failure::LeftAlone);
                return self.last_failure.filter(is_final);
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
