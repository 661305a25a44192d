//! Awards: who gets a job, and whether a slot is free for it.

use crate::ident::Origin;
use crate::io::Budget;
use crate::limits;
use crate::session::{prologue, respond};
use crate::time::Time;
use crate::wire::message::{Accept, Award, Refusal, Refuse, ToClient};
use crate::work::order::{JobId, ModelId};

use super::Provider;
use super::bidder::Promised;
use super::job::Job;
use super::turns::WaitingTask;

impl Provider {
    /// Answers an award; the same award again gets the same answer. (`MK-10`)
    pub(super) fn awarded(&mut self, now: Time, origin: Origin, award: &Award) {
        let from = origin.node;
        if let Some(job) = self.jobs.get(&award.job) {
            if job.origin.node == from && job.award == *award {
                let accept = Accept::of(award.job, job.reply.clone());
                self.outbox.send_to_client(from, ToClient::Accept(accept));
            }
            return;
        }
        match self.open_job(now, origin, award) {
            Ok(job) => {
                let accept = Accept::of(award.job, job.reply.clone());
                self.jobs.insert(award.job, job);
                self.outbox.send_to_client(from, ToClient::Accept(accept));
            }
            Err(why) => self.outbox.send_to_client(from, ToClient::Refuse(Refuse::of(award.job, why))),
        }
    }

    fn open_job(&mut self, now: Time, origin: Origin, award: &Award) -> Result<Job, Refusal> {
        if self.draining {
            return Err(Refusal::Leaving);
        }
        if self.admission.clientele.is_held_off(now, &origin.node) {
            self.admission.crowded(now, Budget::Marks, origin.prefix, &mut self.outbox);
            return Err(Refusal::Busy);
        }
        let is_customer = self.admission.clientele.is_customer(now, &origin.node);
        if !self.admission.may_answer(now, origin, is_customer, &mut self.outbox) {
            return Err(Refusal::Busy);
        }
        if !award.extensions.are_understood() {
            return Err(Refusal::NotUnderstood);
        }
        let promised = self.bidder.award(now, origin.node, award.call, award.bid, award.price)?;
        if self.bidder.offers.find(&promised.model).is_none() {
            return Err(Refusal::Leaving);
        }
        let has_slot = self.has_slot(now, &promised.model, origin, is_customer);
        if !has_slot && !self.may_wait(now, award.job, origin, is_customer, &promised)
            || self.jobs.running() >= limits::JOBS_MAX
        {
            return Err(Refusal::Busy);
        }
        let prologue = prologue(&origin.node, &self.identity.id(), &award.job.0);
        let (secure, reply) = respond(&self.session_key, &prologue, &award.handshake, &mut self.entropy)
            .map_err(|_| Refusal::Malformed)?;
        self.make_room(now, origin);
        self.told.note(now, origin.node, now + limits::LEASE_VALID);
        Ok(Job::new(now, origin, is_customer && has_slot, promised, award.clone(), secure, reply))
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
