//! `GET /v1/models`, and which model a name means.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::{Path, State};
use bombyx_gpu::catalog;
use bombyx_protocol::market::ask::Ask;
use bombyx_protocol::work::order::{ModelId, TaskKind};
use bombyx_protocol::work::price::Weights;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::api::handle::NodeHandle;
use crate::engine::models;
use crate::http::errors::ApiError;
use crate::http::gateway::Gateway;

/// How long a question waits for the first offer.
const SEEK_PATIENCE: Duration = Duration::from_secs(2);
const SEEK_PAUSE: Duration = Duration::from_millis(50);

/// A model that can be ordered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KnownModel {
    pub(super) id: ModelId,
    pub(super) name: String,
}

/// What is offered under one name.
struct OfferedModel {
    id: ModelId,
    kind: TaskKind,
    providers: usize,
    cheapest: Ask,
}

pub(in crate::http) async fn list(State(gateway): State<Gateway>) -> Result<Json<Value>, ApiError> {
    let offered = offered(asks(&gateway.node).await?);
    let data: Vec<Value> = offered.iter().map(|(name, offered)| card(name, offered)).collect();
    Ok(Json(json!({ "object": "list", "data": data })))
}

pub(in crate::http) async fn one(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let name = name.trim_end_matches('/').to_owned();
    let offered = offered(asks(&gateway.node).await?);
    let found = offered.get_key_value(&name);
    let found = found.or_else(|| offered.iter().find(|(_, offered)| offered.id.to_string() == name));
    found.map(|(name, offered)| Json(card(name, offered))).ok_or_else(|| unknown(&name))
}

/// Returns the model that `name` means: an id, a name of the catalogue, or a name that exactly one
/// offered model has.
pub(super) async fn resolve(node: &NodeHandle, name: &str, kind: TaskKind) -> Result<KnownModel, ApiError> {
    let known = |id, name: &str| KnownModel { id, name: name.to_owned() };
    if let Ok((id, does)) = models::named(name) {
        if let Some(does) = does {
            check_kind(name, does, kind)?;
        }
        return Ok(known(id, name));
    }
    // Names in asks are the providers' own words: two models of one name cannot be told apart by it.
    let mut named: Vec<(ModelId, TaskKind)> = asks(node)
        .await?
        .into_iter()
        .filter(|ask| ask.name == name)
        .map(|ask| (ask.model, ask.kind))
        .collect();
    named.sort_unstable_by_key(|(id, _)| *id);
    named.dedup_by_key(|(id, _)| *id);
    match named.as_slice() {
        [(id, does)] => {
            check_kind(name, *does, kind)?;
            Ok(known(*id, name))
        }
        [] => Err(unknown(name)),
        _ => Err(ApiError::field("model", "several models are offered under this name; use one's id")),
    }
}

/// Returns what is offered. The first question of a while makes the node seek; the answers take a
/// moment.
async fn asks(node: &NodeHandle) -> Result<Vec<Ask>, ApiError> {
    let until = Instant::now() + SEEK_PATIENCE;
    loop {
        let asks = node.asks().await.map_err(|_| ApiError::stopped())?;
        if !asks.is_empty() || Instant::now() >= until {
            return Ok(asks);
        }
        sleep(SEEK_PAUSE).await;
    }
}

fn unknown(name: &str) -> ApiError {
    let message = match catalog::find(name) {
        Ok(_) => format!("nobody offers `{name}` at the moment"),
        Err(error) => error.to_string(),
    };
    ApiError::unknown_model(message)
}

fn check_kind(name: &str, does: TaskKind, asked: TaskKind) -> Result<(), ApiError> {
    if does == asked { Ok(()) } else { Err(ApiError::wrong_kind(name, word(does))) }
}

const fn word(kind: TaskKind) -> &'static str {
    match kind {
        TaskKind::Embed => "embeddings",
        TaskKind::Generate => "chat",
    }
}

/// Offers by name. A model whose name another has too is listed by its id.
fn offered(asks: Vec<Ask>) -> BTreeMap<String, OfferedModel> {
    let mut by_id: BTreeMap<ModelId, Vec<Ask>> = BTreeMap::new();
    for ask in asks {
        by_id.entry(ask.model).or_default().push(ask);
    }
    let mut offered = BTreeMap::new();
    for (id, mut asks) in by_id {
        asks.sort_by_key(|ask| (ask.price, ask.provider));
        let providers = asks.len();
        let Some(cheapest) = asks.into_iter().next() else { continue };
        let entry = catalog::catalog().iter().find(|entry| entry.manifest().id().0 == id.0);
        let name = entry.map_or_else(|| cheapest.name.clone(), |entry| entry.manifest().name.clone());
        let taken = offered.contains_key(&name) || entry.is_none() && catalog::find(&name).is_ok();
        let name = if taken { id.to_string() } else { name };
        offered.insert(name, OfferedModel { id, kind: cheapest.kind, providers, cheapest });
    }
    offered
}

fn card(name: &str, offered: &OfferedModel) -> Value {
    let weights = models::weights_of(&offered.id);
    let nano = |units: u32| offered.cheapest.price.bill(u128::from(units)).map(|nano| nano.0);
    json!({
        "id": name,
        "object": "model",
        // Models have a content hash and no date.
        "created": 0,
        "owned_by": "bombyx",
        "bombyx": {
            "model_id": offered.id.to_string(),
            "task": word(offered.kind),
            "providers": offered.providers,
            "cheapest": {
                "price_nano_per_k_units": offered.cheapest.price.0,
                "per_job_nano": nano(Weights::JOB),
                "input_per_k_nano": nano(weights.input.saturating_mul(1_000)),
                "output_per_k_nano": nano(weights.output.saturating_mul(1_000)),
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::ident::NodeId;
    use bombyx_protocol::work::order::Tier;
    use bombyx_protocol::work::price::Price;

    use super::*;

    fn ask(provider: u8, model: ModelId, name: &str, price: u64) -> Ask {
        Ask {
            provider: NodeId([provider; 32]),
            model,
            name: name.into(),
            kind: TaskKind::Embed,
            price: Price(price),
            context_tokens: 1,
            output_max: 0,
            read_tps: 1,
            write_tps: 1,
            start_ms: 1,
            tier: Tier::Open,
            seek: bombyx_protocol::market::seek::SeekId([0; 16]),
            valid_ms: 1,
            features: bombyx_protocol::wire::extension::Features::OWN,
            extensions: bombyx_protocol::wire::extension::Extensions::NONE,
        }
    }

    #[test]
    fn offers_of_one_model_are_one_entry_with_the_lowest_price() {
        let model = ModelId([1; 32]);
        let offered = offered(vec![ask(1, model, "own", 9), ask(2, model, "own", 4)]);
        let entry = &offered["own"];
        assert_eq!((entry.providers, entry.cheapest.price), (2, Price(4)));
    }

    #[test]
    fn nobody_can_take_the_name_of_a_catalogued_model() {
        let real = ModelId(catalog::find("all-minilm-l6-v2").unwrap().manifest().id().0);
        let false_one = ModelId([1; 32]);
        for asks in [
            vec![ask(1, false_one, "all-minilm-l6-v2", 1), ask(2, real, "all-minilm-l6-v2", 9)],
            vec![ask(1, false_one, "all-minilm-l6-v2", 1)],
        ] {
            let offered = offered(asks);
            assert_eq!(offered[&false_one.to_string()].id, false_one);
            assert!(offered.get("all-minilm-l6-v2").is_none_or(|entry| entry.id == real));
        }
    }
}
