//! The operator's view of the money, on real processes: wallet and channels while a node runs and after it was killed.
#![allow(clippy::unwrap_used)]

mod processes;
#[path = "ledger/proxy.rs"]
#[allow(dead_code)]
mod proxy;

use std::path::Path;
use std::time::Duration;

use bombyx_node::ledger::{Chain as _, devnet, parse_address};
use bombyx_protocol::amount::Nano;
use processes::{EMBED, Ledger, Node, assert_fails, bombyx, finish, last_object};
use proxy::{Fault, Kind, Proxy};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

async fn asked(home: &Path, args: &[&str]) -> Value {
    let mut command = bombyx(home);
    command.arg("--json").args(args);
    last_object(&finish(command).await)
}

/// What a verb says to people, with amounts in another coin.
async fn shown_text(home: &Path, args: &[&str]) -> String {
    let mut command = bombyx(home);
    command.args(args).env("BOMBYX_LEDGER_COIN", "Gram");
    String::from_utf8(finish(command).await.stdout).unwrap()
}

async fn refused(home: &Path, args: &[&str], code: i32, words: &[&str]) {
    let mut command = bombyx(home);
    command.args(args);
    assert_fails(&finish(command).await, code, words);
}

/// Asks until the only channel is as hoped.
async fn channel(home: &Path, url: &str, hoped: impl Fn(&Value) -> bool) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let list = asked(home, &["channels", "--ledger", url]).await;
        let channel = &list["channels"][0];
        if hoped(channel) {
            assert_eq!(list["channels"].as_array().unwrap().len(), 1);
            return channel.clone();
        }
        assert!(Instant::now() < until, "the channel stays {list}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Closes a channel, as soon as the node itself has seen it twice on the ledger: the list shows what the ledger says now.
async fn told_to_close(home: &Path, account: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let mut command = bombyx(home);
        command.args(["channels", "close", account]);
        let output = finish(command).await;
        if output.status.success() {
            return;
        }
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(text.contains("is opening") && Instant::now() < until, "{text}");
        sleep(Duration::from_millis(100)).await;
    }
}

