//! Keys of `[workload]`: what is ordered, and when.

use serde::{Deserialize, Serialize};

use super::{Coins, coins};

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Workload {
    /// Orders in all.
    pub jobs: u32,
    /// Orders a second, as a Poisson process.
    pub rate_per_s: f64,
    /// Seconds before the first order.
    pub warm_up_s: f64,
    /// Median prompt, in tokens.
    pub prompt_tokens: f64,
    /// Spread of the logarithm of a prompt's length.
    pub prompt_sigma: f64,
    /// Median answer, in tokens.
    pub answer_tokens: f64,
    /// Spread of the logarithm of an answer's length.
    pub answer_sigma: f64,
    /// Output tokens at the most.
    pub max_tokens: u32,
    /// The most that an order may cost.
    pub max_cost: Coins,
    /// Seconds until an order fails.
    pub deadline_s: f64,
    /// What one millisecond less until the first token is worth to a buyer, in nano.
    pub nano_per_ms: u64,
    /// Output tokens that an engine reports at a time.
    pub report_tokens: u32,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            jobs: 100,
            rate_per_s: 5.0,
            warm_up_s: 2.0,
            prompt_tokens: 120.0,
            prompt_sigma: 0.8,
            answer_tokens: 100.0,
            answer_sigma: 0.6,
            max_tokens: 400,
            max_cost: coins(20_000_000),
            deadline_s: 60.0,
            nano_per_ms: 100,
            report_tokens: 8,
        }
    }
}
