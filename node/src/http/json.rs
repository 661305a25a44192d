//! JSON in and out: bodies of requests, answers with headers.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use serde_json::{Map, Value};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::errors::ApiError;
use super::limits;
use super::unambiguous::Unambiguous;

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
    let read = tokio::time::timeout(limits::BODY_WAIT, read(body)).await;
    let (bytes, _room) = read.map_err(|_| ApiError::slow_body())??;
    // The parser's own message may quote the text around the mistake: only the place is passed on.
    match serde_json::from_slice(&bytes) {
        Ok(Unambiguous(Value::Object(object))) => Ok(object),
        Ok(_) => Err(ApiError::bad_json(1, 1)),
        Err(error) if error.is_data() => Err(ApiError::repeated_name(error.line(), error.column())),
        Err(error) => Err(ApiError::bad_json(error.line(), error.column())),
    }
}

/// Reads a body. Room is taken as its bytes come, so that who announces much and sends nothing has none.
async fn read(body: Body) -> Result<(Vec<u8>, Option<SemaphorePermit<'static>>), ApiError> {
    let (mut bytes, mut room) = (Vec::new(), None::<SemaphorePermit<'static>>);
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        // Of a caller that hangs up nobody is left to be told.
        let part = part.map_err(|_| ApiError::slow_body())?;
        if bytes.len().saturating_add(part.len()) > limits::BODY_BYTES_MAX {
            return Err(ApiError::large_body(limits::BODY_BYTES_MAX));
        }
        let more = u32::try_from(part.len()).unwrap_or(u32::MAX);
        let more = BODIES.try_acquire_many(more).map_err(|_| ApiError::many_bodies())?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        bytes.extend_from_slice(&part);
    }
    Ok((bytes, room))
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
    async fn bodies_beyond_the_room_of_all_together_are_refused_and_those_that_send_nothing_take_none() {
        let json =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let unfinished = |bytes: usize| {
            let sent = futures::stream::iter([Ok::<_, std::io::Error>(vec![b' '; bytes])]);
            Body::from_stream(sent.chain(futures::stream::pending()))
        };
        let silent = || Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let mut reading: Vec<_> = (0..2 * limits::BODIES_BYTES_MAX / limits::BODY_BYTES_MAX)
            .map(|_| Box::pin(object_of(&json, silent())))
            .collect();
        for _ in 0..limits::BODIES_BYTES_MAX / limits::BODY_BYTES_MAX - 2 {
            reading.push(Box::pin(object_of(&json, unfinished(limits::BODY_BYTES_MAX))));
        }
        for one in &mut reading {
            assert!(futures::poll!(one).is_pending());
        }
        let large = || Body::from(vec![b' '; limits::BODY_BYTES_MAX]);
        let mut more: Vec<_> =
            (0..2).map(|_| Box::pin(object_of(&json, unfinished(limits::BODY_BYTES_MAX)))).collect();
        let _ = (futures::poll!(&mut more[0]), futures::poll!(&mut more[1]));
        let refused = object_of(&json, large()).await.unwrap_err().body().to_string();
        assert!(refused.contains("at once"), "{refused}");
        drop((reading, more));
        assert!(object_of(&json, Body::from("{}")).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_unreadable_body_is_refused_without_being_quoted() {
        let json =
            HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let error = object_of(&json, Body::from("{\"messages\": my secret")).await.unwrap_err();
        let text = error.body().to_string();
        assert!(text.contains("column") && !text.contains("secret"), "{text}");
        let twice = r#"{"messages": [{"my secret": 1, "my secret": 2}]}"#;
        let text = object_of(&json, Body::from(twice)).await.unwrap_err().body().to_string();
        assert!(text.contains("two fields of one name") && !text.contains("secret"), "{text}");
        assert!(object_of(&json, Body::from("[]")).await.is_err());
        assert!(object_of(&HeaderMap::new(), Body::from("{}")).await.is_err());
        let long = "x".repeat(limits::BODY_BYTES_MAX + 1);
        let error = object_of(&json, Body::from(long)).await.unwrap_err();
        assert_eq!(error.into_response().status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}
