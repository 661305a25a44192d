//! One wallet for all verbs: questions beside each other, and through a node that runs in the home.

use std::time::Duration;

use bombyx_node::store::{Store, StoreError};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, bombyx, finish, last_object};
use super::{PATIENCE, said, shown};

/// (user-trials R22)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_at_once_in_one_home_are_all_answered_from_one_wallet() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("not/there/yet");
    let four = async |flags: &[&str]| {
        let one = || {
            let flags: Vec<&str> = flags.iter().copied().chain(["--json", "What is 17 plus 25?"]).collect();
            finish(ask(&home, &ledger, provider.address(), &flags))
        };
        let (a, b, c, d) = tokio::join!(one(), one(), one(), one());
        for output in [a, b, c, d] {
            assert_eq!(last_object(&output)["text"].as_str().unwrap().trim(), "42", "{}", said(&output));
        }
    };
    four(&[]).await;
    // What only looks waits for its turn as well.
    let asking = tokio::spawn(finish(ask(&home, &ledger, provider.address(), &["What is 17 plus 25?"])));
    shown(&home, &["wallet", "--ledger", &ledger.url]).await;
    assert!(asking.await.unwrap().status.success());
    assert!(!home.join("ask").exists(), "one home, one wallet");
    let list = shown(&home, &["channels", "--ledger", &ledger.url]).await;
    assert_eq!(list["channels"].as_array().unwrap().len(), 1, "{list}");
    let account = list["channels"][0]["account"].clone();
    // And beside a node that runs in the home: it answers them, on the same channel.
    let mut command = bombyx(&home);
    command.args(["up", "--gateway", "127.0.0.1:0", "--ledger", &ledger.url]);
    let mut node =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    // One that is about to run is waited for, and for what it is about to know.
    let until = Instant::now() + PATIENCE;
    while !matches!(Store::read_any(&home.join("records.redb")), Err(StoreError::InUse(_))) {
        assert!(node.try_wait().unwrap().is_none() && Instant::now() < until, "no node has the home");
        sleep(Duration::from_millis(5)).await;
    }
    let models = shown(&home, &["models", "list"]).await;
    assert_eq!(models[0]["name"], CHAT, "{models}");
    shown(&home, &["channels", "--ledger", &ledger.url, "recover"]).await;
    assert!(home.join("node.json").exists(), "it runs");
    let before = shown(&home, &["status"]).await["client"]["orders_done"].clone();
    four(&["--deadline", "30"]).await;
    let status = shown(&home, &["status"]).await;
    assert_eq!((before, &status["client"]["orders_done"]), (json!(0), &json!(4)), "{status}");
    let list = shown(&home, &["channels"]).await;
    assert_eq!((list["channels"].as_array().unwrap().len(), &list["channels"][0]["account"]), (1, &account));
    // Another ledger than the node's is no ledger for its wallet.
    let elsewhere = Ledger { url: "http://127.0.0.1:9".into(), chain: ledger.chain.clone() };
    let refused = finish(ask(&home, &elsewhere, provider.address(), &["hello"])).await;
    assert_fails(&refused, 2, &["127.0.0.1:9", "leave --ledger out"]);
    node.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_of_a_running_node_is_answered_cancelled_and_refused_as_by_a_node_of_its_own() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT, "--pace", "20"], &[]).await;
    // It was not told of the provider.
    let node = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let home = node.home();
    let flags = ["--max-tokens", "4", "What is 17 plus 25?"];
    let answer = finish(ask(&home, &ledger, provider.address(), &flags)).await;
    assert_eq!(String::from_utf8(answer.stdout.clone()).unwrap().trim(), "42", "{}", said(&answer));
    for words in ["served by", "price 0.0", "fees 0.0", "locked 0 TON before, now 0.0", "wallet 8"] {
        assert!(said(&answer).contains(words), "`{words}` is missing in {}", said(&answer));
    }
    let refused = async |flags: &[&str], code: i32, words: &[&str]| {
        assert_fails(&finish(ask(&home, &ledger, provider.address(), flags)).await, code, words);
    };
    refused(&["--max-cost", "0.000001", "What is 1 plus 1?"], 21, &["could cost"]).await;
    refused(&["--model", EMBED, "hello"], 26, &["vectors"]).await;
    refused(&["--model", "gpt-5", "hello"], 11, &["gpt-5"]).await;
    let mut wrong = bombyx(&home);
    wrong.args(["ask", "--join", "nowhere", "hello"]);
    assert_fails(&finish(wrong).await, 10, &["nowhere"]);
    // One that hangs up cancels its order.
    let mut slow = ask(&home, &ledger, provider.address(), &["--max-tokens", "200", "Count from 10 to 60."]);
    let mut child =
        slow.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    let counts = async |name: &str| shown(&home, &["status"]).await["client"][name].as_u64().unwrap();
    let failed = counts("orders_failed").await;
    while counts("orders_in_flight").await == 0 {
        assert!(Instant::now() < until, "no order is placed");
        sleep(Duration::from_millis(50)).await;
    }
    child.kill().await.unwrap();
    while counts("orders_failed").await == failed {
        assert!(Instant::now() < until, "the order goes on");
        sleep(Duration::from_millis(50)).await;
    }
}
