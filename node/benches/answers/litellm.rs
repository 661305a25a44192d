//! LiteLLM's proxy under the same load, before a server that answers at once, where the machine has it.

use std::process::Stdio;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::process::Command;

use super::load::{KEY, Target};
use super::{CONNECTIONS, Rows};

/// An answer of one token.
const ANSWER: &str = r#"{"id":"1","object":"chat.completion","created":1,"model":"stub","choices":[{"index":0,"message":{"role":"assistant","content":"42"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}"#;

pub(crate) async fn measure(rows: &mut Rows, requests: u32, time: Duration) {
    let stub = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let behind = format!("http://{}", stub.local_addr().unwrap());
    let answers = post(async || ([(CONTENT_TYPE, "application/json")], ANSWER));
    let router = Router::new().route("/v1/chat/completions", answers);
    tokio::spawn(async move { axum::serve(stub, router).await });
    // Free a moment ago; nobody hands a port over to another's program.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_string();
    let proxy = Command::new("litellm")
        .args(["--host", "127.0.0.1", "--port", &port, "--model", "openai/stub"])
        .args(["--api_base", &format!("{behind}/v1"), "--num_workers", "1"])
        .env("OPENAI_API_KEY", "none")
        .env("LITELLM_MASTER_KEY", KEY)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn();
    let Ok(_proxy) = proxy else {
        return rows.add("LiteLLM", "", "not on the path");
    };
    let bare = Target::new(&behind, "stub");
    bare.warm_up(requests).await;
    let stub = bare.in_turn(requests).await.percentile(50);
    let target = Target::new(&format!("http://127.0.0.1:{port}"), "openai/stub");
    target.warm_up(requests / 10).await;
    rows.add("LiteLLM, added, 1 connection, p50 / p99", "ms", target.in_turn(requests).await.added(stub));
    let closed = target.closed_loop(CONNECTIONS, time).await;
    rows.add("LiteLLM, sustained, 32 connections", "1/s", format!("{:.0}", closed.rate()));
}
