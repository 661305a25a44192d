//! What hostile peers do to a provider, each until it is aborted.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bombyx_node::net::{NetCommand, topic};
use bombyx_protocol::channel::key_proof::KeyProof;
use bombyx_protocol::channel::terms::{Address, ChannelTerms};
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::session::Secure;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{
    FromClient, Message, Release, ReleaseReason, SealedFrame, ToProvider, Work,
};
use bombyx_protocol::work::order::{ChatMessage, Generate, ModelId, Role, Sampling, Task};
use bombyx_protocol::work::price::InputTokens;
use ed25519_dalek::SigningKey;
use tokio::time::sleep;

use super::peer::{Peer, Won, pace};

/// Whom an attack is aimed at.
pub(crate) struct Victim {
    pub(crate) node: NodeId,
    pub(crate) address: String,
    pub(crate) model: ModelId,
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.node, self.address, self.model)
    }
}

impl FromStr for Victim {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut words = text.split(' ');
        let mut word = || words.next().ok_or("a victim is a node, an address and a model");
        let (node, address, model) = (word()?, word()?.to_owned(), word()?);
        let node = node.parse().map_err(|_| "the node cannot be read")?;
        Ok(Self { node, address, model: model.parse().map_err(|_| "the model cannot be read")? })
    }
}

/// An attack on a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attack {
    /// None: what an undisturbed customer sees.
    Nothing,
    /// Calls that are never awarded, of one identity, so many a second.
    Calls(u64),
    /// The same, each of a fresh key.
    CallsOfFreshKeys(u64),
    /// Seeks of keys that nobody can reach: a burst of 600, then so many a second.
    Seeks(u64),
    /// Awards without a task, so many a second, on one bid.
    AwardsWithoutTask(u64),
    /// Awards whose task names an invented channel, so many a second, on one bid.
    InventedChannels(u64),
    /// Awards that are cancelled at once, so many a second.
    AwardsCancelled(u64),
    /// So many connections of fresh keys with one silent stream each, from one prefix.
    SilentSockets(usize),
    /// So many connections of fresh keys, each calling twice a second, from one prefix.
    SybilsOfOnePrefix(usize),
    /// The same, each from a prefix of its own.
    SybilsOfManyPrefixes(usize),
    /// Bytes without sense, direct and gossiped.
    Garbage(u64),
    /// The same frames again and again.
    Replay(u64),
}

impl Attack {
    pub(crate) fn name(self) -> String {
        match self {
            Self::Nothing => "none".into(),
            Self::Calls(rate) => format!("calls never awarded, one key, {rate}/s"),
            Self::CallsOfFreshKeys(rate) => format!("calls of fresh keys, {rate}/s"),
            Self::Seeks(rate) => format!("600 seeks of unreachable keys, then {rate}/s"),
            Self::AwardsWithoutTask(rate) => format!("awards without a task, {rate}/s"),
            Self::InventedChannels(rate) => format!("jobs on invented channels, {rate}/s"),
            Self::AwardsCancelled(rate) => format!("awards cancelled at once, {rate}/s"),
            Self::SilentSockets(count) => format!("{count} silent sockets of one prefix"),
            Self::SybilsOfOnePrefix(count) => format!("{count} keys of one prefix, each 2 calls/s"),
            Self::SybilsOfManyPrefixes(count) => format!("{count} keys of as many prefixes, each 2 calls/s"),
            Self::Garbage(rate) => format!("garbage, {rate}/s"),
            Self::Replay(rate) => format!("replayed frames, {rate}/s"),
        }
    }

    /// Attacks until the process ends.
    pub(crate) async fn run(self, victim: &Victim) {
        match self {
            Self::Nothing => std::future::pending().await,
            Self::Calls(rate) => calls(victim, rate, false).await,
            Self::CallsOfFreshKeys(rate) => calls(victim, rate, true).await,
            Self::Seeks(rate) => seeks(victim, rate).await,
            Self::AwardsWithoutTask(rate) => awards(victim, rate, After::Silence).await,
            Self::InventedChannels(rate) => awards(victim, rate, After::Work).await,
            Self::AwardsCancelled(rate) => awards(victim, rate, After::Cancel).await,
            Self::SilentSockets(count) => sybils(victim, count, false, false).await,
            Self::SybilsOfOnePrefix(count) => sybils(victim, count, false, true).await,
            Self::SybilsOfManyPrefixes(count) => sybils(victim, count, true, true).await,
            Self::Garbage(rate) => garbage(victim, rate).await,
            Self::Replay(rate) => replay(victim, rate).await,
        }
    }
}

async fn peer(victim: &Victim, seed: u64, source: &str) -> Peer {
    Peer::connect(seed, source, &victim.address, victim.model).await
}

async fn calls(victim: &Victim, rate: u64, fresh: bool) {
    let mut peer = peer(victim, 1_000, "127.7.0.1").await;
    loop {
        let call = if fresh { peer.call_of_a_fresh_key() } else { peer.own_call().1 };
        peer.gossip(&call).await;
        peer.drain();
        pace(rate).await;
    }
}

