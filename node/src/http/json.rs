//! JSON in and out: bodies of requests, answers with headers.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::errors::ApiError;
use super::limits;

/// Room for the bodies that are being read, in bytes: many callers at once are many small bodies or few large ones.
static BODIES: Semaphore = Semaphore::const_new(limits::BODIES_BYTES_MAX);

/// Returns the JSON object in a request's body.
pub(super) async fn object_of(headers: &HeaderMap, body: Body) -> Result<Map<String, Value>, ApiError> {
    let json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    if !json {
        return Err(ApiError::not_json());
    }
    let read = async {
        // A body of unknown length may be as long as any.
        let stated = usize::try_from(body.size_hint().upper().unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let room = u32::try_from(stated.min(limits::BODY_BYTES_MAX)).unwrap_or(u32::MAX);
        let _room = BODIES.acquire_many(room).await;
        to_bytes(body, limits::BODY_BYTES_MAX).await
    };
    let bytes = tokio::time::timeout(limits::BODY_WAIT, read)
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
    async fn bodies_of_unknown_length_leave_no_room_for_more_until_one_is_over() {
        let json =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let endless = || Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let mut reading: Vec<_> = (0..limits::BODIES_BYTES_MAX / limits::BODY_BYTES_MAX)
            .map(|_| Box::pin(object_of(&json, endless())))
            .collect();
        for one in &mut reading {
            assert!(futures::poll!(one).is_pending());
        }
        let mut last = Box::pin(object_of(&json, Body::from("{}")));
        assert!(futures::poll!(&mut last).is_pending());
        reading.pop();
        assert!(last.await.unwrap().is_empty());
    }

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
