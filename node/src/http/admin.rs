//! The node's own pages for its operator: on this machine only, without prompts or keys.
//!
//! | request | does |
//! |---|---|
//! | `GET /status`, `/healthz`, `/channels` | what the node says about itself |
//! | `GET /models` | what is on offer |
//! | `POST /join` | dials a further node to join through, of which a list may be given |
//! | `POST /channels/{account}/close`, `/channels/{account}/topup` | acts on one channel |
//! | `POST /channels/close` | closes all of them |
//! | `POST /wallet/send` | sends coins |
//! | `POST /quote` | says what a question would cost |
//! | `POST /ask` | puts a question: what comes back are lines of JSON, one a part of the answer |
//!
//! Every request shows the token that lies in the node's home, which only its owner can read, because other users and web
//! pages of this machine reach the port too. Reading costs the ledger nothing: see `pages`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path as FilePath;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::terms::Address;
use futures::stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use super::origin::{check_host, check_no_page};
use super::server;
use crate::api::handle::NodeHandle;
use crate::api::question::{Question, price, put};
use crate::api::quote::QuoteReport;
use crate::error::NodeError;
use crate::error::exit::ExitKind;
use crate::home::{TOKEN, keys};
use crate::ledger::parse_address;
use crate::status::ChannelPhase;
use crate::status::channels::{self, ChannelError, ChannelList};
use crate::status::payee::{PayeeCard, PayeeCardError};

/// An amount for one channel.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TopUpRequest {
    /// How much, in nano.
    pub amount_nano: u64,
}

/// A channel to open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OpenRequest {
    /// The provider's payee: [`PayeeCard`] as text.
    pub payee: String,
    /// The deposit, in nano.
    pub deposit_nano: u64,
}

/// A payment of the wallet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SendRequest {
    /// To which address, in raw or user-friendly form.
    pub to: String,
    /// How much, in nano; nothing for all that can be sent.
    pub amount_nano: Option<u64>,
}

/// An error as the pages tell it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Denial {
    /// What is wrong.
    pub error: String,
    /// What to do about it.
    pub hint: String,
    /// The exit code that belongs to it.
    pub code: u8,
}

