//! The auction of an order: the call that opens it, the bids that come, and the candidates that are left of it.

use crate::channel::fault::PaymentFault;
use crate::ident::{NodeId, Prefix};
use crate::io::{Failure, OrderNews, Output, PeerFault};
use crate::market::auction::{Auction, BidReport};
use crate::market::bid::{Bid, BidHash};
use crate::market::call::{Call, CallId};
use crate::market::invite::Share;
use crate::market::score::Fate;
use crate::market::score::Place;
use crate::session::unseal;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::message::{Gossip, SealedBid, ToProvider};
use crate::wire::signed::{Signed, Verified};
use crate::work::order::OrderId;

use super::progress::Progress;
use super::shared::SharedState;
use super::verdict::{longest_challenge, standing};

/// Runners-up that are kept warm for a failover; the others are released at once. (`MK-11`, `MK-13`)
const WARM_MAX: usize = 3;

impl Progress {
    /// Calls for bids.
    pub(super) fn call(&mut self, now: Time, shared: &mut SharedState) -> Auction {
        let id = CallId(shared.entropy.bytes());
        let config = &shared.config;
        // A call to everybody that nobody answered may have been lost, or the topic is not joined yet: each one waits
        // longer. (`MK-15`)
        let window = Span(config.bid_window.0.saturating_mul(1 << self.unanswered.min(8)));
        let window_ms = u32::try_from(window.as_ms()).unwrap_or(u32::MAX);
        let again = self.invites.is_some() || !self.failed.is_empty();
        // Each failure doubles the number of bids wanted. (`MK-17`)
        let wanted = config.enough_bids.saturating_mul(1 << self.failed.len().min(8));
        let known = || shared.crowds.share(&self.order.model, wanted).unwrap_or(Share::FIRST);
        self.invited = self.invites.take().unwrap_or_else(known);
        let invited = self.invited;
        let classes = self.lot().classes();
        let (node, seal_key) = (shared.identity.id(), shared.seal_key.public());
        let call = Call::for_order(id, node, seal_key, &self.order, classes, window_ms, invited);
        let closes_at = (now + window).min(self.deadline);
        // Providers that were silent before are waited for again: they may only have been busy or
        // slow.
        let enough = if again {
            config.enough_bids
        } else {
            shared.crowds.enough(&self.order.model, config.enough_bids)
        };
        shared.crowds.invite(id.0, call.model, invited, closes_at);
        let gossip = Gossip::Call(call.sign(&shared.identity));
        shared.outbox.push(Output::Broadcast { model: call.model, gossip });
        Auction::new(id, classes, closes_at, enough).by(config.rule)
    }

    /// Accepts a bid, if it is what it says and fits the order. (`MK-6`)
    ///
    /// # Errors
    /// [`PeerFault`] tells what is wrong with it.
    pub(super) fn on_bid(
        &self,
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
        let stands = standing(now, &self.lot(), &bid, prefix, shared);
        let counts = !self.failed.contains(&from) && stands.refused.is_none() && stands.place != Place::Last;
        auction.accept(bid, BidHash::of(&signed), prefix, counts);
        Ok(())
    }

    /// Scores the bids once, keeps the best as candidates, and releases the others. Returns why the order must end, if
    /// nobody is left to ask and another round would not help.
    pub(super) fn on_auction_end(
        &mut self,
        now: Time,
        id: OrderId,
        auction: Auction,
        shared: &mut SharedState,
    ) -> Option<Failure> {
        let explore = shared.memory.may_explore();
        let call = auction.call;
        if auction.count() == 0 {
            // Silence of a part says little: only that of everybody counts.
            self.unanswered = self.unanswered.saturating_add(u32::from(self.invited >= Share::ALL));
            self.invites = Some(self.invited.wider());
            shared.outbox.order_news(id, OrderNews::Bids(Vec::new()));
            return None;
        }
        let (lot, tier) = (self.lot(), self.order.tier);
        let mut outcome = auction.close(&lot, tier, self.budget(), &self.failed, explore, |bid, prefix| {
            standing(now, &lot, bid, prefix, shared)
        });
        if outcome.explores {
            shared.memory.explores();
        }
        let losers = outcome.candidates.split_off(outcome.candidates.len().min(WARM_MAX));
        let release: Vec<NodeId> = outcome
            .reports
            .iter()
            .filter(|report| !matches!(report.fate, Fate::Won { .. } | Fate::Outscored { .. }))
            .map(|report| report.provider)
            .chain(losers.iter().map(|loser| loser.bid.provider))
            .collect();
        self.candidates = outcome.candidates.into();
        let reports = outcome.reports;
        // All that were invited failed before: the next call invites others.
        let looks_further =
            self.invited < Share::ALL && reports.iter().all(|bid| bid.fate == Fate::FailedBefore);
        if looks_further {
            self.invites = Some(self.invited.wider());
        }
        // Another round only helps if this one was empty because everybody here failed before.
        let why = (self.candidates.is_empty() && !looks_further).then(|| self.why_nobody(&reports, shared));
        shared.outbox.order_news(id, OrderNews::Bids(reports));
        for provider in release {
            shared.outbox.send_to_provider(provider, ToProvider::Release(call));
        }
        why
    }

    /// Returns why none of the bids can be taken.
    fn why_nobody(&self, reports: &[BidReport], shared: &SharedState) -> Failure {
        let lowest =
            reports.iter().filter(|report| report.fate == Fate::OverBudget).map(|r| r.cost_max).min();
        let tier = reports.iter().any(|report| report.fate == Fate::WeakerTier);
        let challenge = reports.iter().find_map(|report| {
            if let Fate::LongChallenge { asks_s } = report.fate { Some(asks_s) } else { None }
        });
        match lowest {
            Some(lowest) => Failure::OverBudget { lowest },
            None if tier => Failure::NoTier(self.order.tier),
            None => self.last_failure.unwrap_or(match challenge {
                Some(wanted_s) => {
                    let most_s = longest_challenge(&shared.config, 0);
                    Failure::Payment(PaymentFault::ChallengeTooLong { wanted_s, most_s })
                }
                None => Failure::LeftAlone,
            }),
        }
    }
}
