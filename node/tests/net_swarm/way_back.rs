//! The way back of a node that was there before, when everybody that it knows is asked for it.

use bombyx_node::net::{KnownPeer, unix_s};

use super::{Node, QUIC, config, id, start};

/// What a node that was connected to `other` has kept of it.
fn kept(other: &Node, since_s: u64, answered_s: u64) -> KnownPeer {
    KnownPeer { address: other.handle.listening().remove(0), since_s, answered_s, proven: true }
}

/// (`NE-12`) Sixteen keys of one network were the last to answer, more than are dialled at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_one_network_that_answered_last_are_not_all_that_a_node_finds_again() {
    let now = unix_s();
    let mut crowd = Vec::new();
    for number in 1..=16 {
        crowd.push(start(config(number, &format!("/ip4/127.0.1.{number}/udp/0/quic-v1"), &[])).await);
    }
    let first = start(config(201, "/ip4/127.0.2.1/udp/0/quic-v1", &[])).await;
    let second = start(config(202, "/ip4/127.0.3.1/udp/0/quic-v1", &[])).await;
    let mut node = config(203, QUIC, &[]);
    node.known = crowd.iter().map(|other| kept(other, now - 5_000, now)).collect();
    node.known.extend([&first, &second].map(|other| kept(other, now - 1_000, now - 100_000)));
    let mut node = start(node).await;
    node.joined().await;
    // Nobody of the crowd tells of them: it has to dial them itself.
    node.knows(&[id(201), id(202)]).await;
}
