//! The order that a request is read into.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::ident::NodeId;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{ModelId, Order, Task, TaskKind, Tier};
use bombyx_protocol::work::preferences::Preferences;
use bombyx_protocol::work::price::Weights;
use serde_json::Value;

use super::fields::Fields;
use super::max_price::max_price;
use super::wishes::{self, Place};
use crate::engine::fit::{Fitted, fit};
use crate::http::deadline::Deadline;
use crate::http::errors::ApiError;
use crate::http::gateway::GatewayPolicy;
use crate::http::limits::{DEADLINE_MS_MAX, PROVIDERS_NAMED_MAX};

/// Returns the order for a task, with the limits that the request's `bombyx` object sets or the
/// gateway's own. What the owner allows a request to cost is a ceiling: a caller can ask for less
/// and never for more. What every provider would refuse is refused here.
pub(super) async fn order(
    (model, weights): (ModelId, Weights),
    task: Task,
    fields: &Fields<'_>,
    policy: &GatewayPolicy,
    deadline: Deadline,
) -> Result<Order, ApiError> {
    let limits = own_fields(fields)?;
    let limit = |name, min, max, default: u64| match &limits {
        Some(limits) => Ok::<_, ApiError>(limits.integer(name, min, max)?.unwrap_or(default)),
        None => Ok(default),
    };
    let text = match task.kind() {
        TaskKind::Embed => "input",
        TaskKind::Generate => "messages",
    };
    let wanted = fields.object("provider")?;
    let price_max = match &wanted {
        Some(wanted) => {
            wishes::check(Place::Provider, wanted)?;
            max_price(wanted, weights, task.kind())?
        }
        None => None,
    };
    let Fitted { task, input } = fit(model, task).await.map_err(|fault| ApiError::order(fault, text))?;
    Ok(Order {
        deadline: deadline.left()?,
        weights,
        preferences: wanted.as_ref().map_or_else(|| Ok(Preferences::default()), preferences)?,
        model,
        task,
        input,
        max_cost: Nano(limit("max_cost_nano", 0, u64::MAX, policy.max_cost.0)?).min(policy.max_cost),
        tier: Tier::Open,
        nano_per_ms: match &limits {
            Some(limits) => limits.integer("nano_per_ms", 0, u64::MAX)?.or(policy.nano_per_ms),
            None => policy.nano_per_ms,
        },
        price_max,
        dims: None,
    })
}

/// Returns by when a request that has just come must be answered.
pub(super) fn deadline(fields: &Fields<'_>, policy: &GatewayPolicy) -> Result<Deadline, ApiError> {
    let own = match own_fields(fields)? {
        Some(limits) => limits.integer("deadline_ms", 1, DEADLINE_MS_MAX)?,
        None => None,
    };
    Ok(Deadline::after(own.map_or(policy.deadline, Span::from_ms)))
}

fn own_fields<'a>(fields: &Fields<'a>) -> Result<Option<Fields<'a>>, ApiError> {
    let own = fields.object("bombyx")?;
    if let Some(own) = &own {
        wishes::check(Place::Bombyx, own)?;
    }
    Ok(own)
}

/// Returns which providers a request wants: those that its `provider` object names by their ids.
fn preferences(wanted: &Fields<'_>) -> Result<Preferences, ApiError> {
    let mut preferences = Preferences {
        only: provider_ids(wanted, "only")?,
        ignore: provider_ids(wanted, "ignore")?,
        order: provider_ids(wanted, "order")?,
    };
    let others_too = match wanted.value("allow_fallbacks") {
        Some(Value::Bool(others_too)) => *others_too,
        Some(_) => return Err(wanted.wrong("allow_fallbacks", "must be true or false")),
        None => true,
    };
    if !others_too {
        if preferences.order.is_empty() {
            return Err(wanted
                .wrong("allow_fallbacks", "false needs the providers that may serve, in `provider.order`"));
        }
        preferences.only =
            preferences.order.iter().copied().filter(|named| preferences.allow(named)).collect();
        if preferences.only.is_empty() {
            return Err(wanted.wrong("order", "names no provider that may serve"));
        }
    }
    let is_void =
        !preferences.only.is_empty() && !preferences.only.iter().any(|named| preferences.allow(named));
    if is_void {
        Err(wanted.wrong("ignore", "leaves none of the providers in `provider.only`"))
    } else {
        Ok(preferences)
    }
}

fn provider_ids(wanted: &Fields<'_>, field: &str) -> Result<Vec<NodeId>, ApiError> {
    let Some(value) = wanted.value(field) else { return Ok(Vec::new()) };
    let ids = value.as_array().filter(|ids| ids.len() <= PROVIDERS_NAMED_MAX).map(|ids| {
        ids.iter().map(|id| id.as_str().and_then(|id| id.parse().ok())).collect::<Option<Vec<NodeId>>>()
    });
    let form =
        format!("must be a list of at most {PROVIDERS_NAMED_MAX} providers' ids, as answers name them");
    ids.flatten().ok_or_else(|| wanted.wrong(field, &form))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::home::config::GatewayConfig;

    async fn max_cost(owners: u64, callers: &Value) -> u64 {
        let mut config = GatewayConfig::default();
        config.max_cost.0 = Nano(owners);
        let body = json!({ "bombyx": callers });
        let fields = Fields::root(body.as_object().unwrap());
        let task = Task::Embed { inputs: vec!["x".into()] };
        let model = (ModelId([1; 32]), Weights::DEFAULT);
        let policy = GatewayPolicy::new(&config);
        let deadline = deadline(&fields, &policy).unwrap();
        order(model, task, &fields, &policy, deadline).await.unwrap().max_cost.0
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

    fn wanted(provider: &Value) -> Result<Preferences, String> {
        let wanted = preferences(&Fields::at(provider.as_object().unwrap(), "provider".into()));
        wanted.map_err(|error| error.body()["error"]["param"].as_str().unwrap().to_owned())
    }

    #[test]
    fn providers_are_named_by_their_ids() {
        let [one, two] = [NodeId([1; 32]), NodeId([2; 32])];
        let [a, b] = [one.to_string(), two.to_string()];
        assert_eq!(wanted(&json!({})), Ok(Preferences::default()));
        let named = wanted(&json!({ "only": [a, b], "ignore": [b], "order": [a] })).unwrap();
        assert_eq!((named.only, named.ignore, named.order), (vec![one, two], vec![two], vec![one]));
        let alone = wanted(&json!({ "order": [a, b], "ignore": [b], "allow_fallbacks": false })).unwrap();
        assert_eq!((alone.only, alone.order), (vec![one], vec![one, two]));
        let many = vec![a.clone(); PROVIDERS_NAMED_MAX + 1];
        for (refused, param) in [
            (json!({ "only": ["deepinfra"] }), "provider.only"),
            (json!({ "ignore": a }), "provider.ignore"),
            (json!({ "order": many }), "provider.order"),
            (json!({ "allow_fallbacks": false }), "provider.allow_fallbacks"),
            (json!({ "only": [a], "ignore": [a] }), "provider.ignore"),
            (json!({ "order": [a], "ignore": [a], "allow_fallbacks": false }), "provider.order"),
        ] {
            assert_eq!(wanted(&refused), Err(param.to_owned()), "{refused}");
        }
    }
}
