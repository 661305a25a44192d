//! What a market is worth to those who trade on it, against what it could be worth.
//!
//! An answer is worth what its order may cost at the most; against that stand what serving it costs its provider and what
//! the wait for the first content costs its buyer. An answer that is not what was ordered is worth nothing.

use bombyx_protocol::time::Span;

use crate::host::{Host, Profile};
use crate::measures::{CHOICES_MAX, Choice, Instance, JobRow, Optimum};
use crate::scenario::model_id;
use crate::world::World;

/// The worth of all orders of a run, actual and possible, in nano.
#[derive(Debug, Clone, PartialEq)]
pub struct Welfare {
    /// Worth of all answers.
    pub actual: f64,
    /// Worth of an assignment with full knowledge within every provider's slots: upper bound, and the best one found.
    pub optimum: Optimum,
}

impl Welfare {
    /// Returns the share of the optimum that was reached, at the least.
    #[must_use]
    pub fn efficiency(&self) -> Option<f64> {
        (self.optimum.bound > 0.0).then(|| self.actual / self.optimum.bound)
    }
}

impl World {
    /// Returns the welfare of all orders. `None` where there are too many for the assignment.
    #[must_use]
    pub fn welfare(&self) -> Option<Welfare> {
        let actual = self.jobs().iter().filter_map(|job| self.worth(job)).sum();
        Some(Welfare { actual, optimum: self.assignment(|_| true)?.optimum()? })
    }

    /// Returns the social cost of all answers over the least that an assignment with capacity must cost for the same orders.
    #[must_use]
    pub fn cost_over_assignment(&self) -> Option<f64> {
        let value = self.environment.scenario.workload.max_cost.0.0 as f64;
        let counts = |job: &JobRow| self.worth(job).is_some();
        let served: Vec<f64> = self.jobs().iter().filter_map(|job| self.worth(job)).collect();
        let cost: f64 = served.iter().map(|worth| value - worth).sum();
        let bound = self.assignment(counts)?.optimum()?.bound;
        let least = value * served.len() as f64 - bound;
        (least > 0.0).then(|| cost / least)
    }

    /// Returns what an answer was worth: nothing that counts where there is none, or it is false.
    fn worth(&self, job: &JobRow) -> Option<f64> {
        if !job.is_done() || self.is_answered_falsely(job) {
            return None;
        }
        let server = job.server()?;
        let tokens = job.tokens();
        let cost = self.host(server).cost_of(tokens)?;
        Some(self.value() - cost.0 as f64 - self.wait_cost(job.first_content()?))
    }

    fn value(&self) -> f64 {
        self.environment.scenario.workload.max_cost.0.0 as f64
    }

    fn wait_cost(&self, wait: Span) -> f64 {
        wait.0 as f64 / 1e3 * self.environment.scenario.workload.nano_per_ms as f64
    }

    /// Returns whether an order was answered by a host that makes something else than was ordered.
    pub(crate) fn is_answered_falsely(&self, job: &JobRow) -> bool {
        let plan = job.server().and_then(|host| self.host(host).plan);
        plan.is_some_and(|plan| plan.is_real() && plan.kind.answers_falsely())
    }

    /// Returns the orders that count, each with every provider that has its model.
    fn assignment(&self, counts: impl Fn(&JobRow) -> bool) -> Option<Instance> {
        let mut sellers: Vec<Vec<u32>> =
            vec![Vec::new(); self.environment.scenario.population.models as usize];
        for (number, host) in (0u32..).zip(self.hosts()) {
            let is_true = host.plan.is_none_or(|plan| !plan.is_real() || !plan.kind.answers_falsely());
            if let Profile::Provider { model, .. } = &host.profile
                && is_true
            {
                sellers[*model as usize].push(number);
            }
        }
        let models: std::collections::BTreeMap<_, usize> = (0..self.environment.scenario.population.models)
            .map(|model| (model_id(model), model as usize))
            .collect();
        let mut orders = Vec::new();
        let mut choices = 0;
        for (number, job) in (0u32..).zip(self.jobs()).filter(|(_, job)| counts(job)) {
            let client = self.host(job.client);
            let model =
                models.get(&self.environment.workload.model(number, client, &self.environment.draws))?;
            choices += sellers[*model].len();
            if choices > CHOICES_MAX {
                return None;
            }
            let choice = |seller: &u32| self.choice(number, job, client, *seller);
            orders.push(sellers[*model].iter().filter_map(choice).collect());
        }
        let slots = self.hosts().map(|host| host.offer().map_or(0, |offer| offer.slots)).collect();
        Some(Instance { orders, slots })
    }

    /// Returns one provider's way to serve an order, with nobody else on its card and nothing in
    /// the way.
    fn choice(&self, number: u32, job: &JobRow, client: &Host, seller: u32) -> Option<Choice> {
        let host = self.host(seller);
        let input = self.environment.workload.prompt_tokens(number, &self.environment.draws) as u64
            + u64::from(crate::host::TEMPLATE_TOKENS);
        let answer = self.environment.workload.answer_tokens(u64::from(number), &self.environment.draws);
        let output = answer.min(u64::from(self.environment.scenario.workload.max_tokens));
        let there = self.environment.links.undisturbed(client.location, host.location);
        let back = self.environment.links.undisturbed(host.location, client.location);
        let wait = Span(there.0 + back.0 + host.engine.speed().first_token_after(input).0);
        let from = job.at + there;
        let until = from + host.engine.speed().whole_after(input, output);
        let value = self.value() - host.cost_of((input, output))?.0 as f64 - self.wait_cost(wait);
        Some(Choice { provider: seller, from: from.0, until: until.0, value })
    }
}
