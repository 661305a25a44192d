//! The gateway's routes, and the check of each caller.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::net::TcpListener;

use super::budget::Budget;
use super::errors::ApiError;
use super::gateway::{Gateway, GatewayPolicy, digest};
use super::{openai, origin, server};
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::home::config::GatewayConfig;

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
    Router::new()
        .route("/v1/models", get(openai::models::list))
        .route("/v1/models/{*name}", get(openai::models::one))
        .route("/v1/chat/completions", post(openai::chat::complete))
        .route("/v1/embeddings", post(openai::embeddings::embed))
        .fallback(async || ApiError::no_such_path())
        .method_not_allowed_fallback(async || ApiError::no_such_method())
        .layer(from_fn_with_state(gateway.clone(), authorize))
        .with_state(gateway)
}

/// Lets a request in, or says why not, and numbers the answer.
async fn authorize(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
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
}
