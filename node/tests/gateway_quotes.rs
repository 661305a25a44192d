//! Prices before anything is asked, and what is said where nobody sells: over HTTP and on the command line.
#![allow(clippy::unwrap_used)]

mod processes;

use std::time::Duration;

use processes::{CHAT, EMBED, Ledger, Node, ask, assert_fails, bombyx, finish, last_object};
use reqwest::Client;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

const QUESTION: &str = "What is 17 plus 25?";

async fn post(gateway: &Node, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/v1/{path}", gateway.note.gateway.as_ref().unwrap());
    let http = Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap();
    let answer = http.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string()).send().await;
    let answer = answer.unwrap();
    (answer.status().as_u16(), serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

async fn page(node: &Node, path: &str) -> Value {
    serde_json::from_str(&node.page(path).send().await.unwrap().text().await.unwrap()).unwrap()
}

/// What the wallet of a gateway holds.
async fn held(gateway: &Node) -> u64 {
    page(gateway, "/status").await["ledger"]["balance_nano"].as_u64().unwrap()
}

/// What it holds once its only channel is open.
async fn opened(gateway: &Node) -> u64 {
    let until = Instant::now() + Duration::from_secs(60);
    while page(gateway, "/channels").await["channels"][0]["state"] != "open" {
        assert!(Instant::now() < until, "the channel does not open");
        sleep(Duration::from_millis(100)).await;
    }
    held(gateway).await
}

fn chat(max_tokens: u32) -> Value {
    json!({ "model": CHAT, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": QUESTION }] })
}

/// The bill of so many tokens at a price, by the usual weights.
fn bill(price: u64, input: u64, output: u64) -> u64 {
    (price * (256 + 10 * input + 60 * output)).div_ceil(1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_priced_without_being_run_and_costs_what_was_said() {
    let ledger = Ledger::start().await;
    let provider = Node::provider(&ledger, &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;

    let (status, quote) = post(&gateway, "quote", &chat(100)).await;
    assert_eq!(status, 200, "{quote}");
    assert_eq!(
        (&quote["object"], &quote["model"], &quote["input_counted"]),
        (&json!("quote"), &json!(CHAT), &json!(true))
    );
    assert_eq!(
        (&quote["sellers"], &quote["one_seller"], &quote["leased"]),
        (&json!(1), &json!(true), &json!(false))
    );
    let (input, price) =
        (quote["input_tokens"].as_u64().unwrap(), quote["price_per_k_units_nano"].as_u64().unwrap());
    assert_eq!(input, QUESTION.len() as u64 + 3, "this model reads bytes, and three tokens of its template");
    for (length, output) in [("empty", 0), ("expected", 25), ("largest", 100)] {
        assert_eq!(quote["bill"][format!("{length}_nano")], bill(price, input, output), "{length}: {quote}");
    }
    assert_eq!((&quote["channel"]["state"], &quote["channel"]["fault"]), (&json!("opens"), &json!(null)));
    assert!(quote["channel"]["locks_nano"].as_u64().unwrap() >= bill(price, input, 100));
    assert!(quote["channel"]["opening_nano"].as_u64().unwrap() > 0);
    let least = bill(price, input, 37);
    let cut = (bill(price, input, 80), "cut", 70);
    for (allowed, answer, tokens) in [(bill(price, input, 100), "whole", 100), cut, (least - 1, "refused", 0)]
    {
        let mut body = chat(100);
        body["bombyx"] = json!({ "max_cost_nano": allowed });
        let (_, told) = post(&gateway, "quote", &body).await;
        let said = (&told["answer"], &told["output_tokens_served"], &told["least_max_cost_nano"]);
        assert_eq!(said, (&json!(answer), &json!(tokens), &json!(least)), "{told}");
    }
    let (_, other) = post(&gateway, "quote", &json!({ "model": EMBED, "input": ["silk", "moth"] })).await;
    assert_eq!(
        (&other["sellers"], &other["bill"]["empty_nano"]),
        (&json!(1), &other["bill"]["largest_nano"])
    );
    assert_eq!(page(&gateway, "/channels").await["channels"], json!([]), "nothing is locked");
    assert_eq!(page(&gateway, "/status").await["client"]["orders_done"], 0);

    // What the gateway refuses of a request it refuses of a quote.
    for (body, code) in [
        (json!({ "model": "nothing", "messages": [] }), "model_not_found"),
        (
            json!({ "model": CHAT, "messages": [{ "role": "user", "content": "x".repeat(3_000) }] }),
            "context_length_exceeded",
        ),
        (json!({ "model": CHAT, "messages": [], "temprature": 1 }), "unknown_parameter"),
        (json!({ "model": EMBED, "messages": [{ "role": "user", "content": "x" }] }), "invalid_value"),
    ] {
        let (status, answer) = post(&gateway, "quote", &body).await;
        assert_eq!((status / 100, &answer["error"]["code"]), (4, &json!(code)), "{answer}");
    }

    // Then it is run, and costs no more than what was said to be the most, for as many tokens; opening the channel takes no more
    // than was said. That wins a lease; by that the next one's price is agreed.
    assert_eq!(quote["basis"], "ask");
    let before = held(&gateway).await;
    let (status, answer) = post(&gateway, "chat/completions", &chat(100)).await;
    assert_eq!(status, 200, "{answer}");
    let output = answer["usage"]["completion_tokens"].as_u64().unwrap();
    let (cost, most) =
        (answer["bombyx"]["cost_nano"].as_u64().unwrap(), quote["most_per_k_units_nano"].as_u64());
    assert!(cost <= bill(most.unwrap(), input, output), "{answer} after {quote}");
    // The default prices are in the proportion of what tokens count, so that an ask says what any bid will.
    assert_eq!(cost, bill(price, input, output), "{answer} after {quote}");
    let taken = before - opened(&gateway).await;
    let said = &quote["channel"];
    let said = said["locks_nano"].as_u64().unwrap() + said["opening_nano"].as_u64().unwrap();
    assert!(taken <= said && taken > said / 2, "{taken} left the wallet after {quote}");
    let (_, quote) = post(&gateway, "quote", &chat(100)).await;
    assert_eq!((&quote["leased"], &quote["channel"]["state"]), (&json!(true), &json!("open")), "{quote}");
    let (status, answer) = post(&gateway, "chat/completions", &chat(100)).await;
    assert_eq!(status, 200);
    let output = answer["usage"]["completion_tokens"].as_u64().unwrap();
    let price = quote["price_per_k_units_nano"].as_u64().unwrap();
    assert_eq!(answer["bombyx"]["cost_nano"], bill(price, input, output));

    // The same on the command line: by the node of the home, and by one of its own.
    let mut command = bombyx(&gateway.home());
    command.args(["ask", "--quote", "--json", QUESTION]);
    let said = last_object(&finish(command).await);
    assert_eq!((&said["leased"], &said["input_tokens"]), (&json!(true), &json!(input)));
    let home = tempfile::tempdir().unwrap();
    let said = finish(ask(home.path(), &ledger, provider.address(), &["--quote", QUESTION])).await;
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(text.contains("one seller") && text.contains("a new one: locks"), "{text}");
    let mut command = bombyx(home.path());
    command.args(["wallet", "--ledger", &ledger.url, "--json"]);
    let wallet = last_object(&finish(command).await);
    assert_eq!(wallet["balance_nano"], 0, "no faucet was asked: {wallet}");
}

/// Its price sheet has nothing in common with what tokens count: an ask for other tasks would say little.
#[tokio::test(flavor = "multi_thread")]
async fn a_seller_that_wants_all_for_the_job_or_for_output_is_quoted_what_it_bills() {
    for flags in [
        ["--provide", CHAT, "--price-job", "0.001", "--price-in", "0", "--price-out", "0"],
        ["--provide", CHAT, "--price-job", "0", "--price-in", "0", "--price-out", "0.01"],
    ] {
        let ledger = Ledger::start().await;
        let provider = Node::up(&ledger, &flags, &[]).await;
        let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
        let gateway = Node::up(&ledger, &flags, &[]).await;
        let (status, quote) = post(&gateway, "quote", &chat(100)).await;
        assert_eq!((status, &quote["basis"]), (200, &json!("ask")), "{quote}");
        let (status, answer) = post(&gateway, "chat/completions", &chat(100)).await;
        assert_eq!(status, 200, "{answer}");
        let (price, input) =
            (quote["price_per_k_units_nano"].as_u64().unwrap(), quote["input_tokens"].as_u64().unwrap());
        let output = answer["usage"]["completion_tokens"].as_u64().unwrap();
        assert_eq!(answer["bombyx"]["cost_nano"], bill(price, input, output), "{answer} after {quote}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_sells_the_model_or_nobody_is_there_each_is_said_within_seconds() {
    let ledger = Ledger::start().await;
    let provider = Node::up(&ledger, &["--provide", CHAT], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let alone = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    let patient = json!({ "deadline_ms": 600_000 });
    let embed = json!({ "model": EMBED, "input": "silk", "bombyx": patient });
    let mut chat = chat(4);
    chat["bombyx"] = patient.clone();
    for path in ["quote", "embeddings"] {
        // The deadline is ten minutes; the caller of this test gives up after two.
        let (status, answer) = post(&gateway, path, &embed).await;
        let error = &answer["error"];
        assert_eq!(
            (status, &error["code"], &error["param"]),
            (404, &json!("no_seller"), &json!("model")),
            "{path}: {error}"
        );
        assert!(error["message"].as_str().unwrap().ends_with("on offer: bombyx-chat-tiny"), "{error}");
    }
    for path in ["quote", "chat/completions"] {
        let (status, answer) = post(&alone, path, &chat).await;
        assert_eq!((status, &answer["error"]["code"]), (503, &json!("no_peers")), "{path}: {answer}");
    }
    let home = tempfile::tempdir().unwrap();
    for flags in [&["--quote", "--embed", "silk"][..], &["--embed", "--deadline", "600", "silk"]] {
        let said = finish(ask(home.path(), &ledger, provider.address(), flags)).await;
        assert_fails(&said, 28, &["nobody", "on offer: bombyx-chat-tiny"]);
    }
}
