//! What waits for a connection: orders for providers, calls for their authors; and the nodes that this one does business with.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::Command;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::VerifiedGossip;
use bombyx_protocol::work::order::ModelId;

use super::limits::{EARLY_EACH, EARLY_MAX, EARLY_PATIENCE, ORDER_PATIENCE};

/// Orders that wait for providers.
#[derive(Default)]
pub(super) struct WaitingOrders {
    waiting: BTreeMap<ModelId, (Time, Vec<Command>)>,
}

impl WaitingOrders {
    pub(super) fn wait(&mut self, now: Time, model: ModelId, order: Command) {
        self.waiting.entry(model).or_insert((now + ORDER_PATIENCE, Vec::new())).1.push(order);
    }

    pub(super) fn met(&mut self, model: &ModelId) -> Vec<Command> {
        self.waiting.remove(model).map(|(_, orders)| orders).unwrap_or_default()
    }

    pub(super) fn due(&mut self, now: Time) -> Vec<Command> {
        let due: Vec<ModelId> =
            self.waiting.iter().filter(|(_, (until, _))| *until <= now).map(|(model, _)| *model).collect();
        due.iter().flat_map(|model| self.met(model)).collect()
    }

    pub(super) fn all(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.waiting).into_values().flat_map(|(_, orders)| orders).collect()
    }

    /// Returns when the first of them has waited long enough.
    pub(super) fn wake_at(&self) -> Option<Time> {
        self.waiting.values().map(|(until, _)| *until).min()
    }
}

/// Calls and seeks whose author is not connected yet.
#[derive(Default)]
pub(super) struct EarlyGossip {
    held: VecDeque<(Time, NodeId, VerifiedGossip)>,
}

impl EarlyGossip {
    pub(super) fn hold(&mut self, now: Time, author: NodeId, gossip: VerifiedGossip) {
        self.held.retain(|(until, _, _)| *until > now);
        if self.held.iter().filter(|(_, other, _)| *other == author).count() >= EARLY_EACH {
            return;
        }
        if self.held.len() >= EARLY_MAX {
            tracing::debug!(
                max = EARLY_MAX,
                "too many calls came before their author's connection; one is dropped"
            );
            self.held.pop_front();
        }
        self.held.push_back((now + EARLY_PATIENCE, author, gossip));
    }

    pub(super) fn take(&mut self, now: Time, author: &NodeId) -> Vec<VerifiedGossip> {
        let (theirs, others) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, other, _)| other == author);
        self.held = others;
        let theirs: VecDeque<(Time, NodeId, VerifiedGossip)> = theirs;
        theirs.into_iter().filter(|(until, _, _)| *until > now).map(|(_, _, gossip)| gossip).collect()
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
        if let Record::Payer(paying) = record {
            self.is_stale |= !self.known.contains(&paying.provider);
        } else if let Record::Earner(earning) = record {
            self.is_stale |= earning.payment.is_some() && !self.known.contains(&earning.client);
        } else if let Record::ChannelGone { .. } = record {
            self.is_stale = true;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::ident::Identity;
    use bombyx_protocol::market::invite::Share;
    use bombyx_protocol::market::seek::{Seek, SeekId};
    use bombyx_protocol::wire::message::Gossip;
    use bombyx_protocol::work::order::OrderId;

    use super::*;

    fn seek(client: &Identity) -> VerifiedGossip {
        let (id, model, invited) = (SeekId([1; 16]), ModelId([2; 32]), Share::ALL);
        let seek = Seek::for_model(id, client.id(), model, invited, 0);
        Gossip::Seek(seek.sign(client)).open().unwrap()
    }

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    /// (`NE-1`)
    #[test]
    fn a_call_that_came_before_its_author_waits_a_second_and_no_longer() {
        let (mut early, author) = (EarlyGossip::default(), Identity::from_seed(&[1; 32]));
        early.hold(ms(0), author.id(), seek(&author));
        assert!(early.take(ms(500), &NodeId([9; 32])).is_empty());
        assert_eq!(early.take(ms(500), &author.id()).len(), 1);
        assert!(early.take(ms(500), &author.id()).is_empty(), "once");
        early.hold(ms(500), author.id(), seek(&author));
        assert!(early.take(ms(1_500), &author.id()).is_empty());
    }

    #[test]
    fn calls_without_a_connection_take_little_room() {
        let mut early = EarlyGossip::default();
        for number in 0..u8::MAX {
            let author = Identity::from_seed(&[number; 32]);
            for _ in 0..EARLY_EACH * 2 {
                early.hold(ms(0), author.id(), seek(&author));
            }
        }
        assert_eq!(early.held.len(), EARLY_MAX);
        let last = Identity::from_seed(&[u8::MAX - 1; 32]);
        assert_eq!(early.take(ms(1), &last.id()).len(), EARLY_EACH);
    }

    #[test]
    fn an_order_waits_for_providers_and_not_for_ever() {
        let (mut meetings, model) = (WaitingOrders::default(), ModelId([1; 32]));
        meetings.wait(ms(0), model, Command::Cancel(OrderId(1)));
        meetings.wait(ms(100), model, Command::Cancel(OrderId(2)));
        assert!(meetings.due(ms(1_000)).is_empty());
        assert_eq!(meetings.met(&model).len(), 2);
        assert_eq!(meetings.wake_at(), None);
        meetings.wait(ms(2_000), model, Command::Cancel(OrderId(3)));
        assert_eq!(meetings.wake_at(), Some(ms(3_500)));
        assert_eq!(meetings.due(ms(3_500)).len(), 1);
    }
}
