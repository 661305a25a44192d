//! A peer that sends garbage on every protocol, against a provider that must go on serving others.
#![allow(clippy::unwrap_used)]

mod processes;

use std::time::Duration;

use bombyx_gpu::catalog;
use bombyx_protocol::ident::{Domain, Identity};
use bombyx_protocol::limits::{FRAME_BYTES_MAX, GOSSIP_BYTES_MAX};
use bombyx_protocol::market::bid::BidHash;
use bombyx_protocol::market::call::CallId;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::Extensions;
use bombyx_protocol::wire::message::{
    Award, Gossip, Message, Release, ReleaseReason, SealedFrame, ToProvider,
};
use bombyx_protocol::wire::signed::Signed;
use bombyx_protocol::work::order::JobId;
use bombyx_protocol::work::price::Price;
use futures::{AsyncWriteExt as _, StreamExt as _};
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::Control;
use processes::{CHAT, Ledger, Node, ask, finish, last_object};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::timeout;

/// The seed of all garbage: a failing run is repeated by it.
const SEED: u64 = 17;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(NetworkBehaviour)]
struct Behaviour {
    gossip: gossipsub::Behaviour,
    streams: libp2p_stream::Behaviour,
}

/// A peer of the real network that keeps none of its rules.
struct Hostile {
    swarm: Swarm<Behaviour>,
    victim: PeerId,
}

impl Hostile {
    async fn connect(address: &str) -> Self {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|key| {
                let config = gossipsub::ConfigBuilder::default().build().unwrap();
                let authentic = MessageAuthenticity::Signed(key.clone());
                Ok(Behaviour {
                    gossip: gossipsub::Behaviour::new(authentic, config).unwrap(),
                    streams: libp2p_stream::Behaviour::new(),
                })
            })
            .unwrap()
            .build();
        let address: Multiaddr = address.parse().unwrap();
        swarm.dial(address).unwrap();
        let connected = async {
            loop {
                if let SwarmEvent::ConnectionEstablished { peer_id, .. } = swarm.select_next_some().await {
                    return peer_id;
                }
            }
        };
        let victim = timeout(PATIENCE, connected).await.expect("the node lets a stranger connect");
        Self { swarm, victim }
    }

    /// Keeps the connections going while `work` does its worst.
    async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let drive = async {
            loop {
                self.swarm.select_next_some().await;
            }
        };
        tokio::select! {
            done = timeout(PATIENCE, work) => done.expect("the hostile peer is not held up for ever"),
            () = drive => unreachable!("the loop has no end"),
        }
    }

    fn control(&self) -> Control {
        self.swarm.behaviour().streams.new_control()
    }
}

fn noise_of(random: &mut StdRng, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    random.fill(&mut bytes[..]);
    bytes
}

/// Messages that can be read and make no sense.
fn nonsense(random: &mut StdRng) -> Vec<Vec<u8>> {
    let award = Award {
        job: JobId(random.random()),
        call: CallId(random.random()),
        bid: BidHash(random.random()),
        price: Price(u64::MAX),
        handshake: noise_of(random, 48),
        extensions: Extensions::NONE,
    };
    let sealed = SealedFrame { job: JobId(random.random()), nonce: u64::MAX, bytes: noise_of(random, 4_096) };
    [
        ToProvider::Award(award.clone()),
        ToProvider::Award(Award { handshake: Vec::new(), ..award }),
        ToProvider::Sealed(sealed),
        ToProvider::Release(Release::of(CallId(random.random()), ReleaseReason::Other(random.random()))),
    ]
    .into_iter()
    .map(|message| codec::encode(&Message::ToProvider(message)))
    .collect()
}

fn frame(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap();
    [&length.to_le_bytes()[..], bytes].concat()
}

