//! What a provider has learnt for its quotes: how long answers are for each class, and by how much the tasks of a client cost
//! more or less than their calls let expect.

use crate::ident::{NodeId, Origin};
use crate::io::Offer;
use crate::limits;
use crate::market::call::Classes;
use crate::table::Table;
use crate::time::Span;
use crate::work::order::ModelId;
use crate::work::price::{InputTokens, Price};

use super::class_answers::ClassAnswers;

/// An answer is about one part in so many of what its task allows, as long as nothing better is known.
const ANSWER_PARTS: u64 = 4;
/// A job's weight in a client's correction: one part in so many.
const MEMORY: u64 = 16;
/// A correction that changes nothing, in millionths.
const EVEN_PPM: u64 = 1_000_000;
/// The least and the most that a client's tasks are taken to cost, as millionths of what their calls let expect: a quote follows
/// odd clients, and none can bend it at will.
const CORRECTION_PPM: (u64, u64) = (750_000, 2_000_000);

/// What was learnt from jobs that ended well.
#[derive(Debug, Default)]
pub(super) struct Quotes {
    /// Answers by model and output class.
    answers: Table<(ModelId, u8), ClassAnswers>,
    /// Of clients whose tasks differ from what their calls let expect: by how much, in millionths.
    corrections: Table<NodeId, u64>,
}

/// A job that ended well.
#[derive(Debug, Clone, Copy)]
pub(super) struct DoneJob {
    pub(super) client: Origin,
    pub(super) classes: Classes,
    pub(super) input: InputTokens,
    pub(super) output_tokens: u64,
}

impl Quotes {
    /// Returns the price at which a task of these classes is expected to cover its cost, for one client or for anybody. (`MK-5`)
    pub(super) fn quote(&self, offer: &Offer, classes: Classes, client: Option<&NodeId>) -> Price {
        let input = InputTokens::fresh(classes.input_tokens());
        let answer = self.answer(offer.model, classes);
        let price = offer.cost.quote(&offer.weights, input, answer);
        let correction = client.and_then(|client| self.corrections.get(client)).copied().unwrap_or(EVEN_PPM);
        price.scaled(correction).unwrap_or(price)
    }

    /// Returns how long an idle engine works on a task of these classes, as answers are on average.
    pub(super) fn work(&self, offer: &Offer, classes: Classes) -> Span {
        let answer = self.answer(offer.model, classes);
        offer.work_of(u64::from(classes.input_tokens()), answer)
    }

    /// Returns the mean answer to tasks of these classes.
    fn answer(&self, model: ModelId, classes: Classes) -> u64 {
        let unknown = classes.output_tokens_max() / ANSWER_PARTS;
        let known = self.answers.get(&(model, classes.output_log2));
        known.map_or(unknown, |answers| answers.mean(unknown))
    }

    /// Learns from a job that ended well: how long its answer was, and what it cost against what was expected.
    pub(super) fn learn(&mut self, offer: &Offer, job: &DoneJob) {
        let DoneJob { client, classes, input, output_tokens } = *job;
        if classes.output_log2 > 0 {
            let class = (offer.model, classes.output_log2);
            let mut answers = self.answers.remove(&class).unwrap_or_default();
            answers.learn(client, output_tokens);
            let is_settled = answers.is_settled();
            self.answers.insert(class, answers);
            if !is_settled {
                // What it tells of all tasks of the class is no news of this client's: it would be learnt twice.
                return;
            }
        }
        let expected = self.quote(offer, classes, None);
        let units = offer.weights.units(input, output_tokens);
        let cost = offer.cost.milli(input.count(), output_tokens);
        let ratio = cost
            .saturating_mul(u128::from(EVEN_PPM))
            .checked_div(u128::from(expected.0).saturating_mul(units))
            .map(|ratio| u64::try_from(ratio).unwrap_or(u64::MAX));
        if let Some(ratio) = ratio {
            self.correct(client.node, ratio);
        }
    }

