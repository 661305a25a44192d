//! `POST /v1/chat/completions`: a conversation in, its next message out, whole or streamed.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{ChatMessage, Generate, Role, Sampling, Task, TaskKind};
use serde_json::{Map, Value, json};

use super::fields::Fields;
use super::models::{self, KnownModel};
use super::order::order;
use crate::http::answer::{Answer, Part};
use crate::http::errors::ApiError;
use crate::http::facts::{facts, finish_reason, usage};
use crate::http::gateway::Gateway;
use crate::http::json::{json_response, object_of, unix_s};
use crate::http::sse::{self, Head};

/// Output tokens when the request sets no limit: the reserve for a job follows from it, so it is modest.
const MAX_TOKENS_DEFAULT: u32 = 256;
/// The most output tokens that a request may ask for.
const MAX_TOKENS_MAX: u64 = 1 << 20;
/// Digits of the model's hash in `system_fingerprint`.
const FINGERPRINT_DIGITS: usize = 12;

/// A request as the gateway understands it.
struct ChatRequest {
    generate: Generate,
    stream: bool,
    include_usage: bool,
}

pub(in crate::http) async fn complete(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = object_of(&headers, body).await?;
    let fields = Fields::root(&body);
    let model = models::resolve(&gateway.node, fields.text("model")?, TaskKind::Generate).await?;
    let request = read(&fields)?;
    let order = order(model.id, Task::Generate(request.generate), &fields, &gateway.policy)?;
    let mut answer = Answer::order(&gateway, order).await?;
    let first = answer.next().await?;
    if request.stream {
        let head = Head {
            id: format!("chatcmpl-{}", answer.job()),
            created: unix_s(),
            fingerprint: fingerprint(&model),
            model: model.name,
            include_usage: request.include_usage,
        };
        return Ok(sse::respond(head, answer, first));
    }
    whole(&model, answer, first).await
}

async fn whole(model: &KnownModel, mut answer: Answer, first: Part) -> Result<Response, ApiError> {
    let mut text = String::new();
    let mut part = first;
    let bill = loop {
        match part {
            Part::Content(Content::Tokens { text: more, .. }) => text.push_str(&more),
            Part::Content(Content::End { .. }) => {}
            Part::Content(Content::Vectors { .. }) => return Err(ApiError::bad_answer()),
            Part::Done(bill) => break bill,
        }
        part = answer.next().await?;
    };
    let body = json!({
        "id": format!("chatcmpl-{}", answer.job()),
        "object": "chat.completion",
        "created": unix_s(),
        "model": model.name,
        "system_fingerprint": fingerprint(model),
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": text, "refusal": null },
            "logprobs": null,
            "finish_reason": finish_reason(&bill),
        }],
        "usage": usage(&bill),
        "bombyx": facts(&bill),
    });
    Ok(json_response(&body, answer.final_headers(&bill)))
}

fn fingerprint(model: &KnownModel) -> String {
    let id = model.id.to_string();
    format!("bombyx-{}", id.get(..FINGERPRINT_DIGITS).unwrap_or(&id))
}

fn read(fields: &Fields<'_>) -> Result<ChatRequest, ApiError> {
    refuse_unsupported(fields)?;
    let messages = fields.required("messages")?.as_array();
    let messages = messages.ok_or_else(|| fields.wrong("messages", "must be a list of messages"))?;
    let messages = messages.iter().enumerate().map(message).collect::<Result<_, _>>()?;
    let max_tokens = match fields.integer("max_completion_tokens", 1, MAX_TOKENS_MAX)? {
        Some(max) => Some(max),
        None => fields.integer("max_tokens", 1, MAX_TOKENS_MAX)?,
    };
    let include_usage = match fields.object("stream_options")? {
        Some(options) => options.flag("include_usage")?,
        None => false,
    };
    Ok(ChatRequest {
        generate: Generate {
            messages,
            max_tokens: max_tokens.and_then(|max| u32::try_from(max).ok()).unwrap_or(MAX_TOKENS_DEFAULT),
            sampling: sampling(fields)?,
            prefix: Vec::new(),
            stop: stop(fields)?,
        },
        stream: fields.flag("stream")?,
        include_usage,
    })
}

/// Fields that would change the answer, and that no provider could honour.
fn refuse_unsupported(fields: &Fields<'_>) -> Result<(), ApiError> {
    let nothing = |value: &Value| {
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
    };
    let zero = |value: &Value| value.as_f64() == Some(0.0);
    let no = |value: &Value| value == &json!(false);
    fields.refuse("n", |value| value == &json!(1))?;
    for field in ["tools", "functions", "logit_bias"] {
        fields.refuse(field, nothing)?;
    }
    for field in ["tool_choice", "function_call"] {
        fields.refuse(field, |value| matches!(value.as_str(), Some("none" | "auto")))?;
    }
    for field in ["frequency_penalty", "presence_penalty", "top_logprobs"] {
        fields.refuse(field, zero)?;
    }
    fields.refuse("logprobs", no)?;
    fields.refuse("response_format", |value| value["type"] == "text")?;
    fields.refuse("modalities", |value| value == &json!(["text"]))?;
    fields.refuse("audio", |_| false)
}

