//! What the tests of several files of the driver are made of.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::Span;
use bombyx_protocol::work::order::{InputCount, ModelId, Order, Task, Tier};
use bombyx_protocol::work::price::Weights;

/// Returns an order that costs next to nothing and has a second.
pub(super) fn order() -> Order {
    Order {
        model: ModelId([1; 32]),
        task: Task::Embed { inputs: vec!["a".into()] },
        max_cost: Nano(1),
        deadline: Span::from_s(1),
        tier: Tier::Open,
        nano_per_ms: Some(0),
        price_max: None,
        dims: None,
        weights: Weights::DEFAULT,
        input: InputCount::Estimated,
        preferences: bombyx_protocol::Preferences::default(),
    }
}
