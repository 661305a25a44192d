//! The orders of this process: who reads their news, and what becomes of those whose reader is gone.

use std::collections::BTreeMap;

use bombyx_protocol::io::{Bill, Command, OrderNews};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::{Order, OrderId};
use tokio::sync::mpsc;

/// How often the readers are checked for being gone.
const READERS_CHECKED_EVERY: Span = Span::from_ms(100);
/// Calls without a bid that the log tells of: one or two are lost where a topic is still being joined.
const SILENT_CALLS_TOLD: u32 = 3;

/// Every order that is not at its end.
#[derive(Default)]
pub(super) struct Orders {
    next: u64,
    placed: BTreeMap<OrderId, PlacedOrder>,
    checked_at: Time,
    pub(super) done: u64,
    pub(super) failed: u64,
    pub(super) spent_nano: u64,
}

struct PlacedOrder {
    news: mpsc::Sender<OrderNews>,
    at: Time,
    /// Its reader is gone or too slow; what it cost is still to come.
    cancelled: bool,
    /// Calls without a bid, one after the other.
    silent_calls: u32,
    /// The log says what it waits for, and nothing has come since.
    waits: bool,
}

impl PlacedOrder {
    /// Says in the log what an order waits for, once until something comes: it may do so for as long as its deadline.
    fn note(&mut self, order: OrderId, news: &OrderNews) {
        match news {
            OrderNews::FailedOver { from, why } if !self.waits => {
                tracing::info!(
                    order = order.0,
                    provider = ?from,
                    %why,
                    "an order waits for another provider, or for this one"
                );
                self.waits = true;
            }
            OrderNews::Bids(bids) if bids.is_empty() && !self.waits => {
                self.silent_calls += 1;
                if self.silent_calls == SILENT_CALLS_TOLD {
                    tracing::info!(order = order.0, "an order waits: no provider has answered its calls");
                    self.waits = true;
                }
            }
            OrderNews::Awarded { .. } | OrderNews::Content(_) => (self.waits, self.silent_calls) = (false, 0),
            OrderNews::FailedOver { .. }
            | OrderNews::Bids(_)
            | OrderNews::Done(_)
            | OrderNews::Failed { .. } => {}
        }
    }
}

impl Orders {
    pub(super) fn len(&self) -> usize {
        self.placed.len()
    }

    /// Takes an order of the user: the command for the client.
    pub(super) fn place(&mut self, at: Time, order: Box<Order>, news: mpsc::Sender<OrderNews>) -> Command {
        let id = OrderId(self.next);
        self.next += 1;
        self.placed.insert(id, PlacedOrder { news, at, cancelled: false, silent_calls: 0, waits: false });
        Command::Order { id, order }
    }

    /// Returns when an order came that is not at its end.
    pub(super) fn placed_at(&self, id: OrderId) -> Option<Time> {
        self.placed.get(&id).map(|placed| placed.at)
    }

    /// Hands news to the reader. Returns the command that cancels the order if its reader is gone or too slow.
    pub(super) fn news(&mut self, id: OrderId, news: OrderNews) -> Option<Command> {
        let placed = self.placed.get_mut(&id)?;
        placed.note(id, &news);
        let bill = ending(&news).cloned();
        let failed = matches!(news, OrderNews::Failed { .. });
        let taken = placed.news.try_send(news).is_ok();
        if let Some(bill) = bill {
            self.placed.remove(&id);
            self.spent_nano = self.spent_nano.saturating_add(bill.cost.0);
            *(if failed { &mut self.failed } else { &mut self.done }) += 1;
            return None;
        }
        (!taken && !std::mem::replace(&mut placed.cancelled, true)).then_some(Command::Cancel(id))
    }

    /// Returns the commands that cancel orders whose reader is gone.
    pub(super) fn due(&mut self, now: Time) -> Vec<Command> {
        if now < self.checked_at + READERS_CHECKED_EVERY {
            return Vec::new();
        }
        self.checked_at = now;
        let gone = self.placed.iter_mut().filter(|(_, placed)| placed.news.is_closed() && !placed.cancelled);
        let cancel = |(id, placed): (&OrderId, &mut PlacedOrder)| {
            placed.cancelled = true;
            Command::Cancel(*id)
        };
        gone.map(cancel).collect()
    }

    /// Cancels all that is left: the node ends.
    pub(super) fn cancel_all(&mut self) -> Vec<Command> {
        self.placed.keys().map(|id| Command::Cancel(*id)).collect()
    }

    /// Returns when [`Self::due`] has something to do.
    pub(super) fn wake_at(&self) -> Option<Time> {
        (!self.placed.is_empty()).then(|| self.checked_at + READERS_CHECKED_EVERY)
    }
}

/// Returns the bill, if these news are the last of their order.
const fn ending(news: &OrderNews) -> Option<&Bill> {
    match news {
        OrderNews::Done(bill) | OrderNews::Failed { bill, .. } => Some(bill),
        OrderNews::Bids(_)
        | OrderNews::Awarded { .. }
        | OrderNews::Content(_)
        | OrderNews::FailedOver { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::io::Failure;
    use bombyx_protocol::wire::message::Content;

    use super::super::fixtures::order;
    use super::*;

    fn place(orders: &mut Orders, room: usize) -> (OrderId, mpsc::Receiver<OrderNews>) {
        let (news, read) = mpsc::channel(room);
        let Command::Order { id, .. } = orders.place(Time(0), Box::new(order()), news) else { panic!() };
        (id, read)
    }

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    fn failed(why: Failure, cost: u64) -> OrderNews {
        OrderNews::Failed { why, bill: Bill { cost: Nano(cost), ..Bill::default() } }
    }

    #[test]
    fn an_order_whose_reader_is_gone_is_cancelled_once_and_its_cost_counted() {
        let mut orders = Orders::default();
        let (id, read) = place(&mut orders, 4);
        drop(read);
        let commands = orders.due(ms(200));
        assert!(matches!(commands[..], [Command::Cancel(cancelled)] if cancelled == id), "{commands:?}");
        assert!(orders.due(ms(400)).is_empty(), "once");
        orders.news(id, failed(Failure::Cancelled, 3));
        assert_eq!((orders.len(), orders.spent_nano), (0, 3));
    }

    #[test]
    fn a_reader_that_falls_too_far_behind_loses_its_order() {
        let mut orders = Orders::default();
        let (id, _read) = place(&mut orders, 1);
        let content = || OrderNews::Content(Content::Tokens { ids: vec![1], text: String::new() });
        assert!(orders.news(id, content()).is_none());
        assert!(matches!(orders.news(id, content()), Some(Command::Cancel(_))));
        assert!(orders.news(id, content()).is_none(), "once");
    }
}