/// Everything that is wrong with a stream of frames, one stream each.
fn streams(random: &mut StdRng) -> Vec<Vec<u8>> {
    let mut streams = vec![
        Vec::new(),
        vec![7],
        u32::MAX.to_le_bytes().to_vec(),
        u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_le_bytes().to_vec(),
        // A frame that promises more than comes.
        [&1_000u32.to_le_bytes()[..], &[1, 2, 3]].concat(),
        frame(&[]),
        // A length inside the message that claims the world.
        frame(&[0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]),
    ];
    streams.extend(nonsense(random).iter().map(|message| frame(message)));
    for length in [1, 100, 5_000, FRAME_BYTES_MAX] {
        streams.push(frame(&noise_of(random, length)));
        streams.push(noise_of(random, length));
    }
    streams
}

/// Gossip that is no gossip, that is forged, and that is too long.
fn gossip(random: &mut StdRng) -> Vec<Vec<u8>> {
    let forger = Identity::from_seed(&[9; 32]);
    let body = noise_of(random, 200);
    let signed = Signed::new(&forger, Domain::Seek, body);
    vec![
        noise_of(random, 1),
        noise_of(random, 900),
        noise_of(random, GOSSIP_BYTES_MAX + 1),
        codec::encode(&Gossip::Seek(signed.clone())),
        codec::encode(&Gossip::Call(signed)),
    ]
}

async fn send_streams(
    mut control: Control,
    victim: PeerId,
    protocol: StreamProtocol,
    contents: Vec<Vec<u8>>,
) {
    for content in contents {
        // The victim may refuse a stream, cut it, or block its peer: all of that is its right.
        let Ok(Ok(mut stream)) =
            timeout(Duration::from_secs(2), control.open_stream(victim, protocol.clone())).await
        else {
            continue;
        };
        let _ = timeout(Duration::from_secs(2), stream.write_all(&content)).await;
        let _ = timeout(Duration::from_secs(2), stream.close()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_on_every_protocol_does_not_keep_a_provider_from_serving() {
    let ledger = Ledger::start().await;
    let mut provider = Node::up(&ledger, &["--provide", CHAT], &[]).await;
    let tcp = provider.note.addresses.iter().find(|address| address.contains("/tcp/")).unwrap().clone();
    let mut random = StdRng::seed_from_u64(SEED);

    // Each protocol from a peer of its own: the one before may be blocked by now.
    for protocol in
        ["/bombyx/msg/1", "/bombyx/bombyx-dev/kad/1", "/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/meshsub/1.1.0"]
    {
        let mut hostile = Hostile::connect(&tcp).await;
        let protocol = StreamProtocol::new(protocol);
        let work = send_streams(hostile.control(), hostile.victim, protocol, streams(&mut random));
        hostile.during(work).await;
    }

    let mut hostile = Hostile::connect(&tcp).await;
    let model = catalog::find(CHAT).unwrap().manifest().id().to_string();
    let topic = IdentTopic::new(format!("bombyx/bombyx-dev/model/{}", &model[..16]));
    hostile.swarm.behaviour_mut().gossip.subscribe(&topic).unwrap();
    let mut published = 0;
    for message in gossip(&mut random) {
        for _ in 0..20 {
            hostile.during(tokio::time::sleep(Duration::from_millis(100))).await;
            if hostile.swarm.behaviour_mut().gossip.publish(topic.clone(), message.clone()).is_ok() {
                published += 1;
                break;
            }
        }
    }
    hostile.during(tokio::time::sleep(Duration::from_millis(500))).await;
    assert!(published >= 1, "the provider listens on its model's topic");

    assert!(provider.runs(), "{}", provider.log());
    let home = tempfile::tempdir().unwrap();
    let question = ask(home.path(), &ledger, provider.address(), &["--json", "What is 17 plus 25?"]);
    let answer = last_object(&finish(question).await);
    assert_eq!(answer["text"].as_str().unwrap().trim(), "42");
    let log = provider.log();
    assert!(!log.contains("panicked"), "{log}");
}
