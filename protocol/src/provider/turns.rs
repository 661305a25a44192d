//! Whose turn it is: tasks that could begin and find no slot, by turns among their clients, and when one more could begin.
//! (`MK-48`)

use std::collections::BTreeMap;

use crate::ident::NodeId;
use crate::limits;
use crate::table::Table;
use crate::time::{Span, Time};
use crate::work::order::{JobId, ModelId};

/// A task that waits for a slot.
#[derive(Debug, Clone, Copy)]
pub(super) struct WaitingTask {
    pub(super) id: JobId,
    pub(super) client: NodeId,
    pub(super) is_customer: bool,
    /// Since when it waits.
    pub(super) since: Time,
    /// The engine's work on it.
    pub(super) work: Span,
}

/// The turns of a model's clients: the one for which the least work was begun of late is next.
#[derive(Debug, Clone, Default)]
pub(super) struct Turns {
    /// Work begun for each client, where that is more than the least that counts.
    begun: Table<NodeId, u64>,
    /// The least that counts: who comes back after a rest is owed nothing for it.
    floor: u64,
    /// Customers' turns since a stranger's.
    customers: u8,
}

impl Turns {
    fn begun_for(&self, client: &NodeId) -> u64 {
        self.begun.get(client).copied().unwrap_or(0).max(self.floor)
    }

    /// Returns which of these is next: of four turns that both want, three are customers'.
    fn next(&self, waiting: &[WaitingTask]) -> Option<usize> {
        let both = [true, false].map(|kind| waiting.iter().any(|task| task.is_customer == kind));
        let of_customers = match both {
            [true, true] => self.customers < limits::CUSTOMERS_TURNS,
            [customers, _] => customers,
        };
        let of_kind = waiting.iter().enumerate().filter(|(_, task)| task.is_customer == of_customers);
        let next = of_kind.min_by_key(|(_, task)| (self.begun_for(&task.client), task.since, task.id));
        next.map(|(place, _)| place)
    }

    /// Notes that a task begins.
    pub(super) fn begin(&mut self, task: &WaitingTask) {
        let floor = self.begun_for(&task.client);
        self.floor = floor;
        self.begun.insert(task.client, floor.saturating_add(task.work.0.max(1)));
        self.begun.retain(|_, begun| *begun > floor);
        self.customers = if task.is_customer { self.customers.saturating_add(1) } else { 0 };
    }

    /// Returns these in the order in which they would begin.
    fn in_order(mut self, mut waiting: Vec<WaitingTask>) -> Vec<WaitingTask> {
        let mut ordered = Vec::with_capacity(waiting.len());
        // Of one client only the task that has waited longest can be next.
        waiting.sort_unstable_by_key(|task| core::cmp::Reverse((task.since, task.id)));
        let mut of_clients: BTreeMap<NodeId, Vec<WaitingTask>> = BTreeMap::new();
        for task in waiting {
            of_clients.entry(task.client).or_default().push(task);
        }
        let mut firsts: Vec<WaitingTask> = of_clients.values_mut().filter_map(Vec::pop).collect();
        while let Some(place) = self.next(&firsts) {
            let task = firsts.swap_remove(place);
            self.begin(&task);
            ordered.push(task);
            firsts.extend(of_clients.get_mut(&task.client).and_then(Vec::pop));
        }
        ordered
    }
}

/// Returns how much of the engine's time passes until a slot is free for the task behind these, where running ones share
/// the engine evenly. `running` is the work left on each.
pub(super) fn work_before(mut running: Vec<Span>, before: &[WaitingTask], slots: u16) -> Span {
    let slots = usize::from(slots).max(1);
    let mut passed = 0u64;
    let mut wait_for_slot = |running: &mut Vec<Span>| {
        while running.len() >= slots {
            let least = running.iter().min().copied().unwrap_or_default();
            passed = passed.saturating_add(least.0.saturating_mul(running.len() as u64));
            running.retain_mut(|left| {
                left.0 = left.0.saturating_sub(least.0);
                left.0 > 0
            });
        }
    };
    for task in before {
        wait_for_slot(&mut running);
        running.push(Span(task.work.0.max(1)));
    }
    wait_for_slot(&mut running);
    Span(passed)
}

/// How fast an engine really is: the time that jobs had of it, against the work that they were thought to be. Jobs that run side
/// by side have even parts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MeasuredPace {
    at: Time,
    running: u64,
    /// The engine's time for each of those that ran, ever.
    each: u64,
    had: u64,
    done: u64,
}

/// What counts as seen before anything is: so much work, side by side in all slots without loss.
const PACE_PRIOR: Span = Span::from_ms(100);
/// As much work is remembered in full.
const PACE_MEMORY: Span = Span::from_s(120);
/// The most by which the measured pace corrects the stated one, either way.
const PACE_TIMES_MAX: u64 = 16;

impl MeasuredPace {
    /// Notes how many jobs the engine has from now on. Returns its time so far for each.
    pub(super) fn observe(&mut self, now: Time, running: u16) -> u64 {
        let each = now.since(self.at).0.checked_div(self.running).unwrap_or(0);
        self.each = self.each.saturating_add(each);
        (self.at, self.running) = (now, u64::from(running));
        self.each
    }

    /// Notes work that was done, on a job that began when the engine's time for each was this.
    pub(super) fn done(&mut self, work: Span, began: u64) {
        self.had = self.had.saturating_add(self.each.saturating_sub(began));
        self.done = self.done.saturating_add(work.0);
        if self.done > PACE_MEMORY.0 {
            self.done = self.done.div_ceil(2);
            self.had = self.had.div_ceil(2);
        }
    }

