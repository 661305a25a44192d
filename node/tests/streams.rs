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

/// Asks until then: an answer, a stream, and a stream that it leaves after its first bytes, by turns. Returns how many were answered.
async fn caller(gateway: String, number: u32, until: Instant) -> Result<u32, String> {
    let http = http();
    let mut answered = 0;
    while Instant::now() < until {
        let mut answer = stream(&http, &gateway, &format!("What is {number} plus {answered}?"), 16).await;
        let status = answer.status().as_u16();
        if answered % 3 == 2 {
            answer.chunk().await.map_err(|error| error.to_string())?;
            drop(answer);
        } else {
            let text = answer.text().await.map_err(|error| error.to_string())?;
            if status != 200 || finish_reason(&text).is_none() {
                return Err(format!("{status}: {text}"));
            }
        }
        answered += 1;
    }
    Ok(answered)
}

/// What both hold is printed; `BOMBYX_SOAK_S` says for how many seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes ten minutes; part of the long checks"]
async fn what_gateway_and_provider_hold_does_not_grow_with_what_they_have_done() {
    let seconds = std::env::var("BOMBYX_SOAK_S").map_or(600, |seconds| seconds.parse().unwrap());
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT, "--slots", "16"], &[]).await;
    let gateway = Node::up(&ledger, &["--gateway", "127.0.0.1:0", "--join", provider.address()], &[]).await;
    let url = gateway.note.gateway.clone().unwrap();
    let until = Instant::now() + Duration::from_secs(seconds);
    let mut callers = JoinSet::new();
    for number in 0..16 {
        callers.spawn(caller(url.clone(), number, until));
    }
    let mut held: Vec<[f64; 2]> = Vec::new();
    while Instant::now() < until {
        sleep(Duration::from_secs_f64(seconds as f64 / 60.0)).await;
        held.push([gateway.resident_mb(), provider.resident_mb()]);
    }
    let answered = callers.join_all().await.into_iter().sum::<Result<u32, String>>().unwrap();
    for (at, who) in ["gateway", "provider"].into_iter().enumerate() {
        let most = |part: &[[f64; 2]]| part.iter().map(|held| held[at]).fold(0.0, f64::max);
        let thirds: Vec<f64> = held.chunks(held.len().div_ceil(3)).map(most).collect();
        println!("{who}: {thirds:.1?} MB at the most in each third of {seconds} s, {answered} answers");
        // Receipts and tombstones fill their tables first.
        assert!(thirds[2] < thirds[1] * 1.1, "{who} holds ever more: {thirds:?}");
    }
}
