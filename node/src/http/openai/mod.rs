//! OpenAI's requests, read into orders. What cannot be honoured is refused by name; what is unknown is ignored.

pub(super) mod chat;
pub(super) mod embeddings;
mod fields;
pub(super) mod models;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{ModelId, Order, Task, Tier};

use self::fields::Fields;
use super::GatewayPolicy;
use super::errors::ApiError;

/// The longest that a request may ask for.
const DEADLINE_MS_MAX: u64 = 600_000;

/// The order for a task, with the limits that the request's `bombyx` object sets or the gateway's own.
fn order(model: ModelId, task: Task, fields: &Fields<'_>, policy: &GatewayPolicy) -> Result<Order, ApiError> {
    let limits = fields.object("bombyx")?;
    let limit = |name, max, default: u64| match &limits {
        Some(limits) => Ok::<_, ApiError>(limits.integer(name, 0, max)?.unwrap_or(default)),
        None => Ok(default),
    };
    Ok(Order {
        model,
        task,
        max_cost: Nano(limit("max_cost_nano", u64::MAX, policy.max_cost.0)?),
        deadline: Span::from_ms(limit("deadline_ms", DEADLINE_MS_MAX, policy.deadline.as_ms())?),
        tier: Tier::Open,
        nano_per_ms: limit("nano_per_ms", u64::MAX, policy.nano_per_ms)?,
    })
}