    /// Returns the time that so much work takes on an engine of so many slots.
    pub(super) fn time_of(&self, work: Span, slots: u16) -> Span {
        let prior = PACE_PRIOR.0.checked_div(u64::from(slots)).unwrap_or(PACE_PRIOR.0);
        let (had, done) = (self.had.saturating_add(prior), self.done.saturating_add(PACE_PRIOR.0));
        let had =
            had.min(done.saturating_mul(PACE_TIMES_MAX)).max(done.checked_div(PACE_TIMES_MAX).unwrap_or(0));
        let time = u128::from(work.0).saturating_mul(u128::from(had)).checked_div(u128::from(done));
        Span(time.and_then(|time| u64::try_from(time).ok()).unwrap_or(u64::MAX))
    }
}

/// The turns at each model's slots, and how fast its engine is.
#[derive(Debug, Default)]
pub(super) struct Lines {
    lines: Table<ModelId, Line>,
}

/// Those of one model.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) turns: Turns,
    pub(super) pace: MeasuredPace,
}

impl Lines {
    /// Changes a model's line.
    pub(super) fn change(&mut self, model: ModelId, change: impl FnOnce(&mut Line)) {
        let mut line = self.lines.remove(&model).unwrap_or_default();
        change(&mut line);
        self.lines.insert(model, line);
    }

    /// Returns these in the order in which they would begin at a model's slots.
    pub(super) fn in_order(&self, model: &ModelId, waiting: Vec<WaitingTask>) -> Vec<WaitingTask> {
        self.lines.get(model).map(|line| line.turns.clone()).unwrap_or_default().in_order(waiting)
    }

    /// Returns how fast a model's engine is.
    pub(super) fn pace(&self, model: &ModelId) -> MeasuredPace {
        self.lines.get(model).map(|line| line.pace).unwrap_or_default()
    }

    /// Notes how many jobs each engine has from now on.
    pub(super) fn observe(&mut self, now: Time, running: impl Fn(&ModelId) -> u16) {
        for (model, line) in self.lines.iter_mut() {
            line.pace.observe(now, running(model));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Span = Span::from_s(1);

    fn task(number: u8, client: u8, is_customer: bool) -> WaitingTask {
        let since = Time(u64::from(number));
        WaitingTask {
            id: JobId([number; 16]),
            client: NodeId([client; 32]),
            is_customer,
            since,
            work: SECOND,
        }
    }

    fn clients(turns: &Turns, waiting: Vec<WaitingTask>) -> Vec<u8> {
        turns.clone().in_order(waiting).iter().map(|task| task.client.0[0]).collect()
    }

    /// (`MK-48`)
    #[test]
    fn one_client_s_fifty_tasks_do_not_stand_in_the_way_of_another_s_one() {
        let mut waiting: Vec<_> = (0..50).map(|number| task(number, 1, true)).collect();
        waiting.push(task(99, 2, true));
        assert_eq!(clients(&Turns::default(), waiting)[..3], [1, 2, 1]);
    }

    /// (`MK-48`)
    #[test]
    fn of_four_turns_three_are_customers_and_a_rest_earns_nothing() {
        let mut waiting: Vec<_> = (0..6).map(|number| task(number, 1, true)).collect();
        waiting.extend((10..16).map(|number| task(number, 2, false)));
        let order = clients(&Turns::default(), waiting);
        assert_eq!(order, [1, 1, 1, 2, 1, 1, 1, 2, 2, 2, 2, 2]);
        let mut turns = Turns::default();
        (0..20).for_each(|number| turns.begin(&task(number, 1, true)));
        let waiting = [task(1, 1, true), task(2, 1, true), task(3, 3, true), task(4, 3, true)];
        assert_eq!(clients(&turns, waiting.to_vec()), [3, 1, 3, 1]);
        assert_eq!(turns.begun.len(), 1, "who is no further than the others is not kept");
    }

    /// (`MK-48`)
    #[test]
    fn the_start_of_the_next_task_follows_from_what_runs_and_what_is_before_it() {
        let before: Vec<_> = (0..2).map(|number| task(number, number, true)).collect();
        assert_eq!(work_before(vec![SECOND; 3], &[], 4), Span(0));
        assert_eq!(work_before(vec![Span::from_s(3)], &[], 1), Span::from_s(3));
        assert_eq!(work_before(vec![Span::from_s(3)], &before, 1), Span::from_s(5));
        assert_eq!(
            work_before(vec![SECOND, Span::from_s(9)], &[], 2),
            Span::from_s(2),
            "two share the engine"
        );
    }

    /// (`MK-48`)
    #[test]
    fn an_engine_that_is_faster_or_slower_than_it_says_is_found_out() {
        for (running, takes, expected) in [(1, 1, 2), (1, 8, 16), (4, 8, 4)] {
            let mut pace = MeasuredPace::default();
            let mut now = Time(1);
            for _ in 0..60 {
                let began = pace.observe(now, running);
                now = now + Span::from_s(takes);
                pace.observe(now, 0);
                (0..running).for_each(|_| pace.done(Span::from_s(4), began));
                now = now + Span::from_s(100);
            }
            let time = pace.time_of(Span::from_s(8), 1).as_ms();
            assert!(time.abs_diff(expected * 1_000) < 600, "{time}");
        }
        assert_eq!(MeasuredPace::default().time_of(SECOND, 1), SECOND);
        assert_eq!(MeasuredPace::default().time_of(SECOND, 4), Span(SECOND.0 / 4));
    }
}
