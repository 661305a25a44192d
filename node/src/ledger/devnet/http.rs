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
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;
use tycho_types::boc::Boc;
use tycho_types::cell::Cell;

use super::backend::{Devnet, method_id};
use super::{explorer, stack};
use crate::ledger::chain::{ChainError, Message, Transaction};
use crate::ledger::wallet::{friendly, parse_address};

/// Bytes of one request: the largest message in base64, with room for the rest.
const REQUEST_BYTES_MAX: usize = 128 * 1024;
/// Until a request's body has arrived.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Transactions in one answer.
const TRANSACTIONS_MAX: usize = 100;
/// Values on the stack of a get-method.
const STACK_MAX: usize = 64;
/// How deep tuples on a stack are shown.
const TUPLE_DEPTH_MAX: usize = 4;
/// Seconds that one request may move the clock.
const ADVANCE_S_MAX: u32 = 366 * 24 * 3600;

/// Blocks that one request may make.
const BLOCKS_MAX: u64 = 1_000;

type Params = Map<String, Value>;
type QueryResult = Result<Query<HashMap<String, String>>, QueryRejection>;

/// Why a request has no result: status and words.
struct Failure(StatusCode, String);

impl From<ChainError> for Failure {
    fn from(error: ChainError) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

fn bad(what: impl Into<String>) -> Failure {
    Failure(StatusCode::UNPROCESSABLE_ENTITY, what.into())
}

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
        return reply(call(&devnet, &method, &params), None);
    }
    let body = match body_of(request).await {
        Ok(body) => body,
        Err(failure) => return reply(Err(failure), None),
    };
    if method != "jsonRPC" {
        return reply(call(&devnet, &method, &body), None);
    }
    let method = body.get("method").and_then(Value::as_str).unwrap_or_default();
    let empty = Params::new();
    let params = body.get("params").and_then(Value::as_object).unwrap_or(&empty);
    reply(call(&devnet, method, params), Some(body.get("id").cloned().unwrap_or_default()))
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

fn call(devnet: &Devnet, method: &str, params: &Params) -> Result<Value, Failure> {
    match method {
        "getMasterchainInfo" => Ok(masterchain(devnet)),
        "getConfigAll" => Ok(configuration(devnet)),
        "getConfigParam" => parameter(devnet, params),
        "getAddressInformation" => information(devnet, address_in(params)?),
        "getAddressBalance" => Ok(json!(devnet.state().account(address_in(params)?)?.balance.0.to_string())),
        "sendBoc" => send(devnet, params),
        "runGetMethod" => run_get_method(devnet, params),
        "getTransactions" => transactions(devnet, params),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(Failure(StatusCode::NOT_FOUND, format!("the devnet has no method {other:?}")))
        }
    }
}

fn text_in<'a>(params: &'a Params, name: &str) -> Result<&'a str, Failure> {
    params.get(name).and_then(Value::as_str).ok_or_else(|| bad(format!("{name} is required")))
}

fn number_in(params: &Params, name: &str, default: u64) -> Result<u64, Failure> {
    match params.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .ok_or_else(|| bad(format!("{name} is not a number"))),
    }
}

fn address_in(params: &Params) -> Result<Address, Failure> {
    read_address(text_in(params, "address")?)
}

fn read_address(text: &str) -> Result<Address, Failure> {
    parse_address(text).ok_or_else(|| bad("not an address; expected 0:... or EQ... or UQ..."))
}

fn block(workchain: i32, seqno: u32) -> Value {
    json!({
        "@type": "ton.blockIdExt", "workchain": workchain, "shard": "-9223372036854775808", "seqno": seqno,
        "root_hash": BASE64.encode([0; 32]), "file_hash": BASE64.encode([0; 32]),
    })
}

fn masterchain(devnet: &Devnet) -> Value {
    let last = block(-1, devnet.state().seqno());
    json!({
        "@type": "blocks.masterchainInfo", "last": last, "init": block(-1, 0),
        "state_root_hash": BASE64.encode([0; 32]),
    })
}

fn configuration(devnet: &Devnet) -> Value {
    let bytes = devnet.state().configuration().map(|root| BASE64.encode(Boc::encode(root)));
    json!({ "@type": "configInfo", "config": { "@type": "tvm.cell", "bytes": bytes } })
}

fn parameter(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let number = u32::try_from(number_in(params, "config_id", 0)?).ok();
    let cell = number.and_then(|number| devnet.state().parameter(number));
    let cell = cell.ok_or_else(|| bad("config_id is not the number of a parameter that the devnet has"))?;
    let bytes = BASE64.encode(Boc::encode(cell));
    Ok(json!({ "@type": "configInfo", "config": { "@type": "tvm.cell", "bytes": bytes } }))
}

