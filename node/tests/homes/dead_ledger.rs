//! A ledger that is dead when a node starts, or dies under it.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use super::processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, finish, last_object};
use super::proxy::{Fault, Kind, Proxy};
use super::{PATIENCE, finish_text, logged, said, shown};

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

/// (CH-57) The provider is killed after the ledger has died: it knows its channels from its store, and for how long that counts.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_starts_without_a_ledger_serves_on_its_open_channels_and_says_until_when() {
    let ledger = Ledger::start().await;
    let (proxy, through) = behind_proxy(&ledger).await;
    let minute = [("BOMBYX_CLIENT_CHALLENGE_S", "60")];
    let client = Node::up(&through, &["--gateway", "127.0.0.1:0"], &minute).await;
    let (flags, no_credit) =
        (["--provide", EMBED, "--join", client.address()], [("BOMBYX_PROVIDE_CREDIT", "0")]);
    let mut provider = Node::up(&through, &flags, &no_credit).await;
    served_at_last(&client).await;
    let channels = shown(&client.home(), &["channels"]).await;
    let account = channels["channels"][0]["account"].as_str().unwrap().to_owned();
    // Enough for all that comes: more could not be added without the ledger.
    shown(&client.home(), &["channels", "topup", &account, "0.5"]).await;
    sleep(Duration::from_secs(3)).await;
    client.embed().await;
    dead(&proxy, Kind::Cut);
    for _ in 0..2 {
        provider = provider.stopped().await.started(&through, &flags, &no_credit).await;
        served_at_last(&client).await;
        logged(&provider, "the ledger does not answer: 1 channel served on what it showed last, until 20")
            .await;
        let status = finish_text(&provider.home(), &["status"]).await;
        assert!(status.contains("no ledger 1 channel served on what it showed last, until 20"), "{status}");
    }
    // Half of the challenge time after the last look it counts no more.
    let until = Instant::now() + PATIENCE;
    let mut status = String::new();
    while !status.contains("1 open channel served within the credit alone") {
        assert!(Instant::now() < until, "it is served for ever: {status}");
        sleep(Duration::from_millis(500)).await;
        status = finish_text(&provider.home(), &["status"]).await;
    }
    proxy.clear();
    logged(&provider, "the ledger answers again").await;
    served_at_last(&client).await;
}

async fn served_at_last(client: &Node) {
    let until = Instant::now() + PATIENCE;
    while !client.try_embed().await {
        assert!(Instant::now() < until, "nobody serves: {}", client.log());
        sleep(Duration::from_millis(200)).await;
    }
}
