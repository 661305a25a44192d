//! The orders of this process: who reads their news, and the repetition of calls that nobody answered.
//!
//! A client ends an order when an auction brings no bid. That may only mean that the topic is not joined yet, so the
//! shell places the order again until its own deadline.

use std::collections::BTreeMap;
use std::time::Duration;

use bombyx_protocol::io::{Bill, Command, Failure, OrderNews};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::{Order, OrderId};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// Between a call that nobody answered and the next.
const RETRY_PAUSE: Span = Span::from_ms(400);
/// How often the readers are checked for being gone.
const READERS_CHECKED_EVERY: Span = Span::from_ms(100);

/// Every order that is not at its end.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    placed: BTreeMap<OrderId, Placed>,
    /// Orders that nobody bid for, by the time at which they are placed again.
    unanswered: BTreeMap<(Time, OrderId), Placed>,
    checked_at: Time,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) spent_nano: u64,
}

struct Placed {
    order: Box<Order>,
    news: mpsc::Sender<OrderNews>,
    /// When the user placed it, and when this attempt began.
    since: Time,
    began: Time,
    /// Whether anybody ever bid.
    answered: bool,
    /// Its reader is gone or too slow; what it cost is still to come.
    cancelled: bool,
}

impl Orders {
    pub(super) fn len(&self) -> usize {
        self.placed.len() + self.unanswered.len()
    }

    /// Takes an order of the user: the command for the client.
    pub(super) fn place(&mut self, now: Time, order: Box<Order>, news: mpsc::Sender<OrderNews>) -> Command {
        self.start(now, Placed { order, news, since: now, began: now, answered: false, cancelled: false })
    }

    fn start(&mut self, now: Time, placed: Placed) -> Command {
        let id = OrderId(self.next);
        self.next += 1;
        let mut order = placed.order.clone();
        order.deadline = Span(placed.order.deadline.0.saturating_sub(now.since(placed.since).0));
        self.placed.insert(id, Placed { began: now, ..placed });
        Command::Order { id, order }
    }

    /// Hands news to the reader. Returns the command that cancels the order if its reader is gone or too slow.
    pub(super) fn news(&mut self, now: Time, id: OrderId, news: OrderNews) -> Option<Command> {
        let placed = self.placed.get_mut(&id)?;
        placed.answered |= matches!(&news, OrderNews::Bids(bids) if !bids.is_empty());
        let answered = placed.answered;
        let waited = placed.began.since(placed.since);
        let (news, bill) = match news {
            OrderNews::Bids(bids) if bids.is_empty() => return None,
            OrderNews::Failed { why: Failure::NoBids, bill } if self.may_repeat(now, id) => {
                debug_assert_eq!(bill.cost.0, 0, "nobody bid, so nobody was paid");
                let placed = self.placed.remove(&id)?;
                self.unanswered.insert((now + RETRY_PAUSE, id), placed);
                return None;
            }
            OrderNews::Done(bill) => {
                self.done += 1;
                let bill = delayed(bill, waited);
                (OrderNews::Done(bill.clone()), Some(bill))
            }
            OrderNews::Failed { why, bill } => {
                self.failed += 1;
                let bill = delayed(bill, waited);
                // The last of the repeated calls may have had no time left for a bid.
                let silent = why == Failure::Deadline && !answered;
                let why = if silent { Failure::NoBids } else { why };
                (OrderNews::Failed { why, bill: bill.clone() }, Some(bill))
            }
            OrderNews::Bids(_)
            | OrderNews::Awarded { .. }
            | OrderNews::Content(_)
            | OrderNews::FailedOver { .. } => (news, None),
        };
        let sent = self.placed.get(&id)?.news.try_send(news);
        if let Some(bill) = bill {
            self.spent_nano = self.spent_nano.saturating_add(bill.cost.0);
            self.placed.remove(&id);
            return None;
        }
        match sent {
            Ok(()) => None,
            Err(TrySendError::Full(_) | TrySendError::Closed(_)) => {
                let placed = self.placed.get_mut(&id)?;
                (!std::mem::replace(&mut placed.cancelled, true)).then_some(Command::Cancel(id))
            }
        }
    }

    fn may_repeat(&self, now: Time, id: OrderId) -> bool {
        self.placed.get(&id).is_some_and(|placed| {
            now + RETRY_PAUSE < placed.since + placed.order.deadline && !placed.news.is_closed()
        })
    }

