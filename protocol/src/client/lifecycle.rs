//! How an order goes from one phase to the next: the client alone moves it, by what its phase says comes next.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::io::{Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::{Candidate, Source};
use crate::time::Time;
use crate::wire::message::{Accept, Finish, ReleaseReason};
use crate::work::order::OrderId;

use super::Client;
use super::attempt::{Attempt, Next, OpenSession};
use super::award::PendingAward;
use super::lingering::LingeringJob;
use super::order::{ActiveOrder, Phase, Step};
use super::progress::Progress;
use super::refusals::Statement;
use super::shared::SharedState;
use super::verdict::{Conduct, is_for_good};

impl Client {
    /// Takes the next step of an order that waits for nothing.
    pub(super) fn step(&mut self, now: Time, id: OrderId, mut progress: Progress) {
        match progress.step(now, &mut self.shared) {
            Step::Wait(phase) => self.orders.insert(id, ActiveOrder { progress, phase }),
            Step::Begin(session) => self.attempt(now, id, progress, *session),
            Step::End(outcome) => self.conclude(now, id, progress, outcome),
            Step::FailOver(candidate, why) => {
                let conduct = Conduct::of_award(now, &candidate);
                self.go_elsewhere(now, id, progress, &conduct, None, why);
            }
            Step::Unpaid(candidate, fault) => {
                let Candidate { bid, .. } = &*candidate;
                self.shared.outbox.release(bid.provider, bid.call, ReleaseReason::Unfit);
                self.cannot_begin(now, id, progress, &Conduct::of_award(now, &candidate), fault);
            }
        }
    }

    /// Scores the bids once and awards the best.
    pub(super) fn end_auction(&mut self, now: Time, id: OrderId) {
        let Some((mut progress, auction)) = self.orders.remove_auction(&id) else { return };
        match progress.on_auction_end(now, id, auction, &mut self.shared) {
            Some(why) => self.conclude(now, id, progress, Err(why)),
            None => self.step(now, id, progress),
        }
    }

    /// Notes that a provider took the job: the session stands, and the task goes out.
    pub(super) fn begin(&mut self, now: Time, id: OrderId, accept: &Accept) {
        let Some((progress, award)) = self.orders.remove_award(&id) else { return };
        let from = award.provider();
        let PendingAward { candidate, initiator, .. } = *award;
        let conduct = Conduct::of_award(now, &candidate);
        let Ok(secure) = initiator.finish(&accept.handshake) else {
            self.shared.outbox.peer_fault(from, PeerFault::Malformed);
            return self.go_elsewhere(now, id, progress, &conduct, None, Failure::Session);
        };
        let session = OpenSession { job: accept.job, candidate, secure, opening: None, recounted: false };
        self.attempt(now, id, progress, session);
    }

    /// Sends a provider what is left of the task.
    fn attempt(&mut self, now: Time, id: OrderId, mut progress: Progress, session: OpenSession) {
        let (job, provider) = (session.job, session.candidate.bid.provider);
        progress.count.state_to(provider);
        match progress.set_aside(now, &session.candidate, &mut self.shared) {
            Ok(account) => {
                if session.opening.is_none() && !session.recounted {
                    progress.awarded(now, id, job, provider, &mut self.shared.outbox);
                }
                let attempt = Attempt::start(now, session, account, &progress, &mut self.shared);
                let phase = Phase::Attempt(Box::new(attempt));
                self.orders.insert(id, ActiveOrder { progress, phase });
            }
            Err(fault) => {
                // Others may have taken the room since the award went out.
                let conduct = Conduct::of_award(now, &session.candidate);
                session.give_back(&mut self.shared.outbox);
                self.cannot_begin(now, id, progress, &conduct, fault);
            }
        }
    }

    /// Takes a provider's count of the input, once, where this node has none of its own, and states it. Else the provider fails
    /// the order: a count is no opinion. (`WR-22`)
    pub(super) fn recount(&mut self, now: Time, id: OrderId, counted: u64) {
        let Some(ActiveOrder { progress, phase: Phase::Attempt(attempt) }) = self.orders.get_mut(&id) else {
            return;
        };
        let stated = attempt.input.count();
        if counted == stated {
            // It was about an earlier statement.
            return;
        }
        // Nobody serves what it has not counted: to begin anew would bill the input twice.
        let has_begun = attempt.stream.next() > 0;
        if attempt.recounted || has_begun || !progress.recount(attempt.candidate.bid.provider, counted) {
            return self.fail_over(now, id, Failure::FalseCount { stated, counted });
        }
        if let Some(why) = progress.unfit(&attempt.candidate) {
            progress.count.call_for();
            return self.fail_over(now, id, why);
        }
        let Some(ActiveOrder { mut progress, phase: Phase::Attempt(attempt) }) = self.orders.remove(&id)
        else {
            return;
        };
        self.shared.payments.release(now, &attempt.account, attempt.reserved);
        let Attempt { job, candidate, secure, award, .. } = *attempt;
        if award.is_some() {
            progress.awarded(now, id, job, candidate.bid.provider, &mut self.shared.outbox);
        }
        self.attempt(
            now,
            id,
            progress,
            OpenSession { job, candidate, secure, opening: None, recounted: true },
        );
    }

