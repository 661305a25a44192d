//! `POST /v1/embeddings`: texts in, one vector for each out, as numbers or as base64 of little-endian `f32`s.

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bombyx_protocol::wire::message::Content;
use bombyx_protocol::work::order::{ModelId, Task, TaskKind};
use serde_json::{Value, json};

use super::fields::Fields;
use super::models;
use super::order::{deadline, order};
use super::wishes::{self, Place};
use crate::api::vectors::Vectors;
use crate::engine::models::dims_of;
use crate::http::answer::{Answer, Part};
use crate::http::errors::ApiError;
use crate::http::facts::facts;
use crate::http::gateway::Gateway;
use crate::http::json::{json_response, object_of};

pub(in crate::http) async fn embed(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let body = object_of(&headers, body).await?;
    let fields = Fields::root(&body);
    let deadline = deadline(&fields, &gateway.policy)?;
    let model = models::resolve(&gateway.node, fields.text("model")?, TaskKind::Embed, deadline).await?;
    let (inputs, base64) = read(&fields, dims_of(&model.id))?;
    let mut vectors = Vectors::new(inputs.len());
    let order =
        order((model.id, model.weights), Task::Embed { inputs }, &fields, &gateway.policy, deadline).await?;
    let mut answer = Answer::order(&gateway, order, deadline).await?;
    let bill = loop {
        match answer.next().await {
            Ok(Part::Content(Content::Vectors { first, dims, bytes })) => {
                vectors.take(first, dims, &bytes).map_err(|_| ApiError::bad_answer())?;
            }
            Ok(Part::Content(Content::End { .. })) => {}
            Ok(Part::Content(Content::Tokens { .. })) => return Err(ApiError::bad_answer()),
            Ok(Part::Done(bill)) => break bill,
            Err(error) => {
                let came = vectors.rows().map(|(index, row)| item(index, row, base64)).collect();
                return Err(error.after_items(came));
            }
        }
    };
    let rows = vectors.finish().map_err(|_| ApiError::bad_answer())?;
    let data: Vec<Value> = rows.iter().enumerate().map(|(index, row)| item(index, row, base64)).collect();
    let body = json!({
        "object": "list",
        "model": model.name,
        "data": data,
        "usage": { "prompt_tokens": bill.input_tokens, "total_tokens": bill.input_tokens },
        "bombyx": facts(&bill),
    });
    Ok(json_response(&body, answer.final_headers(&bill)))
}

/// Returns the texts of a request.
pub(super) fn inputs(fields: &Fields<'_>, model: &ModelId) -> Result<Vec<String>, ApiError> {
    read(fields, dims_of(model)).map(|(inputs, _)| inputs)
}

fn item(index: usize, row: &[f32], base64: bool) -> Value {
    let embedding = if base64 {
        let bytes: Vec<u8> = row.iter().flat_map(|number| number.to_le_bytes()).collect();
        json!(BASE64.encode(bytes))
    } else {
        json!(row)
    };
    json!({ "object": "embedding", "index": index, "embedding": embedding })
}

/// Returns the inputs, and whether vectors are wanted as base64. `dims` are the numbers of a vector, where they are known.
fn read(fields: &Fields<'_>, dims: Option<u32>) -> Result<(Vec<String>, bool), ApiError> {
    wishes::check(Place::Embeddings, fields)?;
    let wrong =
        || fields.wrong("input", "must be a string or a list of strings; token ids are not supported");
    let inputs = match fields.required("input")? {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.first().is_some_and(|item| item.is_array() || item.is_number()) => {
            return Err(fields.wrong(
                "input",
                "token ids are those of another model's tokenizer; send texts (LangChain: check_embedding_ctx_length=False)",
            ));
        }
        Value::Array(texts) => texts
            .iter()
            .map(|text| text.as_str().map(String::from))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(wrong)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => return Err(wrong()),
    };
    if inputs.iter().any(String::is_empty) {
        return Err(fields.wrong("input", "must not hold an empty string"));
    }
    if fields.value("dimensions").is_some_and(|wanted| wanted.as_u64() != dims.map(u64::from)) {
        let own = dims.map(|dims| format!(", {dims}")).unwrap_or_default();
        return Err(
            fields.wrong("dimensions", &format!("a vector has as many numbers as its model makes{own}"))
        );
    }
    let base64 = match fields.value("encoding_format").map(Value::as_str) {
        None | Some(Some("float")) => false,
        Some(Some("base64")) => true,
        Some(_) => return Err(fields.wrong("encoding_format", "must be float or base64")),
    };
    Ok((inputs, base64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(body: Value) -> Result<(Vec<String>, bool), String> {
        let body = body.as_object().unwrap();
        read(&Fields::root(body), Some(384))
            .map_err(|error| error.body()["error"]["param"].as_str().unwrap().to_owned())
    }

    #[test]
    fn one_text_or_many_are_taken_in_either_encoding() {
        assert_eq!(parse(json!({ "input": "a" })), Ok((vec!["a".into()], false)));
        let many = json!({ "input": ["a", "b"], "encoding_format": "base64" });
        assert_eq!(parse(many), Ok((vec!["a".into(), "b".into()], true)));
    }

    #[test]
    fn other_inputs_are_refused_by_name() {
        for (body, param) in [
            (json!({}), "input"),
            (json!({ "input": [1, 2] }), "input"),
            (json!({ "input": [[1, 2]] }), "input"),
            (json!({ "input": ["a", 2] }), "input"),
            (json!({ "input": ["a", ""] }), "input"),
            (json!({ "input": "a", "dimensions": 5 }), "dimensions"),
            (json!({ "input": "a", "encoding_format": "int8" }), "encoding_format"),
        ] {
            assert_eq!(parse(body.clone()).unwrap_err(), param, "{body}");
        }
    }

    #[test]
    fn base64_is_of_little_endian_floats() {
        assert_eq!(
            item(2, &[1.0], true),
            json!({ "object": "embedding", "index": 2, "embedding": "AACAPw==" })
        );
        assert_eq!(item(0, &[0.5], false)["embedding"], json!([0.5]));
    }
}
