//! A stranger to the node that is checked: an identity of its own, a connection, and the words of the wire.

use std::time::Duration;

use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::session::StaticKey;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, Message, ToClient, ToProvider};
use ed25519_dalek::SigningKey;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

use super::verdict::{Checked, broken};
use crate::net::probe::{Heard, Probe, ProbeError, RawStream};

/// Until a node has told what it listens to.
const LISTENS: Duration = Duration::from_secs(3);

/// An identity that lives for one check.
pub(super) struct Guest {
    pub(super) identity: Identity,
    pub(super) probe: Probe,
    pub(super) entropy: Entropy,
    /// What bids are sealed to.
    pub(super) seal_key: StaticKey,
    /// Signs on its channels.
    pub(super) channel_key: SigningKey,
    seed: Zeroizing<[u8; 32]>,
    stream: Option<RawStream>,
}

impl Guest {
    /// Connects under the identity of a seed.
    pub(super) async fn connect(
        seed: Zeroizing<[u8; 32]>,
        network: &str,
        at: &str,
    ) -> Result<Self, ProbeError> {
        let probe = Probe::connect(&seed, network, at).await?;
        let mut entropy = Entropy::new(*seed);
        let seal_key = StaticKey::from_seed(entropy.bytes());
        let channel_key = SigningKey::from_bytes(&entropy.bytes());
        let identity = Identity::from_seed(&seed);
        Ok(Self { identity, probe, entropy, seal_key, channel_key, seed, stream: None })
    }

    /// Returns what its identity is made of, to come again.
    pub(super) fn seed(&self) -> Zeroizing<[u8; 32]> {
        self.seed.clone()
    }

    pub(super) fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// Sends bytes as one frame.
    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) -> Checked {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(self.probe.open_messages().await?),
        };
        Ok(stream.write_frame(bytes).await?)
    }

    pub(super) async fn send(&mut self, message: ToProvider) -> Checked {
        self.send_bytes(&codec::encode(&Message::ToProvider(message))).await
    }

    /// Waits until the node has told that it listens to a topic: what is said before is sent to nobody.
    pub(super) async fn knows_listener(&mut self, topic: &str) {
        let name = self.probe.topic(topic);
        self.probe.becomes(LISTENS, |standing| standing.topics.contains(&name)).await;
    }

    /// Says something on a topic of the network.
    pub(super) async fn gossip(&mut self, topic: &str, gossip: &Gossip) -> Checked {
        Ok(self.probe.publish(topic, codec::encode(gossip)).await?)
    }

    /// Waits for something that `pick` takes; whatever else the node says meanwhile must be readable. Returns `None` when
    /// nothing of the kind comes in time.
    pub(super) async fn hear<T>(
        &mut self,
        within: Duration,
        mut pick: impl FnMut(ToClient) -> Option<T>,
    ) -> Checked<Option<T>> {
        let until = Instant::now() + within;
        loop {
            match timeout_at(until, self.probe.heard.recv()).await {
                Err(_) | Ok(None) => return Ok(None),
                Ok(Some(Heard::Gossip { .. })) => {}
                Ok(Some(Heard::Oversized(bytes))) => {
                    return broken(format!("the node announces a frame of {bytes} bytes"));
                }
                Ok(Some(Heard::Message(bytes))) => match codec::decode::<Message>(&bytes) {
                    Ok(Message::ToClient(said)) => {
                        if let Some(found) = pick(said) {
                            return Ok(Some(found));
                        }
                    }
                    Ok(Message::ToProvider(_)) => {}
                    Err(why) => return broken(format!("the node sends a message that is none: {why}")),
                },
            }
        }
    }

    /// Returns whether the connection is closed by the node within this time.
    pub(super) async fn is_cut(&mut self, within: Duration) -> bool {
        self.probe.becomes(within, |standing| standing.closed.is_some()).await
    }
}
