//! Provider records: they arrive, lead to their providers, and hide nobody.

use std::time::Duration;

use bombyx_node::net::{NetCommand, NetEvent};
use tokio::time::timeout;

use super::{Node, PATIENCE, QUIC, TCP, config, id, start};

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
