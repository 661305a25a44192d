//! The books of a wallet, over the life of two channels, with a running node and without one: what came in is what it holds,
//! what is locked and reserved, what was settled, and fees; to the nano.
#![allow(clippy::unwrap_used)]

mod processes;

use std::path::Path;
use std::time::Duration;

use processes::{EMBED, Ledger, Node, bombyx, finish, last_object};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

async fn asked(home: &Path, ledger: &Ledger, args: &[&str]) -> Value {
    let mut command = bombyx(home);
    command.arg("--json").args(args).args(["--ledger", &ledger.url]);
    last_object(&finish(command).await)
}

/// Everything that a wallet's page accounts for, beside what was settled.
fn accounted(wallet: &Value) -> Option<u64> {
    ["balance_nano", "locked_nano", "reserve_nano", "channel_fees_nano", "wallet_fees_nano"]
        .iter()
        .map(|field| wallet[*field].as_u64())
        .sum()
}

/// Waits until the books are even: a running node shows values that were fetched one after the other.
async fn even(home: &Path, ledger: &Ledger, came_in: u64, settled: u64) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let wallet = asked(home, ledger, &["wallet"]).await;
        if accounted(&wallet).map(|sum| sum + settled) == Some(came_in) {
            return wallet;
        }
        assert!(Instant::now() < until, "{came_in} came in, {settled} was settled: {wallet}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until the only channel of a home is as hoped.
async fn channel(home: &Path, ledger: &Ledger, hoped: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = asked(home, ledger, &["channels"]).await;
        if list["channels"].as_array().is_some_and(|list| list.len() == 1 && hoped(&list[0])) {
            return list["channels"][0].clone();
        }
        assert!(Instant::now() < until, "{list}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Has a provider close its only channel, which it does as soon as it has seen it twice.
async fn closed_by(provider: &Node) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut command = bombyx(&provider.home());
        command.args(["--json", "channels", "close", "--all"]);
        if last_object(&finish(command).await).as_array().is_some_and(|closing| closing.len() == 1) {
            return;
        }
        assert!(Instant::now() < until, "it sees no channel");
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_into_a_wallet_is_accounted_for_while_a_channel_lives_and_after_it() {
    let ledger = Ledger::start().await;
    // Worth more than a close needs to pay it out.
    let provider = Node::up(&ledger, &["--provide", EMBED, "--price-job", "0.01"], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let client = Node::up(&ledger, &flags, &[]).await;
    let home = client.home();
    let until = Instant::now() + PATIENCE;
    let came_in = loop {
        let wallet = asked(&home, &ledger, &["wallet"]).await;
        match wallet["balance_nano"].as_u64() {
            Some(held) if held > 0 => break held,
            _ => assert!(Instant::now() < until, "{wallet}"),
        }
        sleep(Duration::from_millis(100)).await;
    };

    // Opened, and served on.
    client.embed().await;
    let is_paid = |channel: &Value| channel["state"] == "open" && channel["paid_nano"] != 0;
    let first = channel(&home, &ledger, is_paid).await;
    let wallet = even(&home, &ledger, came_in, 0).await;
    let reserve = wallet["reserve_nano"].as_u64().unwrap();
    assert!((10_000_000..13_000_000).contains(&reserve), "the close is paid from it: {wallet}");
    assert_eq!(first["reserve_nano"], reserve);

    // Closed by its provider, while the client's node runs: the list has it no more, and the books do.
    closed_by(&provider).await;
    while asked(&home, &ledger, &["channels"]).await["channels"] != json!([]) {
        assert!(Instant::now() < until + PATIENCE, "it is not gone");
        sleep(Duration::from_millis(100)).await;
    }
    let settled = first["paid_nano"].as_u64().unwrap();
    let closed = even(&home, &ledger, came_in, settled).await;
    assert_eq!((&closed["locked_nano"], &closed["reserve_nano"]), (&json!(0), &json!(0)));
    assert!(closed["channel_fees_nano"].as_u64() > wallet["channel_fees_nano"].as_u64());

    // Another one, which is closed while no node runs in the client's home: its store still names it.
    client.embed().await;
    let second = channel(&home, &ledger, is_paid).await;
    even(&home, &ledger, came_in, settled).await;
    let stopped = client.stopped().await;
    closed_by(&provider).await;
    let gone = channel(&home, &ledger, |channel| channel["state"] == "closed").await;
    assert_eq!(gone["account"], second["account"]);
    assert_eq!(gone["settled_nano"], second["paid_nano"], "as the ledger's history tells");
    let settled = settled + second["paid_nano"].as_u64().unwrap();
    let wallet = asked(&home, &ledger, &["wallet"]).await;
    assert_eq!(accounted(&wallet), Some(came_in - settled), "{wallet}");

    // And with a node again.
    let client = stopped.started(&ledger, &flags, &[]).await;
    even(&client.home(), &ledger, came_in, settled).await;
}
