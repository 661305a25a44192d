//! Direct messages: to whom they go, in which order, and what becomes of those that cannot.

use std::time::Duration;

use bombyx_node::net::{DeliveryError, NetCommand, NetEvent, limits};
use bombyx_protocol::limits::FRAME_BYTES_MAX;
use tokio::time::timeout;

use super::{PATIENCE, QUIC, config, id, start};

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
