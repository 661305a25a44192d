//! What providers say: each message goes to the order, the job or the list that it is about.

use crate::ident::{NodeId, Prefix};
use crate::io::Failure;
use crate::time::Time;
use crate::wire::message::{
    Accept, Decline, Refusal, Refuse, ReleaseReason, SealedBid, SealedFrame, ToClient,
};

use super::Client;
use super::exchange::AttemptMut;
use super::order::{ActiveOrder, Phase};
use super::refusals::Statement;
use super::shared::SharedState;

impl Client {
    pub(super) fn on_message(&mut self, now: Time, from: NodeId, prefix: Prefix, message: ToClient) {
        match message {
            ToClient::Bid(bid) => self.on_bid(now, from, prefix, &bid),
            ToClient::Accept(accept) => self.on_accept(now, from, &accept),
            ToClient::Refuse(refuse) => self.on_refuse(now, from, &refuse),
            ToClient::Sealed(frame) => self.on_frame(now, from, &frame),
            ToClient::Ask(ask) => self.on_ask(now, from, prefix, &ask),
            ToClient::Leaving => self.on_leaving(from),
            ToClient::Decline(decline) => self.on_decline(now, from, prefix, &decline),
        }
    }

    /// Notes why a provider does not bid. (`MK-49`)
    fn on_decline(&mut self, now: Time, from: NodeId, prefix: Prefix, decline: &Decline) {
        if !decline.extensions.are_understood() {
            return;
        }
        self.shared.crowds.heard(now, &decline.call.0, from);
        let Some((id, active)) = self.orders.by_call(&decline.call) else { return };
        let ActiveOrder { progress, phase: Phase::Auction(auction) } = active else { return };
        if !progress.asks(auction, &from) || !progress.order.preferences.allow(&from) {
            return;
        }
        let is_proven = self.shared.memory.level(&from) > 0;
        if !auction.hears(from, is_proven) {
            return;
        }
        auction.decline(&from, prefix, is_proven);
        self.shared.book.answered(&progress.order.model, &from);
        progress.refusals.declined(Statement { provider: from, prefix, is_proven, why: decline.why });
        if auction.has_enough() {
            self.end_auction(now, id);
        }
    }

    fn on_bid(&mut self, now: Time, from: NodeId, prefix: Prefix, sealed: &SealedBid) {
        let shared = &mut self.shared;
        let counts = shared.crowds.heard(now, &sealed.call.0, from);
        let Some((id, active)) = self.orders.by_call(&sealed.call) else {
            // The auction closed with enough bids before this one: its bidder need not hold the slot.
            if counts {
                shared.outbox.release(from, sealed.call, ReleaseReason::TooLate);
            }
            return;
        };
        let ActiveOrder { progress, phase: Phase::Auction(auction) } = active else { return };
        match progress.on_bid(now, from, prefix, sealed, auction, shared) {
            Ok(()) if auction.has_enough() => self.end_auction(now, id),
            Ok(()) => {}
            Err(fault) => shared.outbox.peer_fault(from, fault),
        }
    }

    fn on_accept(&mut self, now: Time, from: NodeId, accept: &Accept) {
        let Some((id, active)) = self.orders.by_job(&accept.job) else {
            return self.abandoned.on_accept(from, accept, &mut self.shared.outbox);
        };
        if active.job() != Some((accept.job, from)) {
            return;
        }
        if !accept.extensions.are_understood() {
            return self.fail_over(now, id, Failure::Refused(Refusal::NotUnderstood));
        }
        match AttemptMut::of(now, id, active, &mut self.shared) {
            Some(mut attempt) => attempt.on_accept(),
            None => self.begin(now, id, accept),
        }
    }

    fn on_refuse(&mut self, now: Time, from: NodeId, refuse: &Refuse) {
        let Some((id, active)) = self.orders.by_job(&refuse.job) else { return };
        if active.job() != Some((refuse.job, from)) {
            return;
        }
        match (refuse.why, &active.phase) {
            (Refusal::Counts(count), Phase::Attempt(_)) => return self.recount(now, id, count),
            (Refusal::NoSession, Phase::Attempt(attempt)) if attempt.award.is_some() => {
                return self.award_anew(now, id);
            }
            _ => {}
        }
        let why = match AttemptMut::of(now, id, active, &mut self.shared) {
            Some(mut attempt) => attempt.on_refuse(refuse.why),
            None => Failure::Refused(refuse.why),
        };
        if let Failure::Payment(fault) = why {
            self.cannot_pay(now, id, fault);
        } else {
            self.fail_over(now, id, why);
        }
    }

    fn on_frame(&mut self, now: Time, from: NodeId, frame: &SealedFrame) {
        if let Some(lingering) = self.lingering.get_mut(&frame.job) {
            let SharedState { payments, identity, outbox, .. } = &mut self.shared;
            return lingering.on_frame(now, from, frame, payments, identity, outbox);
        }
        let Some((id, active)) = self.orders.by_job(&frame.job) else { return };
        let Some(mut attempt) = AttemptMut::of(now, id, active, &mut self.shared) else { return };
        if attempt.attempt.provider() == from {
            let next = attempt.on_frame(frame);
            self.follow(now, id, next);
        }
    }

    pub(super) fn on_undelivered(&mut self, now: Time, to: NodeId) {
        let lost = self.orders.matching(|active| active.job().is_some_and(|(_, provider)| provider == to));
        for id in lost {
            self.fail_over(now, id, Failure::Gone);
        }
        let mut over = Vec::new();
        for (id, active) in self.orders.iter_mut() {
            if let Phase::Auction(auction) = &mut active.phase
                && auction.is_unreachable(&to)
                && auction.has_enough()
            {
                over.push(id);
            }
        }
        for id in over {
            self.end_auction(now, id);
        }
    }
}