async fn seeks(victim: &Victim, rate: u64) {
    let mut peer = peer(victim, 1_001, "127.7.0.1").await;
    for _ in 0..600 {
        let seek = peer.seek_of_nobody();
        peer.gossip(&seek).await;
        pace(150).await;
    }
    loop {
        let seek = peer.seek_of_nobody();
        peer.gossip(&seek).await;
        peer.drain();
        pace(rate).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Silence,
    Work,
    Cancel,
}

async fn awards(victim: &Victim, rate: u64, after: After) {
    let mut peer = peer(victim, 1_002, "127.7.0.1").await;
    let mut waiting = HashMap::new();
    loop {
        let Some(won) = peer.win(victim.node).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        // A bid is a lease for minutes; it is won anew in between.
        for _ in 0..rate.saturating_mul(20) {
            let (job, initiator, award) = peer.award(&won);
            peer.send(victim.node, award).await;
            waiting.insert(job, initiator);
            for (job, mut secure) in peer.accepted(&mut waiting) {
                match after {
                    After::Silence => {}
                    After::Cancel => {
                        peer.say(victim.node, job, &mut secure, &FromClient::Cancel(Extensions::NONE)).await
                    }
                    After::Work => {
                        let work = invented(&mut peer, &won, &secure);
                        peer.say(victim.node, job, &mut secure, &work).await;
                    }
                }
            }
            if waiting.len() > 4_096 {
                waiting.clear();
            }
            pace(rate).await;
        }
    }
}

/// A task on a channel that never was, of a client that never will pay.
pub(crate) fn invented(peer: &mut Peer, won: &Won, secure: &Secure) -> FromClient {
    let key = SigningKey::from_bytes(&peer.entropy.bytes());
    let channel = ChannelTerms {
        network_id: won.bid.payee.network_id,
        salt: peer.entropy.number(),
        client_key: key.verifying_key().to_bytes(),
        provider_key: won.bid.payee.key,
        client: Address::basechain(peer.entropy.bytes()),
        provider: won.bid.payee.address,
        challenge_s: won.bid.payee.challenge_s.max(3_600),
    };
    // One for each byte, and three of the template.
    let input = InputTokens::fresh(22);
    let proof = KeyProof { binding: secure.binding(), account: channel.id() };
    FromClient::Work(Work {
        task: task("What is 17 plus 25?", 32),
        input,
        channel,
        key_proof: proof.sign(&key),
        extensions: Extensions::NONE,
    })
}

/// A short chat.
pub(crate) fn task(text: &str, max_tokens: u32) -> Task {
    Task::Generate(Generate {
        messages: vec![ChatMessage { role: Role::User, content: text.to_owned() }],
        max_tokens,
        sampling: Sampling { temperature_milli: 0, top_p_milli: 1_000, top_k: 0, seed: 1 },
        prefix: Vec::new(),
        stop: Vec::new(),
    })
}

async fn sybils(victim: &Victim, count: usize, many_prefixes: bool, calling: bool) {
    let mut peers = Vec::with_capacity(count);
    for number in 0..count {
        let (high, low) = (number / 200, number % 200);
        let source = match many_prefixes {
            true => format!("127.{}.{}.1", 20 + high, 1 + low),
            false => format!("127.9.9.{}", 1 + low),
        };
        let peer = peer(victim, 10_000 + number as u64, &source).await;
        // One message that means nothing opens the stream.
        let release = Release::of(bombyx_protocol::market::call::CallId([0; 16]), ReleaseReason::TooLate);
        let release = ToProvider::Release(release);
        peer.send(victim.node, Message::ToProvider(release)).await;
        peers.push(peer);
    }
    loop {
        for peer in &mut peers {
            peer.drain();
            if calling {
                let (_, call) = peer.own_call();
                peer.gossip(&call).await;
            }
        }
        sleep(Duration::from_millis(500)).await;
    }
}

async fn garbage(victim: &Victim, rate: u64) {
    let mut seed = 2_000;
    loop {
        let mut peer = peer(victim, seed, "127.7.0.1").await;
        for number in 0..rate.saturating_mul(10) {
            let bytes: Vec<u8> = (0..number % 300).flat_map(|_| peer.entropy.bytes::<8>()).collect();
            if number % 2 == 0 {
                peer.command(NetCommand::Send { to: victim.node, bytes }).await;
            } else {
                peer.command(NetCommand::Publish { topic: topic(Topic::Model(victim.model)), bytes }).await;
            }
            peer.drain();
            pace(rate).await;
        }
        // Blocked by now, it comes back as another.
        peer.net.shutdown().await;
        seed += 1;
    }
}

async fn replay(victim: &Victim, rate: u64) {
    let mut peer = peer(victim, 1_003, "127.7.0.1").await;
    loop {
        let Some(won) = peer.win(victim.node).await else {
            sleep(Duration::from_secs(1)).await;
            continue;
        };
        let (job, _, award) = peer.award(&won);
        let frame = SealedFrame { job, nonce: 0, bytes: peer.entropy.bytes::<272>().to_vec() };
        let frame = Message::ToProvider(ToProvider::Sealed(frame));
        for _ in 0..rate.saturating_mul(10) {
            peer.send(victim.node, award.clone()).await;
            peer.send(victim.node, frame.clone()).await;
            peer.drain();
            pace(rate).await;
        }
    }
}
