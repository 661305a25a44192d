//! Unmodified JavaScript clients of TON against the real `bombyx devnet`: nothing here is shaped for our own client.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::javascript;
use crate::setup::WAIT;

/// A devnet as its own process, and what it says of itself.
async fn devnet(home: &Path) -> (Child, serde_json::Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bombyx"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BOMBYX_") {
            command.env_remove(name);
        }
    }
    command.arg("--home").arg(home).args(["--json", "devnet", "--listen", "127.0.0.1:0"]);
    let mut devnet = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(devnet.stdout.take().unwrap()).lines();
    let first = timeout(WAIT, lines.next_line()).await.expect("it says where it serves").unwrap().unwrap();
    (devnet, serde_json::from_str(&first).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_client_opens_claims_and_closes_a_channel() {
    let home = tempfile::tempdir().unwrap();
    let (_devnet, serving) = devnet(home.path()).await;
    let code = concat!(env!("CARGO_MANIFEST_DIR"), "/../protocol/contracts/channel.boc");
    let said = javascript::run("ton_client.cjs", &[serving["url"].as_str().unwrap(), code]).await;
    assert_eq!(
        said.trim(),
        "opened, claimed by wallet, claimed by external message, requested close, finalized"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_lite_client_reads_sends_and_walks_the_history() {
    let home = tempfile::tempdir().unwrap();
    let (_devnet, serving) = devnet(home.path()).await;
    let endpoints = [&serving["url"], &serving["liteserver"]].map(|text| text.as_str().unwrap());
    let said = javascript::run("lite_client.cjs", &endpoints).await;
    let expected =
        "read an account, sent coins, ran a get-method, was refused a repetition, walked the history";
    assert_eq!(said.trim(), expected);
}
