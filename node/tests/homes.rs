//! Homes on real processes: a ledger that is dead when a node starts, one wallet for all verbs, the way back to the network.
#![allow(clippy::unwrap_used)]

mod processes;
#[path = "ledger/proxy.rs"]
#[allow(dead_code)]
mod proxy;

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use bombyx_node::net::limits;
use processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, bombyx, finish, last_object};
use proxy::{Fault, Kind, Proxy};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

/// A ledger behind a proxy that can be told to fail.
async fn behind_proxy(ledger: &Ledger) -> (Proxy, Ledger) {
    let proxy = Proxy::before(&ledger.url).await;
    let through = Ledger { url: proxy.base.clone(), chain: ledger.chain.clone() };
    (proxy, through)
}

fn dead(proxy: &Proxy, kind: Kind) {
    proxy.set(move |_| Some(Fault { kind, forwarded: false }));
}

/// Where connections are taken and nothing is ever said.
async fn hanging() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    url
}

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

/// Embeds, as soon as the provider has noticed that the connection of a client that was killed is dead.
async fn embedded_at_last(client: &Node) {
    let until = Instant::now() + PATIENCE;
    while !client.try_embed().await {
        assert!(Instant::now() < until, "nothing is embedded: {}", client.log());
    }
}

/// A channel is opened while the ledger lives. Then it dies, in each of the ways in which one can, and everything starts without.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_starts_while_the_ledger_is_dead_works_on_open_channels_and_says_so_once() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT, "--provide", EMBED], &[]).await;
    let (proxy, through) = behind_proxy(&ledger).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let client = Node::up(&through, &flags, &[]).await;
    client.embed().await;
    let until = Instant::now() + PATIENCE;
    let channel = async |hoped: &dyn Fn(&Value) -> bool| {
        loop {
            let channel = shown(&client.home(), &["channels"]).await["channels"][0].clone();
            if hoped(&channel) {
                break channel;
            }
            assert!(Instant::now() < until, "the channel stays {channel}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    let open = channel(&|channel| channel["state"] == "open" && channel["paid_nano"] != 0).await;
    // Enough for all that comes: more could not be added without the ledger.
    shown(&client.home(), &["channels", "topup", open["account"].as_str().unwrap(), "0.5"]).await;
    channel(&|channel| channel["deposit_nano"].as_u64().is_some_and(|deposit| deposit > 500_000_000)).await;
    let mut stopped = client.stopped().await;
    for kind in [Kind::Cut, Kind::Garbage, Kind::ServerError, Kind::Html, Kind::WrongContent] {
        dead(&proxy, kind);
        let client = stopped.started(&through, &flags, &[]).await;
        client.embed().await;
        logged(&client, "the ledger does not answer").await;
        let home = client.home();
        let wallet = finish_text(&home, &["wallet"]).await;
        assert!(
            wallet.contains("balance  unknown") && wallet.contains("an unknown amount"),
            "{kind:?}: {wallet}"
        );
        assert!(wallet.contains("fees     so far unknown"), "{kind:?}: {wallet}");
        proxy.clear();
        logged(&client, "the ledger answers again").await;
        client.embed().await;
        let log = client.log();
        assert_eq!(log.matches("the ledger does not answer").count(), 1, "{kind:?}: {log}");
        assert_eq!(log.matches("the ledger answers again").count(), 1, "{kind:?}: {log}");
        stopped = client.stopped().await;
    }
    // It dies under a node that runs.
    let client = stopped.started(&through, &flags, &[]).await;
    client.embed().await;
    dead(&proxy, Kind::Cut);
    logged(&client, "the ledger does not answer (for").await;
    client.embed().await;
    proxy.clear();
    logged(&client, "the ledger answers again, after").await;
    let log = client.log();
    for words in ["the ledger does not answer", "the ledger answers again"] {
        assert_eq!(log.matches(words).count(), 1, "{words}: {log}");
    }
    let stopped = client.stopped().await;
    // The same home on a ledger that takes connections and says nothing, and on one that is not there.
    let silent = Ledger { url: hanging().await, chain: ledger.chain.clone() };
    let client = stopped.started(&silent, &flags, &[]).await;
    client.embed().await;
    let gone = Ledger { url: "http://127.0.0.1:9".into(), chain: ledger.chain.clone() };
    let client = client.stopped().await.started(&gone, &flags, &[]).await;
    client.embed().await;
    // A question in this home is answered by it, and a provider starts as well.
    let answer = finish(ask(&client.home(), &gone, provider.address(), &["--json", "--embed", "silk"])).await;
    assert_eq!(last_object(&answer)["fees_nano"], Value::Null, "nobody knows: {}", said(&answer));
    let other = Node::up(&silent, &["--provide", EMBED], &[]).await;
    logged(&other, "the ledger does not answer").await;
}

async fn finish_text(home: &Path, args: &[&str]) -> String {
    let mut command = bombyx(home);
    command.args(args);
    let output = finish(command).await;
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Without credit a job needs a channel before anything is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_channel_waits_for_the_ledger_and_its_absence_is_named_at_the_deadline() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED], &[("BOMBYX_PROVIDE_CREDIT", "0")]).await;
    let (proxy, through) = behind_proxy(&ledger).await;
    dead(&proxy, Kind::Cut);
    let home = tempfile::tempdir().unwrap();
    let home = home.path().join("home");
    let flags = ["--embed", "--deadline", "6", "silk"];
    let refused = finish(ask(&home, &through, provider.address(), &flags)).await;
    assert_fails(&refused, 24, &["could not be opened: the ledger does not answer", "ledger.url"]);
    // It comes back while an order waits.
    let asked = ask(&home, &through, provider.address(), &["--json", "--embed", "--deadline", "60", "silk"]);
    let asked = tokio::spawn(finish(asked));
    sleep(Duration::from_secs(5)).await;
    assert!(!asked.is_finished(), "it waits");
    proxy.clear();
    let answer = last_object(&asked.await.unwrap());
    assert!(answer["vector"].as_array().is_some_and(|vector| vector.len() == 384));
    assert_eq!(answer["after"]["locked_in"], 1);
}

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

