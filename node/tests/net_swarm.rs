//! The swarm over real sockets on loopback: joining, gossip, direct messages, provider records, and clear failures.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::time::Duration;

use bombyx_node::net::{
    self, DeliveryError, JoinError, NetCommand, NetConfig, NetError, NetEvent, NetHandle, PublicationError,
    limits, topic, unix_s,
};
use bombyx_protocol::ident::{Identity, NodeId};
use bombyx_protocol::limits::FRAME_BYTES_MAX;
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

async fn three_nodes_meet_and_gossip(listen: &str) {
    let mut first = start(config(1, listen, &[])).await;
    let mut second = start(config(2, listen, &first.handle.listening())).await;
    let mut third = start(config(3, listen, &first.handle.listening())).await;
    for node in [&first, &second, &third] {
        node.send(NetCommand::Subscribe(topic(Topic::Model(MODEL)))).await;
    }
    assert_eq!(second.joined().await, id(1));
    assert_eq!(third.joined().await, id(1));
    first.knows(&[id(2), id(3)]).await;
    second.knows(&[id(1), id(3)]).await;
    third.knows(&[id(1), id(2)]).await;

    let asked = second.ask(MODEL, 1).await;
    assert_eq!(first.gossip().await, asked);
    assert_eq!(third.gossip().await, asked);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_quic_three_nodes_that_know_only_the_first_meet_and_gossip_reaches_all() {
    three_nodes_meet_and_gossip(QUIC).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tcp_three_nodes_that_know_only_the_first_meet_and_gossip_reaches_all() {
    three_nodes_meet_and_gossip(TCP).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_known_only_by_its_id_is_found_through_the_hash_table() {
    let hub = start(config(11, QUIC, &[])).await;
    let mut receiver = start(config(12, QUIC, &hub.handle.listening())).await;
    receiver.joined().await;
    let mut sender = start(config(13, QUIC, &hub.handle.listening())).await;
    sender.joined().await;
    // Sent before the sender had time to meet anyone but the hub.
    sender.send(NetCommand::Send { to: id(12), bytes: b"a bid".to_vec() }).await;
    assert_eq!(receiver.received().await, (id(13), b"a bid".to_vec()));
    receiver.send(NetCommand::Send { to: id(13), bytes: b"an award".to_vec() }).await;
    assert_eq!(sender.received().await, (id(12), b"an award".to_vec()));
}

/// (`WI-10`, `WI-12`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_messages_arrive_in_order_up_to_the_longest_frame() {
    let mut receiver = start(config(21, QUIC, &[])).await;
    let mut sender = start(config(22, QUIC, &receiver.handle.listening())).await;
    sender.joined().await;
    // Fewer than one peer's queue holds at once.
    let count = 200;
    assert!(usize::from(count) <= limits::PEER_QUEUE_MAX);
    for number in 0..count {
        let length = if number % 8 == 7 { FRAME_BYTES_MAX } else { usize::from(number) };
        sender.send(NetCommand::Send { to: id(21), bytes: vec![number; length] }).await;
    }
    for number in 0..count {
        let length = if number % 8 == 7 { FRAME_BYTES_MAX } else { usize::from(number) };
        assert_eq!(receiver.received().await, (id(22), vec![number; length]));
    }
    sender.send(NetCommand::Send { to: id(21), bytes: vec![0; FRAME_BYTES_MAX + 1] }).await;
    assert_eq!(sender.undelivered().await, (id(21), DeliveryError::TooLong));
    sender.send(NetCommand::Send { to: id(22), bytes: vec![0] }).await;
    assert_eq!(sender.undelivered().await, (id(22), DeliveryError::NotANode));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_of_a_model_is_found_and_no_one_else() {
    let model = [0xab; 32];
    let hub = start(config(31, QUIC, &[])).await;
    let mut provider = start(config(32, QUIC, &hub.handle.listening())).await;
    // Before joining: it is announced once somebody is there to tell.
    provider.send(NetCommand::Provide(model)).await;
    provider.joined().await;
    let mut client = start(config(33, QUIC, &hub.handle.listening())).await;
    client.joined().await;
    let providers = |event| {
        if let NetEvent::Providers { key, nodes } = event { Some((key, nodes)) } else { None }
    };
    let search = async {
        loop {
            client.send(NetCommand::FindProviders(model)).await;
            let (key, nodes) = client.until(providers).await;
            assert_eq!(key, model);
            if !nodes.is_empty() {
                return nodes;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    assert_eq!(timeout(PATIENCE, search).await.expect("the record spreads"), [id(32)]);
    client.send(NetCommand::FindProviders([0xcd; 32])).await;
    assert_eq!(client.until(providers).await, ([0xcd; 32], Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_does_not_listen_finds_the_listeners_of_its_topic() {
    let hub = start(config(41, QUIC, &[])).await;
    let mut provider = start(config(42, QUIC, &hub.handle.listening())).await;
    provider.send(NetCommand::Subscribe(topic(Topic::Model(MODEL)))).await;
    provider.joined().await;
    let mut client = start(config(43, QUIC, &hub.handle.listening())).await;
    // Published before anybody is known: it waits for its first listener.
    let asked = client.ask(MODEL, 1).await;
    assert_eq!(provider.gossip().await, asked);

    let unpublished = |event| {
        if let NetEvent::Unpublished { topic, why } = event { Some((topic, why)) } else { None }
    };
    for (topic, length, why) in [
        ("calls/0b", limits::GOSSIP_BYTES_MAX + 1, PublicationError::TooLong),
        ("not a topic", 1, PublicationError::BadTopic),
        ("calls/unheard-of", 1, PublicationError::NobodyListens),
    ] {
        client.send(NetCommand::Publish { topic: topic.into(), bytes: vec![0; length] }).await;
        assert_eq!(client.until(unpublished).await, (topic.to_owned(), why));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_a_node_that_is_gone_is_reported_as_undelivered() {
    let mut gone = start(config(51, QUIC, &[])).await;
    let mut node = start(config(52, QUIC, &gone.handle.listening())).await;
    node.joined().await;
    node.send(NetCommand::Send { to: id(51), bytes: b"once".to_vec() }).await;
    gone.received().await;
    gone.handle.shutdown().await;
    drop(gone);
    node.until(|event| matches!(event, NetEvent::Disconnected(peer) if peer == id(51)).then_some(())).await;
    // Both wait for the same peer, and both are told.
    node.send(NetCommand::Send { to: id(51), bytes: b"twice".to_vec() }).await;
    node.send(NetCommand::Send { to: id(51), bytes: b"thrice".to_vec() }).await;
    assert_eq!(node.undelivered().await, (id(51), DeliveryError::Unreachable));
    assert_eq!(node.undelivered().await, (id(51), DeliveryError::Unreachable));
    // Of this one nothing was ever known.
    node.send(NetCommand::Send { to: id(59), bytes: b"hello?".to_vec() }).await;
    assert_eq!(node.undelivered().await, (id(59), DeliveryError::NoAddress));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_returns_is_reached_again() {
    let before = start(config(61, QUIC, &[])).await;
    let address = before.handle.listening().remove(0);
    let port = address.split('/').nth(4).unwrap().to_owned();
    let mut node = start(config(62, QUIC, &[address])).await;
    node.joined().await;
    before.handle.shutdown().await;
    drop(before);
    node.until(|event| matches!(event, NetEvent::Disconnected(_)).then_some(())).await;
    // The operating system lets go of the port a moment later.
    let again = async {
        loop {
            match net::start(config(61, &format!("/ip4/127.0.0.1/udp/{port}/quic-v1"), &[])).await {
                Ok((handle, events)) => return Node { handle, events },
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let mut after = timeout(PATIENCE, again).await.expect("the port becomes free");
    assert_eq!(node.joined().await, id(61), "a node that lost everybody joins again");
    node.send(NetCommand::Send { to: id(61), bytes: b"welcome back".to_vec() }).await;
    assert_eq!(after.received().await, (id(62), b"welcome back".to_vec()));
}

/// (`WI-13`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_fails_says_why() {
    let other = start({
        let mut config = config(71, QUIC, &[]);
        config.network = "other".into();
        config
    })
    .await;
    let mut node = start(config(72, QUIC, &other.handle.listening())).await;
    let (address, why) = node.join_failure().await;
    assert_eq!(Some(&address), other.handle.listening().first());
    assert_eq!(why, JoinError::OtherNetwork { theirs: "/bombyx/other".into() });

    // Nobody listens on the discard port of this machine; the peer id is any.
    let peer = address.rsplit('/').next().unwrap();
    let closed = format!("/ip4/127.0.0.1/tcp/9/p2p/{peer}");
    let mut node = start(config(73, QUIC, std::slice::from_ref(&closed))).await;
    let (address, why) = node.join_failure().await;
    assert_eq!(address, closed);
    assert!(why.to_string().contains("refused"), "{why}");

    let here = start(config(74, TCP, &[])).await;
    let wrong = here.handle.listening()[0].rsplit_once('/').unwrap().0.to_owned() + "/" + peer;
    let mut node = start(config(75, QUIC, &[wrong])).await;
    let (_, why) = node.join_failure().await;
    assert!(matches!(why, JoinError::WrongNode { .. } | JoinError::Unreachable(_)), "{why}");
}

#[tokio::test]
async fn a_bad_address_is_an_error_that_names_it_and_says_what_is_wrong() {
    for (join, part) in [
        ("/ip4/127.0.0.1/udp/4101/quic-v1", "without /p2p/"),
        (
            "/ip4/127.0.0.1/tcp/4101/ws/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN",
            "udp/<port>/quic-v1",
        ),
        ("/ip4/127.0.0.1/zcp/4101", "not a multiaddr"),
        ("localhost:4101", "not a multiaddr"),
    ] {
        let error = net::start(config(81, QUIC, &[join.to_owned()])).await.unwrap_err().to_string();
        assert!(error.contains(join) && error.contains(part), "{error}");
    }
    let error = net::start(config(81, "/dns4/example.org/tcp/1", &[])).await.unwrap_err();
    assert!(matches!(error, NetError::Address { list: "listen", .. }), "{error}");
    let mut upper = config(81, QUIC, &[]);
    upper.network = "Dev Net".into();
    assert!(matches!(net::start(upper).await.unwrap_err(), NetError::Network(_)));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_the_address_and_says_what_to_do() {
    for listen in [TCP, QUIC] {
        let holder = start(config(91, listen, &[])).await;
        let taken = holder.handle.listening()[0].rsplit_once("/p2p/").unwrap().0.to_owned();
        let error = net::start(config(92, &taken, &[])).await.unwrap_err().to_string();
        assert!(error.contains(&taken) && error.contains("listen on another port"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_sleeps_never_blocks_commands() {
    let mut node = start(config(101, QUIC, &[])).await;
    let flood = async {
        for _ in 0..limits::EVENTS_MAX + limits::OUTBOX_MAX + limits::COMMANDS_MAX {
            node.send(NetCommand::Send { to: id(101), bytes: Vec::new() }).await;
        }
    };
    timeout(PATIENCE, flood).await.expect("commands are taken without a reader");
    let dropped = node.handle.wait_until(|status| status.notices_dropped > 0);
    timeout(PATIENCE, dropped).await.expect("what is lost is counted").unwrap();
    assert_eq!(node.undelivered().await, (id(101), DeliveryError::NotANode));
    node.handle.shutdown().await;
    assert!(node.handle.send(NetCommand::Provide([0; 32])).await.is_err(), "it has stopped");
}

/// A provider that serves no hash table itself, a node that sells nothing, and a client: the record has to arrive.
async fn the_record_arrives(seed: u8, carrier: &str) {
    let model = [0xee; 32];
    let hub = start(config(seed, carrier, &[])).await;
    let apart = |seed| {
        let mut config = config(seed, carrier, &hub.handle.listening());
        config.serves_table = false;
        config
    };
    let mut provider = start(apart(seed + 1)).await;
    provider.send(NetCommand::Provide(model)).await;
    provider.joined().await;
    let mut client = start(apart(seed + 2)).await;
    client.joined().await;
    let search = async {
        loop {
            client.send(NetCommand::FindProviders(model)).await;
            let nodes =
                client.until(
                    |event| if let NetEvent::Providers { nodes, .. } = event { Some(nodes) } else { None },
                );
            if nodes.await == [id(seed + 1)] {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, search).await.expect("the record is there");
    // And so is its address: they meet, and the provider need not dial to answer.
    client.send(NetCommand::Meet(model)).await;
    let met = |event| if let NetEvent::Met { key, .. } = event { Some(key) } else { None };
    assert_eq!(client.until(met).await, model);
    client.knows(&[id(seed + 1)]).await;
    provider.knows(&[id(seed + 2)]).await;
    provider.send(NetCommand::Answer { to: id(seed + 2), bytes: b"bid".to_vec() }).await;
    assert_eq!(client.received().await, (id(seed + 1), b"bid".to_vec()));
}

/// (`NE-6`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_record_arrives_over_quic() {
    the_record_arrives(111, QUIC).await;
}

/// (`NE-6`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_providers_record_arrives_over_tcp() {
    the_record_arrives(121, TCP).await;
}

/// (`NE-1`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_somebody_who_is_not_connected_is_dropped_without_a_dial() {
    // Gone, but known to the hub: the hash table's own lookups connect to whoever is there.
    let asker = start(config(131, QUIC, &[])).await;
    let hub = start(config(132, QUIC, &asker.handle.listening())).await;
    asker.knows(&[id(132)]).await;
    asker.handle.shutdown().await;
    let mut provider = start(config(133, QUIC, &hub.handle.listening())).await;
    provider.joined().await;
    for to in [id(131), id(139)] {
        provider.send(NetCommand::Answer { to, bytes: b"bid".to_vec() }).await;
    }
    let dropped = provider.handle.wait_until(|status| status.answers_dropped == 2);
    timeout(PATIENCE, dropped).await.expect("both are dropped at once").unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    while let Ok(event) = provider.events.try_recv() {
        assert!(
            !matches!(event, NetEvent::Undelivered { .. }),
            "no dial was begun that could fail: {event:?}"
        );
    }
    // What this node wants of its own accord, it dials for.
    provider.send(NetCommand::Send { to: id(131), bytes: b"mine".to_vec() }).await;
    assert_eq!(provider.undelivered().await.0, id(131));
}

/// Nodes that say they provide a model, each at an address of its own in one network.
async fn impostors(model: [u8; 32], count: u8, hub: &Node) -> Vec<Node> {
    let mut impostors = Vec::new();
    for number in 1..=count {
        let listen = format!("/ip4/127.0.1.{number}/udp/0/quic-v1");
        let mut config = config(0, &listen, &hub.handle.listening());
        config.identity_seed =
            zeroize::Zeroizing::new([&[0xf0, number][..], &[7; 30]].concat().try_into().unwrap());
        // Enough of it is at work without their asking each other.
        config.serves_table = false;
        let mut impostor = start(config).await;
        impostor.send(NetCommand::Provide(model)).await;
        impostor.joined().await;
        impostors.push(impostor);
    }
    impostors
}

/// (`NE-5`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_sellers_of_one_network_do_not_hide_another_from_a_newcomer() {
    let model = [0xef; 32];
    let hub = start(config(141, QUIC, &[])).await;
    let crowd = impostors(model, 64, &hub).await;
    // All their records are there before the honest one.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut honest = start(config(142, QUIC, &hub.handle.listening())).await;
    honest.send(NetCommand::Provide(model)).await;
    honest.joined().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut client = start(config(143, QUIC, &hub.handle.listening())).await;
    client.joined().await;
    let met = async {
        loop {
            client.send(NetCommand::Meet(model)).await;
            client.until(|event| matches!(event, NetEvent::Met { .. }).then_some(())).await;
            if client.handle.peers().contains(&id(142)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
    };
    let began = std::time::Instant::now();
    timeout(PATIENCE, met).await.expect("the honest one is met");
    println!("met among {} others after {:?}", crowd.len(), began.elapsed());
}

/// (`NE-7`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_gossip_is_looked_at_at_a_bounded_rate_and_others_are_heard() {
    let mut node = start(config(151, QUIC, &[])).await;
    node.send(NetCommand::Subscribe(topic(Topic::Model(MODEL)))).await;
    let mut flooder = start(config(152, QUIC, &node.handle.listening())).await;
    let mut other = start(config(153, "/ip4/127.0.9.1/udp/0/quic-v1", &node.handle.listening())).await;
    flooder.joined().await;
    other.joined().await;
    let first = flooder.ask(MODEL, 0).await;
    assert_eq!(node.gossip().await, first);

    let flood: Vec<_> = (1..=3_000).map(|number| seek(MODEL, number)).collect();
    let began = std::time::Instant::now();
    for bytes in flood {
        flooder.send(NetCommand::Publish { topic: topic(Topic::Model(MODEL)), bytes }).await;
    }
    let asked = other.ask(MODEL, 3_001).await;
    let mut looked_at = 0_u32;
    while node.gossip().await != asked {
        looked_at += 1;
    }
    let refused = node.handle.wait_until(|status| status.gossip_refused > 0);
    timeout(PATIENCE, refused).await.expect("the excess is dropped unread").unwrap();
    let allowed = f64::from(limits::GOSSIP_PER_S) * (began.elapsed() + limits::GOSSIP_BURST).as_secs_f64();
    assert!(f64::from(looked_at) <= allowed, "{looked_at} of {allowed}");
}
