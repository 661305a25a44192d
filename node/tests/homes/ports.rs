//! The port that a node takes.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::PATIENCE;
use super::processes::{EMBED, Ledger, assert_fails, bombyx, finish};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_only_buy_take_any_free_port() {
    let ledger = Ledger::start().await;
    // Where this cannot be had, somebody else has it, which is as good.
    let _taken = std::net::TcpListener::bind("0.0.0.0:4101");
    let mut homes = Vec::new();
    for _ in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        let mut command = bombyx(&home);
        command.args(["up", "--gateway", "127.0.0.1:0", "--ledger", &ledger.url]);
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        let until = Instant::now() + PATIENCE;
        while !home.join("node.json").exists() {
            let log = || std::fs::read_to_string(dir.path().join("log")).unwrap();
            assert!(child.try_wait().unwrap().is_none() && Instant::now() < until, "{}", log());
            sleep(Duration::from_millis(50)).await;
        }
        homes.push((dir, child));
    }
    let mut command = bombyx(&tempfile::tempdir().unwrap().path().join("home"));
    command.args(["up", "--provide", EMBED, "--ledger", &ledger.url]);
    assert_fails(&finish(command).await, 14, &["4101", "--listen"]);
}
