//! Every refusal of the gateway, in the shape and with the codes that OpenAI's clients know.

use std::fmt;

use axum::Json;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bombyx_protocol::io::{Bill, Failure};
use bombyx_protocol::work::order::OrderFault;
use serde_json::{Value, json};

use super::facts::{facts, usage};
use crate::api::handle::NodeHandle;
use crate::error::NodeError;
use crate::error::failure::Meaning;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The longest `Retry-After` that usual clients wait for by themselves.
const RETRY_AFTER_OBEYED_S: u32 = 60;

/// An error that is sent as `{"error": {"message", "type", "param", "code"}}`.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    param: Option<String>,
    /// Seconds after which the same request may go well.
    retry_after_s: Option<u32>,
    /// What was spent all the same.
    bill: Option<Box<Bill>>,
    /// What came of the answer all the same.
    delivered: Option<Box<Delivered>>,
}

/// The part of an answer that came before it failed: it is paid for.
struct Delivered {
    /// Its name in the error's `bombyx` object.
    field: &'static str,
    content: Value,
}

// An answer stays out of traces.
impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivered").field("field", &self.field).finish_non_exhaustive()
    }
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status, code, message, param: None, retry_after_s: None, bill: None, delivered: None }
    }

    /// Returns the error with the text that came before it.
    pub(super) fn after_text(self, text: String) -> Self {
        if text.is_empty() { self } else { self.after("text", text.into()) }
    }

    /// Returns the error with the items of a list that came before it.
    pub(super) fn after_items(self, items: Vec<Value>) -> Self {
        if items.is_empty() { self } else { self.after("data", items.into()) }
    }

    fn after(self, field: &'static str, content: Value) -> Self {
        Self { delivered: Some(Box::new(Delivered { field, content })), ..self }
    }

    /// Returns the error of a request whose order has not said what it came to.
    pub(super) fn without_bill(self) -> Self {
        Self { bill: None, ..self }
    }

    fn about(self, param: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    pub(super) fn no_such_path() -> Self {
        let message = "no such path; this gateway has /v1/models, /v1/chat/completions, /v1/embeddings, /v1/quote, /health and /ready";
        Self::new(StatusCode::NOT_FOUND, "unknown_url", message)
    }

    pub(super) fn no_such_method() -> Self {
        let message =
            "wrong method; POST for /v1/chat/completions, /v1/embeddings and /v1/quote, GET for the others";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
    }

    pub(super) fn web_page() -> Self {
        let message = "web pages need a key (gateway.key in the node's configuration), or their origin in gateway.origins";
        Self::new(StatusCode::FORBIDDEN, "origin_not_allowed", message)
    }

    pub(super) fn no_peers() -> Self {
        let message = "no peer is connected yet; check the node's --join addresses";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "no_peers", message)
    }

    pub(super) fn foreign_host() -> Self {
        let message = "the `Host` of the request does not name this machine; call the gateway by 127.0.0.1 or localhost, \
                       or list the name in gateway.hosts of the node's configuration";
        Self::new(StatusCode::FORBIDDEN, "host_not_allowed", message)
    }

    /// Returns the refusal while the owner's budget is used up: until some of it is older than its span.
    pub(super) fn over_budget(span: &str, key: &str) -> Self {
        let message = format!(
            "what this gateway may spend in {span} is used up; its owner can raise gateway.{key} in the node's configuration"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", message)
    }

    pub(super) fn key() -> Self {
        let message =
            "missing or wrong key; send the one of the node's configuration as `Authorization: Bearer KEY`";
        Self::new(StatusCode::UNAUTHORIZED, "invalid_api_key", message)
    }

    pub(super) fn not_json() -> Self {
        let message = "the body must be JSON; send `Content-Type: application/json`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", message)
    }

    pub(super) fn slow_body() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", "the request's body did not arrive in time")
    }

    pub(super) fn many_bodies() -> Self {
        let message = "too many large requests are being sent at once; send this one again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "gateway_busy", message)
    }

    pub(super) fn large_body(max: usize) -> Self {
        let message = format!("a request has at most {max} bytes; shorten or split it");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message)
    }

    pub(super) fn bad_json(line: usize, column: usize) -> Self {
        let message = format!("the body is not a JSON object: mistake at line {line}, column {column}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    }

    /// Returns the error for an object that has two fields of one name.
    pub(super) fn repeated_name(line: usize, column: usize) -> Self {
        let message = format!(
            "an object of the body has two fields of one name, the second at line {line}, column {column}; leave one out"
        );
        Self::new(StatusCode::BAD_REQUEST, "invalid_json", message)
    }

    /// Returns the error for a field that is missing or of the wrong form. `expected` never quotes what was sent.
    pub(super) fn field(param: impl Into<String>, expected: &str) -> Self {
        let param = param.into();
        let message = format!("`{param}`: {expected}");
        Self::new(StatusCode::BAD_REQUEST, "invalid_value", message).about(param)
    }

    /// Returns the error for a field that this gateway cannot honour and will not ignore.
    pub(super) fn unsupported(param: String, why: &str) -> Self {
        let message = format!("`{param}` is not supported with this value: {why}");
        Self::new(StatusCode::BAD_REQUEST, "unsupported_parameter", message).about(param)
    }

    /// Returns the error for a field that does not exist, with the one that was meant.
    pub(super) fn unknown_field(param: String, near: Option<&str>) -> Self {
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let message = format!("Unrecognized request argument supplied: {param}{near}");
        Self::new(StatusCode::BAD_REQUEST, "unknown_parameter", message).about(param)
    }

    /// Returns the error for a task that every provider would refuse. `text` is the field that holds the task's text.
    pub(super) fn order(fault: OrderFault, text: &str) -> Self {
        let error = Self::failure(Failure::Order(fault), Bill::default());
        Self { param: error.param.or_else(|| Some(text.to_owned())), bill: None, ..error }
    }

    pub(super) fn unknown_model(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "model_not_found", message).about("model")
    }

    pub(super) fn wrong_kind(model: &str, does: &str) -> Self {
        let message = format!("the model `{model}` does {does}; choose another model or the other path");
        Self::new(StatusCode::BAD_REQUEST, "invalid_value", message).about("model")
    }

    /// Returns the error for an answer that does not have the form of what was asked for.
    pub(super) fn bad_answer() -> Self {
        let message = "the provider's answer is not of the kind that was asked for; try again";
        Self::new(StatusCode::BAD_GATEWAY, "provider_failed", message)
    }

    pub(super) fn stopped() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "node_stopped",
            "this node is shutting down; start it again",
        )
    }

    /// Returns the error for an order that failed, with what was paid all the same.
    pub(super) fn failure(why: Failure, bill: Bill) -> Self {
        let meaning = Meaning::of(&why);
        let status = StatusCode::from_u16(meaning.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut message = why.to_string();
        // What is told nowhere else. The caller may not own the node: where it cannot pay, the message tells both what to do.
        let is_unsaid = matches!(
            why,
            Failure::OverBudget { .. }
                | Failure::OverCeiling { .. }
                | Failure::Deadline
                | Failure::Payment(_)
        );
        if is_unsaid {
            message = format!("{message}; {}", meaning.hint);
        }
        let mut error = Self::new(status, meaning.code, message);
        error.param = meaning.param.map(String::from);
        // `Busy` and a full provider pass by themselves; what the network has tried several times does not.
        error.retry_after_s =
            if let Failure::Full { come_back_s, .. } | Failure::LeftAlone { come_back_s } = why {
                // An appointment with those that can serve it, or when one of those is asked again that failed. (`MK-50`, `MK-31`)
                Some(come_back_s)
            } else {
                (meaning.code == "rate_limit_exceeded").then_some(1)
            };
        error.bill = Some(Box::new(bill));
        error
    }

    /// Returns the error for an order that failed, with what was paid all the same, and with what is on offer where nobody sells
    /// its model.
    pub(super) async fn unserved(node: &NodeHandle, why: Failure, bill: Bill) -> Self {
        let named = node.unsold(why).await;
        let error = Self::failure(why, bill);
        if matches!(named, NodeError::Unsold { .. }) {
            Self { message: named.to_string(), ..error }
        } else {
            error
        }
    }

    fn kind(&self) -> &'static str {
        match self.code {
            "insufficient_quota" | "rate_limit_exceeded" => self.code,
            _ if self.status.is_client_error() => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// Returns the object that is sent, as a body or as an event of a stream that has begun.
    pub(super) fn body(&self) -> Value {
        let mut body = json!({ "error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        }});
        if let Some(bill) = &self.bill {
            body["error"]["bombyx"] = facts(bill);
            body["error"]["bombyx"]["usage"] = usage(bill);
        }
        if let Some(Delivered { field, content }) = self.delivered.as_deref() {
            body["error"]["bombyx"][*field] = content.clone();
        }
        body
    }
}

impl From<NodeError> for ApiError {
    /// Returns the error for a question that was no order.
    fn from(error: NodeError) -> Self {
        let (NodeError::Order(why) | NodeError::Unsold { why, .. }) = &error else { return Self::stopped() };
        let refusal = Self { bill: None, ..Self::failure(*why, Bill::default()) };
        if matches!(error, NodeError::Unsold { .. }) {
            Self { message: error.to_string(), ..refusal }
        } else {
            refusal
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        // Clients retry 429 and 5xx by themselves, and at once where they are told to wait for longer than they like to. The
        // order behind this answer was retried with other providers already, and each further try can cost coins: that is
        // for the caller to decide.
        if self.retry_after_s.is_none_or(|seconds| seconds > RETRY_AFTER_OBEYED_S) {
            headers.insert(SHOULD_RETRY, axum::http::HeaderValue::from_static("false"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::amount::Nano;
    use bombyx_protocol::channel::fault::PaymentFault;
    use bombyx_protocol::wire::message::Refusal;
    use bombyx_protocol::work::price::Price;

    use super::*;

    const POOR: Failure = Failure::Payment(PaymentFault::NoFunds { deposit: Nano(5), missing: Nano(5) });

    #[test]
    fn failures_have_the_statuses_that_clients_know() {
        for (why, status, code) in [
            (Failure::NoBids, 503, "no_provider"),
            (Failure::Deadline, 504, "deadline"),
            (POOR, 429, "insufficient_quota"),
            (Failure::Order(OrderFault::TooLarge { bytes: 1 }), 400, "context_length_exceeded"),
            (
                Failure::Order(OrderFault::OverContext { tokens: 2, context: 1 }),
                400,
                "context_length_exceeded",
            ),
            (Failure::Order(OrderFault::Busy), 429, "rate_limit_exceeded"),
            (Failure::Refused(Refusal::OverContext(256)), 400, "context_length_exceeded"),
            (Failure::Stalled, 502, "provider_failed"),
            (Failure::CutShort { delivered: 7 }, 502, "answer_cut_short"),
        ] {
            let error = ApiError::failure(why, Bill::default());
            assert_eq!((error.status.as_u16(), error.code), (status, code), "{why:?}");
            assert!(error.body()["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
        }
    }

    #[test]
    fn what_came_of_an_answer_that_failed_is_in_the_error_and_not_in_a_trace() {
        let bill = || Bill { cost: Nano(14_960), input_tokens: 9, output_tokens: 2, ..Bill::default() };
        for why in [Failure::Deadline, Failure::CutShort { delivered: 2 }] {
            let error = ApiError::failure(why, bill()).after_text("one, two".to_owned());
            assert!(!format!("{error:?}").contains("one, two"));
            let told = error.body()["error"]["bombyx"].clone();
            assert_eq!((&told["text"], &told["cost_nano"]), (&json!("one, two"), &json!(14_960)), "{why:?}");
            assert_eq!(told["usage"]["completion_tokens"], 2);
        }
        let none = ApiError::failure(Failure::Deadline, bill()).after_text(String::new()).body();
        assert!(none["error"]["bombyx"].get("text").is_none());
        let unbilled = ApiError::stopped().after_items(vec![json!({ "index": 0 })]).body();
        assert_eq!(unbilled["error"]["bombyx"]["data"][0]["index"], 0);
    }

    #[test]
    fn a_refusal_for_a_limit_of_the_request_names_the_field_that_raises_it() {
        let over = Failure::OverCeiling { lowest: Price(9), most: Price(4) };
        for why in [Failure::OverBudget { lowest: Nano(7) }, over, Failure::Deadline] {
            let told = ApiError::failure(why, Bill::default()).body();
            let (message, param) = (&told["error"]["message"], &told["error"]["param"]);
            let field = param.as_str().expect("the field");
            assert!(message.as_str().is_some_and(|text| text.contains(field)), "{message}: {param}");
        }
    }

    #[test]
    fn only_what_passes_by_itself_is_worth_a_retry() {
        let busy = ApiError::failure(Failure::Order(OrderFault::Busy), Bill::default()).into_response();
        assert!(busy.headers().contains_key(header::RETRY_AFTER));
        let full =
            ApiError::failure(Failure::Full { bids: 2, come_back_s: 17, answer_s: None }, Bill::default());
        assert_eq!((full.status.as_u16(), full.code), (429, "rate_limit_exceeded"));
        assert_eq!(full.into_response().headers()[header::RETRY_AFTER], "17", "an appointment");
        let alone = ApiError::failure(Failure::LeftAlone { come_back_s: 9 }, Bill::default());
        assert_eq!((alone.status.as_u16(), alone.code), (503, "providers_failed"));
        assert_eq!(
            alone.into_response().headers()[header::RETRY_AFTER],
            "9",
            "when the first is asked again"
        );
        let long =
            ApiError::failure(Failure::LeftAlone { come_back_s: 400 }, Bill::default()).into_response();
        assert_eq!(long.headers()[header::RETRY_AFTER], "400");
        assert_eq!(long.headers()[SHOULD_RETRY], "false");
        let funds = ApiError::failure(POOR, Bill::default()).into_response();
        assert_eq!(funds.headers()[SHOULD_RETRY], "false");
    }
}