fn open(channel: &Value) -> bool {
    channel["state"] == "open" && channel["settled_nano"] == 0 && channel["paid_nano"] != 0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_are_shown_topped_up_and_closed_before_and_after_a_kill_of_either_side() {
    let ledger = Ledger::start().await;
    let url = ledger.url.as_str();
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let client = Node::up(&ledger, &flags, &[]).await;
    client.embed().await;

    let paying = channel(&client.home(), url, open).await;
    let earning = channel(&provider.home(), url, open).await;
    assert_eq!((&paying["direction"], &earning["direction"]), (&json!("paying"), &json!("earning")));
    assert_eq!(paying["account"], earning["account"]);
    assert_eq!(paying["paid_nano"], earning["paid_nano"]);
    // With a provider that never finished a job two ceilings of it are locked. (`CH-31`)
    let deposit = paying["deposit_nano"].as_u64().unwrap();
    assert!(deposit > 0 && deposit < 1_000_000, "{deposit}");
    let (more, coins) = (deposit + 500_000_000, Nano(deposit));
    assert!(paying["fees_nano"].as_u64().unwrap() > 0, "{paying}");
    assert_eq!((&paying["locked_nano"], &paying["locked_for_s"]), (&json!(deposit), &Value::Null));
    let locked = format!("{coins} Gram locked");
    let text = shown_text(&client.home(), &["channels"]).await;
    for words in ["closed, which takes", "amounts in Gram", &locked, "Gram out of the wallet"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let text = shown_text(&provider.home(), &["channels"]).await;
    assert!(text.contains("closed, which takes effect at once") && text.contains("0 Gram locked"), "{text}");
    let wallet = asked(&client.home(), &["wallet"]).await;
    assert_eq!((&wallet["locked_nano"], &wallet["locked_in"]), (&paying["locked_nano"], &json!(1)));
    assert_eq!((&wallet["channel_fees_nano"], &wallet["coin"]), (&paying["fees_nano"], &json!("TON")));
    assert!(wallet["wallet_fees_nano"].as_u64().unwrap() > 0, "the opening: {wallet}");
    let text = shown_text(&client.home(), &["wallet"]).await;
    assert!(text.contains(&format!("{coins} Gram in 1 channel until it is closed, and 0.01")), "{text}");
    let account = paying["account"].as_str().unwrap();

    asked(&client.home(), &["channels", "topup", account, "0.5"]).await;
    channel(&client.home(), url, |channel| channel["deposit_nano"] == more).await;
    refused(&provider.home(), &["channels", "topup", account, "0.5"], 22, &["coins"]).await;
    refused(&client.home(), &["channels", "close", &"7".repeat(64)], 2, &["777", "bombyx channels"]).await;

    // An action without the token of the home is refused.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let close = http.post(format!("{}/channels/{account}/close", client.note.admin));
    assert_eq!(close.send().await.unwrap().status(), 401);
    // So is a page without it, with a foreign name for this machine, or by a web page.
    for path in ["/status", "/channels", "/healthz", "/nowhere"] {
        let url = format!("{}{path}", client.note.admin);
        assert_eq!(http.get(&url).send().await.unwrap().status(), 401, "{path}");
        let found = if path == "/nowhere" { 404 } else { 200 };
        assert_eq!(client.page(path).send().await.unwrap().status(), found, "{path}");
        for (name, value) in [
            ("host", "evil.example"),
            ("host", "127.0.0.1:1"),
            ("host", "localhost"),
            ("origin", "https://evil.example"),
            ("origin", "null"),
        ] {
            let status = client.page(path).header(name, value).send().await.unwrap().status();
            assert_eq!(status, 403, "{path} with {name}: {value}");
        }
    }

    // The client's store is rolled back behind a voucher that the provider has: the next job goes on above it.
    let copy = tempfile::tempdir().unwrap();
    let saved = copy.path().join("records");
    let client = client
        .killed_and_restarted(&ledger, &flags, |home| {
            std::fs::copy(home.join("records.redb"), &saved).unwrap();
        })
        .await;
    client.embed().await;
    let step = paying["paid_nano"].as_u64().unwrap();
    // Not twice the same: a price follows what a client's jobs cost.
    let more_than = |least: u64| move |channel: &Value| channel["paid_nano"].as_u64() > Some(least);
    let twice = channel(&provider.home(), url, more_than(step)).await["paid_nano"].as_u64().unwrap();
    let mut client = client
        .killed_and_restarted(&ledger, &flags, |home| {
            std::fs::copy(&saved, home.join("records.redb")).unwrap();
        })
        .await;
    // Three at once share the channel, and its provider's newest voucher heals the store that was put back.
    tokio::join!(client.embed(), client.embed(), client.embed());
    // Side by side they cost a little more: a price rises with load.
    let paid =
        channel(&provider.home(), url, more_than(twice + 5 * step / 2)).await["paid_nano"].as_u64().unwrap();
    channel(&client.home(), url, |channel| channel["paid_nano"] == paid).await;
    let log = client.log();
    let told = log.lines().find(|line| line.contains(account) && line.contains("the store knew of"));
    assert!(told.is_some_and(|line| line.contains("WARN")), "the user is told: {log}");

    // Without a node the store answers.
    client.child.kill().await.unwrap();
    let dead = channel(&client.home(), url, |channel| channel["paid_nano"] == paid).await;
    assert_eq!((&dead["state"], &dead["deposit_nano"]), (&json!("open"), &json!(more)));
    let text = shown_text(&client.home(), &["wallet", "--ledger", url]).await;
    assert!(text.contains(&format!("{} Gram in 1 channel", Nano(more))), "{text}");
    let text = shown_text(&client.home(), &["wallet", "--ledger", "http://127.0.0.1:9"]).await;
    assert!(text.contains("an unknown amount in 1 channel"), "without a ledger nobody knows: {text}");

    // The provider is killed too, comes back with its voucher, and closes: all five steps are paid.
    let provider = provider.killed_and_restarted(&ledger, &["--provide", EMBED], |_| {}).await;
    channel(&provider.home(), url, |channel| channel["paid_nano"] == paid && channel["state"] == "open")
        .await;
    told_to_close(&provider.home(), account).await;
    let until = Instant::now() + PATIENCE;
    while asked(&provider.home(), &["channels"]).await["channels"] != json!([]) {
        assert!(Instant::now() < until, "the channel is not closed");
        sleep(Duration::from_millis(100)).await;
    }
}

/// (CH-10)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_is_opened_by_hand_and_the_first_job_is_paid_on_it() {
    let ledger = Ledger::start().await;
    let url = ledger.url.as_str();
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let client = Node::up(&ledger, &flags, &[]).await;
    let status = asked(&provider.home(), &["status"]).await;
    let payee = status["provider"]["payee"].as_str().unwrap();

    let home = client.home();
    refused(&home, &["channels", "open", "somebody", "2"], 2, &["NODE/KEY/ADDRESS/CHALLENGE/NETWORK"]).await;
    refused(&home, &["channels", "open", payee, "0"], 2, &["more than nothing"]).await;
    refused(&home, &["channels", "open", payee, "1000000"], 22, &["wallet"]).await;
    let elsewhere = format!("{}/-239", payee.rsplit_once('/').unwrap().0);
    refused(&home, &["channels", "open", &elsewhere, "2"], 2, &["network"]).await;
    asked(&home, &["channels", "open", payee, "2"]).await;
    let opened = channel(&home, url, |channel| channel["state"] == "open").await;
    assert_eq!((&opened["deposit_nano"], &opened["paid_nano"]), (&json!(2_000_000_000u64), &json!(0)));
    refused(&home, &["channels", "open", payee, "2"], 2, &["already", "topup"]).await;

    client.embed().await;
    let used = channel(&home, url, |channel| channel["paid_nano"] != 0).await;
    assert_eq!(used["account"], opened["account"]);

    // All of them at once, as soon as the provider itself has seen the one there is.
    let until = Instant::now() + PATIENCE;
    loop {
        let closing = asked(&provider.home(), &["channels", "close", "--all"]).await;
        if let [closing] = closing.as_array().unwrap().as_slice() {
            assert_eq!(closing["account"], opened["account"]);
            break;
        }
        assert!(Instant::now() < until, "the channel is not closed");
        sleep(Duration::from_millis(100)).await;
    }
    while asked(&home, &["channels"]).await["channels"] != json!([]) {
        assert!(Instant::now() < until, "the channel is not gone");
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(asked(&home, &["channels", "close", "--all"]).await, json!([]));
    let mut both = bombyx(&home);
    both.args(["channels", "close", &"7".repeat(64), "--all"]);
    assert_eq!(finish(both).await.status.code(), Some(2), "one or all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watcher_elsewhere_answers_a_stale_close_with_a_copy_of_the_store_and_without_keys() {
    let ledger = Ledger::start().await;
    let url = ledger.url.as_str();
    // Worth more than a claim without a wallet must be.
    let flags = ["--provide", EMBED, "--price-job", "0.05"];
    let mut provider = Node::up(&ledger, &flags, &[("BOMBYX_PROVIDE_CHALLENGE_S", "1")]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let mut client = Node::up(&ledger, &flags, &[("BOMBYX_CLIENT_CHALLENGE_S", "8")]).await;
    client.embed().await;
    let earning = channel(&provider.home(), url, open).await;
    let account = earning["account"].as_str().unwrap();

    // The provider's machine is lost, but for a copy of its store.
    provider.child.kill().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("copy");
    std::fs::copy(provider.home().join("records.redb"), &copy).unwrap();
    drop(provider);
    let log = std::fs::File::create(elsewhere.path().join("log")).unwrap();
    let mut watcher = bombyx(&elsewhere.path().join("home"));
    // Its ledger is not there yet when it starts.
    // The port is kept, or another test's ledger might get it.
    let late = TcpSocket::new_v4().unwrap();
    late.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = late.local_addr().unwrap();
    let late_url = format!("http://{address}");
    watcher.args(["--json", "channels", "--ledger", &late_url, "watch", "--store"]).arg(&copy).stdout(log);
    let mut watcher = watcher.spawn().unwrap();
    sleep(Duration::from_secs(4)).await;
    assert!(watcher.try_wait().unwrap().is_none(), "it waits for its ledger");
    let late = late.listen(64).unwrap();
    tokio::spawn(devnet::http::serve(ledger.chain.clone(), late, std::future::pending()));

    // The client asks for all of its deposit, and is gone before it could be honest.
    told_to_close(&client.home(), account).await;
    let closing = |channel: &Value| channel["locked_until_s"].is_u64();
    assert_eq!(channel(&client.home(), url, closing).await["settled_nano"], 0);
    client.child.kill().await.unwrap();
    let paid = |channel: &Value| channel["settled_nano"] == earning["paid_nano"];
    channel(&client.home(), url, paid).await;
    assert!(watcher.try_wait().unwrap().is_none(), "it guards until the channel is gone");
    watcher.kill().await.unwrap();
    let told = std::fs::read_to_string(elsewhere.path().join("log")).unwrap();
    let events: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names[..3], ["guarding", "closing", "claiming"], "{told}");
    assert_eq!(events[2]["cumulative_nano"], earning["paid_nano"]);
    assert!(!elsewhere.path().join("home").exists(), "it has made no keys");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wallet_is_shown_sends_coins_and_tells_its_words_only_when_told_to() {
    let ledger = Ledger::start().await;
    let url = ledger.url.as_str();
    let mut node = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let home = node.home();
    let shown = asked(&home, &["wallet"]).await;
    let balance = shown["balance_nano"].as_u64().unwrap();
    assert!(balance > 1_000_000_000, "the faucet has filled it: {shown}");

    let receiver = format!("0:{}", "5a".repeat(32));
    asked(&home, &["wallet", "send", &receiver, "1.5"]).await;
    let after = asked(&home, &["wallet"]).await["balance_nano"].as_u64().unwrap();
    assert!(after < balance - 1_500_000_000 && after > balance - 1_520_000_000, "{balance} {after}");
    refused(&home, &["wallet", "send", &receiver, "1000000"], 22, &["coins"]).await;
    refused(&home, &["wallet", "send", "nobody", "1"], 2, &["`nobody`"]).await;

    refused(&home, &["wallet", "seed"], 2, &["--yes-show-it"]).await;
    let words = asked(&home, &["wallet", "seed", "--yes-show-it"]).await;
    let words = words["words"].as_str().unwrap();
    assert_eq!(words.split(' ').count(), 24);
    assert!(!node.log().contains(words), "no log has the words");

    node.child.kill().await.unwrap();
    let without = asked(&home, &["wallet", "--ledger", url]).await;
    assert_eq!((&without["address"], &without["balance_nano"]), (&shown["address"], &json!(after)));
    asked(&home, &["wallet", "--ledger", url, "send", &receiver, "0.5"]).await;
    let last = asked(&home, &["wallet", "--ledger", url]).await["balance_nano"].as_u64().unwrap();
    assert!(last < after - 500_000_000, "{after} {last}");
}

/// The endpoint passes each message on and loses its answer. (`LE-6`, `LE-7`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_answer_is_lost_is_made_once_and_said_to_be_sent() {
    let (ledger, home) = (Ledger::start().await, tempfile::tempdir().unwrap());
    let home = home.path().join("home");
    asked_for_nothing(&home, &["init"]).await;
    let proxy = Proxy::before(&ledger.url).await;
    let url = proxy.base.as_str();
    let address = asked(&home, &["wallet", "--ledger", url]).await;
    let address = parse_address(address["address"].as_str().unwrap()).unwrap();
    ledger.chain.faucet(address, Nano(5_000_000_000)).unwrap();
    proxy.set(|method| (method == "sendBoc").then_some(Fault { kind: Kind::Cut, forwarded: true }));
    let receiver = format!("0:{}", "5a".repeat(32));
    let sent = asked(&home, &["wallet", "send", &receiver, "0.5", "--ledger", url]).await;
    assert_eq!(sent["fate"], "sent");
    let held = ledger.chain.account(parse_address(&receiver).unwrap()).await.unwrap().balance;
    assert_eq!(held, Nano(500_000_000));
}

/// The endpoint passes a message on and then fails for good: what became of it is unknown until it is void. Takes most of
/// two minutes. (`LE-7`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits until a transfer is void"]
async fn a_payment_of_unknown_fate_has_an_exit_code_of_its_own() {
    let (ledger, home) = (Ledger::start().await, tempfile::tempdir().unwrap());
    let home = home.path().join("home");
    asked_for_nothing(&home, &["init"]).await;
    let proxy = Proxy::before(&ledger.url).await;
    let url = proxy.base.as_str();
    let address = asked(&home, &["wallet", "--ledger", url]).await;
    let address = parse_address(address["address"].as_str().unwrap()).unwrap();
    ledger.chain.faucet(address, Nano(5_000_000_000)).unwrap();
    let receiver = format!("0:{}", "5a".repeat(32));
    let send = ["wallet", "--ledger", url, "send", &receiver, "0.5"];
    let mut begun = false;
    proxy.set(move |method| {
        begun |= method == "sendBoc";
        begun.then_some(Fault { kind: Kind::ServerError, forwarded: true })
    });
    refused(&home, &send, 27, &["unknown until", "UTC"]).await;
    // One that nobody passes on is known not to be sent.
    proxy.set(|method| (method == "sendBoc").then_some(Fault { kind: Kind::RateLimit, forwarded: false }));
    refused(&home, &send, 24, &["not sent"]).await;
    let held = ledger.chain.account(parse_address(&receiver).unwrap()).await.unwrap().balance;
    assert_eq!(held, Nano(500_000_000));
}

/// The transfer of a deposit is taken, and then the endpoint answers with errors for a while. (`LE-6`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deposit_whose_endpoint_fails_after_the_transfer_stays_in_the_books() {
    for kind in [Kind::ServerError, Kind::RateLimit] {
        let ledger = Ledger::start().await;
        let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
        let proxy = Proxy::before(&ledger.url).await;
        let through = Ledger { url: proxy.base.clone(), chain: ledger.chain.clone() };
        let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
        let client = Node::up(&through, &flags, &[]).await;
        let mut since = None;
        proxy.set(move |method| {
            if method == "sendBoc" {
                since = since.or(Some(Instant::now()));
            }
            let fails = since.is_some_and(|since| since.elapsed() < Duration::from_secs(12));
            fails.then_some(Fault { kind, forwarded: true })
        });
        client.embed().await;
        let channel = channel(&client.home(), &ledger.url, open).await;
        assert!(channel["deposit_nano"].as_u64().is_some_and(|deposit| deposit > 0), "{kind:?}: {channel}");
        let log = client.log();
        assert!(!log.contains("opening a channel failed"), "{kind:?}: {log}");
    }
}

/// Runs a verb that tells nothing in JSON.
async fn asked_for_nothing(home: &Path, args: &[&str]) {
    let mut command = bombyx(home);
    command.args(args);
    let output = finish(command).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