fn information(devnet: &Devnet, address: Address) -> Result<Value, Failure> {
    let state = devnet.state();
    let account = state.account(address)?;
    let encode = |cell: &Cell| BASE64.encode(Boc::encode(cell));
    let contract = account.contract.as_ref();
    Ok(json!({
        "@type": "raw.fullAccountState",
        "balance": account.balance.0.to_string(),
        "extra_currencies": [],
        "state": if contract.is_some() { "active" } else { "uninitialized" },
        "code": contract.map(|contract| encode(&contract.code)).unwrap_or_default(),
        "data": contract.map(|contract| encode(&contract.data)).unwrap_or_default(),
        "last_transaction_id": transaction_id(account.last_lt, &state.last_hash(address)),
        "block_id": block(-1, state.seqno()),
        "frozen_hash": "",
        "sync_utime": account.chain_time_s,
    }))
}

fn transaction_id(lt: u64, hash: &[u8; 32]) -> Value {
    json!({ "@type": "internal.transactionId", "lt": lt.to_string(), "hash": BASE64.encode(hash) })
}

fn send(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let boc = BASE64.decode(text_in(params, "boc")?).map_err(|_| bad("boc is not base64"))?;
    match devnet.state().deliver(&boc) {
        Ok(()) => Ok(json!({ "@type": "ok" })),
        // Clients find the exit code in these words.
        Err(ChainError::Refused { exit_code: Some(code), .. }) => Err(Failure(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!(
                "LITE_SERVER_UNKNOWN: cannot apply external message to current state : External message was not \
                 accepted\nexitcode={code}, steps=0, gas_used=0"
            ),
        )),
        Err(error) => Err(bad(error.to_string())),
    }
}

fn run_get_method(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let address = address_in(params)?;
    let method = match params.get("method") {
        Some(Value::String(name)) => method_id(name),
        Some(value) => value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .ok_or_else(|| bad("method is not a name or a number"))?,
        None => return Err(bad("method is required")),
    };
    let none = Vec::new();
    let given = params.get("stack").and_then(Value::as_array).unwrap_or(&none);
    if given.len() > STACK_MAX {
        return Err(bad(format!("a stack has at most {STACK_MAX} values")));
    }
    let given = given.iter().map(stack::read).collect::<Result<Vec<_>, _>>().map_err(bad)?;
    let state = devnet.state();
    let answer = state.get_method(address, method, given)?;
    let (exit_code, gas, left) = answer.map_or((-256, 0, Vec::new()), |answer| {
        let shown = answer.stack.iter().map(|value| stack::show(value, TUPLE_DEPTH_MAX)).collect();
        (answer.exit_code, answer.gas, shown)
    });
    Ok(json!({
        "@type": "smc.runResult", "gas_used": gas, "stack": left, "exit_code": exit_code,
        "block_id": block(-1, state.seqno()),
    }))
}

fn transactions(devnet: &Devnet, params: &Params) -> Result<Value, Failure> {
    let address = address_in(params)?;
    let limit = usize::try_from(number_in(params, "limit", 10)?).unwrap_or(usize::MAX);
    let (from, to) = (number_in(params, "lt", u64::MAX)?, number_in(params, "to_lt", 0)?);
    let state = devnet.state();
    let records = state
        .history
        .of(address)
        .filter(|record| record.lt <= from && record.lt > to)
        .take(limit.min(TRANSACTIONS_MAX));
    let mut list = Vec::new();
    for record in records {
        let transaction = Transaction::read(&record.cell)?;
        let mut entry = json!({
            "@type": "raw.transaction",
            "address": { "@type": "accountAddress", "account_address": friendly(address, true) },
            "utime": transaction.at_s,
            "data": BASE64.encode(Boc::encode(&record.cell)),
            "transaction_id": transaction_id(record.lt, &record.hash),
            "fee": transaction.fee.0.to_string(),
            "storage_fee": "0",
            "other_fee": transaction.fee.0.to_string(),
            "out_msgs": transaction.outgoing.iter().map(message).collect::<Vec<_>>(),
        });
        if let Some(incoming) = &transaction.incoming {
            entry["in_msg"] = message(incoming);
        }
        list.push(entry);
    }
    Ok(json!(list))
}

fn message(message: &Message) -> Value {
    let party = |address: Option<Address>| address.map(|address| friendly(address, true)).unwrap_or_default();
    json!({
        "@type": "raw.message",
        "source": party(message.from),
        "destination": party(message.to),
        "value": message.value.0.to_string(),
        "fwd_fee": message.forward_fee.0.to_string(),
        "ihr_fee": "0",
        "created_lt": message.created_lt.to_string(),
        "body_hash": BASE64.encode(message.body.repr_hash().0),
        "msg_data": { "@type": "msg.dataRaw", "body": BASE64.encode(Boc::encode(&message.body)), "init_state": "" },
        "message": "",
    })
}
