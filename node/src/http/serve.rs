//! The gateway's routes, and the check of each caller.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;

use super::budget::Budget;
use super::errors::ApiError;
use super::gateway::{Gateway, GatewayPolicy, digest};
use super::{cors, openai, origin, server};
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::config::GatewayConfig;

/// Pages that need no key.
const OPEN_PATHS: [&str; 2] = ["/health", "/ready"];
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Serves the gateway as long as the process lives; returns its base URL.
///
/// # Errors
/// [`NodeError::Config`] for an address that others reach without a key, [`NodeError::Listen`] when it cannot be had.
pub(crate) async fn serve(node: NodeHandle, config: &GatewayConfig) -> Result<String, NodeError> {
    config.check_doors()?;
    let listen = |source| NodeError::Listen { address: config.listen, flag: Some("--gateway"), source };
    let listener = TcpListener::bind(config.listen).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let budget = Arc::new(Budget::new(config.budget_hour.0, config.budget_day.0));
    let routes = router(Gateway { node, policy: GatewayPolicy::new(config), budget });
    tokio::spawn(server::serve(listener, routes));
    Ok(format!("http://{address}"))
}

fn router(gateway: Gateway) -> Router {
    let mut routes = Router::new().route("/v1/models/{*name}", get(openai::models::one));
    for (path, endpoint) in [
        ("/health", get(health)),
        ("/ready", get(ready)),
        ("/v1/models", get(openai::models::list)),
        ("/v1/chat/completions", post(openai::chat::complete)),
        ("/v1/embeddings", post(openai::embeddings::embed)),
        ("/v1/quote", post(openai::quote::quote)),
    ] {
        // Some clients end a base URL with a slash and then a path with another one.
        routes = routes.route(path, endpoint.clone()).route(&format!("{path}/"), endpoint);
    }
    routes
        .fallback(async || ApiError::no_such_path())
        .method_not_allowed_fallback(async || ApiError::no_such_method())
        .layer(from_fn_with_state(gateway.clone(), authorize))
        .with_state(gateway)
}

/// Says that the process serves.
async fn health() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

/// Says whether there is anyone to buy from.
async fn ready(State(gateway): State<Gateway>) -> Result<Response, ApiError> {
    let status = gateway.node.status().await.map_err(|_| ApiError::stopped())?;
    if status.peers == 0 {
        return Err(ApiError::no_peers());
    }
    Ok(Json(json!({ "status": "ready", "peers": status.peers })).into_response())
}

/// Lets a request in, or says why not, and numbers the answer.
async fn authorize(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let policy = &gateway.policy;
    let origin = cors::allowed(policy, request.headers()).cloned();
    let mut response = match (admit(policy, &request), &origin) {
        (Ok(Admission::Preflight), Some(_)) => cors::preflight(request.headers()),
        (Ok(Admission::Preflight), None) => ApiError::web_page().into_response(),
        (Ok(Admission::Request), _) => next.run(request).await,
        (Err(error), _) => error.into_response(),
    };
    // Pages see errors as well.
    if let Some(origin) = &origin {
        cors::show_to(origin, &mut response);
    }
    let id = format!("req-{:032x}", rand::random::<u128>());
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What is let in.
#[derive(Debug, PartialEq, Eq)]
enum Admission {
    /// The question of a browser whether a page may send a request.
    Preflight,
    /// A request.
    Request,
}

fn admit(policy: &GatewayPolicy, request: &Request) -> Result<Admission, ApiError> {
    let (headers, uri) = (request.headers(), request.uri());
    if policy.loopback {
        origin::check_host(headers, uri, &policy.hosts).map_err(|_| ApiError::foreign_host())?;
    }
    if cors::is_preflight(request.method(), headers) {
        return Ok(Admission::Preflight);
    }
    let page = cors::allowed(policy, headers);
    // Any page that a browser shows can send requests to this machine: none may spend its coins unasked.
    let no_page = || origin::check_no_page(headers).map_err(|_| ApiError::web_page());
    if headers.contains_key(header::ORIGIN) && page.is_none() {
        no_page()?;
    }
    // Whoever watches over the process has no key, and learns nothing.
    if OPEN_PATHS.contains(&uri.path().trim_end_matches('/')) {
        return Ok(Admission::Request);
    }
    let Some(key) = policy.key else {
        return if page.is_some() { Ok(Admission::Request) } else { no_page().map(|()| Admission::Request) };
    };
    // Digests are compared, so that the time it takes says nothing about the key.
    if bearer(headers).is_some_and(|given| digest(given.trim().as_bytes()) == key) {
        Ok(Admission::Request)
    } else {
        Err(ApiError::key())
    }
}

/// Returns the bearer token of a request. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use axum::http::StatusCode;

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
        let mut request = Request::get("/v1/models").body(axum::body::Body::empty()).unwrap();
        request.headers_mut().extend(headers.clone());
        super::admit(policy, &request).map(|admission| assert_eq!(admission, Admission::Request))
    }

    #[test]
    fn a_key_once_set_is_asked_of_everyone() {
        let policy = policy("a key");
        for right in ["Bearer a key", "bearer a key", "BEARER a key", "Bearer  a key "] {
            assert!(admit(&policy, &headers(header::AUTHORIZATION, right)).is_ok(), "{right}");
        }
        for wrong in ["Bearer another", "Bearer ", "Bearer", "a key", "Basic a key"] {
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
}
