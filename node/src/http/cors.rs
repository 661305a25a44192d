//! Cross-origin requests: what a browser wants to be told before a web page may use the gateway.
//!
//! A browser asks by a *preflight*, which carries no key by design, and shows an answer to a page only if the answer names
//! the page's origin. Neither lets anyone in: the request that follows needs the gateway's key, or an origin that its
//! owner has listed.

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::gateway::GatewayPolicy;

/// Seconds for which a browser may remember a preflight's answer.
const REMEMBERED_S: &str = "600";
/// Headers of an answer that a page may read.
const SHOWN: &str =
    "x-request-id, x-should-retry, retry-after, x-bombyx-provider, x-bombyx-job, x-bombyx-cost-nano";
const METHODS: &str = "GET, POST";
/// A page of the Internet that wants to reach a machine of its user asks for this besides.
const PRIVATE_NETWORK: (&str, &str) =
    ("access-control-request-private-network", "access-control-allow-private-network");

/// Returns the origin of a request, if pages of that origin may use the gateway.
pub(super) fn allowed<'a>(policy: &GatewayPolicy, headers: &'a HeaderMap) -> Option<&'a HeaderValue> {
    let origin = headers.get(header::ORIGIN)?;
    let is_listed = policy.origins.iter().any(|listed| origin == listed.as_str());
    // Where nothing is listed, the key alone decides: a page that has it was given it by the gateway's owner.
    let by_key = policy.origins.is_empty() && policy.key.is_some();
    (is_listed || by_key).then_some(origin)
}

/// Returns whether a request is a preflight.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// Returns the answer to a preflight.
pub(super) fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(REMEMBERED_S));
    // Clients send headers of their own (`x-stainless-…`): the gateway reads none of them, so that any will do.
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    let (question, answer) = PRIVATE_NETWORK;
    if asked.contains_key(question) {
        headers.insert(HeaderName::from_static(answer), HeaderValue::from_static("true"));
    }
    response
}

/// Lets pages of an origin read an answer.
pub(super) fn show_to(origin: &HeaderValue, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(SHOWN));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
