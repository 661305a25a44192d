//! Before a call: an order waits until providers of its model are connected, for they answer over the connections that the
//! client made. After a call: one that came before its author's connection waits for that. Both for a moment only. (`NE-1`)

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bombyx_protocol::channel::record::Record;
use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::VerifiedGossip;
use bombyx_protocol::work::order::ModelId;

use super::Driver;
use super::limits::{EARLY_EACH, EARLY_MAX, EARLY_PATIENCE, ORDER_PATIENCE};
use crate::error::NodeError;
use crate::net::NetCommand;
use crate::role::Role;

/// Orders that wait for providers.
#[derive(Default)]
pub(super) struct Meetings {
    waiting: BTreeMap<ModelId, (Time, Vec<Command>)>,
}

impl Meetings {
    fn wait(&mut self, now: Time, model: ModelId, order: Command) {
        self.waiting.entry(model).or_insert((now + ORDER_PATIENCE, Vec::new())).1.push(order);
    }

    fn met(&mut self, model: &ModelId) -> Vec<Command> {
        self.waiting.remove(model).map(|(_, orders)| orders).unwrap_or_default()
    }

    fn due(&mut self, now: Time) -> Vec<Command> {
        let due: Vec<ModelId> =
            self.waiting.iter().filter(|(_, (until, _))| *until <= now).map(|(model, _)| *model).collect();
        due.iter().flat_map(|model| self.met(model)).collect()
    }

    fn all(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.waiting).into_values().flat_map(|(_, orders)| orders).collect()
    }

    /// When [`Driver::go_on_after_waiting`] has something to do.
    pub(super) fn wake_at(&self) -> Option<Time> {
        self.waiting.values().map(|(until, _)| *until).min()
    }
}

/// Calls and seeks whose author is not connected yet.
#[derive(Default)]
pub(super) struct Early {
    held: VecDeque<(Time, NodeId, VerifiedGossip)>,
}

impl Early {
    fn hold(&mut self, now: Time, author: NodeId, gossip: VerifiedGossip) {
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

    fn take(&mut self, now: Time, author: &NodeId) -> Vec<VerifiedGossip> {
        let (theirs, others) =
            std::mem::take(&mut self.held).into_iter().partition(|(_, other, _)| other == author);
        self.held = others;
        let theirs: VecDeque<(Time, NodeId, VerifiedGossip)> = theirs;
        theirs.into_iter().filter(|(until, _, _)| *until > now).map(|(_, _, gossip)| gossip).collect()
    }
}

/// The nodes with which there is business.
#[derive(Default)]
pub(super) struct Friends {
    known: BTreeSet<NodeId>,
    is_stale: bool,
}

impl Friends {
    /// What a record says of who is one: whom this node pays, and who has paid it.
    pub(super) fn note(&mut self, record: &Record) {
        if let Record::Paying(paying) = record {
            self.is_stale |= !self.known.contains(&paying.provider);
        } else if let Record::Earning(earning) = record {
            self.is_stale |= earning.payment.is_some() && !self.known.contains(&earning.client);
        } else if let Record::ChannelGone { .. } = record {
            self.is_stale = true;
        }
    }
}

impl Driver {
    /// Gives the client an order once providers of its model are connected.
    pub(super) async fn order(&mut self, model: ModelId, order: Command) -> Result<(), NodeError> {
        let now = self.now();
        self.meetings.wait(now, model, order);
        self.command(NetCommand::Meet(model.0)).await
    }

    /// Providers of a model are connected, or none can be for now.
    pub(super) fn met(&mut self, model: &ModelId) {
        let orders = self.meetings.met(model);
        self.start(orders);
    }

    /// Starts the orders that have waited long enough; `is_over` when none shall wait any more.
    pub(super) fn go_on_after_waiting(&mut self, is_over: bool) {
        let now = self.now();
        let orders = if is_over { self.meetings.all() } else { self.meetings.due(now) };
        self.start(orders);
    }

    fn start(&mut self, orders: Vec<Command>) {
        self.pending.extend(orders.into_iter().map(|order| (Role::Client, Input::Command(order))));
    }

    /// Gives a call or seek to the provider if its author is connected, and keeps it for a moment if not: a provider dials
    /// nobody for a stranger's question.
    pub(super) fn called(&mut self, gossip: VerifiedGossip) {
        if self.provider.is_none() {
            return;
        }
        let author = gossip.author();
        match self.net.prefix(&author) {
            Some(prefix) => self.pending.push_back((Role::Provider, Input::Gossip { prefix, gossip })),
            None => {
                let now = self.now();
                self.early.hold(now, author, gossip);
            }
        }
    }

    /// A node is connected: what it asked a moment ago can be answered now.
    pub(super) fn connected(&mut self, node: &NodeId) {
        let now = self.now();
        let prefix = self.net.prefix(node).unwrap_or(Prefix::UNKNOWN);
        let asked = self.early.take(now, node).into_iter();
        self.pending.extend(asked.map(|gossip| (Role::Provider, Input::Gossip { prefix, gossip })));
    }

    /// Tells the swarm with whom there is business, if that has changed.
    pub(super) async fn befriend(&mut self) -> Result<(), NodeError> {
        if !std::mem::take(&mut self.friends.is_stale) {
            return Ok(());
        }
        let paid = self.client.channels().map(|payer| payer.provider());
        let earners = self.provider.iter().flat_map(|provider| provider.channels());
        let paying = earners.filter(|earner| earner.newest().is_some()).map(|earner| earner.client());
        let friends: BTreeSet<NodeId> = paid.chain(paying).collect();
        if friends != self.friends.known {
            self.friends.known.clone_from(&friends);
            self.command(NetCommand::Befriend(friends)).await?;
        }
        Ok(())
    }

    /// The swarm is to be told of the channels that were there before.
    pub(super) fn meet_old_friends(&mut self) {
        self.friends.is_stale = true;
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
        let seek = Seek { id, client: client.id(), model, invited };
        Gossip::Seek(seek.sign(client)).open().unwrap()
    }

    fn ms(ms: u64) -> Time {
        Time(ms * 1_000)
    }

    /// (`NE-1`)
    #[test]
    fn a_call_that_came_before_its_author_waits_a_second_and_no_longer() {
        let (mut early, author) = (Early::default(), Identity::from_seed(&[1; 32]));
        early.hold(ms(0), author.id(), seek(&author));
        assert!(early.take(ms(500), &NodeId([9; 32])).is_empty());
        assert_eq!(early.take(ms(500), &author.id()).len(), 1);
        assert!(early.take(ms(500), &author.id()).is_empty(), "once");
        early.hold(ms(500), author.id(), seek(&author));
        assert!(early.take(ms(1_500), &author.id()).is_empty());
    }

    #[test]
    fn calls_without_a_connection_take_little_room() {
        let mut early = Early::default();
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
        let (mut meetings, model) = (Meetings::default(), ModelId([1; 32]));
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
