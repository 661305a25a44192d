//! Awards: who gets a job, and what of it holds a slot.

use crate::ident::Origin;
use crate::io::Budget;
use crate::limits;
use crate::session::{prologue, respond};
use crate::time::Time;
use crate::wire::message::{Accept, Award, Refusal, Refuse, ToClient};
use crate::work::order::ModelId;

use super::Provider;
use super::job::Job;

impl Provider {
    /// Takes an award; the same award again gets the same answer. (`MK-10`)
    pub(super) fn awarded(&mut self, now: Time, origin: Origin, award: &Award) {
        let from = origin.node;
        if let Some(job) = self.jobs.get(&award.job) {
            if job.origin.node == from && job.award == *award {
                let accept = Accept { job: award.job, handshake: job.reply.clone() };
                self.send(from, ToClient::Accept(accept));
            }
            return;
        }
        match self.open_job(now, origin, award) {
            Ok(job) => {
                let accept = Accept { job: award.job, handshake: job.reply.clone() };
                self.jobs.insert(award.job, Box::new(job));
                self.send(from, ToClient::Accept(accept));
            }
            Err(why) => self.send(from, ToClient::Refuse(Refuse { job: award.job, why })),
        }
    }

    fn open_job(&mut self, now: Time, origin: Origin, award: &Award) -> Result<Job, Refusal> {
        if self.draining {
            return Err(Refusal::Leaving);
        }
        if self.standing.is_held_off(now, &origin.node) {
            self.crowded(now, Budget::Marks, origin.prefix);
            return Err(Refusal::Busy);
        }
        let is_customer = self.standing.is_customer(now, &origin.node);
        if !self.may_answer(now, origin, is_customer) {
            return Err(Refusal::Busy);
        }
        let model = self.bidder.award(now, origin.node, award.call, award.bid, &award.price)?;
        let running = self.jobs.values().filter(|job| job.holds_slot()).count();
        if !self.has_slot(now, &model, origin, is_customer) || running >= limits::JOBS_MAX {
            return Err(Refusal::Busy);
        }
        let prologue = prologue(&origin.node, &self.identity.id(), &award.job.0);
        let (secure, reply) = respond(&self.session_key, &prologue, &award.handshake, &mut self.entropy)
            .map_err(|_| Refusal::Malformed)?;
        self.make_room(now, origin);
        Ok(Job::new(now, origin, is_customer, model, award.clone(), secure, reply))
    }

    /// Jobs of a model that hold a slot.
    pub(super) fn busy(&self, model: &ModelId) -> u16 {
        let busy = self.jobs.values().filter(|job| job.model == *model && job.holds_slot()).count();
        u16::try_from(busy).unwrap_or(u16::MAX)
    }

    /// Whether more than half of a model's slots are taken.
    pub(super) fn is_half_full(&self, model: &ModelId) -> bool {
        let slots = self.bidder.find(model).map_or(0, |offer| offer.slots);
        self.busy(model).saturating_mul(2) > slots
    }

    /// Whether a slot is free for this one. A customer that finds none counts as one that waits: until it has had its turn,
    /// strangers share a quarter of the slots. (`MK-42`)
    pub(super) fn has_slot(&mut self, now: Time, model: &ModelId, origin: Origin, is_customer: bool) -> bool {
        let slots = self.bidder.find(model).map_or(0, |offer| offer.slots);
        let is_free = self.busy(model) < slots;
        if is_customer {
            if !is_free {
                self.wanted.insert(*model, now + limits::CUSTOMER_WAITS);
            }
            return is_free;
        }
        let is_wanted = self.wanted.get(model).is_some_and(|until| now < *until);
        let strangers = self.jobs.values().filter(|job| {
            job.model == *model && job.holds_slot() && !self.standing.has_ever_paid(&job.origin.node)
        });
        let part = slots.checked_div(limits::STRANGERS_SLOTS_PART).unwrap_or(0);
        if is_wanted && strangers.count() >= usize::from(part) {
            self.crowded(now, Budget::Slots, origin.prefix);
            return false;
        }
        is_free
    }
}
