//! JSON in and out: bodies of requests, answers with headers.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use super::errors::ApiError;
use super::limits;

/// Returns the JSON object in a request's body.
pub(super) async fn object_of(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, ApiError> {
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
pub(super) fn unix_s() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |elapsed| elapsed.as_secs())
}

pub(super) fn with_headers(mut response: Response, headers: Vec<(HeaderName, String)>) -> Response {
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

pub(super) fn json_response(body: &Value, headers: Vec<(HeaderName, String)>) -> Response {
    with_headers((StatusCode::OK, axum::Json(body)).into_response(), headers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn an_unreadable_body_is_refused_without_being_quoted() {
        let json =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let error = object_of(&json, Body::from("{\"messages\": my secret")).await.unwrap_err();
        let text = error.body().to_string();
        assert!(text.contains("column") && !text.contains("secret"), "{text}");
        assert!(object_of(&HeaderMap::new(), Body::from("{}")).await.is_err());
        let long = "x".repeat(limits::BODY_BYTES_MAX + 1);
        let error = object_of(&json, Body::from(long)).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
