//! `bombyx conform` against this implementation's own nodes, which keep the rules, and against nodes that break one each.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

mod broken;
#[path = "../processes/mod.rs"]
mod processes;
mod rude;

use std::collections::BTreeMap;

use serde_json::Value;

use processes::{CHAT, EMBED, Ledger, Node, bombyx, finish};

/// Runs the program against a node, and returns its exit code and the outcome of each check.
async fn conform(address: &str, flags: &[&str]) -> (Option<i32>, BTreeMap<String, Value>) {
    let nowhere = tempfile::tempdir().unwrap();
    let home = nowhere.path().join("none");
    let mut command = bombyx(&home);
    command.args(["conform", address, "--json"]).args(flags);
    let output = finish(command).await;
    assert!(!home.exists(), "no home is needed, and none is made");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let found: Value = serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("{text}{errors}"));
    let checks = found["checks"].as_array().unwrap().clone();
    let name = |check: &Value| check["check"].as_str().unwrap().to_owned();
    (output.status.code(), checks.into_iter().map(|check| (name(&check), check)).collect())
}

fn of<'a>(checks: &'a BTreeMap<String, Value>, outcome: &str) -> Vec<&'a Value> {
    checks.values().filter(|check| check["outcome"] == outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_of_this_implementation_keeps_every_rule_that_a_stranger_can_see() {
    let ledger = Ledger::start().await;
    let provider = Node::provider(&ledger, &[]).await;
    let (code, checks) = conform(provider.address(), &["--model", CHAT]).await;
    assert!(of(&checks, "fail").is_empty(), "{}\n{:#?}", provider.log(), of(&checks, "fail"));
    assert!(of(&checks, "not-applicable").is_empty(), "{:#?}", of(&checks, "not-applicable"));
    assert_eq!(code, Some(0));
    assert!(checks.len() > 40);
    // What it does with vectors, over the other transport.
    let tcp = provider.note.addresses.iter().find(|address| address.contains("/tcp/")).unwrap();
    let of_vectors =
        ["--model", EMBED, "--only", "small-job", "--only", "credit", "--only", "impossible-tasks"];
    let (code, checks) = conform(tcp, &of_vectors).await;
    assert_eq!(of(&checks, "pass").len(), 3, "{checks:#?}");
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_credit_does_not_apply_where_strangers_get_none() {
    let ledger = Ledger::start().await;
    let strict = Node::up(&ledger, &["--provide", CHAT], &[("BOMBYX_PROVIDE_CREDIT", "0")]).await;
    let names = ["small-job", "cancellation", "credit", "bad-terms", "false-count", "repeated-frames"];
    let flags: Vec<&str> = names.iter().flat_map(|name| ["--only", name]).collect();
    let (code, checks) = conform(strict.address(), &flags).await;
    for name in ["small-job", "cancellation"] {
        assert_eq!(checks[name]["outcome"], "not-applicable", "{}", checks[name]);
        assert!(checks[name]["why"].as_str().unwrap().contains("credit for 0 nano"), "{}", checks[name]);
    }
    // It counts no input before it has seen money. (`WR-25`)
    for name in ["false-count", "repeated-frames"] {
        assert_eq!(checks[name]["outcome"], "not-applicable", "{}", checks[name]);
        assert!(checks[name]["why"].as_str().unwrap().contains("seen money"), "{}", checks[name]);
    }
    for name in ["credit", "bad-terms"] {
        assert_eq!(checks[name]["outcome"], "pass", "{}", checks[name]);
    }
    assert_eq!(code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_seller_does_is_not_asked_of_a_node_that_sells_nothing() {
    let ledger = Ledger::start().await;
    let client = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let (code, checks) = conform(client.address(), &[]).await;
    assert!(of(&checks, "fail").is_empty(), "{:#?}", of(&checks, "fail"));
    assert_eq!(code, Some(0));
    for name in ["call", "small-job", "credit", "seek-everything", "handshakes", "manifests"] {
        assert_eq!(checks[name]["outcome"], "not-applicable", "{name}");
        assert!(checks[name]["why"].as_str().unwrap().contains("sells nothing"), "{name}");
    }
    for name in ["identify", "greeting", "malformed", "oversized", "hash-table", "other-network"] {
        assert_eq!(checks[name]["outcome"], "pass", "{name}: {}", checks[name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_checked_is_said_before_anything_is() {
    let nowhere = tempfile::tempdir().unwrap();
    let peer = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";
    let dead = format!("/ip4/127.0.0.1/tcp/1/p2p/{peer}");
    for (flags, code, words) in [
        (vec!["/ip4/127.0.0.1/tcp/1"], 10, "/p2p/"),
        (vec![dead.as_str(), "--only", "no-such-check"], 2, "small-job"),
        (vec![dead.as_str()], 25, "--network"),
        (vec![dead.as_str(), "--network", "No Name"], 13, "No Name"),
        (vec![dead.as_str(), "--seed", "0a"], 2, "64"),
    ] {
        let mut command = bombyx(&nowhere.path().join("none"));
        command.arg("conform").args(&flags);
        let output = finish(command).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {text}");
        assert!(text.contains(words), "{flags:?}: {text}");
    }
}