    /// Awards a job by a handshake whose provider has forgotten the kept session that it was to begin in. (`MK-67`)
    pub(super) fn award_anew(&mut self, now: Time, id: OrderId) {
        let Some(ActiveOrder { progress, phase: Phase::Attempt(attempt) }) = self.orders.remove(&id) else {
            return;
        };
        self.shared.kept.forget(&attempt.provider());
        self.shared.payments.release(now, &attempt.account, attempt.reserved);
        match PendingAward::start(now, attempt.candidate, &mut self.shared) {
            Ok(award) => {
                self.orders.insert(id, ActiveOrder { progress, phase: Phase::Award(Box::new(award)) });
            }
            Err(candidate) => {
                let conduct = Conduct::of_award(now, &candidate);
                self.go_elsewhere(now, id, progress, &conduct, None, Failure::Session);
            }
        }
    }

    /// Goes on with an order that waited for its time to call again.
    pub(super) fn resume_order(&mut self, now: Time, id: OrderId) {
        if let Some(ActiveOrder { progress, .. }) = self.orders.remove(&id) {
            self.step(now, id, progress);
        }
    }

    /// Does what an attempt or an award says comes next.
    pub(super) fn follow(&mut self, now: Time, id: OrderId, next: Next) {
        match next {
            Next::Stay => {}
            Next::Done(finish) => self.finish(now, id, finish),
            Next::FailOver(why) => self.fail_over(now, id, why),
            Next::Unpayable { account, fault } => self.unpayable(now, account, fault),
        }
    }

    /// Notes that the answer is complete: its provider is remembered, and leased.
    fn finish(&mut self, now: Time, id: OrderId, finish: Finish) {
        let Some(ActiveOrder { mut progress, phase }) = self.orders.remove(&id) else { return };
        progress.bill.finish = Some(finish);
        if let Some(mut attempt) = self.leave_phase(now, phase) {
            if let Some(secret) = attempt.secure.take_kept() {
                self.shared.kept.keep(now, &attempt.candidate, attempt.job, secret);
            }
            let service = attempt.service(now);
            self.shared.praise(now, &Conduct::of_attempt(now, &attempt), &service);
            if attempt.has_delivered() {
                for (provider, prefix) in progress.refusals.refuted() {
                    let SharedState { memory, outbox, .. } = &mut self.shared;
                    memory.refused(now, now, provider, prefix, progress.order.model, outbox);
                }
            }
            // One that was tried is not the best: the next order goes to the market again.
            if attempt.has_delivered() && attempt.candidate.source != Source::Trial {
                let (won, wanted) = (attempt.candidate.clone(), &progress.order.preferences);
                self.shared.leases.keep(now, won, progress.lowest_ask, wanted);
            }
            let unpaid = self.leave(now, attempt, true);
            progress.bill.unpaid = progress.bill.unpaid.saturating_plus(unpaid);
        }
        self.conclude(now, id, progress, Ok(()));
    }

    /// Notes that the provider that an order waits for failed it.
    pub(super) fn fail_over(&mut self, now: Time, id: OrderId, why: Failure) {
        let Some(ActiveOrder { progress, phase }) = self.orders.remove(&id) else { return };
        match Conduct::of(now, &phase) {
            Some(conduct) => {
                let attempt = self.leave_phase(now, phase);
                self.go_elsewhere(now, id, progress, &conduct, attempt, why);
            }
            None => self.conclude(now, id, progress, Err(why)),
        }
    }

