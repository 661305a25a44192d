//! Awards: who gets a job, and whether a slot is free for it.

use crate::ident::Origin;
use crate::io::Budget;
use crate::limits;
use crate::market::bid::BidHash;
use crate::market::call::CallId;
use crate::session::{prologue, respond};
use crate::time::Time;
use crate::wire::extension::Extensions;
use crate::wire::message::{Accept, Award, KeptAward, Refusal, Refuse, SealedFrame, ToClient};
use crate::work::order::{JobId, ModelId};
use crate::work::price::Price;

use super::Provider;
use super::bidder::Promised;
use super::job::{Job, Opening};
use super::turns::WaitingTask;

/// What an award says of the bid that it takes.
struct Taken<'a> {
    job: JobId,
    call: CallId,
    bid: BidHash,
    price: Price,
    extensions: &'a Extensions,
    /// What its answer takes of the budget. (`MK-44`)
    units: u64,
}

impl Provider {
    /// Answers an award; the same award again gets the same answer. (`MK-10`)
    pub(super) fn awarded(&mut self, now: Time, origin: Origin, award: &Award) {
        let from = origin.node;
        if let Some(job) = self.jobs.get(&award.job) {
            if let Opening::Handshake { award: before, reply } = &job.opening
                && job.origin.node == from
                && before == award
            {
                let accept = Accept::of(award.job, reply.clone());
                self.outbox.send_to_client(from, ToClient::Accept(accept));
            }
            return;
        }
        if self.ended.holds(&award.job) {
            return;
        }
        match self.open_job(now, origin, award) {
            Ok((job, reply)) => {
                self.jobs.insert(award.job, job);
                self.outbox.send_to_client(from, ToClient::Accept(Accept::of(award.job, reply)));
            }
            Err(why) => self.outbox.send_to_client(from, ToClient::Refuse(Refuse::of(award.job, why))),
        }
    }

    fn open_job(&mut self, now: Time, origin: Origin, award: &Award) -> Result<(Job, Vec<u8>), Refusal> {
        let Award { job, call, bid, price, ref extensions, .. } = *award;
        let taken = Taken { job, call, bid, price, extensions, units: limits::ANSWER_UNITS };
        let (promised, holds_slot) = self.take(now, origin, taken)?;
        let prologue = prologue(&origin.node, &self.identity.id(), &job.0);
        let (secure, reply) = respond(&self.session_key, &prologue, &award.handshake, &mut self.entropy)
            .map_err(|_| Refusal::Malformed)?;
        self.make_room(now, origin);
        let opening = Opening::Handshake { award: award.clone(), reply: reply.clone() };
        Ok((Job::new(now, origin, holds_slot, promised, price, opening, secure), reply))
    }

    /// Takes an award in a kept session with its task, or says why not. What it says of the job next is the answer; the same award
    /// again gets none, but where the task was sent back: it is told the count again. (`MK-67`, `WR-22`)
    pub(super) fn awarded_kept(&mut self, now: Time, origin: Origin, award: KeptAward) {
        let (from, id) = (origin.node, award.job);
        if let Some(job) = self.jobs.get(&id) {
            // It may have missed why its task was sent back.
            if let Some(counted) = job.counts().filter(|_| job.origin.node == from) {
                let why = Refusal::Counts(counted);
                self.outbox.send_to_client(from, ToClient::Refuse(Refuse::of(id, why)));
            }
            return;
        }
        if self.ended.holds(&id) {
            return;
        }
        match self.open_kept_job(now, origin, &award) {
            Ok(job) => {
                self.jobs.insert(id, job);
                self.sealed(now, from, &SealedFrame { job: id, nonce: 0, bytes: award.work });
            }
            Err(why) => {
                // Its session can still come to be kept while the job of its handshake is here.
                let may_come = self.jobs.get(&award.session).is_some_and(|job| job.origin.node == from);
                if why == Refusal::NoSession && may_come {
                    self.refused.note(now, id);
                }
                self.outbox.send_to_client(from, ToClient::Refuse(Refuse::of(id, why)));
            }
        }
    }

