//! `GET /v1/models`, and which model a request means.

use axum::Json;
use axum::extract::{Path, State};
use bombyx_protocol::work::order::{ModelId, TaskKind};
use bombyx_protocol::work::price::Weights;
use serde_json::{Value, json};

use crate::api::handle::NodeHandle;
use crate::api::models::{self, MeantModel};
use crate::error::NodeError;
use crate::http::deadline::Deadline;
use crate::http::errors::ApiError;
use crate::http::gateway::Gateway;
use crate::status::models::{NameError, OfferedModel, task};

/// A model that can be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownModel {
    pub(super) id: ModelId,
    pub(super) weights: Weights,
    pub(super) name: String,
}

pub(in crate::http) async fn list(State(gateway): State<Gateway>) -> Result<Json<Value>, ApiError> {
    let data: Vec<Value> = offered(&gateway.node).await?.iter().map(card).collect();
    Ok(Json(json!({ "object": "list", "data": data })))
}

pub(in crate::http) async fn one(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let name = name.trim_end_matches('/');
    let offered = offered(&gateway.node).await?;
    Ok(Json(card(models::find(name, &offered)?)))
}

/// Returns the model that `name` means, if it does this kind of work.
pub(super) async fn resolve(
    node: &NodeHandle,
    name: &str,
    kind: TaskKind,
    deadline: Deadline,
) -> Result<KnownModel, ApiError> {
    let meant = deadline.bound(node.meant(name)).await?;
    let MeantModel { id, kind: does, weights } = meant.map_err(|error| {
        // Else the node has ended.
        if let NodeError::Name(error) = error { error.into() } else { ApiError::stopped() }
    })?;
    match does {
        Some(does) if does != kind => Err(ApiError::wrong_kind(name, task(does))),
        Some(_) | None => Ok(KnownModel { id, weights, name: name.to_owned() }),
    }
}

async fn offered(node: &NodeHandle) -> Result<Vec<OfferedModel>, ApiError> {
    node.models().await.map_err(|_| ApiError::stopped())
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        match error {
            NameError::Unknown(text) => Self::unknown_model(text),
            NameError::Ambiguous { .. } => Self::field("model", &error.to_string()),
        }
    }
}

fn card(model: &OfferedModel) -> Value {
    json!({
        "id": model.label,
        "object": "model",
        // Models have a content hash and no date.
        "created": 0,
        "owned_by": "bombyx",
        "context_length": model.context_tokens,
        "max_output_tokens": model.output_tokens_max,
        "bombyx": {
            "model_id": model.id,
            "name": model.name,
            "task": model.task,
            "providers": model.providers,
            "tiers": model.tiers,
            "price": model.usual,
            "cheapest": model.lowest,
        },
    })
}
