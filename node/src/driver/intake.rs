//! What comes in: bytes of strangers are decoded within their limits, judged, and given to the machine they are for.

use std::collections::BTreeMap;

use bombyx_protocol::ident::{NodeId, Prefix};
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, Message, VerifiedGossip};
use bombyx_protocol::work::order::ModelId;

use super::limits::{AUTHOR_BURST, AUTHOR_PACE, AUTHORS_MAX};
use super::request::Request;
use super::{Driver, topic};
use crate::error::NodeError;
use crate::net::{Fault, NetCommand, NetEvent, Verdict};
use crate::role::Role;
use crate::status::Direction;

impl Driver {
    pub(super) async fn heard(&mut self, event: NetEvent) -> Result<(), NodeError> {
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
            NetEvent::Gossip { topic, bytes, message } => {
                let now = self.now();
                let (verdict, gossip) = judge(&topic, &bytes, message.forwarder(), &mut self.authors, now);
                self.command(NetCommand::Verdict { message, verdict }).await?;
                if let Some(gossip) = gossip {
                    self.called(gossip);
                }
            }
            NetEvent::Undelivered { to, why } => {
                tracing::debug!(peer = ?to, %why, "a message was not delivered");
                self.lost(to);
            }
            NetEvent::Disconnected(peer) => {
                tracing::debug!(?peer, "disconnected");
                self.lost(peer);
            }
            NetEvent::Connected(peer) => {
                tracing::debug!(?peer, "connected");
                self.connected(&peer);
            }
            NetEvent::Listening(address) => tracing::info!("listening on {address}"),
            NetEvent::Joined { via } => {
                tracing::info!(peer = ?via, "joined the network");
                self.join_failure.send_replace(None);
            }
            NetEvent::JoinFailed { address, why } => {
                tracing::warn!("cannot join through {address}: {why}");
                self.join_failure.send_replace(Some(format!("{address}: {why}")));
            }
            NetEvent::Unpublished { topic, why } => tracing::debug!(topic, %why, "nothing was gossiped"),
            NetEvent::Unsubscribable { topic } => tracing::error!(topic, "a topic cannot be followed"),
            NetEvent::Met { key, providers } => {
                tracing::debug!(model = %ModelId(key), providers, "providers are connected");
                self.met(&ModelId(key));
            }
            NetEvent::Providers { .. } => {}
        }
        Ok(())
    }

    /// Asks who offers the models that are followed, for whoever asks next; the client sees to it that this is not too often.
    fn seek(&mut self) {
        let seek = |model: &ModelId| (Role::Client, Input::Command(Command::Seek(*model)));
        self.pending.extend(self.followed.iter().map(seek));
    }

    /// A peer is gone, or did not take a message.
    fn lost(&mut self, peer: NodeId) {
        for role in [Role::Client, Role::Provider] {
            self.pending.push_back((role, Input::Undelivered { to: peer }));
        }
    }

    pub(super) async fn asked(&mut self, request: Request) -> Result<(), NodeError> {
        match request {
            Request::Order { order, news } => {
                self.follow(order.model).await?;
                let model = order.model;
                let command = self.orders.place(order, news);
                self.order(model, command).await?;
            }
            Request::Follow(model) => self.follow(model).await?,
            Request::Asks(answer) => {
                // Whoever asked may be gone by now; so may those of `Status` below.
                let _ = answer.send(self.client.asks().cloned().collect());
                self.seek();
            }
            Request::Status(answer) => {
                let _ = answer.send(self.status());
                self.seek();
            }
            Request::Channels(answer) => {
                let _ = answer.send(self.channels());
            }
            Request::Close { account, answer } => {
                let found = self.channel(account, None);
                if found.is_ok() {
                    for role in [Role::Client, Role::Provider] {
                        self.pending.push_back((role, Input::Command(Command::Close { account })));
                    }
                }
                let _ = answer.send(found);
            }
            Request::Open { card, deposit, answer } => {
                let agreed = self.openable(&card, deposit);
                if agreed.is_ok() {
                    let command = Command::Open { provider: card.provider, payee: card.payee, deposit };
                    self.pending.push_back((Role::Client, Input::Command(command)));
                }
                let _ = answer.send(agreed);
            }
            Request::TopUp { account, amount, answer } => {
                let found = self.channel(account, Some(Direction::Paying));
                if found.is_ok() {
                    let command = Command::TopUp { account, amount };
                    self.pending.push_back((Role::Client, Input::Command(command)));
                }
                let _ = answer.send(found);
            }
            Request::Settle { within, report } => {
                let now = self.now();
                self.ending.settle(now, within, report);
            }
            Request::Shutdown => {
                let now = self.now();
                self.ending.shut_down(now);
                self.pending.push_back((Role::Provider, Input::Command(Command::Drain)));
            }
        }
        Ok(())
    }
}

/// Whether gossip is what it claims to be. It is forwarded only then, and a forwarder of rubbish pays for it.
/// (`WI-11`)
fn judge(
    on: &str,
    bytes: &[u8],
    forwarder: Option<NodeId>,
    authors: &mut Authors,
    now: Time,
) -> (Verdict, Option<VerifiedGossip>) {
    let Ok(gossip) = codec::decode_gossip::<Gossip>(bytes) else { return (Verdict::Reject, None) };
    let Some(author) = gossip.author() else { return (Verdict::Reject, None) };
    let speaker = Speaker { author, is_here: forwarder == Some(author) };
    if !authors.may_speak(&speaker, now) {
        tracing::debug!(?author, "an author gossips more than one may; its signature is not checked");
        return (Verdict::Ignore, None);
    }
    match gossip.open() {
        Ok(gossip) if topic(&gossip.model()) == on => {
            authors.spoke(speaker, now);
            (Verdict::Accept, Some(gossip))
        }
        Ok(_) | Err(_) => (Verdict::Reject, None),
    }
}

