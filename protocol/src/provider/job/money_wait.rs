//! How long a job stands still for money.

use crate::limits;
use crate::time::{Span, Time};

/// Whether a job waits for money, and whether it has.
#[derive(Debug, Default)]
pub(in crate::provider) struct MoneyWait {
    waiting: Option<Wait>,
    /// When the client was last told that, unless a chunk has been sent since. (`CH-55`)
    asked_at: Option<Time>,
    /// Whether it has stood still for money, so that its time was not the engine's.
    stood_still: bool,
}

/// A job that stands still because it lacks payment, or room in the window that it shares.
#[derive(Debug, Clone, Copy)]
struct Wait {
    /// Jobs on one channel resume in this order.
    since: Time,
    /// Then it is given up; payment for anything on its channel puts that off.
    until: Time,
}

impl MoneyWait {
    /// Begins to wait for so long. Returns whether it did not wait before.
    pub(super) fn begin(&mut self, now: Time, wait: Span) -> bool {
        let is_new = self.waiting.is_none();
        self.waiting.get_or_insert(Wait { since: now, until: now + wait });
        is_new
    }

    /// Waits no longer. A time tells that what the job waited for until then was not the engine's doing.
    pub(super) fn end(&mut self, now: Option<Time>) {
        if let Some(now) = now {
            self.stood_still = self.has_stood_still(now);
        }
        self.waiting = None;
    }

    /// Forgets that it has stood still, as its engine begins.
    pub(super) const fn restart(&mut self) {
        self.stood_still = false;
    }

    /// Puts the end off. The job keeps its slot or its place in the line for it, but not for ever: what its client pays may be for
    /// others, or a nano now and then. (`MK-48`)
    pub(super) fn put_off(&mut self, until: Time) {
        if let Some(waiting) = &mut self.waiting {
            waiting.until = until.min(waiting.since + limits::QUEUE_WAIT_MAX);
        }
    }

    /// Notes that the client was told what is missing.
    pub(super) const fn asked(&mut self, now: Time) {
        self.asked_at = Some(now);
    }

    /// Notes that a chunk was sent: where the job stands still after it, the client is told at once.
    pub(super) const fn delivered(&mut self) {
        self.asked_at = None;
    }

    /// Returns since when the job waits, if it does.
    pub(super) fn since(&self) -> Option<Time> {
        self.waiting.map(|waiting| waiting.since)
    }

    /// Returns whether it has waited for as long as it may.
    pub(super) fn is_over(&self, now: Time) -> bool {
        self.waiting.is_some_and(|waiting| now >= waiting.until)
    }

    /// Returns whether the client is to be told what is missing: at once, and then again and again.
    pub(super) fn asks(&self, now: Time) -> bool {
        self.waiting.is_some() && now >= self.asks_at()
    }

    /// Returns whether the job waits and the client was told so after it had last spoken.
    pub(super) fn was_asked_since(&self, heard_at: Time) -> bool {
        self.waiting.is_some() && self.asked_at.is_some_and(|at| at > heard_at)
    }

    fn asks_at(&self) -> Time {
        self.asked_at.map_or(Time(0), |at| at + limits::CHUNK_RETRY)
    }

    /// Returns whether the job has stood still for long enough to tell, or does.
    pub(super) fn has_stood_still(&self, now: Time) -> bool {
        self.stood_still || self.waiting.is_some_and(|waiting| now >= waiting.since + limits::STOOD_STILL)
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        self.waiting.map(|waiting| waiting.until.min(self.asks_at()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_owes_an_answer_where_the_job_waits_and_it_was_told_after_it_had_last_spoken() {
        let [start, told, spoke] = [1, 2, 3].map(|s| Time(0) + Span::from_s(s));
        let mut money = MoneyWait::default();
        assert!(money.begin(start, limits::PAYMENT_WAIT));
        assert!(!money.was_asked_since(start), "nobody has told it");
        money.asked(told);
        assert!(money.was_asked_since(start) && !money.was_asked_since(spoke));
        money.end(Some(spoke));
        assert!(!money.was_asked_since(start), "it waits no more");
    }
}