    /// Goes on with the next provider, from where this one stopped.
    pub(super) fn go_elsewhere(
        &mut self,
        now: Time,
        id: OrderId,
        mut progress: Progress,
        conduct: &Conduct,
        attempt: Option<Box<Attempt>>,
        why: Failure,
    ) {
        let from = conduct.provider;
        let is_proven = self.shared.memory.level(&from) > 0;
        // A channel that other jobs take is as good as before, and so is its provider.
        if !matches!(why, Failure::Payment(PaymentFault::DepositInUse { .. })) {
            self.shared.leases.end(from);
            self.shared.kept.forget(&from);
        }
        self.shared.judge(now, conduct, why);
        if let Some(attempt) = attempt {
            // What this one still sends would be paid beside what the next one may cost. (`WR-13`, `WR-14`)
            let unpaid = self.leave(now, attempt, false);
            progress.bill.unpaid = progress.bill.unpaid.saturating_plus(unpaid);
        }
        // Whose bid is not for what it counts may bid for that.
        let is_called_for = progress.count.leave();
        if !is_called_for && !conduct.may_be_asked_again(why, is_proven) {
            progress.failed.push(from);
        }
        if is_for_good(why) {
            progress.out.push(from);
        }
        progress.last_failure = Some(why);
        progress.back_off.failed();
        self.shared.outbox.order_news(id, OrderNews::FailedOver { from, why });
        if let Failure::Refused(why) = why
            && why.is_final()
        {
            let lot = progress.lot();
            let statement = Statement { provider: from, prefix: conduct.prefix, is_proven, why };
            if let Some(why) = progress.refusals.refused(statement, &lot) {
                return self.conclude(now, id, progress, Err(why));
            }
        }
        self.step(now, id, progress);
    }

    /// Ends an order for a reason, wherever it is. (`CO-5`)
    pub(super) fn end(&mut self, now: Time, id: OrderId, why: Failure) {
        let Some(ActiveOrder { mut progress, phase }) = self.orders.remove(&id) else { return };
        let conduct = Conduct::of(now, &phase);
        if let Some(conduct) =
            conduct.as_ref().filter(|conduct| why == Failure::Deadline && !conduct.delivered)
        {
            self.shared.leases.end(conduct.provider);
        }
        let pays = conduct.is_none_or(|conduct| self.shared.judge(now, &conduct, why));
        let is_silent = matches!(&phase, Phase::Attempt(attempt) if attempt.is_silent(now));
        let is_cut = matches!(why, Failure::Deadline | Failure::Cancelled) && !is_silent;
        let why = if why == Failure::Deadline {
            let room = phase.room(now, &progress, &self.shared.memory);
            progress.why_late(now, room, is_silent, &mut self.shared)
        } else {
            why
        };
        if let Some(attempt) = self.leave_phase(now, phase) {
            let job = attempt.job;
            let unpaid = self.leave(now, attempt, pays);
            progress.bill.unpaid = progress.bill.unpaid.saturating_plus(unpaid);
            if let Some(lingering) = self.lingering.get_mut(&job).filter(|_| is_cut) {
                match lingering.await_bill(now, id, progress, why) {
                    Some(back) => progress = back,
                    None => return,
                }
            }
        }
        self.conclude(now, id, progress, Err(why));
    }

    /// Leaves a phase. Returns its attempt, if it is one. An award that is out is given back once it is taken.
    fn leave_phase(&mut self, now: Time, phase: Phase) -> Option<Box<Attempt>> {
        match phase {
            Phase::Award(award) => {
                self.abandoned.insert(now, award);
                None
            }
            Phase::Attempt(attempt) => Some(attempt),
            Phase::Pause(_) | Phase::Auction(_) => None,
        }
    }

    /// Leaves a job: it lingers until its provider has heard the last acknowledgement. Returns what it came to, if no voucher
    /// can be signed for it yet.
    fn leave(&mut self, now: Time, attempt: Box<Attempt>, pays: bool) -> Nano {
        let is_full = self.lingering.len() >= limits::JOBS_MAX;
        let level = self.shared.memory.level(&attempt.provider());
        let SharedState { payments, outbox, .. } = &mut self.shared;
        let job = attempt.job;
        let is_paid = payments.is_payable(&attempt.account);
        let unpaid = if is_paid { Nano::ZERO } else { attempt.cost() };
        if let Some(lingering) = LingeringJob::start(now, attempt, pays, level, is_full, payments, outbox) {
            self.lingering.insert(job, lingering);
        }
        unpaid
    }

    /// Says how an order ended, with its bill, and releases the candidates that are left.
    pub(super) fn conclude(
        &mut self,
        now: Time,
        id: OrderId,
        progress: Progress,
        outcome: Result<(), Failure>,
    ) {
        for candidate in &progress.candidates {
            self.shared.outbox.release_loser(candidate);
        }
        if progress.order.price_max.is_none()
            && matches!(outcome, Err(Failure::OverCeiling { .. }))
            && let Some(bought) = self.shared.memory.purchases.of_mut(progress.order.model)
        {
            // What is usual may be so no more: the next order may pay twice as much. (`MK-52`)
            bought.history.refused(now);
        }
        let bill = progress.bill;
        let news = match outcome {
            Ok(()) => OrderNews::Done(bill),
            Err(why) => OrderNews::Failed { why, bill },
        };
        self.shared.outbox.order_news(id, news);
    }
}