/// (`NE-12`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_bootstrap_is_dead_joins_through_peers_that_answered_before() {
    a_node_comes_back("-INT").await;
}

/// (`NE-13`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_killed_comes_back_before_its_connections_have_timed_out() {
    a_node_comes_back("-KILL").await;
}

async fn a_node_comes_back(signal: &str) {
    let ledger = Ledger::start().await;
    let mut bootstrap = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let dead = bootstrap.address().to_owned();
    let provider = Node::up(&ledger, &["--provide", EMBED, "--join", &dead], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", &dead];
    // Only what answers its own dials is kept, so it dials the provider as well, once.
    let both = [flags.as_slice(), &["--join", provider.address()]].concat();
    let client = Node::up(&ledger, &both, &[]).await;
    client.embed().await;
    let peers = client.home().join("peers.json");
    let until = Instant::now() + PATIENCE;
    while !std::fs::read_to_string(&peers).is_ok_and(|list| list.contains(provider.peer_id())) {
        assert!(Instant::now() < until, "the provider is not kept");
        sleep(Duration::from_millis(50)).await;
    }
    bootstrap.child.kill().await.unwrap();
    // The provider has known the client for longer than connections need that cross each other, whichever of them dialled: looking
    // keys up, the provider may have been first.
    sleep(limits::RETURN_AFTER_DIAL + Duration::from_secs(1)).await;
    // Its own port is another one from now on.
    let mut client = client;
    let pid = client.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args([signal, &pid]).status().unwrap().success());
    client.child.wait().await.unwrap();
    let client = client.stopped().await.started(&ledger, &flags, &[]).await;
    logged(&client, "joined the network").await;
    embedded_at_last(&client).await;
    // `ask` knows them as well, and needs no --join.
    let home = client.stopped().await;
    let until = Instant::now() + PATIENCE;
    loop {
        let mut command = bombyx(&home.home());
        command.args(["ask", "--embed", "silk", "--ledger", &ledger.url]);
        let output = finish(command).await;
        if output.status.success() {
            break;
        }
        assert!(Instant::now() < until, "{}", said(&output));
    }
    // A list that cannot be read is no reason not to start.
    std::fs::write(home.home().join("peers.json"), "{").unwrap();
    let client =
        home.started(&ledger, &["--gateway", "127.0.0.1:0", "--join", provider.address()], &[]).await;
    embedded_at_last(&client).await;
    assert!(client.log().contains("begins anew"), "{}", client.log());
}

