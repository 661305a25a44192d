//! The way back to the network of a node whose bootstrap is dead, or that was killed.

use std::time::Duration;

use bombyx_node::net::limits;
use tokio::time::{Instant, sleep};

use super::processes::{EMBED, Ledger, Node, bombyx, finish};
use super::{PATIENCE, logged, said};

/// Embeds, as soon as the provider has noticed that the connection of a client that was killed is dead.
async fn embedded_at_last(client: &Node) {
    let until = Instant::now() + PATIENCE;
    while !client.try_embed().await {
        assert!(Instant::now() < until, "nothing is embedded: {}", client.log());
    }
}

/// (`NE-12`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_bootstrap_is_dead_joins_through_peers_that_answered_before() {
    a_node_comes_back("-INT").await;
}

/// (`NE-13`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_comes_back_before_its_connections_have_timed_out() {
    a_node_comes_back("-KILL").await;
}

async fn a_node_comes_back(signal: &str) {
    let ledger = Ledger::start().await;
    let mut bootstrap = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let dead = bootstrap.address().to_owned();
    let provider = Node::up(&ledger, &["--provide", EMBED, "--join", &dead], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", &dead];
    // Only what answers its own dials is kept, so it dials the provider as well, once.
    let both = [flags.as_slice(), &["--join", provider.address()]].concat();
    let client = Node::up(&ledger, &both, &[]).await;
    client.embed().await;
    let peers = client.home().join("peers.json");
    let until = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&peers).is_ok_and(|list| list.contains(provider.peer_id())) {
        assert!(Instant::now() < until, "the provider is not kept");
        sleep(Duration::from_millis(50)).await;
    }
    bootstrap.child.kill().await.unwrap();
    // The provider has known the client for longer than connections need that cross each other, whichever of them dialled: looking
    // keys up, the provider may have been first.
    sleep(limits::RETURN_AFTER_DIAL + Duration::from_secs(1)).await;
    // Its own port is another one from now on.
    let mut client = client;
    let pid = client.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    client.child.wait().await.unwrap();
    let client = client.stopped().await.started(&ledger, &flags, &[]).await;
    logged(&client, "joined the network").await;
    embedded_at_last(&client).await;
    // `ask` knows them as well, and needs no --join.
    let home = client.stopped().await;
    let until = Instant::now() + PATIENCE;
    loop {
        let mut command = bombyx(&home.home());
        command.args(["ask", "--embed", "silk", "--ledger", &ledger.url]);
        let output = finish(command).await;
        if output.status.success() {
            break;
        }
        assert!(Instant::now() < until, "{}", said(&output));
    }
    // A list that cannot be read is no reason not to start.
    std::fs::write(home.home().join("peers.json"), "{").unwrap();
    let client =
        home.started(&ledger, &["--gateway", "127.0.0.1:0", "--join", provider.address()], &[]).await;
    embedded_at_last(&client).await;
    assert!(client.log().contains("begins anew"), "{}", client.log());
}

/// A provider dials nobody but its bootstrap: those that dialled it are its way back. (`NE-12`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_whose_bootstrap_is_dead_joins_through_a_client_that_came() {
    let ledger = Ledger::start().await;
    let mut bootstrap = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let dead = bootstrap.address().to_owned();
    let flags = ["--provide", EMBED, "--join", &dead];
    let provider = Node::up(&ledger, &flags, &[]).await;
    let client = Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", &dead], &[]).await;
    client.embed().await;
    let (peers, until) = (provider.home().join("peers.json"), Instant::now() + PATIENCE);
    while !std::fs::read_to_string(&peers).is_ok_and(|list| list.contains(client.peer_id())) {
        assert!(Instant::now() < until, "the client is not kept");
        sleep(Duration::from_millis(50)).await;
    }
    bootstrap.child.kill().await.unwrap();
    // The client has dialled the provider, and holds that connection for alive when the provider is back.
    sleep(limits::RETURN_AFTER_DIAL + Duration::from_secs(1)).await;
    let provider = provider.stopped().await.started(&ledger, &flags, &[]).await;
    logged(&provider, "joined the network").await;
    embedded_at_last(&client).await;
}
