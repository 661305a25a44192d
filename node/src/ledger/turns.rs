//! The turns of requests to a service that allows so many in a second: the most urgent first, and equals in their order.
//!
//! A turn is taken when its time has come and not before, so a request that is dropped while it waits costs nothing. (`LE-10`)

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::chain::Priority;
use super::limits::{PAGE_TURNS_MAX, TURNS_MAX};

/// One queue of requests to one service.
pub(super) struct Turns {
    spacing: Duration,
    queue: Mutex<Queue>,
    /// The head of the queue has changed.
    moved: Notify,
}

struct Queue {
    /// When the next request may be made.
    next: Instant,
    waiting: BTreeSet<(Priority, u64)>,
    tickets: u64,
}

/// A place in the queue; dropping it leaves the queue.
struct Place<'turns> {
    turns: &'turns Turns,
    ticket: (Priority, u64),
}

impl Turns {
    /// Turns that are `spacing` apart; any number at once for zero.
    pub(super) fn new(spacing: Duration) -> Self {
        let queue = Queue { next: Instant::now(), waiting: BTreeSet::new(), tickets: 0 };
        Self { spacing, queue: Mutex::new(queue), moved: Notify::new() }
    }

    /// Returns the time between two turns.
    pub(super) fn spacing(&self) -> Duration {
        self.spacing
    }

    /// Waits for a turn. `false` if too many wait already.
    pub(super) async fn take(&self, priority: Priority) -> bool {
        if self.spacing.is_zero() {
            return true;
        }
        let Some(place) = self.enter(priority) else { return false };
        loop {
            // Registered before the look, so that no change falls between them.
            let moved = self.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            match self.turn(place.ticket) {
                // Leaving the queue lets the next one look.
                Turn::Now => return true,
                Turn::At(time) => _ = timeout_at(time, moved).await,
                Turn::Later => moved.await,
            }
        }
    }

    fn enter(&self, priority: Priority) -> Option<Place<'_>> {
        let mut queue = self.queue();
        let pages = queue.waiting.iter().filter(|(other, _)| *other == Priority::Page).count();
        let full = match priority {
            Priority::Page => pages >= PAGE_TURNS_MAX,
            Priority::Act | Priority::Look => queue.waiting.len() - pages >= TURNS_MAX,
        };
        if full {
            return None;
        }
        queue.tickets += 1;
        let ticket = (priority, queue.tickets);
        queue.waiting.insert(ticket);
        Some(Place { turns: self, ticket })
    }

    fn turn(&self, ticket: (Priority, u64)) -> Turn {
        let mut queue = self.queue();
        if queue.waiting.first() != Some(&ticket) {
            return Turn::Later;
        }
        let now = Instant::now();
        if queue.next > now {
            return Turn::At(queue.next);
        }
        // Turns that nobody took are not saved up.
        queue.next = now + self.spacing;
        Turn::Now
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request may be made.
enum Turn {
    Now,
    /// Not before this time.
    At(Instant),
    /// Not before others.
    Later,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.turns.queue().waiting.remove(&self.ticket);
        self.turns.moved.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use futures::FutureExt as _;
    use tokio::sync::mpsc;
    use tokio::time::{sleep, timeout};

    use super::*;

    const SPACING: Duration = Duration::from_millis(40);

    #[tokio::test]
    async fn turns_are_apart_by_the_spacing_and_none_is_saved_up() {
        let turns = Turns::new(SPACING);
        sleep(SPACING * 3).await;
        let began = Instant::now();
        for _ in 0..4 {
            assert!(turns.take(Priority::Look).await);
        }
        assert!(began.elapsed() >= SPACING * 3, "the first one needs not wait: {:?}", began.elapsed());
    }

    /// (`LE-10`)
    #[tokio::test]
    async fn a_request_that_is_dropped_while_it_waits_takes_no_turn() {
        let turns = Turns::new(SPACING);
        assert!(turns.take(Priority::Look).await);
        let began = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(turns.take(Priority::Look).now_or_never(), None);
        }
        assert!(turns.take(Priority::Look).await);
        let waited = began.elapsed();
        assert!(waited < SPACING * 100, "a thousand turns would have been {:?}: {waited:?}", SPACING * 1_000);
        assert!(turns.queue().waiting.is_empty());
    }

    /// (`LE-10`)
    #[tokio::test]
    async fn acts_go_before_looks_and_looks_before_pages() {
        let turns = Arc::new(Turns::new(SPACING));
        assert!(turns.take(Priority::Page).await);
        let (order, mut taken) = mpsc::unbounded_channel();
        for priority in [Priority::Page, Priority::Page, Priority::Look, Priority::Act, Priority::Look] {
            let (turns, order) = (Arc::clone(&turns), order.clone());
            tokio::spawn(async move {
                assert!(turns.take(priority).await);
                order.send(priority).unwrap();
            });
        }
        drop(order);
        let mut list = Vec::new();
        while let Some(priority) = timeout(SPACING * 100, taken.recv()).await.unwrap() {
            list.push(priority);
        }
        assert_eq!(list, [Priority::Act, Priority::Look, Priority::Look, Priority::Page, Priority::Page]);
    }

    #[tokio::test]
    async fn a_full_lane_of_pages_says_so_and_holds_nobody_else_up() {
        let turns = Turns::new(SPACING);
        assert!(turns.take(Priority::Look).await);
        let mut pages: Vec<_> = (0..PAGE_TURNS_MAX).map(|_| Box::pin(turns.take(Priority::Page))).collect();
        for page in &mut pages {
            assert_eq!(page.now_or_never(), None);
        }
        assert_eq!(turns.take(Priority::Page).now_or_never(), Some(false));
        let began = Instant::now();
        assert!(turns.take(Priority::Act).await);
        assert!(began.elapsed() < SPACING * 20, "{:?}", began.elapsed());
        drop(pages);
        // The lanes of looks and acts are bounded as well.
        let mut looks: Vec<_> = (0..TURNS_MAX).map(|_| Box::pin(turns.take(Priority::Look))).collect();
        for look in &mut looks {
            assert_eq!(look.now_or_never(), None);
        }
        assert_eq!(turns.take(Priority::Act).now_or_never(), Some(false));
    }
}