    fn open_kept_job(&mut self, now: Time, origin: Origin, award: &KeptAward) -> Result<Job, Refusal> {
        let KeptAward { job, call, bid, price, session, number, ref extensions, .. } = *award;
        // The voucher for which its session is kept may come between two copies of it.
        if self.refused.holds(&job) {
            return Err(Refusal::NoSession);
        }
        let ends = [&origin.node, &self.identity.id()];
        let secure = self.kept.open(now, ends, session, number, &job).ok_or(Refusal::NoSession)?;
        let taken = Taken { job, call, bid, price, extensions, units: limits::KEPT_ANSWER_UNITS };
        let (promised, holds_slot) = self.take(now, origin, taken)?;
        self.make_room(now, origin);
        Ok(Job::new(now, origin, holds_slot, promised, price, Opening::Kept, secure))
    }

    /// Takes the bid that an award names, if there is room for its job. Returns also whether a slot is kept for it.
    fn take(&mut self, now: Time, origin: Origin, taken: Taken<'_>) -> Result<(Promised, bool), Refusal> {
        if self.draining {
            return Err(Refusal::Leaving);
        }
        if self.admission.clientele.is_held_off(now, &origin.node) {
            self.admission.crowded(now, Budget::Marks, origin.prefix, &mut self.outbox);
            return Err(Refusal::Busy);
        }
        let is_customer = self.admission.clientele.is_customer(now, &origin.node);
        if !self.admission.may_answer(now, origin, is_customer, taken.units, &mut self.outbox) {
            return Err(Refusal::Busy);
        }
        if !taken.extensions.are_understood() {
            return Err(Refusal::NotUnderstood);
        }
        let promised = self.bidder.award(now, origin.node, taken.call, taken.bid, taken.price)?;
        if self.bidder.offers.find(&promised.model).is_none() {
            return Err(Refusal::Leaving);
        }
        let has_slot = self.has_slot(now, &promised.model, origin, is_customer);
        if !has_slot && !self.may_wait(now, taken.job, origin, is_customer, &promised)
            || self.jobs.running() >= limits::JOBS_MAX
        {
            return Err(Refusal::Busy);
        }
        self.bidder.taken(origin.node, taken.call, taken.price);
        self.told.note(now, origin.node, now + limits::LEASE_VALID);
        Ok((promised, is_customer && has_slot))
    }

    /// Keeps the session of a job for further ones, once its client has paid. (`SE-24`)
    pub(super) fn keep_session(&mut self, now: Time, id: JobId) {
        let clientele = &self.admission.clientele;
        let secret = self.jobs.change(&id, |job| {
            let client = job.origin.node;
            let secret = clientele.has_ever_paid(&client).then(|| job.secure.take_kept()).flatten()?;
            Some((client, secret))
        });
        if let Some((client, secret)) = secret.flatten() {
            self.kept.keep(now, client, id, secret);
        }
    }

    /// Returns whether a job that was bid for can wait for its turn. (`MK-48`)
    fn may_wait(&self, now: Time, id: JobId, origin: Origin, is_customer: bool, promised: &Promised) -> bool {
        let Some(work) = self.bidder.work(&promised.model, promised.classes) else { return false };
        let task = WaitingTask { id, client: origin.node, is_customer, since: now, work };
        self.place_for(&promised.model, origin, is_customer).is_some()
            && self.start_in(now, &promised.model, task, 0) <= limits::QUEUE_WAIT_MAX
    }

    /// Returns whether more than half of a model's slots are taken.
    pub(super) fn is_half_full(&self, model: &ModelId) -> bool {
        self.jobs.busy(model).saturating_mul(2) > self.bidder.offers.slots(model)
    }

    /// Returns whether a slot of a model is free for this one. (`MK-42`)
    pub(super) fn has_slot(&mut self, now: Time, model: &ModelId, origin: Origin, is_customer: bool) -> bool {
        let slots = (model, self.bidder.offers.slots(model));
        self.admission.has_slot(now, &self.jobs, slots, origin, is_customer, &mut self.outbox)
    }
}
