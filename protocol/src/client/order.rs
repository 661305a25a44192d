//! One order under way: how far it has come, and what it does next.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::ident::NodeId;
use crate::io::Failure;
use crate::market::auction::{Auction, Candidate};
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::message::{Finish, Refusal, ReleaseReason};
use crate::work::order::{JobId, Order, OrderId, Task};

use super::attempt::{Attempt, OpenSession};
use super::award::PendingAward;
use super::exchange::AttemptMut;
use super::kept::KeptJob;
use super::memory::Memory;
use super::progress::Progress;
use super::room::Room;
use super::shared::SharedState;

/// An order under way.
#[derive(Debug)]
pub(super) struct ActiveOrder {
    pub(super) progress: Progress,
    pub(super) phase: Phase,
}

/// What an order waits for.
#[derive(Debug)]
pub(super) enum Phase {
    /// The time of its next call.
    Pause(Time),
    /// Bids.
    Auction(Box<Auction>),
    /// The answer to an award.
    Award(Box<PendingAward>),
    /// The answer to the task.
    Attempt(Box<Attempt>),
}

/// What an order that waits for nothing does next.
pub(super) enum Step {
    /// It waits for this.
    Wait(Phase),
    /// It sends its task in a kept session.
    Begin(Box<OpenSession>),
    /// It ends: the answer is complete, or there is a reason.
    End(Result<(), Failure>),
    /// The provider that it was about to be awarded to failed it at once.
    FailOver(Box<Candidate>, Failure),
    /// The provider that it was about to be awarded to cannot be paid.
    Unpaid(Box<Candidate>, PaymentFault),
}

/// What can be done about an order whose provider failed. (`WR-13`)
enum Resumption {
    /// Another provider can go on.
    Open,
    /// Nothing is left to do although the provider never said so.
    Whole(Finish),
    /// What was delivered does not fit into a task, so no provider can be told where to go on.
    TooLong(Failure),
}

impl ActiveOrder {
    /// Returns when the order is due: at its phase's time, or at its own deadline.
    pub(super) fn wake_at(&self) -> Time {
        let phase = match &self.phase {
            Phase::Pause(until) => *until,
            Phase::Auction(auction) => auction.closes_at,
            Phase::Award(award) => award.wake_at(),
            Phase::Attempt(attempt) => attempt.wake_at(),
        };
        phase.min(self.progress.deadline)
    }

    /// Returns the channel that the order is being paid on.
    pub(super) fn account(&self) -> Option<ChannelId> {
        match &self.phase {
            Phase::Attempt(attempt) => Some(attempt.account),
            Phase::Pause(_) | Phase::Auction(_) | Phase::Award(_) => None,
        }
    }

    /// Returns the job that was awarded, and to whom.
    pub(super) fn job(&self) -> Option<(JobId, NodeId)> {
        match &self.phase {
            Phase::Pause(_) | Phase::Auction(_) => None,
            Phase::Award(award) => Some((award.job(), award.provider())),
            Phase::Attempt(attempt) => Some((attempt.job, attempt.provider())),
        }
    }
}

impl<'a> AttemptMut<'a> {
    /// Returns the attempt that an order waits for, if it waits for one.
    pub(super) fn of(
        now: Time,
        id: OrderId,
        active: &'a mut ActiveOrder,
        shared: &'a mut SharedState,
    ) -> Option<Self> {
        let ActiveOrder { progress, phase: Phase::Attempt(attempt) } = active else { return None };
        let SharedState { payments, memory, identity, outbox, .. } = shared;
        Some(Self { now, id, progress, attempt, payments, memory, identity, outbox })
    }
}

impl Phase {
    /// Returns when an order that waits for its turn at a slot begins, by its provider's last word.
    pub(super) fn room(&self, now: Time, progress: &Progress, memory: &Memory) -> Option<Room> {
        let Self::Attempt(attempt) = self else { return None };
        let begins_at = attempt.begins_at?;
        Some(progress.room_at(now, begins_at, &attempt.candidate.bid, memory))
    }
}