/// Serves the pages on a free port of this machine, as long as the process lives; returns their base URL. A fresh token
/// is written into `home`.
///
/// # Errors
/// [`NodeError::Listen`] when no port can be had, [`NodeError::Keys`] when the token cannot be written.
pub(crate) async fn serve(node: NodeHandle, home: &FilePath) -> Result<String, NodeError> {
    let token = Zeroizing::new(hex::encode(*keys::fresh_seed()?));
    keys::replace_private(&home.join(TOKEN), &token)?;
    let expected: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listen = |source| NodeError::Listen { address, flag: None, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let pages = Router::new()
        .route("/status", get(status))
        .route("/healthz", get(healthz))
        .route("/models", get(models))
        .route("/join", post(join))
        .route("/channels", get(list))
        .route("/channels/{account}/close", post(close))
        .route("/channels/close", post(close_all))
        .route("/channels/open", post(open))
        .route("/channels/{account}/topup", post(top_up))
        .route("/wallet/send", post(send))
        .route("/quote", post(quote))
        .route("/ask", post(ask))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(from_fn_with_state(TokenCheck { token: expected, port: address.port() }, allowed))
        .with_state(node);
    tokio::spawn(server::serve(listener, pages));
    Ok(format!("http://{address}"))
}

/// What a request is checked against.
#[derive(Clone, Copy)]
struct TokenCheck {
    /// Hash of the token.
    token: [u8; 32],
    /// Where the pages are.
    port: u16,
}

/// Lets a request with the token pass that was sent to this machine and by no web page. Hashes are compared, so that the time
/// taken tells nothing of the token.
async fn allowed(
    State(check): State<TokenCheck>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let own = check_host(&headers, request.uri(), &[]).and_then(|()| check_no_page(&headers));
    if let Err(fault) = own {
        return (StatusCode::FORBIDDEN, fault.to_string()).into_response();
    }
    if !names_port(&headers, check.port) {
        return (StatusCode::FORBIDDEN, "`Host` names another port than this one").into_response();
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    let matches =
        given.is_some_and(|given| <[u8; 32]>::from(Sha256::digest(given.as_bytes())) == check.token);
    if matches {
        return next.run(request).await;
    }
    (StatusCode::UNAUTHORIZED, "the token in the node's home is needed").into_response()
}

/// Returns whether the request was sent to this port, as far as it says.
fn names_port(headers: &HeaderMap, port: u16) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host: Option<Authority> = host.and_then(|host| host.parse().ok());
    host.is_some_and(|host| host.port_u16() == Some(port))
}

impl IntoResponse for NodeError {
    fn into_response(self) -> Response {
        let denial = Denial { error: self.to_string(), hint: self.hint(), code: self.code().number() };
        let status = if matches!(self, Self::Stopped(_)) {
            StatusCode::SERVICE_UNAVAILABLE
        } else if matches!(self, Self::Channel(ChannelError::Unknown(_))) {
            StatusCode::NOT_FOUND
        } else if self.code() == ExitKind::Ledger {
            StatusCode::BAD_GATEWAY
        } else {
            StatusCode::CONFLICT
        };
        (status, Json(denial)).into_response()
    }
}

async fn status(State(node): State<NodeHandle>) -> Result<Response, NodeError> {
    Ok(Json(node.status().await?).into_response())
}

async fn models(State(node): State<NodeHandle>) -> Result<Response, NodeError> {
    Ok(Json(node.models().await?).into_response())
}

async fn join(
    State(node): State<NodeHandle>,
    Json(addresses): Json<Vec<String>>,
) -> Result<Response, NodeError> {
    for address in addresses {
        node.join(address).await?;
    }
    Ok(Json(()).into_response())
}

async fn healthz(State(node): State<NodeHandle>) -> Result<Response, NodeError> {
    node.channels().await?;
    Ok("ok".into_response())
}

async fn list(State(node): State<NodeHandle>) -> Result<Json<ChannelList>, NodeError> {
    Ok(Json(node.channel_list().await?))
}

async fn close_all(State(node): State<NodeHandle>) -> Result<Response, NodeError> {
    let closing = node.close_channels().await?;
    let mut open = node.channels().await?;
    open.retain(|channel| channel.state != ChannelPhase::Closed);
    node.check_closing(&open).await?;
    Ok(Json(closing).into_response())
}

async fn close(State(node): State<NodeHandle>, Path(name): Path<String>) -> Result<Response, NodeError> {
    let account = known(&name)?;
    let closing = node.close_channel(account).await?;
    node.check_closing(std::slice::from_ref(&closing)).await?;
    Ok(Json(closing).into_response())
}

async fn open(State(node): State<NodeHandle>, Json(open): Json<OpenRequest>) -> Result<Response, NodeError> {
    node.open_channel(payee(&open.payee)?, Nano(open.deposit_nano)).await?;
    Ok(Json(open).into_response())
}

async fn top_up(
    State(node): State<NodeHandle>,
    Path(name): Path<String>,
    Json(TopUpRequest { amount_nano }): Json<TopUpRequest>,
) -> Result<Response, NodeError> {
    let account = known(&name)?;
    Ok(Json(node.top_up_channel(account, Nano(amount_nano)).await?).into_response())
}

async fn send(State(node): State<NodeHandle>, Json(send): Json<SendRequest>) -> Result<Response, NodeError> {
    let sent = node.send(receiver(&send.to)?, send.amount_nano.map(Nano)).await?;
    let send = SendRequest { amount_nano: Some(sent.0), ..send };
    Ok(Json(send).into_response())
}

async fn quote(
    State(node): State<NodeHandle>,
    Json(question): Json<Question>,
) -> Result<Json<QuoteReport>, NodeError> {
    question.check().await?;
    Ok(Json(price(&node, &question).await?))
}

/// Answers with one [`AnswerPart`](crate::api::question::AnswerPart) a line. Whoever hangs up cancels the order.
async fn ask(State(node): State<NodeHandle>, Json(question): Json<Question>) -> Result<Response, NodeError> {
    question.check().await?;
    let lines = stream::unfold(put(node, question), |mut parts| async move {
        let part = parts.recv().await?;
        let line = serde_json::to_string(&part).map(|line| line + "\n");
        Some((line, parts))
    });
    Ok(Body::from_stream(lines).into_response())
}

fn known(name: &str) -> Result<ChannelId, ChannelError> {
    channels::account(name).ok_or_else(|| ChannelError::Unknown(name.to_owned()))
}

/// Reads how a provider is paid.
///
/// # Errors
/// [`NodeError::Usage`] says what it must look like.
pub(crate) fn payee(text: &str) -> Result<PayeeCard, NodeError> {
    text.parse().map_err(|error: PayeeCardError| NodeError::Usage(error.to_string()))
}

/// Reads the address of a payment.
///
/// # Errors
/// [`NodeError::Usage`] quotes what is none.
pub(crate) fn receiver(text: &str) -> Result<Address, NodeError> {
    parse_address(text).ok_or_else(|| NodeError::Usage(format!("`{text}` is not an address of an account")))
}
