//! Orders that wait for providers, and the nodes that this one does business with.

use std::collections::{BTreeMap, BTreeSet};

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Command;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::ModelId;

use super::limits::ORDER_PATIENCE;

/// Orders that wait for providers.
#[derive(Default)]
pub(super) struct WaitingOrders {
    waiting: BTreeMap<ModelId, (Time, Vec<WaitingOrder>)>,
}

struct WaitingOrder {
    since: Time,
    order: Command,
}

impl WaitingOrder {
    /// Returns the order with the time that it has left. (`CO-5`)
    fn started(mut self, now: Time) -> Command {
        if let Command::Order { order, .. } = &mut self.order {
            order.deadline = Span(order.deadline.0.saturating_sub(now.since(self.since).0));
        }
        self.order
    }
}

impl WaitingOrders {
    pub(super) fn wait(&mut self, now: Time, model: ModelId, order: Command) {
        // An order that has little time keeps most of it.
        let patience = if let Command::Order { order, .. } = &order {
            ORDER_PATIENCE.min(Span(order.deadline.0 / 4))
        } else {
            ORDER_PATIENCE
        };
        let (until, orders) = self.waiting.entry(model).or_insert((now + patience, Vec::new()));
        *until = (*until).min(now + patience);
        orders.push(WaitingOrder { since: now, order });
    }

    pub(super) fn met(&mut self, now: Time, model: &ModelId) -> Vec<Command> {
        let (_, orders) = self.waiting.remove(model).unwrap_or_default();
        orders.into_iter().map(|order| order.started(now)).collect()
    }

    pub(super) fn due(&mut self, now: Time) -> Vec<Command> {
        let due: Vec<ModelId> =
            self.waiting.iter().filter(|(_, (until, _))| *until <= now).map(|(model, _)| *model).collect();
        due.iter().flat_map(|model| self.met(now, model)).collect()
    }

    pub(super) fn all(&mut self, now: Time) -> Vec<Command> {
        let orders = std::mem::take(&mut self.waiting).into_values().flat_map(|(_, orders)| orders);
        orders.map(|order| order.started(now)).collect()
    }

    /// Returns when the first of them has waited long enough.
    pub(super) fn wake_at(&self) -> Option<Time> {
        self.waiting.values().map(|(until, _)| *until).min()
    }
}

/// The nodes with which there is business.
#[derive(Default)]
pub(super) struct FriendList {
    pub(super) known: BTreeSet<NodeId>,
    pub(super) is_stale: bool,
}

impl FriendList {
    /// Notes the friend that a record names: a node that this one pays, or that has paid it.
    pub(super) fn note(&mut self, record: &Record) {
        if let Record::Payer(payer) = record {
            self.is_stale |= !self.known.contains(&payer.provider);
        } else if let Record::Earner(earner) = record {
            self.is_stale |= earner.payment.is_some() && !self.known.contains(&earner.client);
        } else if let Record::ChannelGone { .. } = record {
            self.is_stale = true;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::work::order::{Order, OrderId};

    use super::super::fixtures::order;
    use super::*;

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    #[test]
    fn an_order_waits_for_providers_and_not_for_ever() {
        let (mut meetings, model) = (WaitingOrders::default(), ModelId([1; 32]));
        meetings.wait(ms(0), model, Command::Cancel(OrderId(1)));
        meetings.wait(ms(100), model, Command::Cancel(OrderId(2)));
        assert!(meetings.due(ms(1_000)).is_empty());
        assert_eq!(meetings.met(ms(1_000), &model).len(), 2);
        assert_eq!(meetings.wake_at(), None);
        meetings.wait(ms(2_000), model, Command::Cancel(OrderId(3)));
        assert_eq!(meetings.wake_at(), Some(ms(3_500)));
        assert_eq!(meetings.due(ms(3_500)).len(), 1);
    }

    /// (`CO-5`)
    #[test]
    fn what_an_order_waits_is_taken_out_of_its_own_time() {
        let placed = |deadline_ms| {
            let order = Order { deadline: Span::from_ms(deadline_ms), ..order() };
            Command::Order { id: OrderId(1), order: Box::new(order) }
        };
        for (deadline_ms, waits_ms) in [(60_000, 1_500), (4_000, 1_000), (400, 100)] {
            let mut meetings = WaitingOrders::default();
            meetings.wait(ms(0), ModelId([1; 32]), placed(deadline_ms));
            assert_eq!(meetings.wake_at(), Some(ms(waits_ms)));
            let [Command::Order { order, .. }] = &meetings.due(ms(waits_ms))[..] else { panic!() };
            assert_eq!(order.deadline, Span::from_ms(deadline_ms - waits_ms));
        }
    }
}