impl Progress {
    /// Takes the next step: an award on a lease or to the next candidate, or else a call for bids, until the order's deadline.
    /// (`MK-15`)
    pub(super) fn step(&mut self, now: Time, shared: &mut SharedState) -> Step {
        if now >= self.deadline {
            return Step::End(Err(self.why_over(now, shared)));
        }
        if self.was_awarded {
            match self.resumption() {
                Resumption::Open => {}
                Resumption::Whole(finish) => {
                    self.bill.finish = Some(finish);
                    return Step::End(Ok(()));
                }
                Resumption::TooLong(why) => return Step::End(Err(why)),
            }
        }
        let call_at = self.back_off.due(shared.config.bid_window);
        match self.leased(now, shared).or_else(|| self.next_candidate(&mut shared.outbox)) {
            Some(candidate) => {
                if let Err(fault) = self.can_pay(&candidate, shared) {
                    return Step::Unpaid(Box::new(candidate), fault);
                }
                self.was_awarded = true;
                let winner = &candidate.bid.provider;
                self.lowest_ask = shared.lowest_ask(now, &self.order.model, Some(winner));
                let client = shared.identity.id();
                let kept = shared.kept.begin(now, &client, &candidate, &mut shared.entropy);
                if let Some(KeptJob { job, secure, opening }) = kept {
                    let opening = Some(opening);
                    let session = OpenSession { job, candidate, secure, opening, recounted: false };
                    return Step::Begin(Box::new(session));
                }
                match PendingAward::start(now, candidate, shared) {
                    Ok(award) => Step::Wait(Phase::Award(Box::new(award))),
                    Err(candidate) => Step::FailOver(candidate, Failure::Session),
                }
            }
            None if now < call_at => Step::Wait(Phase::Pause(call_at)),
            None => Step::Wait(Phase::Auction(Box::new(self.call(now, shared)))),
        }
    }

    /// Returns whether another provider can go on after a failed one, and how the order ends if none can. (`WR-13`)
    fn resumption(&self) -> Resumption {
        let left = self.task_left();
        match &left {
            Task::Embed { inputs } if inputs.is_empty() => Resumption::Whole(Finish::Stop),
            // All of the tokens are there; the end that said so was lost.
            Task::Generate(generate) if generate.max_tokens == 0 => Resumption::Whole(Finish::Length),
            Task::Generate(generate) if generate.prefix.len() > left.prefix_tokens_max() => {
                Resumption::TooLong(Failure::TooLongToResume {
                    delivered: u32::try_from(self.delivered.len()).unwrap_or(u32::MAX),
                })
            }
            Task::Embed { .. } | Task::Generate(_) => Resumption::Open,
        }
    }

    /// Returns why a candidate cannot do what is left to do: the task is not of the size that its price is for any more, its price is
    /// above what the order lets one be, or it may cost more than what is left of the budget. (`MK-46`, `MK-52`)
    pub(super) fn unfit(&self, candidate: &Candidate) -> Option<Failure> {
        let lot = self.lot();
        if !candidate.classes.is_near(&lot.classes()) {
            return Some(Failure::Refused(Refusal::OtherClass));
        }
        if let Some(most) = self.order.price_max.filter(|most| candidate.price > *most) {
            return Some(Failure::OverCeiling { lowest: candidate.price, most });
        }
        let cost_max = lot.cost_max(candidate.price).unwrap_or(Nano(u64::MAX));
        (cost_max > self.budget()).then_some(Failure::OverBudget { lowest: cost_max })
    }

    /// Returns the lease that the order goes to without an auction.
    pub(super) fn leased(&self, now: Time, shared: &SharedState) -> Option<Candidate> {
        let leases = shared.config.leases.then_some(&shared.leases)?;
        let Order { model, tier, preferences, .. } = &self.order;
        let candidate = leases.find(now, model, *tier, preferences)?;
        if !self.candidates.is_empty() || (self.is_try && !self.was_awarded) {
            return None;
        }
        let lowest = shared.lowest_ask(now, model, None);
        if !self.was_awarded && leases.is_dear(model, lowest) {
            return None;
        }
        // What it may ask in an auction with nobody else, it may ask here. (`MK-52`)
        if shared.price_max(&self.order, &[]).is_some_and(|most| candidate.price > most) {
            return None;
        }
        let fits = self.unfit(candidate).is_none() && self.can_pay(candidate, shared).is_ok();
        let wanted = preferences.begin_with(&candidate.bid.provider);
        (fits && wanted && !self.failed.contains(&candidate.bid.provider)).then(|| candidate.clone())
    }

    /// Returns the best of those left that can do what is left: what was delivered is input now, and what was billed is
    /// spent. The others are released. (`MK-13`)
    fn next_candidate(&mut self, outbox: &mut Outbox) -> Option<Candidate> {
        loop {
            let candidate = self.candidates.pop_front()?;
            if self.unfit(&candidate).is_none() {
                return Some(candidate);
            }
            outbox.release(candidate.bid.provider, candidate.bid.call, ReleaseReason::OverBudget);
        }
    }
}
