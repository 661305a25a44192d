//! The devnet against the C++ virtual machine that the network itself runs: the same messages, the same outcome.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_node::ledger::devnet::http;
use serde_json::{Value, json};

use crate::javascript;
use crate::setup::START_S;
use crate::storm::Storm;

/// Two seeds of the storm with the most operations that the emulator gets through in a few seconds.
const STEPS: u64 = 150;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_messages_end_the_same_in_the_networks_own_virtual_machine() {
    for seed in [1_000, 1_001] {
        let mut storm = Storm::new(seed);
        for _ in 0..STEPS {
            storm.step();
        }
        let executed = storm.end();
        let accounts = storm.accounts();
        let accounts: Vec<Value> = accounts
            .iter()
            .map(|(address, balance)| {
                json!({ "address": address.to_string(), "balance": balance.0.to_string() })
            })
            .collect();
        let refused: Vec<Value> = storm
            .refused
            .iter()
            .map(|refused| {
                json!({
                    "address": refused.account.to_string(), "after_lt": refused.after_lt.to_string(),
                    "now": refused.now_s, "boc": BASE64.encode(&refused.boc), "exit_code": refused.exit_code,
                })
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("genesis.json");
        let genesis = json!({ "accounts": accounts, "refused": refused, "start": START_S });
        std::fs::write(&file, genesis.to_string()).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(http::serve(storm.devnet.clone(), listener, std::future::pending()));

        let said = javascript::run("sandbox.cjs", &[&base, file.to_str().unwrap()]).await;
        server.abort();
        println!("seed {seed}: {}", said.trim());
        let count: Value = serde_json::from_str(said.trim()).unwrap();
        assert_eq!(count["executed"], executed);
        assert_eq!(count["refused"], storm.refused.len());
        assert!(executed > 150 && storm.refused.len() > 20, "enough was compared");
    }
}
