//! More chats at once than a provider has slots for, through a gateway over HTTP: each waits for its turn and is answered, and
//! who cannot be served in time is told when it can.
#![allow(clippy::unwrap_used)]

mod processes;

use std::time::Duration;

use processes::{CHAT, Ledger, Node};
use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// A provider that makes so many tokens a second on four slots together, and a gateway.
async fn market(ledger: &Ledger, pace: &str) -> (Node, Node) {
    let provider = Node::up(ledger, &["--provide", CHAT, "--slots", "4", "--pace", pace], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(ledger, &flags, &[]).await;
    (provider, gateway)
}

/// What came of a chat: its status, after how many seconds to come back, and the body.
type Answer = (u16, Option<u64>, Value);

async fn chat(gateway: String, question: String, max_tokens: u32, deadline_ms: u64) -> Answer {
    let body = json!({
        "model": CHAT, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": question }],
        "bombyx": { "deadline_ms": deadline_ms },
    });
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(300)).build().unwrap();
    let request =
        http.post(format!("{gateway}/v1/chat/completions")).header(CONTENT_TYPE, "application/json");
    let answer = request.body(body.to_string()).send().await.unwrap();
    let status = answer.status().as_u16();
    let retry_after = answer.headers().get(RETRY_AFTER).map(|value| value.to_str().unwrap().parse().unwrap());
    (status, retry_after, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// (MK-48)
#[tokio::test(flavor = "multi_thread")]
async fn forty_short_chats_at_once_on_four_slots_are_all_answered() {
    let ledger = Ledger::start().await;
    let (_provider, gateway) = market(&ledger, "40").await;
    let url = gateway.note.gateway.clone().unwrap();
    let mut chats = JoinSet::new();
    for number in 0..40 {
        chats.spawn(chat(url.clone(), format!("What is {number} plus 25?"), 16, 120_000));
    }
    let answers = chats.join_all().await;
    let failed: Vec<&Answer> = answers.iter().filter(|(status, ..)| *status != 200).collect();
    assert!(failed.is_empty(), "{} of {}: {failed:?}", failed.len(), answers.len());
}

/// (MK-50) Whoever does as it is told is served; nobody else is asked to wait.
#[tokio::test(flavor = "multi_thread")]
async fn a_chat_that_cannot_begin_in_time_is_told_when_it_can_and_is_served_then() {
    let ledger = Ledger::start().await;
    let (_provider, gateway) = market(&ledger, "40").await;
    let url = gateway.note.gateway.clone().unwrap();
    let (status, _, body) = chat(url.clone(), "What is 1 plus 1?".into(), 8, 120_000).await;
    assert_eq!(status, 200, "{body}");
    let mut load = JoinSet::new();
    for number in 0..16 {
        load.spawn(chat(url.clone(), format!("Count from {number} to {}.", number + 30), 40, 120_000));
    }
    sleep(Duration::from_secs(2)).await;
    let hurried = || chat(url.clone(), "What is 17 plus 25?".into(), 8, 3_000);
    let (status, told, body) = hurried().await;
    assert_eq!((status, body["error"]["code"].as_str()), (429, Some("rate_limit_exceeded")), "{body}");
    let told = told.expect("an appointment");
    assert!(told > 1, "{told} s, with a line of some ten seconds: {body}");
    sleep(Duration::from_secs(told)).await;
    let (mut status, again, mut body) = hurried().await;
    if status == 429 {
        // A machine that is slowed down by others may be a little behind its word.
        sleep(Duration::from_secs(again.expect("an appointment"))).await;
        (status, _, body) = hurried().await;
    }
    assert_eq!(status, 200, "after {told} s it is told {again:?}: {body}");
    for (status, _, body) in load.join_all().await {
        assert_eq!(status, 200, "{body}");
    }
}

/// (MK-15, MK-50) Answers are longer than what the provider can make of them in ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_burst_at_a_slow_provider_only_answers_that_were_under_way_meet_their_deadline() {
    let ledger = Ledger::start().await;
    let (_provider, gateway) = market(&ledger, "5").await;
    let url = gateway.note.gateway.clone().unwrap();
    let mut chats = JoinSet::new();
    for number in 0..12 {
        chats.spawn(chat(url.clone(), format!("Count from {number} to {}.", number + 30), 60, 10_000));
    }
    let answers = chats.join_all().await;
    let of = |wanted: u16| answers.iter().filter(|(status, ..)| *status == wanted).count();
    assert_eq!(of(200) + of(429) + of(504), 12, "{answers:?}");
    assert!(of(504) <= 4, "as many as there are slots can be under way: {answers:?}");
    let told: Vec<Option<u64>> =
        answers.iter().filter(|(status, ..)| *status == 429).map(|(_, told, _)| *told).collect();
    assert!(told.len() >= 4 && told.iter().all(|told| told.is_some()), "{answers:?}");
}
