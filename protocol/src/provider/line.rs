//! The line for a slot: which tasks wait for one, for how long, and which begins next. (`MK-48`)

use crate::fair;
use crate::ident::{NodeId, Origin};
use crate::io::Budget;
use crate::limits;
use crate::time::{Span, Time};
use crate::wire::message::Refusal;
use crate::work::order::{JobId, ModelId};

use super::Provider;
use super::job::{Next, ServedJob};
use super::turns::{WaitingTask, work_before};

/// Where one more task can stand.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    Free,
    /// In the place of this one.
    Of(JobId),
}

impl Provider {
    /// Returns whether no task of a job's model waits for a slot.
    pub(super) fn is_line_empty(&self, id: JobId) -> bool {
        let model = self.jobs.get(&id).map(|job| job.promised.model);
        model.is_none_or(|model| self.jobs.in_line(&model).next().is_none())
    }

    /// Notes that the engine has the task of a job.
    pub(super) fn begun(&mut self, now: Time, id: JobId) {
        let Some((job, served)) = self.jobs.get(&id).and_then(|job| Some((job, job.served()?))) else {
            return;
        };
        let task = self.waiting_task(id, job.origin, now, served);
        let model = job.promised.model;
        let running = self.jobs.busy(&model);
        let mut began = 0;
        self.lines.change(model, |line| {
            line.turns.begin(&task);
            began = line.pace.observe(now, running);
        });
        self.jobs.change(&id, |job| job.served_mut().map(|served| served.began(began)));
    }

    /// Lets a task wait for its turn at a slot, or refuses it where too many wait already. (`MK-48`)
    pub(super) fn wait_for_slot(&mut self, now: Time, id: JobId) {
        let Some((job, served)) = self.jobs.get(&id).and_then(|job| Some((job, job.served()?))) else {
            return;
        };
        let (model, origin) = (job.promised.model, job.origin);
        let is_new = served.waits_for_slot().is_none();
        let task = self.waiting_task(id, origin, now, served);
        let start = self.start_in(now, &model, task, 0);
        // Its client takes the word that it begins for so long, and would leave it as silent then. (`WR-16`)
        let promised = Span(job.promised.start.0.saturating_mul(2));
        let word_ends = job.since + promised + limits::WORD_WAIT;
        if now + start >= word_ends || (is_new && start > limits::QUEUE_WAIT_MAX) {
            return self.end(now, id, Some(Refusal::Busy));
        }
        if is_new {
            match self.place_for(&model, origin, task.is_customer) {
                Some(Place::Free) => {}
                Some(Place::Of(other)) => self.turn_away(now, other, origin),
                None => return self.turn_away(now, id, origin),
            }
        }
        self.step(now, id, |job| job.served().map_or(Next::Stay, |mut served| served.wait(start)));
    }

    /// Refuses a task that had a place in the line, or would have liked one.
    fn turn_away(&mut self, now: Time, id: JobId, newcomer: Origin) {
        self.admission.crowded(now, Budget::Places, newcomer.prefix, &mut self.outbox);
        self.end(now, id, Some(Refusal::Busy));
    }

    /// Returns where one more task of a client can stand in a model's line, if anywhere. Where no place is free, a customer gets
    /// one of strangers while they have more than a quarter; else who holds most gives one to who holds less of their kind.
    /// (`MK-48`)
    pub(super) fn place_for(&self, model: &ModelId, origin: Origin, is_customer: bool) -> Option<Place> {
        let clientele = &self.admission.clientele;
        let held = self.jobs.in_line(model).map(|(id, origin, since, _)| (id, origin, since));
        let (customers, strangers): (Vec<_>, Vec<_>) =
            held.partition(|(_, origin, _)| clientele.has_ever_paid(&origin.node));
        if customers.len().saturating_add(strangers.len()) < limits::QUEUE_MAX {
            return Some(Place::Free);
        }
        let other = if !is_customer {
            fair::latecomer(&strangers, Some(origin))
        } else if strangers.len() > limits::STRANGERS_QUEUE_MAX {
            fair::latecomer(&strangers, None)
        } else {
            fair::latecomer(&customers, Some(origin))
        };
        other.map(Place::Of)
    }

