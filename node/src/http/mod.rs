//! The gateway: OpenAI's HTTP interface on this machine, answered by the swarm.
//!
//! | request | does |
//! |---|---|
//! | `GET /v1/models`, `/v1/models/{name}` | models that somebody in the swarm offers |
//! | `POST /v1/chat/completions` | text, whole or streamed |
//! | `POST /v1/embeddings` | vectors, as numbers or base64 |
//!
//! What OpenAI's interface has no place for (provider, job, cost) is in `x-bombyx-*` headers and in one field named
//! `bombyx`; a request may carry a `bombyx` object too, with `max_cost_nano`, `deadline_ms` and `nano_per_ms`.
//! A caller that goes away cancels its job. Nothing of a request or an answer is kept or logged.

pub mod admin;
mod answer;
mod budget;
mod errors;
pub(crate) mod limits;
mod openai;
pub(crate) mod origin;
pub(crate) mod server;
mod sse;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;

use self::budget::Budget;
use self::errors::ApiError;
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::config::{GatewayConfig, is_loopback};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Whom the gateway serves, and what one request may cost, take and prefer unless it says otherwise.
#[derive(Clone)]
struct GatewayPolicy {
    /// Digest of the bearer key that callers must send, if one is set.
    key: Option<[u8; 32]>,
    /// Whether only this machine reaches the gateway, so that callers must call it by one of its names.
    loopback: bool,
    /// Names that count as this machine's, beside its own.
    hosts: Vec<String>,
    /// The most that a request may cost, whatever it says itself.
    max_cost: Nano,
    deadline: Span,
    /// What one millisecond less until the first token is worth.
    nano_per_ms: u64,
}

impl GatewayPolicy {
    fn new(config: &GatewayConfig) -> Self {
        Self {
            // Without a key every program of this machine is let in.
            key: config.key().map(|key| digest(key.as_bytes())),
            loopback: is_loopback(&config.listen),
            hosts: config.hosts.clone(),
            max_cost: config.max_cost.0,
            deadline: Span::from_s(config.deadline_s),
            nano_per_ms: config.nano_per_ms,
        }
    }
}

#[derive(Clone)]
struct Gateway {
    node: NodeHandle,
    policy: GatewayPolicy,
    budget: Arc<Budget>,
}

/// Serves the gateway as long as the process lives; returns its base URL.
///
/// # Errors
/// [`NodeError::Config`] for an address that others reach without a key, [`NodeError::Listen`] when it cannot be had.
pub async fn serve(node: NodeHandle, config: &GatewayConfig) -> Result<String, NodeError> {
    config.check_doors()?;
    let listen = |source| NodeError::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let budget = Arc::new(Budget::new(config.budget_hour.0, config.budget_day.0));
    let routes = router(Gateway { node, policy: GatewayPolicy::new(config), budget });
    tokio::spawn(server::serve(listener, routes));
    Ok(format!("http://{address}"))
}

fn router(gateway: Gateway) -> Router {
    Router::new()
        .route("/v1/models", get(openai::models::list))
        .route("/v1/models/{*name}", get(openai::models::one))
        .route("/v1/chat/completions", post(openai::chat::complete))
        .route("/v1/embeddings", post(openai::embeddings::embed))
        .fallback(async || ApiError::no_such_path())
        .method_not_allowed_fallback(async || ApiError::no_such_method())
        .layer(from_fn_with_state(gateway.clone(), guard))
        .with_state(gateway)
}

