//! What comes in: bytes of strangers are decoded within their limits, and given to the machine they are for.

use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::limits::SEEK_EVERY;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Message;
use bombyx_protocol::work::order::ModelId;

use super::market::MarketAnswer;
use super::request::NodeRequest;
use super::state::Driver;
use crate::error::NodeError;
use crate::net::{Fault, NetCommand, NetEvent};
use crate::role::Role;
use crate::status::Direction;

impl Driver {
    pub(super) async fn on_net_event(&mut self, event: NetEvent) -> Result<(), NodeError> {
        match event {
            NetEvent::Received { from, bytes } => match codec::decode::<Message>(&bytes) {
                Ok(message) => {
                    let role = match message {
                        Message::ToProvider(_) => Role::Provider,
                        Message::ToClient(_) => Role::Client,
                    };
                    let prefix = self.net.prefix(&from).unwrap_or(Prefix::UNKNOWN);
                    self.pending.push_back((role, Input::Received { from, prefix, message }));
                }
                Err(error) => {
                    tracing::debug!(peer = ?from, %error, "a message cannot be read");
                    self.command(NetCommand::Penalise { peer: from, fault: Fault::Malformed }).await?;
                }
            },
            NetEvent::Gossip { gossip, .. } => self.on_gossip(gossip),
            NetEvent::Undelivered { to, why } => {
                tracing::debug!(peer = ?to, %why, "a message was not delivered");
                self.on_peer_lost(to);
            }
            NetEvent::Disconnected(peer) => {
                tracing::debug!(?peer, "disconnected");
                self.peer_left_at = self.now();
                self.on_peer_lost(peer);
            }
            NetEvent::Connected(peer) => {
                tracing::debug!(?peer, "connected");
                self.on_connected(&peer);
            }
            NetEvent::Listening(address) => tracing::info!("listening on {address}"),
            NetEvent::Joined { via } => {
                tracing::info!(peer = ?via, "joined the network");
                self.join_failure.send_replace(None);
                self.join_failures.clear();
            }
            NetEvent::JoinFailed { address, why } => {
                let failure = format!("{address}: {why}");
                // Each try ends alike while nobody is there.
                if self.join_failures.insert(failure.clone()) {
                    tracing::warn!("cannot join through {failure}; it is tried again and again");
                }
                self.join_failure.send_replace(Some(failure));
            }
            NetEvent::Unpublished { topic, why } => {
                tracing::debug!(topic, %why, "a message could not be gossiped")
            }
            NetEvent::Unsubscribable { topic } => tracing::error!(topic, "a topic cannot be followed"),
            NetEvent::Met { key, providers } => {
                tracing::debug!(model = %ModelId(key), providers, "providers are connected");
                self.on_met(&ModelId(key));
            }
            NetEvent::ProviderVisited(node) => self.on_provider_visited(node),
            NetEvent::Surveyed => self.on_surveyed(),
            NetEvent::Manifest { from, model, json } => {
                self.on_manifest(from, ModelId(model), json).await?;
            }
            NetEvent::Providers { .. } => {}
        }
        Ok(())
    }

    /// Notes that a peer is gone, or did not take a message.
    fn on_peer_lost(&mut self, peer: NodeId) {
        for role in [Role::Client, Role::Provider] {
            self.pending.push_back((role, Input::Undelivered { to: peer }));
        }
    }

    pub(super) async fn on_request(&mut self, request: NodeRequest) -> Result<(), NodeError> {
        match request {
            // Its reader sees that the news end: nothing new is begun.
            NodeRequest::Order { .. } if self.ending.is_ending() => {}
            NodeRequest::Order { mut order, news } => {
                let model = order.model;
                self.follow(model).await?;
                self.look_for(&model).await?;
                self.market.manifests.state_dims(&mut order);
                let command = self.orders.place(self.now(), order, news);
                self.order(model, command).await?;
            }
            NodeRequest::Follow(model) => self.follow(model).await?,
            NodeRequest::Asks(answer) => {
                // The caller may be gone by now; so may those of `Status` below.
                let now = self.now();
                let _ = answer.send(self.client.asks(now).map(|(ask, _)| ask.clone()).collect());
                self.survey(SEEK_EVERY).await?;
            }
            NodeRequest::Models(answer) => self.promise(MarketAnswer::List(answer)).await?,
            NodeRequest::Quote { order, answer } => {
                self.promise(MarketAnswer::Quote(order, answer)).await?;
            }
            NodeRequest::Status(answer) => {
                let _ = answer.send(self.status());
            }
            NodeRequest::Channels(answer) => {
                let _ = answer.send((self.channels(), self.owed()));
            }
            NodeRequest::Close { account, answer } => {
                let found = self.channel(account, None);
                if found.is_ok() {
                    for role in [Role::Client, Role::Provider] {
                        self.pending.push_back((role, Input::Command(Command::Close { account })));
                    }
                }
                self.say_once_written(move || drop(answer.send(found))).await?;
            }
            NodeRequest::Open { card, deposit, answer } => {
                let agreed = self.openable(&card, deposit);
                if agreed.is_ok() {
                    let command = Command::Open { provider: card.provider, payee: card.payee, deposit };
                    self.pending.push_back((Role::Client, Input::Command(command)));
                }
                self.say_once_written(move || drop(answer.send(agreed))).await?;
            }
            NodeRequest::TopUp { account, amount, answer } => {
                let found = self.channel(account, Some(Direction::Paying));
                if found.is_ok() {
                    let command = Command::TopUp { account, amount };
                    self.pending.push_back((Role::Client, Input::Command(command)));
                }
                self.say_once_written(move || drop(answer.send(found))).await?;
            }
            NodeRequest::Shutdown => {
                let now = self.now();
                self.ending.shut_down(now);
                self.pending.push_back((Role::Provider, Input::Command(Command::Drain)));
            }
        }
        Ok(())
    }
}