    /// Returns how long a task waits for its turn, which may stand in the line already: after what runs, what goes before it,
    /// and so many jobs of its size that may come by bids. (`MK-48`)
    pub(super) fn start_in(&self, now: Time, model: &ModelId, task: WaitingTask, may_come: usize) -> Span {
        let slots = self.bidder.offers.slots(model);
        let mut waiting: Vec<WaitingTask> =
            self.waiting_tasks(model).filter(|other| other.id != task.id).collect();
        let busy = usize::from(self.jobs.busy(model));
        let running = self.jobs.work_left(model);
        let free = usize::from(slots).saturating_sub(busy);
        if waiting.is_empty() && may_come < free {
            return Span(0);
        }
        // Bids that are won are of other customers: each has its own turn, as far as the line has room.
        let room = limits::QUEUE_MAX.saturating_sub(waiting.len());
        let others = (0..may_come.min(room)).map(|number| {
            let mut client = [255; 32];
            client[..8].copy_from_slice(&(number as u64).to_le_bytes());
            WaitingTask { id: JobId([0; 16]), client: NodeId(client), is_customer: true, ..task }
        });
        waiting.extend(others);
        waiting.push(task);
        let ordered = self.lines.in_order(model, waiting);
        let before = ordered.split(|other| other.id == task.id).next().unwrap_or_default();
        self.time_of(now, model, work_before(running, before, slots))
    }

    /// Returns how long a model's engine takes for so much work, by what it has done of late and does now. (`MK-48`)
    pub(super) fn time_of(&self, now: Time, model: &ModelId, work: Span) -> Span {
        let mut pace = self.lines.pace(model);
        pace.observe(now, self.jobs.busy(model));
        for served in self.jobs.running_of(model).filter(|served| served.is_under_way(now)) {
            pace.done(served.work_done(), served.began_at());
        }
        pace.time_of(work, self.bidder.offers.slots(model))
    }

    /// Lets tasks that wait for a slot begin where one has become free, by turns. (`MK-48`)
    pub(super) fn resume_waiting(&mut self, now: Time) {
        for (model, work, began) in core::mem::take(&mut self.jobs.freed.done) {
            let running = self.jobs.busy(&model);
            self.lines.change(model, |line| {
                line.pace.observe(now, running);
                line.pace.done(work, began);
            });
        }
        if core::mem::take(&mut self.jobs.freed.slot) {
            for model in self.bidder.offers.models() {
                if self.jobs.busy(&model) >= self.bidder.offers.slots(&model) {
                    continue;
                }
                let ordered = self.lines.in_order(&model, self.waiting_tasks(&model).collect());
                self.jobs.freed.next.extend(ordered.into_iter().map(|task| task.id));
            }
            for id in core::mem::take(&mut self.jobs.freed.next) {
                self.resume(now, id, true);
            }
            // What was asked for meanwhile was given, or has to wait for the next free slot.
            self.jobs.freed.slot = false;
        }
        self.lines.observe(now, |model| self.jobs.busy(model));
    }

    /// Returns whether a slot is free for a job that could begin.
    pub(super) fn takes_slot(&mut self, now: Time, id: JobId) -> bool {
        let Some(job) = self.jobs.get(&id) else { return false };
        let (origin, model) = (job.origin, job.promised.model);
        let is_customer = self.admission.clientele.has_ever_paid(&origin.node);
        self.has_slot(now, &model, origin, is_customer)
    }

    /// Returns the tasks that wait for a model's slots.
    fn waiting_tasks(&self, model: &ModelId) -> impl Iterator<Item = WaitingTask> {
        let in_line = self.jobs.in_line(model);
        in_line.map(|(id, origin, since, served)| self.waiting_task(id, origin, since, served))
    }

    /// Returns a task as one that waits for a slot since then.
    fn waiting_task(&self, id: JobId, origin: Origin, since: Time, served: &ServedJob) -> WaitingTask {
        let is_customer = self.admission.clientele.has_ever_paid(&origin.node);
        WaitingTask { id, client: origin.node, is_customer, since, work: served.work() }
    }
}
