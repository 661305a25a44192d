//! The swarm over real sockets on loopback: joining, gossip, direct messages, provider records, and clear failures.
#![allow(clippy::unwrap_used)]

mod gossip;
mod join;
mod messages;
mod records;
mod way_back;

use std::collections::BTreeSet;
use std::time::Duration;

use bombyx_node::net::{
    self, DeliveryError, JoinError, NetCommand, NetConfig, NetEvent, NetHandle, topic, unix_s,
};
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Gossip;
use bombyx_protocol::work::order::ModelId;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Long enough for a loaded machine; no test takes it when all is well.
const PATIENCE: Duration = Duration::from_secs(30);
const MODEL: ModelId = ModelId([0x0a; 32]);
const QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const TCP: &str = "/ip4/127.0.0.1/tcp/0";

struct Node {
    handle: NetHandle,
    events: mpsc::Receiver<NetEvent>,
}

fn config(seed: u8, listen: &str, join: &[String]) -> NetConfig {
    let mut config = NetConfig::new(zeroize::Zeroizing::new([seed; 32]), "test");
    config.listen = vec![listen.to_owned()];
    config.join = join.to_vec();
    config
}

fn id(seed: u8) -> NodeId {
    Identity::from_seed(&[seed; 32]).id()
}

/// What the `number`th of many clients asks about a model.
fn seek(model: ModelId, number: u32) -> Vec<u8> {
    let mut seed = [0; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let client = Identity::from_seed(&seed);
    let seek = Seek::for_model(SeekId([0; 16]), client.id(), model, Share::ALL, unix_s());
    codec::encode(&Gossip::Seek(seek.sign(&client)))
}

async fn start(config: NetConfig) -> Node {
    let (handle, events) = net::start(config).await.unwrap();
    Node { handle, events }
}

impl Node {
    async fn send(&self, command: NetCommand) {
        self.handle.send(command).await.unwrap();
    }

    /// The first event that `wanted` makes something of; others are passed over.
    async fn until<T>(&mut self, wanted: impl Fn(NetEvent) -> Option<T>) -> T {
        let mut passed = Vec::new();
        let found = async {
            loop {
                let event = self.events.recv().await.expect("the swarm runs");
                passed.push(format!("{event:?}"));
                if let Some(found) = wanted(event) {
                    return found;
                }
            }
        };
        let found = timeout(PATIENCE, found).await.ok();
        found.unwrap_or_else(|| panic!("the event does not come; passed over: {passed:#?}"))
    }

    async fn knows(&self, nodes: &[NodeId]) {
        let wanted: BTreeSet<NodeId> = nodes.iter().copied().collect();
        let known = self.handle.wait_until(|status| status.peers.is_superset(&wanted));
        timeout(PATIENCE, known).await.expect("all are connected").unwrap();
    }

    async fn received(&mut self) -> (NodeId, Vec<u8>) {
        self.until(match_received).await
    }

    /// The next gossiped message.
    async fn gossip(&mut self) -> Vec<u8> {
        self.until(|event| if let NetEvent::Gossip { bytes, .. } = event { Some(bytes) } else { None }).await
    }

    /// Gossips what somebody asks about a model.
    async fn ask(&self, model: ModelId, number: u32) -> Vec<u8> {
        let bytes = seek(model, number);
        self.send(NetCommand::Publish { topic: topic(Topic::Model(model)), bytes: bytes.clone() }).await;
        bytes
    }

    async fn undelivered(&mut self) -> (NodeId, DeliveryError) {
        self.until(|event| if let NetEvent::Undelivered { to, why } = event { Some((to, why)) } else { None })
            .await
    }

    async fn join_failure(&mut self) -> (String, JoinError) {
        self.until(|event| {
            if let NetEvent::JoinFailed { address, why } = event { Some((address, why)) } else { None }
        })
        .await
    }

    async fn joined(&mut self) -> NodeId {
        self.until(|event| if let NetEvent::Joined { via } = event { Some(via) } else { None }).await
    }
}

fn match_received(event: NetEvent) -> Option<(NodeId, Vec<u8>)> {
    if let NetEvent::Received { from, bytes } = event { Some((from, bytes)) } else { None }
}
