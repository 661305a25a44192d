//! A provider process that dies in the middle of an answer: one which its limit of tokens ends, and one which nobody else goes on
//! with.
#![allow(clippy::unwrap_used)]

mod processes;

use std::process::Stdio;
use std::time::Duration;

use processes::{CHAT, Ledger, Node, ask, finish, last_object};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout};

const QUESTION: &str = "Count from 17 to 25.";
const MAX_TOKENS: u64 = 24;

/// (WR-13)
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_limit_ends_is_as_long_with_a_dead_provider_as_without() {
    let ledger = Ledger::start().await;
    let slow = ["--provide", CHAT, "--pace", "6", "--price-out", "0.0005"];
    let next = ["--provide", CHAT, "--pace", "60", "--price-out", "0.001"];
    let (mut first, second) = tokio::join!(Node::up(&ledger, &slow, &[]), Node::up(&ledger, &next, &[]));
    let limit = MAX_TOKENS.to_string();
    let home = tempfile::tempdir().unwrap();
    let flags = ["--join", second.address(), "--max-tokens", &limit, QUESTION];
    let mut command = ask(home.path(), &ledger, first.address(), &flags);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let mut text = String::new();
    // Half of the answer: more than what was left over when delivered tokens were counted twice.
    while text.len() < 13 {
        let mut piece = [0; 1];
        timeout(Duration::from_secs(60), stdout.read_exact(&mut piece)).await.unwrap().unwrap();
        text.push(char::from(piece[0]));
    }
    first.child.kill().await.unwrap();
    let mut said = String::new();
    let ends = async {
        stdout.read_to_string(&mut text).await.unwrap();
        stderr.read_to_string(&mut said).await.unwrap();
        child.wait().await.unwrap()
    };
    let status = timeout(Duration::from_secs(120), ends).await.expect("the order ends");
    assert!(status.success(), "{said}");

    // The one that is left, asked for the whole of it.
    let alone = tempfile::tempdir().unwrap();
    let flags = ["--json", "--max-tokens", &limit, QUESTION];
    let whole = last_object(&finish(ask(alone.path(), &ledger, second.address(), &flags)).await);
    assert_eq!(
        (whole["finish"].as_str(), whole["output_tokens"].as_u64()),
        (Some("length"), Some(MAX_TOKENS))
    );
    assert_eq!(text.trim_end_matches('\n'), whole["text"].as_str().unwrap(), "{said}");
}

/// (MK-15) What came is paid, and the bill comes with the error.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_only_provider_dies_is_called_cut_short_at_its_deadline() {
    let ledger = Ledger::start().await;
    let mut provider = Node::up(&ledger, &["--provide", CHAT, "--pace", "6"], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let url = format!("{}/v1/chat/completions", gateway.note.gateway.as_deref().unwrap());
    let body = json!({
        "model": CHAT, "max_tokens": 400, "stream": true, "bombyx": { "deadline_ms": 20_000 },
        "messages": [{ "role": "user", "content": "Count from 17 to 90." }],
    });
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
    let request = http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
    let mut answer = request.send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    let mut events = String::new();
    while let Some(piece) = answer.chunk().await.unwrap() {
        events.push_str(&String::from_utf8_lossy(&piece));
        if events.matches("\"content\"").count() > 3 && provider.child.id().is_some() {
            provider.child.kill().await.unwrap();
        }
    }
    assert!(events.contains("\"code\":\"answer_cut_short\""), "{events}");
    assert!(
        events.contains("tokens or vectors came, and what it had billed of them is paid")
            && events.contains("cost_nano"),
        "{events}"
    );
}

/// A port that was free a moment ago, for a node that is found again where it was.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Asks a gateway for an answer.
async fn asked(gateway: &Node, body: &serde_json::Value) -> Response {
    let url = format!("{}/v1/chat/completions", gateway.note.gateway.as_deref().unwrap());
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
    let request = http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
    request.send().await.unwrap()
}