    /// What is due: calls to repeat, and orders whose reader is gone.
    pub(super) fn due(&mut self, now: Time) -> Vec<Command> {
        let mut commands = Vec::new();
        while let Some(entry) = self.unanswered.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let placed = entry.remove();
            if !placed.news.is_closed() {
                commands.push(self.start(now, placed));
            }
        }
        if now >= self.checked_at + READERS_CHECKED_EVERY {
            self.checked_at = now;
            for (id, placed) in &mut self.placed {
                if placed.news.is_closed() && !std::mem::replace(&mut placed.cancelled, true) {
                    commands.push(Command::Cancel(*id));
                }
            }
        }
        commands
    }

    /// Cancels all that is left: the node ends.
    pub(super) fn cancel_all(&mut self) -> Vec<Command> {
        for (_, placed) in std::mem::take(&mut self.unanswered) {
            let _ =
                placed.news.try_send(OrderNews::Failed { why: Failure::Cancelled, bill: Bill::default() });
        }
        self.placed.keys().map(|id| Command::Cancel(*id)).collect()
    }

    /// When [`Self::due`] has something to do.
    pub(super) fn wake_at(&self) -> Option<Time> {
        let repeat = self.unanswered.keys().next().map(|(at, _)| *at);
        let check = (!self.placed.is_empty()).then(|| self.checked_at + READERS_CHECKED_EVERY);
        [repeat, check].into_iter().flatten().min()
    }
}

/// A bill's times counted from the user's order rather than from the last call.
fn delayed(bill: Bill, waited: Span) -> Bill {
    let later = |span: Span| Span(span.0.saturating_add(waited.0));
    Bill { first_token: bill.first_token.map(later), matched: bill.matched.map(later), ..bill }
}

/// A time of the core as a duration since the start.
pub(super) const fn duration(time: Time) -> Duration {
    Duration::from_micros(time.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::work::order::{ModelId, Task, Tier};

    use super::*;

    fn order(deadline_ms: u64) -> Box<Order> {
        Box::new(Order {
            model: ModelId([1; 32]),
            task: Task::Embed { inputs: vec!["a".into()] },
            max_cost: Nano(1),
            deadline: Span::from_ms(deadline_ms),
            tier: Tier::Open,
            nano_per_ms: 0,
        })
    }

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    fn no_bids() -> OrderNews {
        OrderNews::Failed { why: Failure::NoBids, bill: Bill::default() }
    }

    #[test]
    fn a_call_that_nobody_answered_is_repeated_until_the_deadline() {
        let mut orders = Orders::default();
        let (news, mut read) = mpsc::channel(4);
        let Command::Order { id, .. } = orders.place(ms(0), order(1_000), news) else { panic!() };
        assert!(orders.news(ms(400), id, OrderNews::Bids(vec![])).is_none());
        assert!(orders.news(ms(400), id, no_bids()).is_none());
        assert!(read.try_recv().is_err(), "the user hears nothing of it");
        assert!(orders.due(ms(700)).is_empty());
        let commands = orders.due(ms(800));
        let [Command::Order { id, order }] = &commands[..] else { panic!("{commands:?}") };
        assert_eq!(order.deadline, Span::from_ms(200), "what is left of it");
        assert!(orders.news(ms(1_000), *id, no_bids()).is_none());
        assert!(matches!(read.try_recv().unwrap(), OrderNews::Failed { why: Failure::NoBids, .. }));
        assert_eq!((orders.len(), orders.failed), (0, 1));
    }

    #[test]
    fn the_times_of_a_bill_count_from_the_users_order() {
        let mut orders = Orders::default();
        let (news, mut read) = mpsc::channel(4);
        let Command::Order { id, .. } = orders.place(ms(0), order(5_000), news) else { panic!() };
        orders.news(ms(400), id, no_bids());
        let commands = orders.due(ms(900));
        let [Command::Order { id, .. }] = &commands[..] else { panic!() };
        let bill = Bill { first_token: Some(Span::from_ms(50)), ..Bill::default() };
        orders.news(ms(1_000), *id, OrderNews::Done(bill));
        let OrderNews::Done(bill) = read.try_recv().unwrap() else { panic!() };
        assert_eq!(bill.first_token, Some(Span::from_ms(950)));
    }

    #[test]
    fn an_order_whose_reader_is_gone_is_cancelled() {
        let mut orders = Orders::default();
        let (news, read) = mpsc::channel(4);
        let Command::Order { id, .. } = orders.place(ms(0), order(5_000), news) else { panic!() };
        drop(read);
        let commands = orders.due(ms(200));
        assert!(matches!(commands[..], [Command::Cancel(cancelled)] if cancelled == id), "{commands:?}");
        assert!(orders.due(ms(400)).is_empty(), "once");
        let bill = Bill { cost: Nano(3), ..Bill::default() };
        orders.news(ms(500), id, OrderNews::Failed { why: Failure::Cancelled, bill });
        assert_eq!((orders.len(), orders.spent_nano), (0, 3));
    }

    #[test]
    fn a_reader_that_falls_too_far_behind_loses_its_order() {
        let mut orders = Orders::default();
        let (news, _read) = mpsc::channel(1);
        let Command::Order { id, .. } = orders.place(ms(0), order(5_000), news) else { panic!() };
        let content = || {
            OrderNews::Content(bombyx_protocol::wire::message::Content::Tokens {
                ids: vec![1],
                text: String::new(),
            })
        };
        assert!(orders.news(ms(1), id, content()).is_none());
        assert!(matches!(orders.news(ms(2), id, content()), Some(Command::Cancel(_))));
    }
}
