//! What is ordered, when and by whom: Poisson or bursty arrivals on a day's wave, or a trace; Zipf popularity,
//! lognormal lengths.

mod attackers;
pub mod population;
pub mod requests;

use std::sync::Arc;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::limits;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::work::order::{
    ChatMessage, Generate, InputCount, ModelId, Order, Role, Sampling, Task, Tier,
};
use bombyx_protocol::work::price::Weights;

use crate::host::{BYTES_PER_TOKEN, Host, Profile, TEMPLATE_TOKENS};
use crate::kernel::{Draws, Purpose};
use crate::scenario::{self, Arrivals, Request, Scenario, model_id};

/// Longest prompt in tokens: what fits the protocol's limit.
const PROMPT_TOKENS_MAX: f64 = (limits::TASK_BYTES_MAX / BYTES_PER_TOKEN) as f64;

/// The stream of orders of one run.
#[derive(Debug, Clone)]
pub struct Workload {
    scenario: scenario::WorkloadSpec,
    /// The requests of a trace; empty without one.
    requests: Arc<Vec<Request>>,
    speed: f64,
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
    /// Creates the orders of a scenario.
    #[must_use]
    pub fn new(scenario: &Scenario) -> Self {
        let trace = scenario.workload.trace.as_ref();
        Self {
            requests: trace.map(|trace| Arc::clone(&trace.requests)).unwrap_or_default(),
            speed: trace.map_or(1.0, |trace| trace.speed),
            scenario: scenario.workload.clone(),
            clients: scenario.client_count(),
        }
    }

    /// Returns how many orders there are.
    #[must_use]
    pub fn jobs(&self) -> u32 {
        match self.scenario.arrivals {
            Arrivals::Poisson | Arrivals::Gamma => self.scenario.jobs,
            Arrivals::Trace => self.scenario.jobs.min(u32::try_from(self.requests.len()).unwrap_or(u32::MAX)),
        }
    }

    /// Returns the arrival of order `number`, after `previous`; `None` past the last.
    #[must_use]
    pub fn arrival(&self, number: u32, previous: Time, draws: &Draws) -> Option<Arrival> {
        if number >= self.jobs() {
            return None;
        }
        let at = match self.request(number) {
            Some(request) => self.begins() + Span((request.at.0 as f64 / self.speed) as u64),
            None => {
                let wait = self.scenario.law().draw(draws, Purpose::Arrival, &[u64::from(number)]);
                let wait_s = wait / self.scenario.rate_per_s;
                let from_s = previous.0 as f64 / 1e6;
                scenario::at(self.scenario.wave().after(from_s, wait_s)).max(previous)
            }
        };
        let client = self.buyer(u64::from(number), draws);
        Some(Arrival { number, at, client })
    }

    /// Returns the host that gives order `number`.
    #[must_use]
    pub fn buyer(&self, number: u64, draws: &Draws) -> u32 {
        draws.below(u64::from(self.clients), Purpose::Buyer, &[number]) as u32
    }

    /// Returns when the first order may come.
    #[must_use]
    pub fn begins(&self) -> Time {
        scenario::at(self.scenario.warm_up_s)
    }

    /// Returns when the last order comes.
    #[must_use]
    pub fn last_order(&self, draws: &Draws) -> Time {
        let mut at = self.begins();
        for number in 0.. {
            let Some(arrival) = self.arrival(number, at, draws) else { break };
            at = arrival.at;
        }
        at
    }

    fn request(&self, number: u32) -> Option<Request> {
        let is_traced = self.scenario.arrivals == Arrivals::Trace;
        self.requests.get(number as usize).copied().filter(|_| is_traced)
    }

    /// Tokens of the prompt of order `number`: what does not fit the protocol's limit is cut.
    #[must_use]
    pub fn prompt_tokens(&self, number: u32, draws: &Draws) -> usize {
        let tokens = match self.request(number) {
            Some(request) => f64::from(request.prompt),
            None => {
                let (median, sigma) = self.scenario.fitted().prompt;
                draws.lognormal(median, sigma, Purpose::PromptLength, &[u64::from(number)])
            }
        };
        tokens.clamp(1.0, PROMPT_TOKENS_MAX) as usize
    }

    /// Returns the length of the whole answer to order `number` in tokens, before the order's own limit cuts it. It is the
    /// same for every provider.
    #[must_use]
    pub fn answer_tokens(&self, number: u64, draws: &Draws) -> u64 {
        let request = u32::try_from(number).ok().and_then(|number| self.request(number));
        match request {
            Some(request) => u64::from(request.answer).max(1),
            None => {
                let (median, sigma) = self.scenario.fitted().answer;
                (draws.lognormal(median, sigma, Purpose::AnswerLength, &[number]) as u64).max(1)
            }
        }
    }

    /// Returns which model order `number` of a client is for.
    #[must_use]
    pub fn model(&self, number: u32, client: &Host, draws: &Draws) -> ModelId {
        favourite(client, number, draws)
    }

    /// Returns what order `number` asks for. Its seed is its number, so that every engine gives the
    /// same answer.
    #[must_use]
    pub fn order(&self, number: u32, client: &Host, draws: &Draws) -> Order {
        let tokens = self.prompt_tokens(number, draws);
        let bytes = tokens * BYTES_PER_TOKEN;
        Order {
            model: self.model(number, client, draws),
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
            max_cost: self.max_cost(),
            deadline: self.deadline(),
            tier: Tier::Open,
            nano_per_ms: Some(self.scenario.nano_per_ms),
            price_max: None,
            dims: None,
            weights: Weights::DEFAULT,
            input: InputCount::Counted(vec![u32::try_from(tokens).unwrap_or(u32::MAX) + TEMPLATE_TOKENS]),
            preferences: bombyx_protocol::Preferences::default(),
        }
    }

    /// Returns what an order may cost.
    #[must_use]
    pub const fn max_cost(&self) -> Nano {
        self.scenario.max_cost.0
    }

    /// Returns how long an order may take.
    #[must_use]
    pub fn deadline(&self) -> Span {
        scenario::span(self.scenario.deadline_s)
    }
}

/// Returns one of the client's models: each as often as the one before it and the rest together,
/// roughly.
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
    use crate::workload::population;

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
