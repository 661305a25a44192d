//! The order that a request is read into.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{ModelId, Order, Task, TaskKind, Tier};
use bombyx_protocol::work::price::Weights;

use super::fields::Fields;
use super::wishes::{self, Place};
use crate::engine::fit::{Fitted, fit};
use crate::http::errors::ApiError;
use crate::http::gateway::GatewayPolicy;
use crate::http::limits::DEADLINE_MS_MAX;

/// Returns the order for a task, with the limits that the request's `bombyx` object sets or the
/// gateway's own. What the owner allows a request to cost is a ceiling: a caller can ask for less
/// and never for more. What every provider would refuse is refused here.
pub(super) async fn order(
    (model, weights): (ModelId, Weights),
    task: Task,
    fields: &Fields<'_>,
    policy: &GatewayPolicy,
) -> Result<Order, ApiError> {
    let limits = fields.object("bombyx")?;
    if let Some(limits) = &limits {
        wishes::check(Place::Bombyx, limits)?;
    }
    if let Some(wanted) = fields.object("provider")? {
        wishes::check(Place::Provider, &wanted)?;
    }
    let limit = |name, min, max, default: u64| match &limits {
        Some(limits) => Ok::<_, ApiError>(limits.integer(name, min, max)?.unwrap_or(default)),
        None => Ok(default),
    };
    let text = match task.kind() {
        TaskKind::Embed => "input",
        TaskKind::Generate => "messages",
    };
    let Fitted { task, input } = fit(model, task).await.map_err(|fault| ApiError::order(fault, text))?;
    Ok(Order {
        weights,
        model,
        task,
        input,
        max_cost: Nano(limit("max_cost_nano", 0, u64::MAX, policy.max_cost.0)?).min(policy.max_cost),
        deadline: Span::from_ms(limit("deadline_ms", 1, DEADLINE_MS_MAX, policy.deadline.as_ms())?),
        tier: Tier::Open,
        nano_per_ms: limit("nano_per_ms", 0, u64::MAX, policy.nano_per_ms)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::home::config::GatewayConfig;

    async fn max_cost(owners: u64, callers: &serde_json::Value) -> u64 {
        let mut config = GatewayConfig::default();
        config.max_cost.0 = Nano(owners);
        let body = json!({ "bombyx": callers });
        let fields = Fields::root(body.as_object().unwrap());
        let task = Task::Embed { inputs: vec!["x".into()] };
        let model = (ModelId([1; 32]), Weights::DEFAULT);
        order(model, task, &fields, &GatewayPolicy::new(&config)).await.unwrap().max_cost.0
    }

    #[tokio::test]
    async fn the_owners_ceiling_caps_what_a_caller_allows() {
        for (callers, expected) in [
            (json!({}), 1_000),
            (json!({ "max_cost_nano": 0 }), 0),
            (json!({ "max_cost_nano": 999 }), 999),
            (json!({ "max_cost_nano": 1_000 }), 1_000),
            (json!({ "max_cost_nano": 1_001 }), 1_000),
            (json!({ "max_cost_nano": u64::MAX }), 1_000),
            (json!({ "max_cost_nano": null }), 1_000),
        ] {
            assert_eq!(max_cost(1_000, &callers).await, expected, "{callers}");
        }
        assert_eq!(max_cost(0, &json!({ "max_cost_nano": 5 })).await, 0);
    }
}
