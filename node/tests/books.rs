//! The books of a wallet, over the life of two channels, with a running node and without one: what came in is what it holds,
//! what is locked and reserved, what was settled, and fees; to the nano.
#![allow(clippy::unwrap_used)]

mod processes;
#[path = "ledger/proxy.rs"]
#[allow(dead_code)]
mod proxy;

use std::path::Path;
use std::time::Duration;

use bombyx_node::ledger::devnet::{self, Devnet};
use bombyx_node::ledger::{Chain as _, parse_address};
use bombyx_protocol::amount::Nano;
use processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, bombyx, finish, last_object};
use proxy::{Fault, Kind, Proxy};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(60);

async fn asked(home: &Path, ledger: &Ledger, args: &[&str]) -> Value {
    let mut command = bombyx(home);
    command.arg("--json").args(args).args(["--ledger", &ledger.url]);
    last_object(&finish(command).await)
}

/// Everything that a wallet's page accounts for, beside what was settled.
fn accounted(wallet: &Value) -> Option<u64> {
    let fees = ["channel_fees_nano", "wallet_fees_nano"];
    let fees: Option<u64> = fees.iter().map(|field| wallet[*field].as_u64()).sum();
    Some(held(wallet)? + fees?)
}

/// Everything that one side of a bill accounts for.
fn held(side: &Value) -> Option<u64> {
    let fields = ["balance_nano", "locked_nano", "reserve_nano", "on_its_way_nano"];
    fields.iter().map(|field| side[*field].as_u64()).sum()
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
    let settled = first["paid_nano"].as_u64().unwrap();
    while asked(&home, &ledger, &["channels"]).await["channels"] != json!([]) {
        let wallet = asked(&home, &ledger, &["wallet"]).await;
        let sum = accounted(&wallet).unwrap_or_default();
        // Until the close is on the ledger, what it will settle is locked.
        assert!(sum <= came_in, "what has come back is locked no more: {wallet}");
        assert!(Instant::now() < until + PATIENCE, "it is not gone");
        sleep(Duration::from_millis(100)).await;
    }
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

/// A verb's error output.
async fn told(home: &Path, ledger: &Ledger, args: &[&str]) -> String {
    let mut command = bombyx(home);
    command.args(args).args(["--ledger", &ledger.url]);
    let output = finish(command).await;
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_ledger_makes_no_balance_fresh_and_no_channel_closed() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED, "--price-job", "0.01"], &[]).await;
    let proxy = Proxy::before(&ledger.url).await;
    let through = Ledger { url: proxy.base.clone(), chain: ledger.chain.clone() };
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let client = Node::up(&through, &flags, &[]).await;
    client.embed().await;
    let is_paid = |channel: &Value| channel["state"] == "open" && channel["paid_nano"] != 0;
    let home = client.home();
    let account = channel(&home, &through, is_paid).await["account"].as_str().unwrap().to_owned();
    let alive = asked(&home, &through, &["wallet"]).await;
    assert_eq!(alive["ledger_answers"], true, "{alive}");

    proxy.set(|_| Some(Fault { kind: Kind::Cut, forwarded: false }));
    let until = Instant::now() + PATIENCE;
    loop {
        let wallet = asked(&home, &through, &["wallet"]).await;
        assert_eq!(wallet["balance_nano"], alive["balance_nano"]);
        if wallet["ledger_answers"] == false {
            break;
        }
        assert!(Instant::now() < until, "{wallet}");
        sleep(Duration::from_millis(200)).await;
    }
    for verb in ["wallet", "status"] {
        let mut command = bombyx(&home);
        command.arg(verb);
        let text = String::from_utf8(finish(command).await.stdout).unwrap();
        assert!(
            text.contains(", as the ledger showed it ") && text.contains("; it does not answer now"),
            "{text}"
        );
    }
    let close = ["channels", "close", "--all"];
    let mut command = bombyx(&home);
    command.args(close);
    assert_fails(&finish(command).await, 24, &["1 channel is not closed", &account]);

    // Nor without a node; and once it answers, the channel is closed.
    let stopped = client.stopped().await;
    let mut command = bombyx(&home);
    command.args(close).args(["--ledger", &through.url]);
    assert_fails(&finish(command).await, 24, &["1 channel is not closed", &account]);
    proxy.set(|_| None);
    let mut command = bombyx(&stopped.home());
    command.args(close).args(["--ledger", &through.url, "--join", provider.address()]);
    let output = finish(command).await;
    let text = String::from_utf8_lossy(&output.stderr);
    // Its provider, whose ledger lives, may have closed it before: then there is nothing left to say.
    assert!(output.status.success(), "{text}");
    let wallet = asked(&stopped.home(), &through, &["wallet"]).await;
    assert_eq!((&wallet["locked_in"], &wallet["locked_nano"]), (&json!(0), &json!(0)), "{wallet} {text}");
    assert!(wallet["balance_nano"].as_u64() > alive["balance_nano"].as_u64(), "{wallet} {alive}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bill_of_a_second_ask_knows_what_was_locked_and_a_seller_what_a_close_took_from_it() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    // One of the later ones tops the channel up early, and its bill is there before the ledger shows that. (`CH-20`)
    for _ in 0..4 {
        let output = finish(ask(&home, &ledger, provider.address(), &["--json", "--embed", "silk"])).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(" before, now "), "{text}");
        assert!(!text.contains("unknown before"), "{text}");
        let bill = last_object(&output);
        let fees = bill["fees_nano"].as_u64();
        assert_eq!(
            held(&bill["before"]),
            held(&bill["after"]).zip(fees).map(|(held, fees)| held + fees),
            "{bill}"
        );
    }
    let text = told(&home, &ledger, &["channels", "close", "--all", "--join", provider.address()]).await;
    assert!(text.contains("closed: what was left"), "{text}");
    let until = Instant::now() + PATIENCE;
    while !provider.log().contains("what was due on it went back to its client") {
        assert!(Instant::now() < until, "{}", provider.log());
        sleep(Duration::from_millis(100)).await;
    }

    // Its own close gives it up as well, and says so at once.
    assert!(finish(ask(&home, &ledger, provider.address(), &["--embed", "silk"])).await.status.success());
    let until = Instant::now() + PATIENCE;
    let due = |status: &Value| status["provider"]["due"][0]["why"] == "too_little";
    loop {
        let mut status = bombyx(&provider.home());
        status.args(["--json", "status"]);
        if due(&last_object(&finish(status).await)) {
            break;
        }
        assert!(Instant::now() < until, "nothing is due");
        sleep(Duration::from_millis(100)).await;
    }
    let text = told(&provider.home(), &ledger, &["channels", "close", "--all"]).await;
    assert!(text.contains("is closing") && text.contains("go back to its client"), "{text}");
}

