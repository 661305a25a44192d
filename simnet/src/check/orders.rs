//! What must hold for every order: it ends once, by its deadline, within its budget, with one provider at a time.

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Bill, OrderNews};
use bombyx_protocol::time::Time;

use crate::check::violation::{Violation, hold, violation};
use crate::scenario::Scenario;

/// Microseconds after its deadline until which an order may be told to have ended; a scenario may say otherwise.
const GRACE_US: i64 = 1_000_000;

/// The orders that are not at their end.
#[derive(Debug, Default)]
pub struct OpenOrders {
    /// By number.
    orders: BTreeMap<u32, OpenOrder>,
    due: BTreeSet<(Time, u32)>,
    /// No order is due before.
    next_due: Time,
    /// Microseconds after its deadline until which an order may be told to have ended; before it, where they are below zero.
    grace_us: i64,
}

#[derive(Debug, Clone, Copy)]
struct OpenOrder {
    due: Time,
    max_cost: Nano,
    served_by_someone: bool,
}

impl OpenOrders {
    /// Creates the check of the orders of a scenario's run: its grace is what the scenario says, or a second.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let grace_us = scenario.workload.grace_s.map_or(GRACE_US, |grace_s| (grace_s * 1e6) as i64);
        Self { grace_us, ..Self::default() }
    }

    /// Records that an order was given to a client.
    pub fn ordered(&mut self, number: u32, deadline: Time, max_cost: Nano) {
        let due = Time(deadline.0.saturating_add_signed(self.grace_us));
        self.orders.insert(number, OpenOrder { due, max_cost, served_by_someone: false });
        self.due.insert((due, number));
        self.next_due = self.next_due.min(due);
    }

    /// Records that the client of an order lost power: no host is left to end it.
    pub fn lost(&mut self, number: u32) {
        if let Some(order) = self.orders.remove(&number) {
            self.due.remove(&(order.due, number));
        }
    }

    /// Returns the numbers of all of them.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.orders.keys().copied()
    }

    /// Returns whether every order is at its end.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Returns how many orders are not at their end.
    #[must_use]
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Checks that every order ends once, by its deadline, within its budget, and with one provider at
    /// a time.
    ///
    /// # Errors
    /// [`Violation`].
    pub fn news(&mut self, number: u32, news: &OrderNews) -> Result<(), Violation> {
        let Some(order) = self.orders.get_mut(&number) else {
            return violation("an order ends once", format!("order {number} goes on after its end"));
        };
        match news {
            OrderNews::Awarded { .. } => {
                let twice = std::mem::replace(&mut order.served_by_someone, true);
                hold(!twice, "no double award", || format!("order {number} has two providers at once"))
            }
            OrderNews::FailedOver { .. } => {
                order.served_by_someone = false;
                Ok(())
            }
            OrderNews::Bids(_) | OrderNews::Content(_) => Ok(()),
            OrderNews::Done(bill) | OrderNews::Failed { bill, .. } => {
                let max_cost = order.max_cost;
                self.lost(number);
                within_budget(number, bill, max_cost)
            }
        }
    }

    /// Checks that every order ends by its deadline, as far as all is known that happened before `now`.
    /// Cheap enough to be run after every event.
    ///
    /// # Errors
    /// [`Violation`], and when.
    pub fn deadlines(&mut self, now: Time) -> Result<(), (Time, Violation)> {
        if now <= self.next_due {
            return Ok(());
        }
        self.next_due = self.due.first().map_or(now, |(due, _)| *due);
        match self.due.first() {
            Some((due, number)) if *due < now => {
                let detail = format!("order {number} is open after {:.6} s", due.0 as f64 / 1e6);
                Err((*due, Violation { invariant: "every order ends by its deadline", detail }))
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn within_budget(number: u32, bill: &Bill, max_cost: Nano) -> Result<(), Violation> {
    hold(bill.cost <= max_cost, "no order costs more than it may", || {
        format!("order {number} cost {} of {max_cost}", bill.cost)
    })
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::ident::NodeId;
    use bombyx_protocol::io::Failure;
    use bombyx_protocol::work::order::JobId;

    use super::*;

    fn fails(result: Result<(), Violation>) -> &'static str {
        result.expect_err("it must be caught").invariant
    }

    #[test]
    fn an_order_that_outlives_its_deadline_its_budget_or_itself_is_caught() {
        let mut orders = OpenOrders::new(&Scenario::default());
        orders.ordered(1, Time(5_000_000), Nano(10));
        assert_eq!(orders.deadlines(Time(6_000_000)), Ok(()));
        let late = orders.deadlines(Time(6_000_001)).map_err(|(at, violation)| (at, violation.invariant));
        assert_eq!(late, Err((Time(6_000_000), "every order ends by its deadline")));
        let award = OrderNews::Awarded { provider: NodeId([1; 32]), job: JobId([1; 16]) };
        assert_eq!(orders.news(1, &award), Ok(()));
        assert_eq!(fails(orders.news(1, &award)), "no double award");
        let bill = Bill { cost: Nano(11), ..Bill::default() };
        let end = OrderNews::Failed { why: Failure::Deadline, bill };
        assert_eq!(fails(orders.news(1, &end)), "no order costs more than it may");
        assert_eq!(fails(orders.news(1, &end)), "an order ends once");
        assert_eq!(orders.deadlines(Time(9_000_000)), Ok(()));
    }
}
