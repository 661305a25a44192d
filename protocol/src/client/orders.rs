//! The orders under way, found by their own id, by the call that is out for them, or by the job that was awarded.

use crate::deadlines::Deadlines;
use crate::market::auction::Auction;
use crate::market::call::CallId;
use crate::table::Table;
use crate::time::Time;
use crate::work::order::{JobId, OrderId};

use super::award::PendingAward;
use super::order::{ActiveOrder, Phase};
use super::progress::Progress;

/// One table and what finds an entry in it. An order's phase names its call or its job, so that the indices follow the
/// table: an order changes its phase by being taken out and put back.
#[derive(Debug, Default)]
pub(super) struct Orders {
    active: Table<OrderId, Box<ActiveOrder>>,
    by_call: Table<CallId, OrderId>,
    by_job: Table<JobId, OrderId>,
    deadlines: Deadlines<OrderId>,
}

impl Orders {
    pub(super) const fn len(&self) -> usize {
        self.active.len()
    }

    pub(super) fn contains(&self, id: &OrderId) -> bool {
        self.active.contains_key(id)
    }

    pub(super) fn insert(&mut self, id: OrderId, active: ActiveOrder) {
        match &active.phase {
            Phase::Pause(_) => None,
            Phase::Auction(auction) => self.by_call.insert(auction.call, id),
            Phase::Award(award) => self.by_job.insert(award.job(), id),
            Phase::Attempt(attempt) => self.by_job.insert(attempt.job, id),
        };
        self.deadlines.touch(id);
        self.active.insert(id, Box::new(active));
    }

    pub(super) fn remove(&mut self, id: &OrderId) -> Option<ActiveOrder> {
        let active = *self.active.remove(id)?;
        self.deadlines.touch(*id);
        match &active.phase {
            Phase::Pause(_) => None,
            Phase::Auction(auction) => self.by_call.remove(&auction.call),
            Phase::Award(award) => self.by_job.remove(&award.job()),
            Phase::Attempt(attempt) => self.by_job.remove(&attempt.job),
        };
        Some(active)
    }

    /// Takes an order out whose auction is over.
    pub(super) fn remove_auction(&mut self, id: &OrderId) -> Option<(Progress, Auction)> {
        matches!(self.active.get(id)?.phase, Phase::Auction(_)).then_some(())?;
        let ActiveOrder { progress, phase } = self.remove(id)?;
        if let Phase::Auction(auction) = phase { Some((progress, *auction)) } else { None }
    }

    /// Takes an order out whose award is answered.
    pub(super) fn remove_award(&mut self, id: &OrderId) -> Option<(Progress, Box<PendingAward>)> {
        matches!(self.active.get(id)?.phase, Phase::Award(_)).then_some(())?;
        let ActiveOrder { progress, phase } = self.remove(id)?;
        if let Phase::Award(award) = phase { Some((progress, award)) } else { None }
    }

    pub(super) fn get_mut(&mut self, id: &OrderId) -> Option<&mut ActiveOrder> {
        self.deadlines.touch(*id);
        self.active.get_mut(id).map(|active| &mut **active)
    }

    /// Returns the order that a call is out for.
    pub(super) fn by_call(&mut self, call: &CallId) -> Option<(OrderId, &mut ActiveOrder)> {
        let id = *self.by_call.get(call)?;
        self.get_mut(&id).map(|active| (id, active))
    }

    /// Returns the order that a job was awarded for.
    pub(super) fn by_job(&mut self, job: &JobId) -> Option<(OrderId, &mut ActiveOrder)> {
        let id = *self.by_job.get(job)?;
        self.get_mut(&id).map(|active| (id, active))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (OrderId, &ActiveOrder)> {
        self.active.iter().map(|(id, active)| (*id, &**active))
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (OrderId, &mut ActiveOrder)> {
        self.active.keys().for_each(|id| self.deadlines.touch(*id));
        self.active.iter_mut().map(|(id, active)| (*id, &mut **active))
    }

    /// Takes the orders that have something due, the lowest id first.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<OrderId> {
        let Self { active, deadlines, .. } = self;
        deadlines.due_of(now, active, |active| active.wake_at())
    }

    /// Returns when something of an order is due next.
    pub(super) fn wake_at(&mut self) -> Option<Time> {
        let Self { active, deadlines, .. } = self;
        deadlines.next_of(active, |active| active.wake_at())
    }

    /// Returns the orders that match, the lowest id first.
    pub(super) fn matching(&self, matches: impl Fn(&ActiveOrder) -> bool) -> Vec<OrderId> {
        self.iter().filter(|(_, active)| matches(active)).map(|(id, _)| id).collect()
    }
}
