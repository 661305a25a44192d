//! Gossip: it finds its listeners, and a flood of it is bounded.

use bombyx_node::net::{NetCommand, NetEvent, PublicationError, limits, topic};
use bombyx_protocol::market::topic::Topic;
use tokio::time::timeout;

use super::{MODEL, PATIENCE, QUIC, config, seek, start};

/// (`NE-16`)
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
