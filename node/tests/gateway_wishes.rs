//! Wishes of the gateway's callers over HTTP: each row of the table is obeyed, ignored or refused by name, and what every
//! provider must refuse costs nothing.
#![allow(clippy::unwrap_used)]

mod processes;

use std::time::Duration;

use processes::{CHAT, EMBED, Ledger, Node};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};

/// The gateway's own table.
const WISHES: &str = include_str!("../src/http/openai/wishes.json");
const KEY: &str = "sixteen letters!";

fn http() -> Client {
    Client::builder().no_proxy().timeout(Duration::from_secs(120)).build().unwrap()
}

/// Sends a request to a gateway's endpoint; returns status and body.
async fn post(gateway: &Node, path: &str, body: &Value) -> (u16, Value) {
    let url = format!("{}/v1/{path}", gateway.note.gateway.as_ref().unwrap());
    let request = http().post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
    answered(request).await
}

async fn answered(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

/// Returns the endpoint and the body that holds a value at a place of the table, and the name that an error has for it.
fn request(place: &str, field: &str, value: &Value) -> (&'static str, Value, String) {
    let mut chat = json!({
        "model": CHAT, "max_tokens": 4, "messages": [{ "role": "user", "content": "What is 17 plus 25?" }],
    });
    let inside = |mut object: Value| {
        object[field] = value.clone();
        object
    };
    match place {
        "chat" => {
            chat[field] = value.clone();
            ("chat/completions", chat, field.to_owned())
        }
        "embeddings" => ("embeddings", inside(json!({ "model": EMBED, "input": "silk" })), field.to_owned()),
        "message" => {
            chat["messages"][0] = inside(chat["messages"][0].clone());
            ("chat/completions", chat, format!("messages[0].{field}"))
        }
        "part" => {
            chat["messages"][0]["content"] = json!([inside(json!({ "type": "text", "text": "silk" }))]);
            // Another part, so that the conversation is not empty whatever this one says.
            chat["messages"][0]["content"]
                .as_array_mut()
                .unwrap()
                .push(json!({ "type": "text", "text": "x" }));
            ("chat/completions", chat, format!("messages[0].content[0].{field}"))
        }
        "max_price" => {
            chat["provider"] = json!({ "max_price": inside(json!({})) });
            ("chat/completions", chat, format!("provider.max_price.{field}"))
        }
        object @ ("stream_options" | "bombyx" | "provider") => {
            chat[object] = inside(json!({}));
            ("chat/completions", chat, format!("{object}.{field}"))
        }
        _ => panic!("an unknown place: {place}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wish_is_obeyed_ignored_or_refused_by_name() {
    let ledger = Ledger::start().await;
    let provider = Node::provider(&ledger, &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let table: Vec<Value> = serde_json::from_str(WISHES).unwrap();
    let mut wrong = Vec::new();
    for row in &table {
        let (field, fate) = (row["field"].as_str().unwrap(), row["fate"].as_str().unwrap());
        for place in row["on"].as_array().unwrap().iter().map(|place| place.as_str().unwrap()) {
            for value in row["taken"].as_array().unwrap() {
                let (path, body, _) = request(place, field, value);
                let (status, answer) = post(&gateway, path, &body).await;
                if status != 200 {
                    wrong.push(format!("{place} {field} {value}: {status} {}", answer["error"]));
                }
            }
            let refused = row["refused"].as_array().unwrap();
            assert!(fate != "refused" || !refused.is_empty(), "{field} is refused without an example");
            for value in refused {
                let (path, body, name) = request(place, field, value);
                let (status, answer) = post(&gateway, path, &body).await;
                let error = &answer["error"];
                let param = error["param"].as_str().unwrap_or_default();
                let as_table_says = fate != "refused" || error["code"] == "unsupported_parameter";
                let named = param == name
                    || param.starts_with(&format!("{name}."))
                    || param.starts_with(&format!("{name}["));
                if !(400..=422).contains(&status)
                    || !named
                    || !as_table_says
                    || answer["error"]["bombyx"] != Value::Null
                {
                    wrong.push(format!("{place} {field} {value}: {status} {error}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_every_provider_must_refuse_costs_no_call_no_channel_and_no_coin() {
    let ledger = Ledger::start().await;
    let provider = Node::provider(&ledger, &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let chat = |content: &str| json!({ "model": CHAT, "messages": [{ "role": "user", "content": content }] });
    let with = |field: &str, value: Value| {
        let mut body = chat("hello");
        body[field] = value;
        body
    };
    let embed = |input: Value| json!({ "model": EMBED, "input": input });
    let many = vec![json!({ "role": "user", "content": "x" }); 129];
    let over = "context_length_exceeded";
    for (path, body, code, param) in [
        ("chat/completions", chat(&"x".repeat(3_000)), over, "messages"),
        ("chat/completions", chat(&"x ".repeat(20_000)), over, "messages"),
        ("chat/completions", chat(" \n"), "invalid_value", "messages"),
        ("chat/completions", with("messages", json!([])), "invalid_value", "messages"),
        ("chat/completions", with("messages", json!(many)), "invalid_value", "messages"),
        ("chat/completions", with("stop", json!(["x".repeat(1_000)])), "invalid_value", "stop"),
        ("chat/completions", with("stop", json!(["a", "b", "c", "d", "e"])), "invalid_value", "stop"),
        ("chat/completions", with("model", json!(EMBED)), "invalid_value", "model"),
        ("embeddings", embed(json!("silk ".repeat(300))), over, "input"),
        ("embeddings", embed(json!(["a", "silk ".repeat(300)])), over, "input"),
        ("embeddings", embed(json!(vec!["x".repeat(900); 100])), over, "input"),
        ("embeddings", embed(json!(vec!["a"; 257])), "invalid_value", "input"),
        ("embeddings", json!({ "model": CHAT, "input": "a" }), "invalid_value", "model"),
    ] {
        let (status, answer) = post(&gateway, path, &body).await;
        let error = &answer["error"];
        assert_eq!(status, 400, "{error}");
        assert_eq!((&error["code"], &error["param"]), (&json!(code), &json!(param)), "{error}");
        assert_eq!(error["type"], "invalid_request_error");
    }
    let (_, channels) = answered(gateway.page("/channels")).await;
    assert_eq!(channels["channels"], json!([]), "{channels}");
    let (_, status) = answered(gateway.page("/status")).await;
    assert_eq!(status["client"]["orders_failed"], 0, "no order was placed: {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_serve_as_the_caller_wants_it() {
    let ledger = Ledger::start().await;
    let one = Node::provider(&ledger, &[]).await;
    let two = Node::up(&ledger, &["--provide", CHAT, "--join", one.address()], &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", one.address(), "--join", two.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let [a, b] = [one.note.node_id.clone(), two.note.node_id.clone()];
    let nobody = "ab".repeat(32);
    let served = async |wanted: Value| {
        let question = json!([{ "role": "user", "content": "What is 17 plus 25?" }]);
        let body = json!({ "model": CHAT, "messages": question, "provider": wanted });
        let (status, answer) = post(&gateway, "chat/completions", &body).await;
        if status == 200 { answer["bombyx"]["providers"].clone() } else { answer["error"]["param"].clone() }
    };
    // Each twice in turn, so that neither a lease nor a good memory decides.
    for _ in 0..2 {
        for (wanted, provider) in [
            (json!({ "only": [a] }), &a),
            (json!({ "only": [b] }), &b),
            (json!({ "ignore": [b] }), &a),
            (json!({ "ignore": [a] }), &b),
            (json!({ "order": [a] }), &a),
            (json!({ "order": [nobody, b, a] }), &b),
            (json!({ "order": [a], "allow_fallbacks": false }), &a),
        ] {
            assert_eq!(served(wanted.clone()).await, json!([provider]), "{wanted}");
        }
    }
    assert_eq!(served(json!({ "only": [nobody] })).await, "provider");
    assert_eq!(served(json!({ "ignore": [a, b] })).await, "provider");
}

/// (MK-8, MK-52) With a lease standing as without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_never_costs_more_than_the_caller_wishes() {
    let ledger = Ledger::start().await;
    // 100,000 nano for 1,000 units: a coin for a million tokens in, six for a million out, 25,600 nano for the request.
    let prices = ["--price-job", "0.0000256", "--price-in", "0.001", "--price-out", "0.006"];
    let provider = Node::up(&ledger, &[&["--provide", CHAT][..], &prices].concat(), &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let gateway = Node::up(&ledger, &flags, &[]).await;
    let question = json!([{ "role": "user", "content": "What is 17 plus 25?" }]);
    for (wish, served) in [
        (json!({ "prompt": 0.9 }), false),
        (json!({ "prompt": 1.5, "completion": 9 }), true),
        (json!({ "completion": "5" }), false),
        (json!({ "request": 0.00002 }), false),
        (json!({ "request": "0.00004" }), true),
    ] {
        let body = json!({ "model": CHAT, "max_tokens": 4, "messages": question, "provider": { "max_price": wish } });
        let (status, answer) = post(&gateway, "chat/completions", &body).await;
        let code = &answer["error"]["code"];
        assert_eq!(status, if served { 200 } else { 422 }, "{wish}: {answer}");
        assert!(served || code == "price_ceiling_too_low", "{wish}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_an_answer_is_never_refused_for_its_size() {
    let ledger = Ledger::start().await;
    let provider = Node::provider(&ledger, &[]).await;
    let flags = ["--gateway", "127.0.0.1:0", "--join", provider.address()];
    let roomy = [("BOMBYX_GATEWAY_MAX_COST", "5")];
    // A new gateway for each: no lease decides.
    for limit in [4_097u64, 1 << 40] {
        let gateway = Node::up(&ledger, &flags, &roomy).await;
        let question = json!([{ "role": "user", "content": "What is 17 plus 25?" }]);
        let body = json!({ "model": CHAT, "max_tokens": limit, "messages": question });
        let (status, answer) = post(&gateway, "chat/completions", &body).await;
        assert_eq!(status, 200, "{limit}: {answer}");
        assert_eq!(answer["choices"][0]["finish_reason"], "stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_can_be_watched_and_pages_that_may_use_it_can() {
    let ledger = Ledger::start().await;
    let alone = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[("BOMBYX_GATEWAY_KEY", KEY)]).await;
    let at = |path: &str| format!("{}{path}", alone.note.gateway.as_ref().unwrap());
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();
    // Neither needs the key; nobody is there to buy from.
    assert_eq!(status(http().get(at("/health"))).await, 200);
    assert_eq!(answered(http().get(at("/ready"))).await.1["error"]["code"], "no_peers");
    // Every other page needs it, with the scheme in any case and a slash at the end or none.
    assert_eq!(status(http().get(at("/v1/models"))).await, 401);
    for (path, scheme) in [("/v1/models", "Bearer"), ("/v1/models/", "bearer"), ("/health/", "BEARER")] {
        let request = http().get(at(path)).header("authorization", format!("{scheme} {KEY}"));
        assert_eq!(status(request).await, 200, "{path} {scheme}");
    }

    // A page asks first, without the key, and then sends it.
    let page = "http://localhost:3000";
    let preflight = |node: &Node, origin: &str| {
        let url = format!("{}/v1/chat/completions", node.note.gateway.as_ref().unwrap());
        let request = http().request(Method::OPTIONS, url).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        request.header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
    };
    let shown_to = |headers: &HeaderMap| headers.get("access-control-allow-origin").cloned();
    let answer = preflight(&alone, page).send().await.unwrap();
    assert_eq!(answer.status(), 204);
    let headers = answer.headers();
    assert_eq!(shown_to(headers).unwrap(), page);
    assert!(headers["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert!(headers["access-control-allow-headers"].to_str().unwrap().contains("x-stainless-lang"));
    let answer = http().get(at("/v1/models")).header("origin", page).bearer_auth(KEY).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(shown_to(answer.headers()).unwrap(), page);
    // It sees an error as well.
    let answer = http().get(at("/v1/models")).header("origin", page).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), shown_to(answer.headers()).is_some()), (401, true));

    // Of a gateway that names origins, only their pages.
    let named = [("BOMBYX_GATEWAY_ORIGINS", page)];
    let listed = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &named).await;
    let models = |origin: &str| {
        http().get(format!("{}/v1/models", listed.note.gateway.as_ref().unwrap())).header("origin", origin)
    };
    assert_eq!(preflight(&listed, page).send().await.unwrap().status(), 204);
    assert_eq!(status(models(page)).await, 200);
    for stranger in ["https://evil.example", "http://localhost:3001", "null"] {
        let answer = preflight(&listed, stranger).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), shown_to(answer.headers())), (403, None), "{stranger}");
        let answer = models(stranger).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), shown_to(answer.headers())), (403, None), "{stranger}");
    }
    // Of one with neither key nor origins, no page at all.
    let open = Node::up(&ledger, &["--gateway", "127.0.0.1:0"], &[]).await;
    assert_eq!(preflight(&open, page).send().await.unwrap().status(), 403);
}