/// A provider dials nobody but its bootstrap: those that dialled it are its way back. (`NE-12`)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_whose_bootstrap_is_dead_joins_through_a_client_that_came() {
    let ledger = Ledger::start().await;
    let mut bootstrap = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let dead = bootstrap.address().to_owned();
    let flags = ["--provide", EMBED, "--join", &dead];
    let provider = Node::up(&ledger, &flags, &[]).await;
    let client = Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", &dead], &[]).await;
    client.embed().await;
    let (peers, until) = (provider.home().join("peers.json"), Instant::now() + PATIENCE);
    while !std::fs::read_to_string(&peers).is_ok_and(|list| list.contains(client.peer_id())) {
        assert!(Instant::now() < until, "the client is not kept");
        sleep(Duration::from_millis(50)).await;
    }
    bootstrap.child.kill().await.unwrap();
    // The client has dialled the provider, and holds that connection for alive when the provider is back.
    sleep(limits::RETURN_AFTER_DIAL + Duration::from_secs(1)).await;
    let provider = provider.stopped().await.started(&ledger, &flags, &[]).await;
    logged(&provider, "joined the network").await;
    embedded_at_last(&client).await;
}

/// Deposits come home by one command, without a node that runs; so do those of a home that an earlier version has left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deposits_of_a_home_and_of_an_old_one_within_it_come_back_by_the_commands_that_are_named() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED, "--price-job", "0.01"], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let (home, old) = (dir.path().join("home"), dir.path().join("home/ask"));
    for home in [&old, &home] {
        let output = finish(ask(home, &ledger, provider.address(), &["--embed", "silk"])).await;
        assert!(output.status.success(), "{}", said(&output));
        let named = said(&output).contains("channels close --all");
        assert_eq!(named, home == dir.path().join("home").as_path(), "{}", said(&output));
    }
    let address =
        shown(&home, &["wallet", "--ledger", &ledger.url]).await["friendly"].as_str().unwrap().to_owned();
    for home in [&old, &home] {
        let before = shown(home, &["wallet", "--ledger", &ledger.url]).await;
        assert_eq!((&before["locked_in"], before["locked_nano"] == 0), (&json!(1), false), "{before}");
        let close = ["channels", "close", "--all", "--ledger", &ledger.url, "--join", provider.address()];
        let mut command = bombyx(home);
        command.args(close);
        let output = finish(command).await;
        assert!(
            output.status.success() && said(&output).contains("closed: what was left"),
            "{}",
            said(&output)
        );
        let after = shown(home, &["wallet", "--ledger", &ledger.url]).await;
        assert_eq!((&after["locked_in"], &after["locked_nano"]), (&json!(0), &json!(0)), "{after}");
        // Those of a channel that has closed count on.
        let fees = |wallet: &Value| wallet["channel_fees_nano"].as_u64().unwrap();
        assert!(fees(&after) > fees(&before), "{before} {after}");
    }
    let before = shown(&home, &["wallet", "--ledger", &ledger.url]).await["balance_nano"].as_u64().unwrap();
    let sent = shown(&old, &["wallet", "send", &address, "all", "--ledger", &ledger.url]).await;
    let after = shown(&home, &["wallet", "--ledger", &ledger.url]).await["balance_nano"].as_u64().unwrap();
    assert!(sent["amount_nano"].as_u64().unwrap() > 7_000_000_000, "{sent}");
    assert!(after > before + 7_000_000_000, "{before} {after}");
    let mut again = bombyx(&old);
    again.args(["wallet", "send", &address, "all", "--ledger", &ledger.url]);
    assert_fails(&finish(again).await, 22, &["send it the rest"]);
    // The provider says what it was paid and what is due still.
    let status = shown(&provider.home(), &["status"]).await;
    assert_eq!(status["provider"]["due"], json!([]), "{status}");
}

/// What is due and not paid yet has its reason, in `status` and at the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_says_what_is_due_and_why_it_is_not_paid_yet() {
    let ledger = Ledger::start().await;
    let mut provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let output = finish(ask(dir.path(), &ledger, provider.address(), &["--json", "--embed", "silk"])).await;
    let answer = last_object(&output);
    let until = Instant::now() + PATIENCE;
    let status = loop {
        let status = shown(&provider.home(), &["status"]).await;
        if status["provider"]["due"][0]["why"] == "too_little" {
            break status;
        }
        assert!(Instant::now() < until, "{status}");
        sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(status["provider"]["due"][0]["due_nano"], answer["cost_nano"], "{status}");
    let text = finish_text(&provider.home(), &["status"]).await;
    assert!(text.contains("sold      1 job since 20") && text.contains("due       0.0000"), "{text}");
    let pid = provider.child.id().unwrap().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert!(provider.child.wait().await.unwrap().success());
    let log = provider.log();
    assert!(
        log.contains("earned since the start, due on channels, and served")
            && log.contains("still_due=0.0000")
            && log.contains("unpaid=0 lost=0"),
        "{log}"
    );
}

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
