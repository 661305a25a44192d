//! A text answer as server-sent events: role, deltas, the end with its reason, usage if asked for, `[DONE]`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use bombyx_protocol::io::Bill;
use bombyx_protocol::wire::message::Content;
use futures::stream;
use serde_json::{Value, json};

use super::answer::{Answer, Part};
use super::errors::ApiError;
use super::facts::{facts, finish_reason, usage};
use super::json::with_headers;

/// A comment is sent after so long a silence, so that proxies keep the connection.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What all events of one stream have in common.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: String,
    pub(super) fingerprint: String,
    pub(super) include_usage: bool,
}

impl Head {
    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn delta(&self, delta: Value, finish: Option<&str>) -> Value {
        self.chunk(json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]))
    }

    /// Returns the chunks that end a stream. The last one carries the facts of the network.
    fn ending(&self, bill: &Bill) -> Vec<Value> {
        let mut chunks = vec![self.delta(json!({}), Some(finish_reason(bill)))];
        if self.include_usage {
            let mut chunk = self.chunk(json!([]));
            chunk["usage"] = usage(bill);
            chunks.push(chunk);
        }
        if let Some(last) = chunks.last_mut() {
            last["bombyx"] = facts(bill);
        }
        chunks
    }
}

struct StreamState {
    head: Head,
    answer: Answer,
    ready: VecDeque<Event>,
    ended: bool,
}

/// Returns the response for an answer whose first part has come, so that everything that can fail
/// before it had its own status.
pub(super) fn respond(head: Head, answer: Answer, first: Part) -> Response {
    let headers = answer.headers();
    let mut streaming = StreamState { head, answer, ready: VecDeque::new(), ended: false };
    streaming.push(&streaming.head.delta(json!({ "role": "assistant", "content": "" }), None));
    streaming.take(Ok(first));
    let events = stream::unfold(streaming, |mut streaming| async move {
        loop {
            if let Some(event) = streaming.ready.pop_front() {
                return Some((Ok::<_, Infallible>(event), streaming));
            }
            if streaming.ended {
                return None;
            }
            let part = streaming.answer.next().await;
            streaming.take(part);
        }
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("keep-alive");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies of the nginx family would otherwise gather the stream.
    let no_buffer = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(no_buffer, HeaderValue::from_static("no"));
    with_headers(response, headers)
}

impl StreamState {
    fn push(&mut self, data: &Value) {
        self.ready.push_back(Event::default().data(data.to_string()));
    }

    fn take(&mut self, part: Result<Part, ApiError>) {
        match part {
            Ok(Part::Content(Content::Tokens { text, .. })) if text.is_empty() => {}
            Ok(Part::Content(Content::Tokens { text, .. })) => {
                self.push(&self.head.delta(json!({ "content": text }), None));
            }
            Ok(Part::Content(Content::End { .. })) => {}
            Ok(Part::Content(Content::Vectors { .. })) => self.fail(&ApiError::bad_answer()),
            Ok(Part::Done(bill)) => {
                for chunk in self.head.ending(&bill) {
                    self.push(&chunk);
                }
                self.done();
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Ends a stream with an error. The status line is long gone: it travels as an event, which clients look for.
    fn fail(&mut self, error: &ApiError) {
        self.push(&error.body());
        self.done();
    }

    fn done(&mut self) {
        self.ready.push_back(Event::default().data("[DONE]"));
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(include_usage: bool) -> Head {
        Head {
            id: "chatcmpl-1".into(),
            created: 0,
            model: "m".into(),
            fingerprint: "f".into(),
            include_usage,
        }
    }

    #[test]
    fn usage_is_a_last_chunk_without_choices_and_null_before() {
        let head = head(true);
        let bill = Bill { input_tokens: 3, output_tokens: 2, ..Bill::default() };
        assert_eq!(head.delta(json!({}), None).get("usage"), Some(&Value::Null));
        let ending = head.ending(&bill);
        assert_eq!(ending.len(), 2);
        assert_eq!(ending[0]["choices"][0]["finish_reason"], "stop");
        assert_eq!(ending[1]["choices"], json!([]));
        assert_eq!(ending[1]["usage"]["total_tokens"], 5);
        assert!(ending[1].get("bombyx").is_some() && ending[0].get("bombyx").is_none());
    }

    #[test]
    fn without_usage_the_end_itself_carries_the_facts() {
        let ending = head(false).ending(&Bill::default());
        assert_eq!(ending.len(), 1);
        assert!(ending[0].get("bombyx").is_some() && ending[0].get("usage").is_none());
    }
}
