//! The devnet's HTTP face: a subset of toncenter's interface, version 2, with a faucet and a clock beside it.
//!
//! | request | does |
//! |---|---|
//! | `POST /api/v2/jsonRPC` | any method below, as JSON-RPC |
//! | `GET` or `POST /api/v2/<method>` | `sendBoc`, `getAddressInformation`, `getAddressBalance`, `runGetMethod`, `getTransactions`, `getMasterchainInfo`, `getConfigAll`, `getConfigParam` |
//! | `GET /faucet?address=&amount=` | adds an amount of coins, such as `1.5` |
//! | `GET /time?advance=` | chain time in unix seconds; moves it forward first if asked |
//! | `GET /devnet/clock`, `POST` `{"advance_s": 60}` or `{"stop_at_s": 1790000000}` | the same, and stops the clock at a time |
//! | `POST /devnet/block` `{"count": 1}` | makes blocks now, where messages wait for them |
//! | `GET /`, `/account/{address}` | pages for people, see `explorer.rs` |
//!
//! Every other answer is JSON, refusals included, and every request has a limit in bytes and in time.

use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use bombyx_protocol::amount::Nano;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::backend::Devnet;
use super::params::{Failure, Params, bad, number_in, read_address};
use super::{explorer, methods};

/// Bytes of one request: the largest message in base64, with room for the rest.
const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// Until a request's body has arrived.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Seconds that one request may move the clock.
const ADVANCE_S_MAX: u32 = 366 * 24 * 3600;
/// Blocks that one request may make.
const BLOCKS_MAX: u64 = 1_000;

type QueryResult = Result<Query<HashMap<String, String>>, QueryRejection>;

/// Returns the routes; mount them, or [`serve`] them.
pub fn router(devnet: Devnet) -> Router {
    Router::new()
        .route("/api/v2/{method}", any(api))
        .route("/faucet", any(faucet))
        .route("/time", any(time))
        .route("/devnet/clock", any(clock))
        .route("/devnet/block", post(blocks))
        .route("/", get(async |State(devnet): State<Devnet>| explorer::front(&devnet)))
        .route("/account/{address}", get(account_page))
        .route("/find", get(find_page))
        .route("/give", get(give_page))
        .fallback(async || reply(Err(Failure(StatusCode::NOT_FOUND, "no such path".into())), None))
        .with_state(devnet)
}

/// Serves the devnet until `stop` resolves.
///
/// # Errors
/// What the socket reports.
pub async fn serve(
    devnet: Devnet,
    listener: TcpListener,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(devnet)).with_graceful_shutdown(stop).await
}

async fn api(
    State(devnet): State<Devnet>,
    method: Result<Path<String>, PathRejection>,
    query: QueryResult,
    request: Request,
) -> Response {
    let method = method.map(|Path(method)| method).unwrap_or_default();
    if request.method() == Method::GET {
        let params = pairs(query).into_iter().map(|(name, text)| (name, Value::String(text))).collect();
        return reply(methods::call(&devnet, &method, &params), None);
    }
    let body = match body_of(request).await {
        Ok(body) => body,
        Err(failure) => return reply(Err(failure), None),
    };
    if method != "jsonRPC" {
        return reply(methods::call(&devnet, &method, &body), None);
    }
    let method = body.get("method").and_then(Value::as_str).unwrap_or_default();
    let empty = Params::new();
    let params = body.get("params").and_then(Value::as_object).unwrap_or(&empty);
    reply(methods::call(&devnet, method, params), Some(body.get("id").cloned().unwrap_or_default()))
}

async fn body_of(request: Request) -> Result<Params, Failure> {
    let read = to_bytes(request.into_body(), REQUEST_BYTES_MAX);
    let bytes = tokio::time::timeout(REQUEST_TIMEOUT, read)
        .await
        .map_err(|_| Failure(StatusCode::REQUEST_TIMEOUT, "the request's body did not arrive".into()))?
        .map_err(|_| {
            let text = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
            Failure(StatusCode::PAYLOAD_TOO_LARGE, text)
        })?;
    serde_json::from_slice(&bytes).map_err(|_| bad("the request's body is not a JSON object"))
}

