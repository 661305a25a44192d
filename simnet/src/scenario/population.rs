//! Keys of `[population]`: who the hosts are.

use bombyx_protocol::work::order::ModelId;
use serde::{Deserialize, Serialize};

use super::coins::{Coins, coins};

/// The hosts of a scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Population {
    /// Share of hosts that buy; all others sell.
    pub clients: f64,
    /// Models that exist.
    pub models: u32,
    /// Models that one client orders from.
    pub models_per_client: u32,
    /// Zipf exponent of the models' popularity with clients; 0 is even.
    pub demand_zipf: f64,
    /// Zipf exponent of the models' popularity with providers; 0 is even.
    pub supply_zipf: f64,
    /// Spread of the logarithm of providers' prices within a GPU class.
    pub price_sigma: f64,
    /// GPU classes.
    pub gpu: Vec<GpuClass>,
}

impl Default for Population {
    fn default() -> Self {
        Self {
            clients: 0.1,
            models: 20,
            models_per_client: 2,
            demand_zipf: 0.9,
            supply_zipf: 0.0,
            price_sigma: 0.2,
            gpu: vec![GpuClass::default()],
        }
    }
}

/// A class of providers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GpuClass {
    /// Its name.
    pub name: String,
    /// Its weight among the classes.
    pub share: f64,
    /// Jobs at a time.
    pub slots: u16,
    /// Input tokens a second, of all jobs together.
    pub prefill_per_s: u64,
    /// Output tokens a second of a job that is alone.
    pub decode_per_s: u64,
    /// By which share each further answer in the batch lengthens the time for a token of all.
    pub batch_slowdown: f64,
    /// Milliseconds until the first token with an empty prompt.
    pub start_ms: u64,
    /// Median price of a job.
    pub per_job: Coins,
    /// Median price of 1,000 input tokens.
    pub input_per_k: Coins,
    /// Median price of 1,000 output tokens.
    pub output_per_k: Coins,
    /// What its providers ask over what serving costs them.
    pub bid_factor: f64,
}

impl Default for GpuClass {
    fn default() -> Self {
        Self {
            name: "gpu".to_owned(),
            share: 1.0,
            slots: 4,
            prefill_per_s: 2_000,
            decode_per_s: 40,
            batch_slowdown: 0.02,
            start_ms: 50,
            per_job: coins(0),
            input_per_k: coins(500_000),
            output_per_k: coins(4_000_000),
            bid_factor: 1.0,
        }
    }
}

/// Unix seconds at the beginning of every world: where the calendar of the stack fidelity begins, which judges gossip by it.
pub const CALENDAR_S: u64 = 1_767_225_600;

/// Returns the model with this number.
#[must_use]
pub fn model_id(model: u32) -> ModelId {
    ModelId(*blake3::hash(&[b"bombyx/simnet/model".as_slice(), &model.to_le_bytes()].concat()).as_bytes())
}