/// A ledger on which a message between accounts takes two seconds, and blocks come fast.
async fn slow_ledger() -> Ledger {
    const BLOCK: Duration = Duration::from_millis(50);
    let chain = Devnet::new().unwrap().in_blocks(40);
    tokio::spawn(chain.clone().produce_blocks(BLOCK));
    Ledger::serving(chain).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn coins_that_are_on_their_way_from_one_ask_to_the_next_are_in_both_bills_and_nothing_is_twice() {
    let ledger = slow_ledger().await;
    let provider = Node::up(&ledger, &["--provide", EMBED], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let side = |side: &Value| held(side).zip(side["fees_nano"].as_u64()).map(|(held, fees)| held + fees);
    let (mut came_in, mut on_its_way) = (None, Vec::new());
    for _ in 0..5 {
        let output = finish(ask(&home, &ledger, provider.address(), &["--json", "--embed", "silk"])).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bill = last_object(&output);
        let all = came_in.or(side(&bill["before"]));
        assert!(all.is_some(), "{bill}");
        assert_eq!((side(&bill["before"]), side(&bill["after"])), (all, all), "{bill}");
        on_its_way.extend([&bill["before"], &bill["after"]].map(|side| side["on_its_way_nano"] != 0));
        let wallet = asked(&home, &ledger, &["wallet"]).await;
        assert_eq!(accounted(&wallet), all, "{wallet}");
        came_in = all;
    }
    let is_seen_twice =
        on_its_way.chunks(2).zip(on_its_way.chunks(2).skip(1)).any(|(one, next)| one[1] && next[0]);
    assert!(is_seen_twice, "no top-up was under way from one to the next: {on_its_way:?}");

    // Nor is a coin lost that is on its way back.
    let close = ["channels", "close", "--all", "--join", provider.address()];
    let text = told(&home, &ledger, &close).await;
    let until = Instant::now() + PATIENCE;
    let mut was_returning = false;
    loop {
        let wallet = asked(&home, &ledger, &["wallet"]).await;
        let settled = came_in.zip(accounted(&wallet)).map(|(all, now)| all - now);
        assert!(settled.is_some_and(|settled| settled < 100_000), "what it paid for: {wallet} {text}");
        was_returning |= wallet["locked_in"] == 0 && wallet["on_its_way_nano"] != 0;
        if wallet["locked_in"] == 0 && wallet["on_its_way_nano"] == 0 {
            break;
        }
        assert!(Instant::now() < until, "{wallet} {text}");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(was_returning, "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_answer_makes_a_running_node_add_to_a_channel_is_in_its_bill() {
    let ledger = slow_ledger().await;
    let provider = Node::up(&ledger, &["--provide", CHAT], &[]).await;
    let client = Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", provider.address()], &[]).await;
    let home = client.home();
    let mut last: Option<Value> = None;
    let mut added = 0;
    for max_tokens in ["1", "64", "512", "1", "1024", "1"] {
        let args = ["--json", "--max-tokens", max_tokens, "What is 1 plus 1?"];
        let output = finish(ask(&home, &ledger, provider.address(), &args)).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let bill = last_object(&output);
        if let Some(last) = &last {
            let until_then = |side: &Value| side["fees_nano"].as_u64();
            assert_eq!(until_then(&last["after"]), until_then(&bill["before"]), "{last} {bill}");
            added += usize::from(last["after"]["on_its_way_nano"] != 0);
        }
        last = Some(bill);
    }
    assert!(added > 0, "nothing was added");
}

/// Serves a devnet of its own at this address until it is told to end.
async fn devnet_at(address: &str) -> (Ledger, oneshot::Sender<()>) {
    let (chain, listener) = (Devnet::new().unwrap(), TcpListener::bind(address).await.unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (end, ended) = oneshot::channel();
    tokio::spawn(devnet::http::serve(chain.clone(), listener, async { ended.await.unwrap_or_default() }));
    (Ledger { url, chain }, end)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_whose_devnet_has_begun_anew_has_its_faucet_fill_the_wallet_again() {
    let (ledger, end) = devnet_at("127.0.0.1:0").await;
    let gateway = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let wallet = asked(&gateway.home(), &ledger, &["wallet"]).await;
    let wallet = parse_address(wallet["address"].as_str().unwrap()).unwrap();
    assert!(ledger.chain.account(wallet).await.unwrap().balance > Nano::ZERO);
    end.send(()).unwrap();
    sleep(Duration::from_millis(300)).await;
    let (anew, _end) = devnet_at(ledger.url.trim_start_matches("http://")).await;
    let until = Instant::now() + PATIENCE;
    while anew.chain.account(wallet).await.unwrap().balance == Nano::ZERO {
        assert!(Instant::now() < until, "{}", gateway.log());
        sleep(Duration::from_millis(100)).await;
    }
}
