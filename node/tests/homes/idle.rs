//! What a node does while nobody asks for anything: next to nothing.
#![cfg(target_os = "linux")]

use std::time::Duration;

use tokio::time::sleep;

use super::processes::{EMBED, Ledger, Node};

/// How long nodes are watched.
const WATCHED: Duration = Duration::from_secs(3);
/// How often all threads of a node may wake in that time: for what is looked at now and then, and no loop.
const WAKES_MAX: u64 = 300;

/// How often the threads of a node have waited for something so far.
fn waits(node: &Node) -> u64 {
    let threads = std::fs::read_dir(format!("/proc/{}/task", node.child.id().unwrap())).unwrap();
    let statuses =
        threads.filter_map(|thread| std::fs::read_to_string(thread.unwrap().path().join("status")).ok());
    let of = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    statuses.map(of).sum()
}

/// (CO-1) The machine of a role that a node does not have was due at the beginning of time, and a gateway woke 750 times a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_sleeps_while_nobody_asks_whether_it_sells_or_only_buys() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let join = ["--join", provider.address(), "--gateway", "127.0.0.1:0"];
    let gateway = Node::up(&ledger, &join, &[]).await;
    gateway.embed().await;
    // What the order leaves behind has its time.
    sleep(2 * WATCHED).await;
    let nodes = [&provider, &gateway];
    let before = nodes.map(waits);
    sleep(WATCHED).await;
    for (node, before) in nodes.into_iter().zip(before) {
        let wakes = waits(node) - before;
        assert!(wakes <= WAKES_MAX, "{wakes} wakes: {}", node.log());
    }
}
