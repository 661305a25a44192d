//! Sellers that lie and floods of questions, beside one honest seller.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bombyx_node::net::{self, NetCommand, NetConfig, NetEvent, NetHandle, topic};
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::market::invite::Share;
use bombyx_protocol::market::seek::{Seek, SeekId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::extension::{Extensions, Features};
use bombyx_protocol::wire::message::{Gossip, Message, ToClient, ToProvider, VerifiedGossip};
use bombyx_protocol::work::order::{ModelId, TaskKind, Tier};
use bombyx_protocol::work::price::Price;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::processes::{CHAT, Ledger, Node};
use super::{PATIENCE, called, list, until};

/// Where the one node lives that keeps records in the test of many keys.
const HUB: &str = "127.0.99.1";

async fn peer(
    seed: u64,
    source: &str,
    join: &[String],
    network: &str,
    sells: bool,
) -> (NetHandle, mpsc::Receiver<NetEvent>, Identity) {
    let mut bytes = [5; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut config = NetConfig::new(zeroize::Zeroizing::new(bytes), network);
    config.listen = vec![format!("/ip4/{source}/udp/0/quic-v1")];
    config.join = join.to_vec();
    config.announce_topics = sells;
    // As a node that comes for a moment; what is tested is who is found, not who keeps records.
    config.serves_table = source == HUB;
    let (net, events) = net::start(config).await.unwrap();
    if sells {
        net.send(NetCommand::Subscribe(topic(Topic::Market))).await.unwrap();
    }
    (net, events, Identity::from_seed(&bytes))
}

fn unix_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

async fn joined(net: &NetHandle) {
    timeout(PATIENCE, net.wait_until(|status| !status.peers.is_empty())).await.unwrap().unwrap();
}

/// The key under which all that sell are found, as `02-network.md` has it.
fn providers_key(network: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"bombyx providers\0");
    hash.update(network.as_bytes());
    hash.finalize().into()
}

/// Keeps a peer alive, silent.
fn silent(mut events: mpsc::Receiver<NetEvent>) {
    tokio::spawn(async move { while events.recv().await.is_some() {} });
}

/// Sixty-four keys of one owner, of one prefix and of several, announce that they sell and answer nothing. (`NE-5`, `NE-14`)
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_keys_of_one_owner_do_not_hide_another_seller() {
    for prefixes in [1, 8] {
        let began = std::time::Instant::now();
        let network = format!("sybils-{prefixes}");
        let (hub, events, _) = peer(1, HUB, &[], &network, false).await;
        silent(events);
        let join: Vec<String> = hub.listening();
        let mut sybils = Vec::new();
        for key in 0..64 {
            let source = format!("127.0.{}.1", 10 + key % prefixes);
            let (net, events, _) = peer(100 + key, &source, &join, &network, false).await;
            silent(events);
            joined(&net).await;
            // As one that sells, without a word on the topic.
            net.send(NetCommand::Provide(providers_key(&network))).await.unwrap();
            sybils.push(net);
        }
        println!("{prefixes}: sixty-four have joined after {:?}", began.elapsed());
        let (honest, events, identity) = peer(2, "127.0.50.1", &join, &network, true).await;
        silent(events);
        joined(&honest).await;
        let (client, mut events, _) = peer(3, "127.0.60.1", &join, &network, false).await;
        joined(&client).await;
        let found = async {
            loop {
                client.send(NetCommand::Survey).await.unwrap();
                while let Ok(Some(event)) = timeout(Duration::from_secs(1), events.recv()).await {
                    if let NetEvent::ProviderVisited(node) = event
                        && node == identity.id()
                    {
                        return;
                    }
                }
            }
        };
        timeout(PATIENCE, found).await.expect("the honest one is found");
        println!("{prefixes}: the honest one is found after {:?}", began.elapsed());
        drop(sybils);
    }
}

/// A seller that answers every seek with what it likes.
struct Liar {
    net: NetHandle,
    events: mpsc::Receiver<NetEvent>,
    identity: Identity,
    asks: Vec<Ask>,
    answered: Arc<AtomicUsize>,
}

impl Liar {
    async fn run(mut self) {
        while let Some(event) = self.events.recv().await {
            let (to, seek) = match event {
                NetEvent::Gossip { gossip: VerifiedGossip::Seek(seek), .. } => (seek.client, seek.id),
                NetEvent::Received { from, bytes } => match codec::decode(&bytes) {
                    Ok(Message::ToProvider(ToProvider::Seek(seek))) => (from, seek.id),
                    _ => continue,
                },
                _ => continue,
            };
            for ask in &self.asks {
                let ask = Ask { seek, ..ask.clone() }.sign(&self.identity);
                let bytes = codec::encode(&Message::ToClient(ToClient::Ask(ask)));
                let _ = self.net.send(NetCommand::Send { to, bytes }).await;
            }
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn ask(provider: NodeId, model: ModelId, name: &str, kind: TaskKind, price: u64) -> Ask {
    Ask {
        provider,
        model,
        name: name.into(),
        kind,
        price: Price(price),
        context_tokens: u32::MAX,
        output_max: u32::MAX,
        read_tps: u32::MAX,
        write_tps: u32::MAX,
        start_ms: 0,
        tier: Tier::Open,
        seek: SeekId([0; 16]),
        valid_ms: u32::MAX,
        features: Features::OWN,
        extensions: Extensions::NONE,
    }
}

/// (`MK-12`, `MK-19`, `NE-15`)
#[tokio::test(flavor = "multi_thread")]
async fn liars_and_a_flood_of_seeks_leave_the_list_true_and_the_honest_seller_on_it() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT], &[]).await;
    let join = vec![provider.address().to_owned()];
    let real: ModelId = bombyx_node::model_id(CHAT).unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    for number in 0..4u8 {
        let (net, events, identity) =
            peer(200 + u64::from(number), "127.0.3.1", &join, "bombyx-dev", true).await;
        joined(&net).await;
        let model = |byte: u8| ModelId([byte; 32]);
        let id = identity.id();
        let mut asks = vec![
            ask(id, model(0x20 + number), "\u{1b}[2J\u{7}evil", TaskKind::Generate, 0),
            ask(id, model(0x30 + number), &"n".repeat(4_000), TaskKind::Generate, 0),
            ask(id, real, CHAT, TaskKind::Embed, 0),
            ask(id, model(0x40 + number), CHAT, TaskKind::Generate, u64::MAX),
            ask(id, model(0x50 + number), "all-minilm-l6-v2", TaskKind::Embed, 0),
        ];
        // More than one may answer.
        asks.extend((0..40).map(|more| ask(id, model(0x60 + more), "more", TaskKind::Generate, 1)));
        // And what it hands out for the ids that it made up is not theirs.
        for (byte, json) in [(0x40 + number, vec![b'{'; 9]), (0x50 + number, vec![7; 1 << 20])] {
            net.send(NetCommand::ShowManifest { model: [byte; 32], json }).await.unwrap();
        }
        tokio::spawn(Liar { net, events, identity, asks, answered: Arc::clone(&answered) }.run());
    }
    // Two hundred and fifty questions a second, directly and gossiped, each of another name where it can be.
    let (flooder, events, identity) = peer(300, "127.0.4.1", &join, "bombyx-dev", false).await;
    silent(events);
    joined(&flooder).await;
    let to: NodeId = provider.note.node_id.parse().unwrap();
    let flood = tokio::spawn(async move {
        for number in 0..u64::MAX {
            let mut seed = [6; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let id = SeekId(seed[..16].try_into().unwrap());
            let direct = Seek::for_all(id, identity.id(), Share::ALL, unix_s());
            let bytes = codec::encode(&Message::ToProvider(ToProvider::Seek(direct)));
            let _ = flooder.send(NetCommand::Send { to, bytes }).await;
            let author = Identity::from_seed(&seed);
            let gossiped = Seek::for_all(id, author.id(), Share::ALL, unix_s());
            let bytes = codec::encode(&Gossip::Seek(gossiped.sign(&author)));
            let _ = flooder.send(NetCommand::Publish { topic: topic(Topic::Market), bytes }).await;
            sleep(Duration::from_millis(8)).await;
        }
    });

    let mut gateway =
        Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", provider.address()], &[]).await;
    until(&gateway, "the honest one beside liars", |listed| called(listed, CHAT).is_some()).await;
    // Until each liar has had its say.
    while answered.load(Ordering::Relaxed) < 4 {
        list(&gateway).await;
        sleep(Duration::from_millis(200)).await;
    }
    let listed = list(&gateway).await;
    flood.abort();
    let entry = called(&listed, CHAT).unwrap();
    assert_eq!(entry["bombyx"]["model_id"], real.to_string());
    assert_eq!(entry["bombyx"]["providers"], 1, "one that contradicts the manifest does not count: {entry}");
    assert!(entry["bombyx"]["price"]["output_per_k_nano"].as_u64().unwrap() > 0);
    for model in &listed {
        let (label, name) = (model["id"].as_str().unwrap(), &model["bombyx"]["name"]);
        assert!(
            label == CHAT || label.len() == 64 && name.is_null(),
            "what nobody proved has no name: {model}"
        );
        assert!(label.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    let text = gateway.log();
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    assert!(gateway.runs());
}
