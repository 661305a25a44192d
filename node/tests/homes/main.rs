//! Homes on real processes: a ledger that is dead when a node starts, one wallet for all verbs, the way back to the network.
#![allow(clippy::unwrap_used)]

mod dead_ledger;
mod idle;
mod money;
mod one_node;
mod one_wallet;
mod ports;
#[path = "../processes/mod.rs"]
mod processes;
#[path = "../ledger/proxy.rs"]
#[allow(dead_code)]
mod proxy;
mod way_back;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use processes::{Node, bombyx, finish, last_object};
use serde_json::Value;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn shown(home: &Path, args: &[&str]) -> Value {
    let mut command = bombyx(home);
    command.arg("--json").args(args);
    last_object(&finish(command).await)
}

async fn logged(node: &Node, words: &str) {
    let until = Instant::now() + PATIENCE;
    while !node.log().contains(words) {
        assert!(Instant::now() < until, "`{words}` is not said: {}", node.log());
        sleep(Duration::from_millis(50)).await;
    }
}

async fn finish_text(home: &Path, args: &[&str]) -> String {
    let mut command = bombyx(home);
    command.args(args);
    let output = finish(command).await;
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}
