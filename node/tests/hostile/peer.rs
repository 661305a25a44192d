//! A peer that speaks the wire and keeps no rule: real sockets, real signatures, real sessions.

use std::collections::HashMap;
use std::time::Duration;

use bombyx_node::net::{self, NetCommand, NetConfig, NetEvent, NetHandle, topic, unix_s};
use bombyx_protocol::entropy::Entropy;
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::market::bid::{Bid, BidHash};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::session::{Initiator, Secure, StaticKey, prologue, unseal};
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{Award, FromClient, Gossip, Message, SealedFrame, ToClient, ToProvider};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::{JobId, ModelId, TaskKind, Tier};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Until a hostile peer stands on its feet, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// One identity with sockets of its own.
pub(crate) struct Peer {
    pub(crate) identity: Identity,
    pub(crate) net: NetHandle,
    pub(crate) events: mpsc::Receiver<NetEvent>,
    pub(crate) entropy: Entropy,
    pub(crate) model: ModelId,
    seed: [u8; 32],
    seal_key: StaticKey,
}

/// A bid that this peer could unseal.
pub(crate) struct Won {
    pub(crate) bid: Bid,
    pub(crate) hash: BidHash,
}

impl Peer {
    /// Connects to `victim` from `source`, one of this machine's loopback addresses.
    pub(crate) async fn connect(seed: u64, source: &str, victim: &str, model: ModelId) -> Self {
        let peer = Self::start(seed, source, &[victim.to_owned()], model, false).await;
        let _ = timeout(PATIENCE, peer.net.wait_until(|status| !status.peers.is_empty())).await;
        peer
    }

    /// As [`Self::connect`], and listed as a seller of the model.
    pub(crate) async fn seller(seed: u64, source: &str, join: &[String], model: ModelId) -> Self {
        let peer = Self::start(seed, source, join, model, true).await;
        let _ = timeout(PATIENCE, peer.net.wait_until(|status| !status.peers.is_empty())).await;
        peer.command(NetCommand::Subscribe(topic(Topic::Model(model)))).await;
        peer.command(NetCommand::Provide(model.0)).await;
        peer
    }

    async fn start(seed: u64, source: &str, join: &[String], model: ModelId, announce: bool) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut config = NetConfig::new(zeroize::Zeroizing::new(bytes), "bombyx-dev");
        config.listen = vec![format!("/ip4/{source}/udp/0/quic-v1")];
        config.join = join.to_vec();
        config.announce_topics = announce;
        let (net, events) = net::start(config).await.unwrap();
        let mut entropy = Entropy::new(bytes);
        let seal_key = StaticKey::from_seed(entropy.bytes());
        Self { identity: Identity::from_seed(&bytes), net, events, entropy, model, seed: bytes, seal_key }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.id()
    }

    pub(crate) async fn command(&self, command: NetCommand) {
        let _ = self.net.send(command).await;
    }

    pub(crate) async fn send(&self, to: NodeId, message: Message) {
        self.command(NetCommand::Send { to, bytes: codec::encode(&message) }).await;
    }

    pub(crate) async fn gossip(&self, gossip: &Gossip) {
        let bytes = codec::encode(gossip);
        self.command(NetCommand::Publish { topic: topic(Topic::Model(self.model)), bytes }).await;
    }

    /// Reads whatever has come, so that nothing is held up by this side.
    pub(crate) fn drain(&mut self) -> Vec<NetEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// A call of `author`, which need not be this peer.
    pub(crate) fn call(&mut self, author: &Identity) -> (CallId, Gossip) {
        let id = CallId(self.entropy.bytes());
        let call = Call {
            id,
            client: author.id(),
            seal_key: self.seal_key.public(),
            model: self.model,
            kind: TaskKind::Generate,
            input_log2: 6,
            output_log2: 5,
            tier: Tier::Open,
            window_ms: 400,
            invited: Share::ALL,
            made_s: unix_s(),
            deadline_ms: 1_000,
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        };
        (id, Gossip::Call(call.sign(author)))
    }

    pub(crate) fn call_of_a_fresh_key(&mut self) -> Gossip {
        let author = Identity::from_seed(&self.entropy.bytes());
        self.call(&author).1
    }

    pub(crate) fn own_call(&mut self) -> (CallId, Gossip) {
        self.call(&Identity::from_seed(&self.seed))
    }

    /// A seek of a key that nobody can reach.
    pub(crate) fn seek_of_nobody(&mut self) -> Gossip {
        let nobody = Identity::from_seed(&self.entropy.bytes());
        let id = SeekId(self.entropy.bytes());
        let seek = Seek::for_model(id, nobody.id(), self.model, Share::ALL, unix_s());
        Gossip::Seek(seek.sign(&nobody))
    }

    /// Calls until a bid of `victim` is here.
    pub(crate) async fn win(&mut self, victim: NodeId) -> Option<Won> {
        for _ in 0..20 {
            let (id, call) = self.own_call();
            self.gossip(&call).await;
            let won = timeout(Duration::from_millis(700), async {
                loop {
                    let NetEvent::Received { from, bytes, .. } = self.events.recv().await? else { continue };
                    let Ok(Message::ToClient(ToClient::Bid(sealed))) = codec::decode::<Message>(&bytes)
                    else {
                        continue;
                    };
                    if from != victim || sealed.call != id {
                        continue;
                    }
                    let plain = unseal(&self.seal_key, &sealed.call.0, &sealed.sealed).ok()?;
                    let signed = codec::decode_sealed::<Signed>(&plain).ok()?;
                    let bid = signed.open::<Bid>().ok()?.into_inner();
                    return Some(Won { bid, hash: BidHash::of(&signed) });
                }
            });
            if let Ok(Some(won)) = won.await {
                return Some(won);
            }
        }
        None
    }

    /// An award on a bid, and what finishes its handshake.
    pub(crate) fn award(&mut self, won: &Won) -> (JobId, Initiator, Message) {
        let job = JobId(self.entropy.bytes());
        let prologue = prologue(&self.id(), &won.bid.provider, &job.0);
        let (initiator, handshake) =
            Initiator::start(&won.bid.session_key, &prologue, &mut self.entropy).unwrap();
        let award = Award {
            job,
            call: won.bid.call,
            bid: won.hash,
            price: won.bid.price,
            handshake,
            extensions: Extensions::NONE,
        };
        (job, initiator, Message::ToProvider(ToProvider::Award(award)))
    }

    /// Sessions of the awards among `waiting` that were accepted meanwhile.
    pub(crate) fn accepted(&mut self, waiting: &mut HashMap<JobId, Initiator>) -> Vec<(JobId, Secure)> {
        let mut sessions = Vec::new();
        for event in self.drain() {
            let NetEvent::Received { bytes, .. } = event else { continue };
            if let Ok(Message::ToClient(ToClient::Accept(accept))) = codec::decode::<Message>(&bytes)
                && let Some(initiator) = waiting.remove(&accept.job)
                && let Ok(secure) = initiator.finish(&accept.handshake)
            {
                sessions.push((accept.job, secure));
            }
        }
        sessions
    }

    pub(crate) async fn say(&self, to: NodeId, job: JobId, secure: &mut Secure, said: &FromClient) {
        let Ok(frame) = secure.seal(&codec::encode(said), false) else { return };
        let frame = SealedFrame { job, nonce: frame.nonce, bytes: frame.bytes };
        self.send(to, Message::ToProvider(ToProvider::Sealed(frame))).await;
    }
}

/// Waits so long that something happens `per_second` times a second.
pub(crate) async fn pace(per_second: u64) {
    sleep(Duration::from_micros(1_000_000 / per_second.max(1))).await;
}