async fn faucet(State(devnet): State<Devnet>, Query(query): Query<HashMap<String, String>>) -> Response {
    let give = || {
        let text = |name: &str| query.get(name).ok_or_else(|| bad(format!("{name} is required")));
        let address = read_address(text("address")?)?;
        let amount = Nano::from_coins(text("amount")?).map_err(|error| bad(error.to_string()))?;
        devnet.faucet(address, amount).map_err(|error| bad(error.to_string()))?;
        Ok(json!({ "balance": devnet.state().account(address)?.balance.0.to_string() }))
    };
    reply(give(), None)
}

async fn time(State(devnet): State<Devnet>, Query(query): Query<HashMap<String, String>>) -> Response {
    let tell = || {
        if let Some(text) = query.get("advance") {
            let seconds = text.parse().ok().filter(|seconds| *seconds <= ADVANCE_S_MAX);
            let text = || bad(format!("advance takes 0 to {ADVANCE_S_MAX} seconds"));
            devnet.advance(seconds.ok_or_else(text)?);
        }
        Ok(json!({ "now": devnet.now_s() }))
    };
    reply(tell(), None)
}

async fn clock(State(devnet): State<Devnet>, request: Request) -> Response {
    if request.method() != Method::POST {
        return reply(Ok(json!({ "now": devnet.now_s() })), None);
    }
    let set = |body: &Params| {
        let second = |name: &str, max: u32| match number_in(body, name, 0)? {
            0 => Ok(None),
            number => match u32::try_from(number).ok().filter(|number| *number <= max) {
                Some(number) => Ok(Some(number)),
                None => Err(bad(format!("{name} takes 1 to {max}"))),
            },
        };
        let (stop_at_s, advance_s) = (second("stop_at_s", u32::MAX)?, second("advance_s", ADVANCE_S_MAX)?);
        if stop_at_s.is_none() && advance_s.is_none() {
            return Err(bad("advance_s or stop_at_s is required"));
        }
        stop_at_s.into_iter().for_each(|at| devnet.stop_clock(at));
        advance_s.into_iter().for_each(|seconds| devnet.advance(seconds));
        Ok(json!({ "now": devnet.now_s() }))
    };
    reply(body_of(request).await.and_then(|body| set(&body)), None)
}

async fn blocks(State(devnet): State<Devnet>, request: Request) -> Response {
    let make = |body: &Params| {
        let count = number_in(body, "count", 1)?;
        if !(1..=BLOCKS_MAX).contains(&count) {
            return Err(bad(format!("count takes 1 to {BLOCKS_MAX}")));
        }
        (0..count).for_each(|_| devnet.produce_block());
        Ok(json!({ "block": devnet.state().seqno() }))
    };
    reply(body_of(request).await.and_then(|body| make(&body)), None)
}

async fn account_page(
    State(devnet): State<Devnet>,
    address: Result<Path<String>, PathRejection>,
) -> Response {
    explorer::account(&devnet, &address.map(|Path(address)| address).unwrap_or_default())
}

async fn find_page(State(devnet): State<Devnet>, query: QueryResult) -> Response {
    explorer::find(&devnet, pairs(query).get("address").map_or("", String::as_str))
}

async fn give_page(State(devnet): State<Devnet>, query: QueryResult) -> Response {
    let pairs = pairs(query);
    let text = |name: &str| pairs.get(name).map_or("", String::as_str);
    explorer::give(&devnet, text("address"), text("amount"))
}

/// Reads a query; an unreadable one counts as empty: what is missing then gets an answer in JSON.
fn pairs(query: QueryResult) -> HashMap<String, String> {
    query.map(|Query(pairs)| pairs).unwrap_or_default()
}

fn reply(outcome: Result<Value, Failure>, id: Option<Value>) -> Response {
    let (status, mut answer) = match outcome {
        Ok(result) => (StatusCode::OK, json!({ "ok": true, "result": result })),
        Err(Failure(status, error)) => {
            (status, json!({ "ok": false, "error": error, "code": status.as_u16() }))
        }
    };
    if let (Some(id), Some(answer)) = (id, answer.as_object_mut()) {
        answer.insert("jsonrpc".into(), "2.0".into());
        answer.insert("id".into(), id);
    }
    (status, axum::Json(answer)).into_response()
}
