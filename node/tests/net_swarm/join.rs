//! Joining, returning, and what is said where that fails.

use std::time::Duration;

use bombyx_node::net::{self, JoinError, NetCommand, NetError, NetEvent, topic};
use bombyx_protocol::market::topic::Topic;
use tokio::time::timeout;

use super::{MODEL, Node, PATIENCE, QUIC, TCP, config, id, start};

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
