//! Keys of `[workload]`: what is ordered, and when.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::coins::{Coins, coins};
use super::request::Request;
use crate::kernel::{Distribution, Wave};

/// What is ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadSpec {
    /// Orders in all; with a trace, at the most.
    pub jobs: u32,
    /// What decides when an order comes.
    pub arrivals: Arrivals,
    /// Orders a second, in the mean; a trace has its own.
    pub rate_per_s: f64,
    /// Standard deviation over mean of the time between two orders, for `gamma` arrivals.
    pub burst_cv: f64,
    /// By which share of the mean the rate rises and falls in a day.
    pub daily_swing: f64,
    /// Length of a day, in seconds.
    pub day_s: f64,
    /// When the rate is highest, in seconds from the start.
    pub peak_s: f64,
    /// The file of `trace` arrivals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceFile>,
    /// Seconds before the first order.
    pub warm_up_s: f64,
    /// Where the lengths of prompts and answers come from.
    pub lengths: Lengths,
    /// Median prompt, in tokens, for `own` lengths.
    pub prompt_tokens: f64,
    /// Spread of the logarithm of a prompt's length, for `own` lengths.
    pub prompt_sigma: f64,
    /// Median answer, in tokens, for `own` lengths.
    pub answer_tokens: f64,
    /// Spread of the logarithm of an answer's length, for `own` lengths.
    pub answer_sigma: f64,
    /// Output tokens at the most.
    pub max_tokens: u32,
    /// The most that an order may cost.
    pub max_cost: Coins,
    /// Seconds until an order fails.
    pub deadline_s: f64,
    /// Seconds after its deadline within which a client must have said that an order ended, or the run stops: one, unless it is
    /// stated. Below zero an order has to end so long before its deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace_s: Option<f64>,
    /// What one millisecond less until the first token is worth to a buyer, in nano.
    pub nano_per_ms: u64,
    /// Output tokens that an engine reports at a time.
    pub report_tokens: u32,
}

impl Default for WorkloadSpec {
    fn default() -> Self {
        Self {
            jobs: 100,
            arrivals: Arrivals::Poisson,
            rate_per_s: 5.0,
            burst_cv: 2.0,
            daily_swing: 0.0,
            day_s: 86_400.0,
            peak_s: 50_400.0,
            trace: None,
            warm_up_s: 2.0,
            lengths: Lengths::Own,
            prompt_tokens: 120.0,
            prompt_sigma: 0.8,
            answer_tokens: 100.0,
            answer_sigma: 0.6,
            max_tokens: 400,
            max_cost: coins(20_000_000),
            deadline_s: 60.0,
            grace_s: None,
            nano_per_ms: 100,
            report_tokens: 8,
        }
    }
}

/// What decides when an order comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arrivals {
    /// Each by itself: exponential times between orders.
    #[default]
    Poisson,
    /// In bursts, or evenly: gamma times between orders, with `burst_cv`.
    Gamma,
    /// As in a file of requests, lengths included.
    Trace,
}

/// Where the lengths of prompts and answers come from: lognormal, independent of each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lengths {
    /// From the scenario.
    #[default]
    Own,
    /// As a conversation service's.
    AzureConversation,
    /// As a code completion service's: long prompts, short answers.
    AzureCode,
}

/// A file of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceFile {
    /// Its path, from where the program runs.
    pub file: String,
    /// How much faster than in the file orders come.
    pub speed: f64,
    /// BLAKE3 of its content; filled in when it is read, so that a stored run names what it was made of.
    pub hash: String,
    /// What it says.
    #[serde(skip)]
    pub requests: Arc<Vec<Request>>,
}

impl Default for TraceFile {
    fn default() -> Self {
        Self { file: String::new(), speed: 1.0, hash: String::new(), requests: Arc::default() }
    }
}

/// Medians and spreads of prompts and answers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LengthFit {
    /// Median prompt in tokens, and the spread of its logarithm.
    pub prompt: (f64, f64),
    /// Median answer in tokens, and the spread of its logarithm.
    pub answer: (f64, f64),
}

impl WorkloadSpec {
    /// Returns the law of the time between two orders.
    #[must_use]
    pub fn law(&self) -> Distribution {
        match self.arrivals {
            Arrivals::Poisson | Arrivals::Trace => Distribution::Exponential,
            Arrivals::Gamma => Distribution::Gamma { cv: self.burst_cv },
        }
    }

    /// Returns the day's wave.
    #[must_use]
    pub const fn wave(&self) -> Wave {
        Wave { swing: self.daily_swing, day_s: self.day_s, peak_s: self.peak_s }
    }

    /// Returns the parameters of lengths.
    ///
    /// Azure LLM inference traces of 2023 (CC BY 4.0; Patel et al., Splitwise, ISCA 2024): medians of prompt and answer
    /// 1,020 and 129 tokens for conversation, 1,500 and 13 for code; spreads from the traces' means, 1,155 and 211, 2,048
    /// and 28, by σ² = 2 ln(mean / median).
    #[must_use]
    pub const fn fitted(&self) -> LengthFit {
        match self.lengths {
            Lengths::Own => LengthFit {
                prompt: (self.prompt_tokens, self.prompt_sigma),
                answer: (self.answer_tokens, self.answer_sigma),
            },
            Lengths::AzureConversation => LengthFit { prompt: (1_020.0, 0.50), answer: (129.0, 0.99) },
            Lengths::AzureCode => LengthFit { prompt: (1_500.0, 0.79), answer: (13.0, 1.24) },
        }
    }
}