/// How much each author has said lately. Counted only once a signature was found to be true, or anybody could use up
/// what another one may say. What an author says here itself and what others hand on as its word are counted apart: its
/// signature is as true on an old call that somebody kept and repeats. (`NE-7`)
#[derive(Default)]
pub(super) struct Authors {
    /// Up to when each has used what it may say.
    used_until: BTreeMap<Speaker, Time>,
}

/// An author, heard from itself or from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Speaker {
    author: NodeId,
    is_here: bool,
}

impl Authors {
    fn may_speak(&self, speaker: &Speaker, now: Time) -> bool {
        self.used_until.get(speaker).is_none_or(|until| *until <= now + AUTHOR_BURST)
    }

    fn spoke(&mut self, speaker: Speaker, now: Time) {
        if self.used_until.len() >= AUTHORS_MAX {
            self.used_until.retain(|_, until| *until > now);
        }
        if self.used_until.len() < AUTHORS_MAX {
            let until = self.used_until.entry(speaker).or_insert(now);
            *until = (*until).max(now) + AUTHOR_PACE;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::ident::Identity;
    use bombyx_protocol::market::call::Call;
    use bombyx_protocol::work::order::{TaskKind, Tier};

    use super::*;

    fn call(client: &Identity) -> Call {
        Call {
            id: bombyx_protocol::market::call::CallId([1; 16]),
            client: client.id(),
            seal_key: [2; 32],
            model: ModelId([3; 32]),
            kind: TaskKind::Embed,
            input_log2: 1,
            output_log2: 0,
            tier: Tier::Open,
            window_ms: 400,
            invited: bombyx_protocol::market::invite::Share::ALL,
        }
    }

    /// (`WI-11`)
    #[test]
    fn gossip_passes_only_when_signed_and_on_its_own_topic() {
        let client = Identity::from_seed(&[7; 32]);
        let call = call(&client);
        let on = topic(&call.model);
        let bytes = codec::encode(&Gossip::Call(call.sign(&client)));
        let judge = |on: &str, bytes: &[u8]| judge(on, bytes, None, &mut Authors::default(), Time(0));
        assert!(matches!(judge(&on, &bytes), (Verdict::Accept, Some(_))));
        assert!(matches!(judge(&topic(&ModelId([4; 32])), &bytes), (Verdict::Reject, None)));
        let forged = codec::encode(&Gossip::Call(call.sign(&Identity::from_seed(&[8; 32]))));
        assert!(matches!(judge(&on, &forged), (Verdict::Reject, None)));
        for cut in 0..bytes.len() {
            assert!(matches!(judge(&on, &bytes[..cut]), (Verdict::Reject, None)));
        }
    }

    /// (`NE-7`)
    #[test]
    fn an_author_speaks_at_a_bounded_rate_and_nobody_can_use_it_up_for_it() {
        let client = Identity::from_seed(&[7; 32]);
        let call = call(&client);
        let on = topic(&call.model);
        let bytes = codec::encode(&Gossip::Call(call.sign(&client)));
        let forged = codec::encode(&Gossip::Call(call.sign(&Identity::from_seed(&[8; 32]))));
        let mut authors = Authors::default();
        for _ in 0..1_000 {
            assert_eq!(judge(&on, &forged, None, &mut authors, Time(0)).0, Verdict::Reject);
        }
        let said = (0..1_000)
            .filter(|_| judge(&on, &bytes, None, &mut authors, Time(0)).0 == Verdict::Accept)
            .count();
        assert_eq!(said as u64, AUTHOR_BURST.0 / AUTHOR_PACE.0 + 1);
        assert_eq!(judge(&on, &bytes, None, &mut authors, Time(0)).0, Verdict::Ignore, "held against nobody");
        assert_eq!(judge(&on, &bytes, None, &mut authors, Time(AUTHOR_PACE.0)).0, Verdict::Accept);
        for number in 0..AUTHORS_MAX as u64 * 2 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&number.to_le_bytes());
            authors.spoke(Speaker { author: NodeId(id), is_here: false }, Time(0));
        }
        assert!(authors.used_until.len() <= AUTHORS_MAX);
    }

    /// Somebody kept an author's calls of the past weeks, and says them all again. (`NE-7`)
    #[test]
    fn old_calls_that_others_repeat_do_not_use_up_what_their_author_may_say() {
        let client = Identity::from_seed(&[7; 32]);
        let (on, mut authors) = (topic(&call(&client).model), Authors::default());
        let mut say = |number: u32, from: NodeId| {
            let mut call = call(&client);
            call.id.0[..4].copy_from_slice(&number.to_le_bytes());
            judge(&on, &codec::encode(&Gossip::Call(call.sign(&client))), Some(from), &mut authors, Time(0)).0
        };
        let repeated = (0..1_000).filter(|number| say(*number, NodeId([9; 32])) == Verdict::Accept).count();
        assert_eq!(repeated as u64, AUTHOR_BURST.0 / AUTHOR_PACE.0 + 1);
        assert_eq!(say(5_000, client.id()), Verdict::Accept);
    }
}
