//! What a stranger's gossip costs, beside bare gossipsub: `cargo bench -p bombyx-node --bench gossip`.
//!
//! | column | what |
//! |---|---|
//! | node | two swarms of the node: one publishes seeks of fresh keys, the other judges each and hands it over |
//! | bare | two swarms of libp2p with nothing but gossipsub over QUIC, bytes of the same length, all accepted |
//! | signature | one check of an ed25519 signature, as the judgement holds it |
//!
//! Processor time of a message on both sides together, at a rate at which each comes alone. Both columns are measured by
//! turns; the figures are medians, the ratio is the median of those of the turns.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;
use std::time::Duration;

use bombyx_node::net::{self, NetCommand, NetConfig, NetEvent, NetHandle, topic, unix_s};
use bombyx_protocol::ident::Identity;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::Gossip;
use bombyx_protocol::work::order::ModelId;
use futures::StreamExt as _;
use libp2p::gossipsub::{self, IdentTopic, MessageAcceptance, MessageAuthenticity, ValidationMode};
use libp2p::swarm::SwarmEvent;
use libp2p::{Swarm, SwarmBuilder};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};

const TURNS: usize = 7;
const MESSAGES: u32 = 400;
/// Between two messages: the rate of the hostile review.
const PACE: Duration = Duration::from_millis(5);
const MODEL: ModelId = ModelId([7; 32]);

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut node, mut bare) = (Nodes::start().await, Bare::start().await);
        let mut turns = Vec::new();
        for turn in 0..TURNS {
            let asked = seeks(u32::try_from(turn).unwrap());
            turns.push((node.gossip(&asked).await, bare.gossip(&asked).await));
        }
        let median = |of: fn(&(f64, f64)) -> f64| {
            let mut all: Vec<f64> = turns.iter().map(of).collect();
            all.sort_by(f64::total_cmp);
            all[all.len() / 2]
        };
        println!("| a gossiped message, µs of processor time | node | bare | ratio | signature |");
        println!("|---|---|---|---|---|");
        let (node, bare, ratio) =
            (median(|turn| turn.0), median(|turn| turn.1), median(|turn| turn.0 / turn.1));
        println!(
            "| published and heard, 200 a second | {node:.0} | {bare:.0} | {ratio:.2} | {:.0} |",
            signature()
        );
    });
}

/// Seeks of clients that nobody has heard of.
fn seeks(turn: u32) -> Vec<Vec<u8>> {
    let seek = |number: u32| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&turn.to_le_bytes());
        seed[4..8].copy_from_slice(&number.to_le_bytes());
        let client = Identity::from_seed(&seed);
        let seek = Seek::for_model(SeekId([0; 16]), client.id(), MODEL, Share::ALL, unix_s());
        codec::encode(&Gossip::Seek(seek.sign(&client)))
    };
    (0..MESSAGES).map(seek).collect()
}

/// The check of one signature, in µs.
fn signature() -> f64 {
    let asked = seeks(u32::MAX);
    let began = processor_time();
    for bytes in &asked {
        black_box(codec::decode_gossip::<Gossip>(bytes).unwrap().open()).unwrap();
    }
    (processor_time() - began).as_secs_f64() * 1e6 / f64::from(MESSAGES)
}

/// Two swarms of the node.
struct Nodes {
    speaker: NetHandle,
    listener: mpsc::Receiver<NetEvent>,
    // What is not held is stopped.
    _kept: (mpsc::Receiver<NetEvent>, NetHandle),
}

