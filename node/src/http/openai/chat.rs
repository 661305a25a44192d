//! `POST /v1/chat/completions`: a conversation in, its next message out, whole or streamed.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{ChatMessage, Generate, Role, Sampling, Task, TaskKind};
use serde_json::{Value, json};

use super::fields::Fields;
use super::models::{self, KnownModel};
use super::order::{deadline, order};
use super::wishes::{self, Place};
use crate::http::answer::{Answer, Part};
use crate::http::errors::ApiError;
use crate::http::facts::{facts, finish_reason, usage};
use crate::http::gateway::Gateway;
use crate::http::json::{json_response, object_of, unix_s};
use crate::http::sse::{self, Head};

/// Output tokens when the request sets no limit: the reserve for a job follows from it, so it is modest.
const MAX_TOKENS_DEFAULT: u32 = 256;
/// Digits of the model's hash in `system_fingerprint`.
const FINGERPRINT_DIGITS: usize = 12;

/// A request as the gateway understands it.
pub(super) struct ChatRequest {
    pub(super) generate: Generate,
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
    let deadline = deadline(&fields, &gateway.policy)?;
    let model = models::resolve(&gateway.node, fields.text("model")?, TaskKind::Generate, deadline).await?;
    let request = read(&fields)?;
    let meant = (model.id, model.weights);
    let order = order(meant, Task::Generate(request.generate), &fields, &gateway.policy, deadline).await?;
    let mut answer = Answer::order(&gateway, order, deadline).await?;
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
        part = match answer.next().await {
            Ok(part) => part,
            Err(error) => return Err(error.after_text(text)),
        };
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

/// Reads a request, each field as the table of wishes says.
pub(super) fn read(fields: &Fields<'_>) -> Result<ChatRequest, ApiError> {
    wishes::check(Place::Chat, fields)?;
    let messages = fields.required("messages")?.as_array();
    let messages = messages.ok_or_else(|| fields.wrong("messages", "must be a list of messages"))?;
    let messages = messages.iter().enumerate().map(message).collect::<Result<_, _>>()?;
    // Both are limits, so that the lower one obeys both.
    let limits = [fields.limit("max_completion_tokens")?, fields.limit("max_tokens")?];
    let max_tokens = limits.into_iter().flatten().min();
    let asked_usage = |object: &str, place, field: &str| match fields.object(object)? {
        Some(options) => {
            if let Some(place) = place {
                wishes::check(place, &options)?;
            }
            options.flag(field)
        }
        None => Ok(false),
    };
    let in_stream = asked_usage("stream_options", Some(Place::StreamOptions), "include_usage")?;
    let include_usage = asked_usage("usage", None, "include")? || in_stream;
    Ok(ChatRequest {
        generate: Generate {
            messages,
            max_tokens: max_tokens.unwrap_or(MAX_TOKENS_DEFAULT),
            sampling: sampling(fields)?,
            prefix: Vec::new(),
            stop: stop(fields)?,
        },
        stream: fields.flag("stream")?,
        include_usage,
    })
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
        top_k: top_k(fields)?,
        seed,
    })
}

/// Returns how many of the likeliest tokens stay; 0 keeps all, and so does -1 for vLLM's clients.
fn top_k(fields: &Fields<'_>) -> Result<u32, ApiError> {
    if fields.value("top_k").and_then(Value::as_i64) == Some(-1) {
        return Ok(0);
    }
    let top_k = fields.integer("top_k", 0, u64::from(u32::MAX))?;
    Ok(top_k.and_then(|top_k| u32::try_from(top_k).ok()).unwrap_or(0))
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
    wishes::check(Place::Message, &fields)?;
    let role = match fields.text("role")? {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return Err(fields.wrong("role", "must be system, developer, user or assistant")),
    };
    let content = match fields.required("content")? {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let path = fields.name("content");
            parts.iter().enumerate().map(|part| part_text(&path, part)).collect::<Result<String, _>>()?
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => {
            return Err(fields.wrong("content", "must be a string or a list of text parts"));
        }
    };
    Ok(ChatMessage { role, content })
}

/// Returns the text of one part of a message.
fn part_text<'a>(path: &str, (index, value): (usize, &'a Value)) -> Result<&'a str, ApiError> {
    let path = format!("{path}[{index}]");
    let map = value.as_object().ok_or_else(|| ApiError::field(path.as_str(), "must be an object"))?;
    let fields = Fields::at(map, path);
    if fields.text("type")? != "text" {
        return Err(fields.wrong("type", "must be `text`: models of this network read nothing else"));
    }
    wishes::check(Place::Part, &fields)?;
    fields.text("text")
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
            "user": "ignored", "n": 1, "tools": [], "logprobs": null, "top_k": 7,
        }))
        .unwrap();
        let Generate { messages, max_tokens, sampling, prefix, stop } = request.generate;
        assert!(messages[0].role == Role::System && messages[0].content == "be brief");
        assert_eq!(messages[1].content, "ab");
        assert_eq!((max_tokens, prefix.len(), stop), (5, 0, vec!["\n".to_owned()]));
        let drawn = Sampling { temperature_milli: 700, top_p_milli: 900, top_k: 7, seed: u64::MAX };
        assert_eq!(sampling, drawn);
        assert!(request.stream && request.include_usage);
    }

    #[test]
    fn a_value_of_the_wrong_form_is_refused_by_name() {
        for (field, value) in [
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
        assert_eq!(parse(with("messages", image)).err().unwrap(), "messages[0].content[0].type");
        let tool = json!([{ "role": "tool", "content": "x" }]);
        assert_eq!(parse(with("messages", tool)).err().unwrap(), "messages[0].role");
    }
}