/// Returns the sampling that is asked for. Without a temperature the likeliest token is taken: the same answer from every provider, which can be checked.
fn sampling(fields: &Fields<'_>) -> Result<Sampling, ApiError> {
    let seed = match fields.value("seed") {
        // Seeds may be negative in this interface: any 64 bits will do.
        Some(seed) => match (seed.as_u64(), seed.as_i64()) {
            (Some(seed), _) => seed,
            (None, Some(seed)) => seed.cast_unsigned(),
            (None, None) => return Err(fields.wrong("seed", "must be a whole number")),
        },
        None => rand::random(),
    };
    Ok(Sampling {
        temperature_milli: fields.thousandths("temperature", 2)?.unwrap_or(0),
        top_p_milli: fields.thousandths("top_p", 1)?.unwrap_or(1000).max(1),
        top_k: 0,
        seed,
    })
}

fn stop(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    let wrong = || fields.wrong("stop", "must be a string or a list of strings, none of them empty");
    let stop = match fields.value("stop") {
        None => Vec::new(),
        Some(Value::String(stop)) => vec![stop.clone()],
        Some(Value::Array(stops)) => stops
            .iter()
            .map(|stop| stop.as_str().map(String::from))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?,
        Some(_) => return Err(wrong()),
    };
    if stop.iter().any(String::is_empty) { Err(wrong()) } else { Ok(stop) }
}

fn message((index, value): (usize, &Value)) -> Result<ChatMessage, ApiError> {
    let path = format!("messages[{index}]");
    let map = value.as_object().ok_or_else(|| ApiError::field(path.as_str(), "must be an object"))?;
    let fields = Fields::at(map, path);
    let role = match fields.text("role")? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(fields.wrong("role", "must be system, developer, user or assistant")),
    };
    let content = match fields.required("content")? {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let parts =
                parts.iter().map(|part| (part["type"] == "text").then(|| part["text"].as_str()).flatten());
            parts
                .collect::<Option<Vec<_>>>()
                .map(|parts| parts.concat())
                .ok_or_else(|| fields.wrong("content", "only parts of the type `text` are supported"))?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(fields.wrong("content", "must be a string or a list of text parts"));
        }
    };
    Ok(ChatMessage { role, content })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(body: Value) -> Result<ChatRequest, String> {
        let body = body.as_object().unwrap();
        read(&Fields::root(body)).map_err(|error| error.body()["error"]["param"].as_str().unwrap().to_owned())
    }

    fn with(field: &str, value: Value) -> Value {
        let mut body = json!({ "messages": [{ "role": "user", "content": "hello" }] });
        body[field] = value;
        body
    }

    #[test]
    fn a_request_becomes_a_task() {
        let request = parse(json!({
            "messages": [
                { "role": "developer", "content": "be brief" },
                { "role": "user", "name": "x", "content": [
                    { "type": "text", "text": "a" }, { "type": "text", "text": "b" }
                ] },
            ],
            "temperature": 0.7, "top_p": 0.9, "seed": -1, "stop": "\n", "max_completion_tokens": 9, "max_tokens": 5,
            "stream": true, "stream_options": { "include_usage": true },
            "user": "ignored", "n": 1, "tools": [], "logprobs": null, "a_field_of_tomorrow": { "x": 1 },
        }))
        .unwrap();
        let Generate { messages, max_tokens, sampling, prefix, stop } = request.generate;
        assert!(messages[0].role == Role::System && messages[0].content == "be brief");
        assert_eq!(messages[1].content, "ab");
        assert_eq!((max_tokens, prefix.len(), stop), (9, 0, vec!["\n".to_owned()]));
        let drawn = Sampling { temperature_milli: 700, top_p_milli: 900, top_k: 0, seed: u64::MAX };
        assert_eq!(sampling, drawn);
        assert!(request.stream && request.include_usage);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name() {
        for (field, value) in [
            ("n", json!(2)),
            ("tools", json!([{ "type": "function" }])),
            ("logprobs", json!(true)),
            ("top_logprobs", json!(3)),
            ("response_format", json!({ "type": "json_object" })),
            ("presence_penalty", json!(0.5)),
            ("logit_bias", json!({ "5": 1 })),
            ("temperature", json!(3)),
            ("temperature", json!("hot")),
            ("top_p", json!(-0.1)),
            ("max_tokens", json!(0)),
            ("seed", json!(0.5)),
            ("stop", json!([1])),
            ("stop", json!("")),
            ("stream", json!("yes")),
            ("messages", json!("hello")),
        ] {
            assert_eq!(parse(with(field, value.clone())).err().unwrap(), field, "{value}");
        }
        let image = json!([{ "role": "user", "content": [{ "type": "image_url" }] }]);
        assert_eq!(parse(with("messages", image)).err().unwrap(), "messages[0].content");
        let tool = json!([{ "role": "tool", "content": "x" }]);
        assert_eq!(parse(with("messages", tool)).err().unwrap(), "messages[0].role");
    }

    #[test]
    fn what_says_the_usual_is_no_reason_to_refuse() {
        for (field, value) in [
            ("n", json!(1)),
            ("response_format", json!({ "type": "text" })),
            ("frequency_penalty", json!(0)),
            ("tool_choice", json!("auto")),
            ("logprobs", json!(false)),
            ("stop", json!(null)),
        ] {
            assert!(parse(with(field, value.clone())).is_ok(), "{field} {value}");
        }
    }
}
