//! What is ordered, when and by whom: Poisson arrivals, Zipf popularity, lognormal lengths.

use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::{ChatMessage, Generate, ModelId, Order, Role, Sampling, Task, Tier};

use crate::engine::AnswerLength;
use crate::host::{Host, Profile};
use crate::population::model_id;
use crate::rng::{Draws, Purpose};
use crate::scenario::{self, Scenario};

/// Bytes of one token of filler text.
const BYTES_PER_TOKEN: f64 = 4.0;
/// Longest prompt in bytes, well inside the protocol's limit.
const PROMPT_BYTES_MAX: f64 = 40_000.0;

/// The stream of orders of one run.
#[derive(Debug, Clone)]
pub struct Workload {
    scenario: scenario::Workload,
    clients: u32,
}

/// The next order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number, from 0.
    pub number: u32,
    /// When.
    pub at: Time,
    /// The host that orders.
    pub client: u32,
}

impl Workload {
    /// The orders of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        Self { scenario: scenario.workload.clone(), clients: scenario.client_count() }
    }

    /// The arrival of order `number`, after `previous`; `None` past the last.
    #[must_use]
    pub fn arrival(&self, number: u32, previous: Time, draws: &Draws) -> Option<Arrival> {
        if number >= self.scenario.jobs {
            return None;
        }
        let about = [u64::from(number)];
        let wait_s = draws.exponential(1.0 / self.scenario.rate_per_s, Purpose::Arrival, &about);
        let client = draws.below(u64::from(self.clients), Purpose::Buyer, &about) as u32;
        Some(Arrival { number, at: previous + scenario::span(wait_s), client })
    }

    /// When the first order may come.
    #[must_use]
    pub fn begins(&self) -> Time {
        scenario::at(self.scenario.warm_up_s)
    }

    /// What order `number` asks for.
    #[must_use]
    pub fn order(&self, number: u32, client: &Host, draws: &Draws) -> Order {
        let about = [u64::from(number)];
        let tokens = draws.lognormal(
            self.scenario.prompt_tokens,
            self.scenario.prompt_sigma,
            Purpose::PromptLength,
            &about,
        );
        let bytes = (tokens * BYTES_PER_TOKEN).clamp(1.0, PROMPT_BYTES_MAX) as usize;
        Order {
            model: favourite(client, number, draws),
            task: Task::Generate(Generate {
                messages: vec![ChatMessage { role: Role::User, content: "x".repeat(bytes) }],
                max_tokens: self.scenario.max_tokens,
                sampling: Sampling {
                    temperature_milli: 0,
                    top_p_milli: 1_000,
                    top_k: 0,
                    seed: u64::from(number),
                },
                prefix: Vec::new(),
                stop: Vec::new(),
            }),
            max_cost: self.scenario.max_cost.0,
            deadline: self.deadline(),
            tier: Tier::Open,
            nano_per_ms: self.scenario.nano_per_ms,
        }
    }

    /// How long an order may take.
    #[must_use]
    pub fn deadline(&self) -> Span {
        scenario::span(self.scenario.deadline_s)
    }

    /// How long answers are.
    #[must_use]
    pub fn answers(&self) -> AnswerLength {
        AnswerLength { median: self.scenario.answer_tokens, sigma: self.scenario.answer_sigma }
    }
}

/// One of the client's models: each as often as the one before it and the rest together, roughly.
fn favourite(client: &Host, number: u32, draws: &Draws) -> ModelId {
    let models = match &client.profile {
        Profile::Client { models, .. } => models.as_slice(),
        Profile::Provider { .. } | Profile::Watcher { .. } => &[],
    };
    let weights = (1..=models.len()).map(|rank| 1.0 / rank as f64);
    let chosen = draws.weighted(weights, Purpose::Popularity, &[u64::from(number)]);
    model_id(models.get(chosen).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population;

    #[test]
    fn arrivals_keep_the_rate_and_end_after_the_last_order() {
        let mut scenario = Scenario::default();
        scenario.workload.jobs = 5_000;
        scenario.workload.rate_per_s = 50.0;
        let (workload, draws) = (Workload::new(&scenario), Draws::new(3));
        let mut at = Time(0);
        for number in 0..5_000 {
            let arrival = workload.arrival(number, at, &draws).expect("there are 5,000");
            assert!(arrival.at >= at && arrival.client < scenario.client_count());
            at = arrival.at;
        }
        assert!((95_000_000..105_000_000).contains(&at.0), "{at:?}");
        assert_eq!(workload.arrival(5_000, at, &draws), None);
    }

    #[test]
    fn every_order_is_one_that_a_client_would_take() {
        let scenario = Scenario::default();
        let (workload, draws) = (Workload::new(&scenario), Draws::new(3));
        let hosts = population::hosts(&scenario, &draws);
        for number in 0..200 {
            let order = workload.order(number, &hosts[0], &draws);
            assert_eq!(order.task.check(), Ok(()));
            assert!((0..20).any(|model| model_id(model) == order.model));
        }
    }
}
