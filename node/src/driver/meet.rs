//! Before a call: an order waits until providers of its model are connected, for they answer over the connections that the
//! client made. After a call: one that came before its author's connection waits for that. Both for a moment only. (`NE-1`)

use std::collections::BTreeSet;

use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::wire::message::VerifiedGossip;
use bombyx_protocol::work::order::ModelId;

use super::state::Driver;
use crate::error::NodeError;
use crate::net::NetCommand;
use crate::role::Role;

impl Driver {
    /// Gives the client an order once providers of its model are connected; at once where it knows whom to call.
    pub(super) async fn order(&mut self, model: ModelId, order: Command) -> Result<(), NodeError> {
        let now = self.now();
        if self.client.knows_sellers(now, &model) {
            self.start(vec![order]);
        } else {
            self.waiting_orders.wait(now, model, order);
        }
        self.command(NetCommand::Meet(model.0)).await
    }

    /// Providers of a model are connected, or none can be for now.
    pub(super) fn on_met(&mut self, model: &ModelId) {
        let now = self.now();
        let orders = self.waiting_orders.met(now, model);
        self.start(orders);
    }

    /// Starts the orders that have waited long enough; `is_over` when none shall wait any more.
    pub(super) fn start_due_orders(&mut self, is_over: bool) {
        let now = self.now();
        let orders = if is_over { self.waiting_orders.all(now) } else { self.waiting_orders.due(now) };
        self.start(orders);
    }

    fn start(&mut self, orders: Vec<Command>) {
        self.pending.extend(orders.into_iter().map(|order| (Role::Client, Input::Command(order))));
    }

    /// Gives a call or seek to the provider if its author is connected, and keeps it for a moment if not: a provider dials
    /// nobody for a stranger's question.
    pub(super) fn on_gossip(&mut self, gossip: VerifiedGossip) {
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

    /// Notes that a node is connected: what it asked a moment ago can be answered now.
    pub(super) fn on_connected(&mut self, node: &NodeId) {
        let now = self.now();
        let prefix = self.net.prefix(node).unwrap_or(Prefix::UNKNOWN);
        let asked = self.early.take(now, node).into_iter();
        self.pending.extend(asked.map(|gossip| (Role::Provider, Input::Gossip { prefix, gossip })));
    }

    /// Tells the swarm with whom there is business, if that has changed.
    pub(super) async fn update_friends(&mut self) -> Result<(), NodeError> {
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

    /// Has the swarm told of the channels that were there before.
    pub(super) fn refresh_friends(&mut self) {
        self.friends.is_stale = true;
    }
}
