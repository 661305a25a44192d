//! What a gateway may spend in an hour and in a day, all requests together. Counted since the gateway began to serve.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bombyx_protocol::amount::Nano;

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// The limits, and what was spent within the last day.
#[derive(Debug)]
pub(super) struct Budget {
    /// Zero: no limit.
    hour: Nano,
    day: Nano,
    spent: Mutex<Spent>,
}

#[derive(Debug, Default)]
struct Spent {
    /// When, and how much; the oldest first.
    orders: VecDeque<(Instant, Nano)>,
    /// Ceilings of orders that have not ended.
    reserved: Nano,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UsedUp {
    pub(super) span: &'static str,
    /// The key in the configuration that limits it.
    pub(super) key: &'static str,
}

impl Budget {
    /// Creates a budget; zero is no limit.
    pub(super) fn new(hour: Nano, day: Nano) -> Self {
        Self { hour, day, spent: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        // Plain numbers: nobody panics while holding the lock.
        self.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self, now: Instant, amount: Nano) -> Result<(), UsedUp> {
        let mut spent = self.lock();
        spent.forget(now);
        for (limit, span, used_up) in [
            (self.hour, HOUR, UsedUp { span: "an hour", key: "budget_hour" }),
            (self.day, DAY, UsedUp { span: "a day", key: "budget_day" }),
        ] {
            let all = spent.within(now, span).saturating_plus(spent.reserved).saturating_plus(amount);
            if limit > Nano::ZERO && all > limit {
                return Err(used_up);
            }
        }
        spent.reserved = spent.reserved.saturating_plus(amount);
        Ok(())
    }

    fn settle(&self, now: Instant, reserved: Nano, cost: Nano) {
        let mut spent = self.lock();
        spent.reserved = spent.reserved.saturating_minus(reserved);
        // Without limits nothing needs to be remembered.
        if cost > Nano::ZERO && (self.hour > Nano::ZERO || self.day > Nano::ZERO) {
            spent.orders.push_back((now, cost));
        }
    }
}

impl Spent {
    fn forget(&mut self, now: Instant) {
        while self.orders.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= DAY) {
            self.orders.pop_front();
        }
    }

    fn within(&self, now: Instant, span: Duration) -> Nano {
        let young = |at: &Instant| now.saturating_duration_since(*at) < span;
        self.orders
            .iter()
            .filter(|(at, _)| young(at))
            .map(|(_, cost)| *cost)
            .fold(Nano::ZERO, Nano::saturating_plus)
    }
}

/// A part of the budget that is set aside for one order.
#[derive(Debug)]
pub(super) struct Reserve {
    budget: Arc<Budget>,
    amount: Nano,
    settled: bool,
}

impl Reserve {
    /// Sets `amount` aside.
    ///
    /// # Errors
    /// [`UsedUp`] where that much is not left.
    pub(super) fn take(budget: &Arc<Budget>, amount: Nano) -> Result<Self, UsedUp> {
        budget.reserve(Instant::now(), amount)?;
        Ok(Self { budget: Arc::clone(budget), amount, settled: false })
    }

    /// Notes that the order has ended and cost this much.
    pub(super) fn settle(&mut self, cost: Nano) {
        if !self.settled {
            self.settled = true;
            self.budget.settle(Instant::now(), self.amount, cost);
        }
    }
}

impl Drop for Reserve {
    fn drop(&mut self) {
        // The caller left: what its order came to is not told here any more, so all of it counts as spent.
        self.settle(self.amount);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_reserved_or_spent_is_not_there_for_others() {
        let budget = Arc::new(Budget::new(Nano(100), Nano(150)));
        let first = Reserve::take(&budget, Nano(60)).unwrap();
        assert_eq!(Reserve::take(&budget, Nano(41)).unwrap_err().key, "budget_hour");
        let mut second = Reserve::take(&budget, Nano(40)).unwrap();
        second.settle(Nano(10));
        second.settle(Nano(40));
        assert!(Reserve::take(&budget, Nano(31)).is_err());
        let mut third = Reserve::take(&budget, Nano(30)).unwrap();
        third.settle(Nano::ZERO);
        drop(third);
        // The caller of the first one leaves: its ceiling counts.
        drop(first);
        assert!(Reserve::take(&budget, Nano(31)).is_err());
        assert!(Reserve::take(&budget, Nano(30)).is_ok());
    }

    #[test]
    fn what_is_older_than_its_span_is_forgotten() {
        let budget = Budget::new(Nano(100), Nano(150));
        let start = Instant::now();
        budget.reserve(start, Nano(100)).unwrap();
        budget.settle(start, Nano(100), Nano(100));
        assert_eq!(
            budget.reserve(start + HOUR - Duration::from_secs(1), Nano(1)).unwrap_err().key,
            "budget_hour"
        );
        budget.reserve(start + HOUR, Nano(50)).unwrap();
        budget.settle(start + HOUR, Nano(50), Nano(50));
        assert_eq!(budget.reserve(start + HOUR * 3, Nano(1)).unwrap_err().key, "budget_day");
        budget.reserve(start + DAY, Nano(100)).unwrap();
    }

    #[test]
    fn zero_is_no_limit_and_sums_do_not_overflow() {
        let budget = Budget::new(Nano::ZERO, Nano::ZERO);
        let now = Instant::now();
        budget.reserve(now, Nano(u64::MAX)).unwrap();
        budget.reserve(now, Nano(u64::MAX)).unwrap();
        let budget = Budget::new(Nano(5), Nano::ZERO);
        assert!(budget.reserve(now, Nano(u64::MAX)).is_err());
    }
}