impl Nodes {
    async fn start() -> Self {
        let config = |seed: u8, join: Vec<String>| {
            let mut config = NetConfig::new(zeroize::Zeroizing::new([seed; 32]), "bench");
            config.listen = vec!["/ip4/127.0.0.1/udp/0/quic-v1".to_owned()];
            config.join = join;
            config
        };
        let (listening, mut listener) = net::start(config(1, Vec::new())).await.unwrap();
        listening.send(NetCommand::Subscribe(topic(Topic::Model(MODEL)))).await.unwrap();
        let (speaker, spoken) = net::start(config(2, listening.listening())).await.unwrap();
        speaker.wait_until(|status| !status.peers.is_empty()).await.unwrap();
        // The first one waits until the listener is known.
        let first = seeks(u32::MAX - 1).swap_remove(0);
        speaker.send(NetCommand::Publish { topic: topic(Topic::Model(MODEL)), bytes: first }).await.unwrap();
        hear(&mut listener).await;
        Self { speaker, listener, _kept: (spoken, listening) }
    }

    async fn gossip(&mut self, asked: &[Vec<u8>]) -> f64 {
        let Self { speaker, listener, .. } = self;
        let speak = async |bytes| {
            speaker.send(NetCommand::Publish { topic: topic(Topic::Model(MODEL)), bytes }).await.unwrap();
        };
        cost(asked, speak, async || hear(listener).await).await
    }
}

/// Returns what a message costs, in µs of processor time on both sides.
async fn cost(asked: &[Vec<u8>], speak: impl AsyncFn(Vec<u8>), mut hear: impl AsyncFnMut()) -> f64 {
    let began = processor_time();
    let speaking = async {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for bytes in asked {
            pace.tick().await;
            speak(bytes.clone()).await;
        }
    };
    let hearing = async {
        for _ in asked {
            hear().await;
        }
    };
    tokio::join!(speaking, hearing);
    (processor_time() - began).as_secs_f64() * 1e6 / asked.len() as f64
}

async fn hear(events: &mut mpsc::Receiver<NetEvent>) {
    while !matches!(events.recv().await.unwrap(), NetEvent::Gossip { .. }) {}
}

/// Two swarms of libp2p, each in a task of its own.
struct Bare {
    speaker: mpsc::Sender<Vec<u8>>,
    heard: mpsc::Receiver<()>,
}

impl Bare {
    async fn start() -> Self {
        let topic = IdentTopic::new("bench");
        let (mut listener, mut speaker) = (bare_swarm(), bare_swarm());
        listener.behaviour_mut().subscribe(&topic).unwrap();
        listener.listen_on("/ip4/127.0.0.1/udp/0/quic-v1".parse().unwrap()).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = listener.select_next_some().await {
                break address;
            }
        };
        let (hears, heard) = mpsc::channel(64);
        tokio::spawn(async move {
            loop {
                if let SwarmEvent::Behaviour(gossipsub::Event::Message {
                    propagation_source,
                    message_id,
                    ..
                }) = listener.select_next_some().await
                {
                    let gossip = listener.behaviour_mut();
                    gossip.report_message_validation_result(
                        &message_id,
                        &propagation_source,
                        MessageAcceptance::Accept,
                    );
                    let _ = hears.send(()).await;
                }
            }
        });
        speaker.dial(address).unwrap();
        let (says, mut said) = mpsc::channel::<Vec<u8>>(64);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(bytes) = said.recv() => drop(speaker.behaviour_mut().publish(topic.clone(), bytes)),
                    _ = speaker.select_next_some() => {}
                }
            }
        });
        // Until the subscription is known.
        sleep(Duration::from_secs(3)).await;
        Self { speaker: says, heard }
    }

    async fn gossip(&mut self, asked: &[Vec<u8>]) -> f64 {
        let Self { speaker, heard } = self;
        let speak = async |bytes| speaker.send(bytes).await.unwrap();
        cost(asked, speak, async || heard.recv().await.unwrap()).await
    }
}

fn bare_swarm() -> Swarm<gossipsub::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_quic()
        .with_behaviour(|_| {
            let config = gossipsub::ConfigBuilder::default()
                .validation_mode(ValidationMode::Anonymous)
                .validate_messages()
                .message_id_fn(|message| gossipsub::MessageId::from(message.data.clone()))
                .heartbeat_initial_delay(Duration::from_millis(200))
                .flood_publish(true)
                .build()
                .unwrap();
            gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config).unwrap()
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

/// Returns the processor time of this process so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap()
}
