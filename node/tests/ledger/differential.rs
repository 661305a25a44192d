//! The devnet against the C++ virtual machine that the network itself runs: the same messages, the same outcome.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_node::ledger::devnet::{Devnet, http};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use serde_json::{Value, json};

use crate::javascript;
use crate::purse::storm::PurseStorm;
use crate::setup::START_S;
use crate::storm::stage::Stage;
use crate::storm::{RefusedOutside, Storm, Vote};

/// Two seeds of the storm with the most operations that the emulator gets through in a few seconds.
const STEPS: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_messages_end_the_same_in_the_networks_own_virtual_machine() {
    for seed in [1_000, 1_001] {
        let mut storm = Storm::after(seed, STEPS);
        let executed = storm.end();
        compare_storm(&storm.stage, &storm.accounts(), executed).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_messages_to_a_purse_end_the_same_in_the_networks_own_virtual_machine() {
    let mut storm = PurseStorm::after(1_000, STEPS);
    let executed = storm.end();
    compare_storm(&storm.stage, &storm.accounts(), executed).await;
}

async fn compare_storm(stage: &Stage, accounts: &[(Address, Nano)], executed: u64) {
    let Stage { devnet, refused, votes, .. } = stage;
    assert!(executed > 150 && refused.len() > 20, "enough is compared: {executed}, {}", refused.len());
    compare(devnet, accounts, refused, votes, executed).await;
}

/// Runs a devnet's whole history again in the other machine.
pub(crate) async fn compare(
    devnet: &Devnet,
    accounts: &[(Address, Nano)],
    refused: &[RefusedOutside],
    votes: &[Vote],
    executed: u64,
) {
    let accounts: Vec<Value> = accounts
        .iter()
        .map(|(address, balance)| json!({ "address": address.to_string(), "balance": balance.0.to_string() }))
        .collect();
    let count = refused.len();
    let refused: Vec<Value> = refused
        .iter()
        .map(|refused| {
            json!({
                "address": refused.account.to_string(), "after_lt": refused.after_lt.to_string(),
                "votes": refused.votes, "now": refused.now_s, "boc": BASE64.encode(&refused.boc), "exit_code": refused.exit_code,
            })
        })
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("genesis.json");
    let votes: Vec<Value> = votes
        .iter()
        .map(|vote| {
            let configuration = BASE64.encode(&vote.configuration);
            json!({ "after_lt": vote.after_lt.to_string(), "configuration": configuration })
        })
        .collect();
    let first = Devnet::with_manual_clock(START_S).unwrap().configuration().unwrap();
    let genesis = json!({
        "accounts": accounts, "refused": refused, "start": START_S, "votes": votes,
        "configuration": BASE64.encode(first),
    });
    std::fs::write(&file, genesis.to_string()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(http::serve(devnet.clone(), listener, std::future::pending()));

    let said = javascript::run("sandbox.cjs", &[&base, file.to_str().unwrap()]).await;
    server.abort();
    println!("{}", said.trim());
    let said: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(said["executed"], executed);
    assert_eq!(said["refused"], count);
}