    /// Moves a client's correction a sixteenth of the way to what its last job cost.
    fn correct(&mut self, client: NodeId, ratio: u64) {
        let (least, most) = CORRECTION_PPM;
        let before = self.corrections.get(&client).copied().unwrap_or(EVEN_PPM);
        let rest = before.saturating_sub(before / MEMORY);
        let after = rest.saturating_add(ratio.min(most) / MEMORY).clamp(least, most);
        if self.corrections.len() >= limits::CORRECTIONS_MAX && !self.corrections.contains_key(&client) {
            // Whose tasks are most as expected loses least by being forgotten.
            let even = self.corrections.iter().min_by_key(|(_, ppm)| ppm.abs_diff(EVEN_PPM));
            let even = even.map(|(client, _)| *client);
            even.and_then(|client| self.corrections.remove(&client));
        }
        self.corrections.insert(client, after);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::Nano;
    use crate::ident::Prefix;
    use crate::work::cost::CostSheet;
    use crate::work::order::TaskKind;
    use crate::work::price::{Tariff, Weights};

    const CLIENT: NodeId = NodeId([1; 32]);

    /// Output tokens cost fifteen times as much as input tokens here, and count six times as much.
    fn offer() -> Offer {
        Offer {
            model: ModelId([1; 32]),
            name: "model".into(),
            kind: TaskKind::Generate,
            cost: CostSheet { per_job: Nano(0), input_per_k: Nano(400_000), output_per_k: Nano(6_000_000) },
            weights: Weights::DEFAULT,
            slots: 1,
            start_ms: 1,
            read_tps: 1,
            write_tps: 1,
            context_tokens: 8_192,
            output_max: 8_192,
        }
    }

    fn job(client: NodeId, input: u32, output_tokens: u64) -> DoneJob {
        let classes = Classes::of(u64::from(input), 1_024);
        // Each test client has a prefix of its own.
        let prefix = Prefix::of_ipv4([10, client.0[0], client.0[1], 1]);
        let client = Origin { node: client, prefix };
        DoneJob { client, classes, input: InputTokens::fresh(input), output_tokens }
    }

    /// What bills at the client's own quote come to, as a share of what the jobs cost, in per cent.
    fn earned(quotes: &Quotes, client: NodeId, input: u32, output: u64) -> u64 {
        let (offer, job) = (offer(), job(client, input, output));
        let price = quotes.quote(&offer, job.classes, Some(&client));
        let bill = Tariff { price, weights: offer.weights }.cost(job.input, output).unwrap();
        bill.0 * 100 / offer.cost.cost(u64::from(input), output).0
    }

    /// (`MK-5`)
    #[test]
    fn quotes_follow_the_answers_that_a_class_really_has() {
        let mut quotes = Quotes::default();
        let classes = Classes::of(500, 1_024);
        let before = quotes.quote(&offer(), classes, None);
        (0..100).for_each(|_| quotes.learn(&offer(), &job(CLIENT, 500, 32)));
        let short = quotes.quote(&offer(), classes, None);
        assert!(short < before, "{short:?}: input is cheap for its weight here");
        let other = Classes::of(500, 64);
        assert_eq!(quotes.quote(&offer(), other, None), Quotes::default().quote(&offer(), other, None));
    }

    /// (`MK-5`)
    #[test]
    fn a_client_whose_answers_are_odd_pays_what_they_cost_after_some_jobs() {
        for output in [60, 900] {
            let mut quotes = Quotes::default();
            let usual = NodeId([2; 32]);
            for _ in 0..64 {
                // Most clients are as the class says, so that its mean stays.
                (0..8).for_each(|_| quotes.learn(&offer(), &job(usual, 500, 128)));
                quotes.learn(&offer(), &job(CLIENT, 500, output));
            }
            let (odd, even) = (earned(&quotes, CLIENT, 500, output), earned(&quotes, usual, 500, 128));
            assert!((96..=104).contains(&odd), "{output}: {odd} % of cost");
            assert!((94..=106).contains(&even), "{output}: {even} % of cost");
        }
    }

    /// (`CO-4`)
    #[test]
    fn what_is_kept_of_clients_has_a_limit_and_no_job_bends_a_quote_beyond_its_bounds() {
        let mut quotes = Quotes::default();
        for number in 0..=limits::CORRECTIONS_MAX as u64 + 8 {
            let mut client = NodeId([0; 32]);
            client.0[..8].copy_from_slice(&number.to_le_bytes());
            quotes.learn(&offer(), &job(client, 500, 900));
        }
        assert_eq!(quotes.corrections.len(), limits::CORRECTIONS_MAX);
        let classes = Classes::of(1, 1 << 62);
        let huge = DoneJob { classes, input: InputTokens::fresh(u32::MAX), ..job(CLIENT, 0, u64::MAX) };
        (0..200).for_each(|_| quotes.learn(&offer(), &huge));
        let (plain, bent) =
            (quotes.quote(&offer(), classes, None), quotes.quote(&offer(), classes, Some(&CLIENT)));
        assert!(bent.0 <= 2 * plain.0 && bent.0 >= plain.0 * 3 / 4 - 1, "{bent:?} of {plain:?}");
    }
}