/// (`NE-13`) Its connections stand on, as nobody has told its peers that they are dead: it was dialled a moment before.
#[tokio::test(flavor = "multi_thread")]
async fn a_sole_provider_that_was_killed_and_started_at_once_answers_the_next_call() {
    let ledger = Ledger::start().await;
    let port = free_port();
    let listen = ["udp/{}/quic-v1", "tcp/{}"]
        .map(|form| format!("/ip4/127.0.0.1/{}", form.replace("{}", &port.to_string())));
    let flags = ["--provide", CHAT, "--listen", &listen[0], "--listen", &listen[1]];
    let provider = Node::up(&ledger, &flags, &[]).await;
    let quic = provider.note.addresses.iter().find(|address| address.contains("quic")).unwrap().clone();
    let gateway = Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", &quic], &[]).await;
    let mut body = json!({
        "model": CHAT, "max_tokens": 24, "messages": [{ "role": "user", "content": QUESTION }],
    });
    assert_eq!(asked(&gateway, &body).await.status().as_u16(), 200);
    let provider = provider.killed_and_restarted(&ledger, &flags, |_| {}).await;
    // Less than QUIC takes to notice that nobody is there.
    body["bombyx"] = json!({ "deadline_ms": 9_000 });
    let answer = asked(&gateway, &body).await;
    let status = answer.status().as_u16();
    assert_eq!(status, 200, "{} {} {}", answer.text().await.unwrap(), gateway.log(), provider.log());
}

/// (`MK-15`) The order waits, says so, and goes on where it stopped when its provider is back.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_whose_only_provider_dies_goes_on_when_it_is_back_and_the_log_says_what_is_waited_for() {
    let ledger = Ledger::start().await;
    let listen = format!("/ip4/127.0.0.1/tcp/{}", free_port());
    let flags = ["--provide", CHAT, "--pace", "20", "--listen", &listen];
    let mut provider = Node::up(&ledger, &flags, &[]).await;
    let gateway = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &gateway, &[]).await;
    let body = json!({
        "model": CHAT, "max_tokens": 60, "stream": true,
        "messages": [{ "role": "user", "content": "Count from 17 to 90." }],
    });
    let mut answer = asked(&gateway, &body).await;
    let mut events = String::new();
    while events.matches("\"content\"").count() < 6 {
        events.push_str(&String::from_utf8_lossy(&answer.chunk().await.unwrap().unwrap()));
    }
    provider.child.kill().await.unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while !gateway.log().contains("an order waits for another provider") {
        assert!(Instant::now() < until, "{}", gateway.log());
        sleep(Duration::from_millis(50)).await;
    }
    let _provider = provider.stopped().await.started(&ledger, &flags, &[]).await;
    while let Some(piece) = answer.chunk().await.unwrap() {
        events.push_str(&String::from_utf8_lossy(&piece));
    }
    assert!(events.contains("[DONE]") && !events.contains("\"error\""), "{events}");
    let log = gateway.log();
    assert_eq!(log.matches("an order waits for another provider").count(), 1, "{log}");
}

/// (`MK-15`) What came of an answer that its deadline cuts is paid for, and handed over with the error.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_an_answer_that_is_cut_is_in_the_error() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT, "--pace", "2"], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let counts = "Count from 17 to 90.";
    let body = json!({
        "model": CHAT, "max_tokens": 400, "bombyx": { "deadline_ms": 7_000 },
        "messages": [{ "role": "user", "content": counts }],
    });
    let answer = asked(&gateway, &body).await;
    assert_eq!(answer.status().as_u16(), 504, "{}", gateway.log());
    let error: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    let told = &error["error"]["bombyx"];
    assert!(told["text"].as_str().is_some_and(|text| text.contains("17")), "{error}");
    assert!(told["cost_nano"].as_u64() > Some(0), "{error}");
    assert!(told["usage"]["completion_tokens"].as_u64() > Some(0), "{error}");

    let home = tempfile::tempdir().unwrap();
    let flags = ["--json", "--max-tokens", "400", "--deadline", "7", counts];
    let output = finish(ask(home.path(), &ledger, provider.address(), &flags)).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(23), "{said}");
    let shown = String::from_utf8_lossy(&output.stdout);
    let failed: serde_json::Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert!(failed["text"].as_str().is_some_and(|text| text.contains("17")), "{failed} {said}");
    assert!(failed["output_tokens"].as_u64() > Some(0), "{failed}");
}
