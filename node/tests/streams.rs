//! Streams through a gateway over HTTP, many at once: each comes whole.
#![allow(clippy::unwrap_used)]

mod processes;

use std::time::Duration;

use processes::{CHAT, Ledger, Node};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(300);

fn http() -> Client {
    Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

async fn stream(http: &Client, gateway: &str, question: &str, max_tokens: u32) -> Response {
    let body = json!({
        "model": CHAT, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": question }], "stream": true,
        "bombyx": { "deadline_ms": 240_000 },
    });
    let request =
        http.post(format!("{gateway}/v1/chat/completions")).header(CONTENT_TYPE, "application/json");
    request.body(body.to_string()).send().await.unwrap()
}

/// Reads a stream to its end. Returns the finish reason of its last choice.
fn finish_reason(events: &str) -> Option<String> {
    assert!(events.ends_with("data: [DONE]\n\n"), "{events}");
    events
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .filter_map(|data| serde_json::from_str::<Value>(&format!("{{{data}")).ok())
        .filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str().map(str::to_owned))
        .next_back()
}

/// How much one gateway holds for a thousand callers is printed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute or more of the whole machine; part of the long checks"]
async fn a_thousand_streams_at_once_through_one_gateway_and_four_providers_come_whole() {
    let ledger = Ledger::start().await;
    let provide = ["--provide", CHAT, "--slots", "256"];
    let first = Node::up(&ledger, &provide, &[]).await;
    let joined = [provide.as_slice(), &["--join", first.address()]].concat();
    let mut providers = Vec::new();
    for _ in 0..3 {
        providers.push(Node::up(&ledger, &joined, &[]).await);
    }
    let flags = ["--gateway", "127.0.0.1:0", "--join", first.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let url = gateway.note.gateway.clone().unwrap();
    let idle_mb = gateway.resident_mb();
    let (http, began) = (http(), Instant::now());
    let mut streams = JoinSet::new();
    for number in 0..1_000 {
        let (http, url) = (http.clone(), url.clone());
        streams.spawn(async move {
            let answer = stream(&http, &url, &format!("What is {number} plus 25?"), 16).await;
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            if status == 200 { finish_reason(&text).ok_or(text) } else { Err(format!("{status}: {text}")) }
        });
    }
    let mut most_mb: f64 = 0.0;
    let mut failed = Vec::new();
    while !streams.is_empty() {
        tokio::select! {
            Some(ended) = streams.join_next() => failed.extend(ended.unwrap().err()),
            () = sleep(Duration::from_millis(200)) => {}
        }
        most_mb = most_mb.max(gateway.resident_mb());
    }
    println!(
        "1,000 streams in {:.1} s; the gateway: {idle_mb:.1} MB idle, {most_mb:.1} MB at the most",
        began.elapsed().as_secs_f64()
    );
    assert!(failed.is_empty(), "{} failed, among them {:?}", failed.len(), failed.first());
    assert!(most_mb < idle_mb + 256.0, "a quarter of a megabyte each: {most_mb} MB");
}
