//! `POST /v1/quote`: what a request would cost, without running it. Its body is that of `/v1/chat/completions`, or of
//! `/v1/embeddings` where it has an `input`.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use bombyx_protocol::work::order::{Task, TaskKind};

use super::fields::Fields;
use super::order::{deadline, order};
use super::{chat, embeddings, models};
use crate::api::quote::QuoteReport;
use crate::http::errors::ApiError;
use crate::http::gateway::Gateway;
use crate::http::json::object_of;

pub(in crate::http) async fn quote(
    State(gateway): State<Gateway>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<QuoteReport>, ApiError> {
    let body = object_of(&headers, body).await?;
    let fields = Fields::root(&body);
    let kind = if fields.value("input").is_some() { TaskKind::Embed } else { TaskKind::Generate };
    let deadline = deadline(&fields, &gateway.policy)?;
    let model = models::resolve(&gateway.node, fields.text("model")?, kind, deadline).await?;
    let task = match kind {
        TaskKind::Embed => Task::Embed { inputs: embeddings::inputs(&fields, &model.id)? },
        TaskKind::Generate => Task::Generate(chat::read(&fields)?.generate),
    };
    let order = order((model.id, model.weights), task, &fields, &gateway.policy, deadline).await?;
    Ok(Json(gateway.node.priced(&model.name, order).await?))
}