/// Lets a request in, or says why not, and numbers the answer.
async fn guard(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let mut response = match admit(&gateway.policy, request.headers(), request.uri()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let id = format!("req-{:032x}", rand::random::<u128>());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

fn admit(policy: &GatewayPolicy, headers: &HeaderMap, uri: &Uri) -> Result<(), ApiError> {
    if policy.loopback {
        origin::check_host(headers, uri, &policy.hosts).map_err(|_| ApiError::foreign_host())?;
    }
    let Some(key) = policy.key else {
        // Any page that a browser shows can send requests to this machine: none may spend its coins unasked.
        return origin::check_no_page(headers).map_err(|_| ApiError::web_page());
    };
    let given = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    // Digests are compared, so that the time it takes says nothing about the key.
    if given.is_some_and(|given| digest(given.trim().as_bytes()) == key) {
        Ok(())
    } else {
        Err(ApiError::key())
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The JSON object in a request's body.
async fn object_of(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, ApiError> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !json {
        return Err(ApiError::not_json());
    }
    let bytes = tokio::time::timeout(limits::BODY_WAIT, to_bytes(body, limits::BODY_BYTES_MAX))
        .await
        .map_err(|_| ApiError::slow_body())?
        .map_err(|_| ApiError::large_body(limits::BODY_BYTES_MAX))?;
    // The parser's own message may quote the text around the mistake: only the place is passed on.
    serde_json::from_slice(&bytes).map_err(|error| ApiError::bad_json(error.line(), error.column()))
}

/// Seconds since 1970, for `created`.
fn unix_s() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

fn with_headers(mut response: Response, headers: Vec<(HeaderName, String)>) -> Response {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn json_response(body: &Value, headers: Vec<(HeaderName, String)>) -> Response {
    with_headers((StatusCode::OK, axum::Json(body)).into_response(), headers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn policy(key: &str) -> GatewayPolicy {
        GatewayPolicy::new(&GatewayConfig { key: key.into(), ..GatewayConfig::default() })
    }

    fn headers(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (header::HOST, HeaderValue::from_static("localhost:4180")),
            (name, HeaderValue::from_static(value)),
        ])
    }

    fn admit(policy: &GatewayPolicy, headers: &HeaderMap) -> Result<(), ApiError> {
        super::admit(policy, headers, &Uri::from_static("/v1/models"))
    }

    #[test]
    fn a_key_once_set_is_asked_of_everyone() {
        let policy = policy("a key");
        assert!(admit(&policy, &headers(header::AUTHORIZATION, "Bearer a key")).is_ok());
        for wrong in ["Bearer another", "Bearer ", "a key", "Basic a key"] {
            assert!(admit(&policy, &headers(header::AUTHORIZATION, wrong)).is_err(), "{wrong}");
        }
        assert!(admit(&policy, &headers(header::ACCEPT, "*/*")).is_err());
    }

    #[test]
    fn without_a_key_programs_are_served_and_web_pages_are_not() {
        for key in ["", " ", "\t\n"] {
            let policy = policy(key);
            assert!(admit(&policy, &headers(header::ACCEPT, "*/*")).is_ok());
            assert!(admit(&policy, &headers(header::ORIGIN, "https://somewhere.example")).is_err());
        }
    }

    #[test]
    fn a_gateway_of_this_machine_is_called_by_its_name() {
        let foreign = |policy: &GatewayPolicy| {
            let mut headers = headers(header::AUTHORIZATION, "Bearer a key");
            headers.insert(header::HOST, HeaderValue::from_static("gateway.example:4180"));
            admit(policy, &headers)
        };
        for key in ["", "a key"] {
            assert_eq!(foreign(&policy(key)).unwrap_err().into_response().status(), StatusCode::FORBIDDEN);
            let named = GatewayConfig { hosts: vec!["gateway.example".into()], ..GatewayConfig::default() };
            assert!(foreign(&GatewayPolicy::new(&GatewayConfig { key: key.into(), ..named })).is_ok());
        }
        let listen = "192.0.2.1:4180".parse().unwrap();
        let open = GatewayConfig { listen, key: "a key".into(), ..GatewayConfig::default() };
        assert!(foreign(&GatewayPolicy::new(&open)).is_ok(), "others call it by any name");
    }

    #[tokio::test]
    async fn an_unreadable_body_is_refused_without_being_quoted() {
        let json = headers(header::CONTENT_TYPE, "application/json");
        let error = object_of(&json, Body::from("{\"messages\": my secret")).await.unwrap_err();
        let text = error.body().to_string();
        assert!(text.contains("column") && !text.contains("secret"), "{text}");
        assert!(object_of(&HeaderMap::new(), Body::from("{}")).await.is_err());
        let long = "x".repeat(limits::BODY_BYTES_MAX + 1);
        let error = object_of(&json, Body::from(long)).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
