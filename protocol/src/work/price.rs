//! What work costs: a price sheet in integers and the one way to bill with it.

use crate::amount::Nano;
use crate::limits;
use crate::work::order::Task;

/// Prices of one model at one provider.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct PriceSheet {
    /// Nano for taking a job at all.
    pub per_job: Nano,
    /// Nano for 1,000 input tokens.
    pub input_per_k: Nano,
    /// Nano for 1,000 output tokens.
    pub output_per_k: Nano,
}

/// How much of an answer has been delivered, as far as a bill can tell.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Output tokens so far.
    pub output_tokens: u64,
    /// Vectors so far.
    pub rows: u32,
    /// Vectors of the whole task; 0 for an answer of tokens.
    pub rows_wanted: u32,
    /// Whether the answer has come to its `End`.
    pub complete: bool,
}

impl Delivery {
    /// Returns the part of the price per job and of the input that is earned, as numerator and
    /// denominator.
    fn share(&self) -> (u128, u128) {
        let (done, whole) = if self.rows_wanted > 0 {
            (u128::from(self.rows), u128::from(self.rows_wanted))
        } else {
            (u128::from(self.output_tokens), u128::from(limits::RECEIPT_TOKENS))
        };
        // An `End` makes whole what there is; an answer of nothing earns nothing.
        if done >= whole || (self.complete && done > 0) { (1, 1) } else { (done, whole) }
    }
}

impl PriceSheet {
    /// Returns what is due for a part of an answer: its output tokens in full, and of the price per
    /// job and the input the share that was delivered, rounded down. `None` where it does not fit.
    /// (`WR-21`)
    ///
    /// It is never above [`Self::cost`] of [`limits::RECEIPT_TOKENS`] output tokens, or of those delivered if they are
    /// more, and grows only with what is delivered.
    #[must_use]
    pub fn due(&self, input_tokens: u64, delivered: &Delivery) -> Option<Nano> {
        let fixed = self.per_job.plus(per_thousand(self.input_per_k, input_tokens)?)?;
        let (done, whole) = delivered.share();
        let earned = u128::from(fixed.0).checked_mul(done)?.checked_div(whole)?;
        Nano(u64::try_from(earned).ok()?).plus(per_thousand(self.output_per_k, delivered.output_tokens)?)
    }

    /// Returns the bill for a whole answer of a number of tokens: each part rounded up to whole
    /// nano. `None` where it does not fit. (`WR-7`)
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Option<Nano> {
        let input = per_thousand(self.input_per_k, input_tokens)?;
        let output = per_thousand(self.output_per_k, output_tokens)?;
        self.per_job.plus(input)?.plus(output)
    }

    /// Returns the most that `task` can cost: what a bid is compared by, and what a budget is held
    /// against.
    #[must_use]
    pub fn cost_max(&self, task: &Task) -> Option<Nano> {
        self.cost(task.input_tokens_max(), task.output_tokens_max())
    }

    /// Returns all three prices times `ppm` millionths, rounded down. `None` where one does not
    /// fit.
    #[must_use]
    pub fn scaled(&self, ppm: u64) -> Option<Self> {
        let scale = |nano: Nano| {
            let scaled = u128::from(nano.0).checked_mul(u128::from(ppm))?.checked_div(1_000_000)?;
            u64::try_from(scaled).ok().map(Nano)
        };
        Some(Self {
            per_job: scale(self.per_job)?,
            input_per_k: scale(self.input_per_k)?,
            output_per_k: scale(self.output_per_k)?,
        })
    }

    /// Returns whether no price of `self` is below that of `floor`.
    #[must_use]
    pub fn covers(&self, floor: &Self) -> bool {
        self.per_job >= floor.per_job
            && self.input_per_k >= floor.input_per_k
            && self.output_per_k >= floor.output_per_k
    }
}

fn per_thousand(price: Nano, tokens: u64) -> Option<Nano> {
    let exact = u128::from(price.0).checked_mul(u128::from(tokens))?;
    u64::try_from(exact.div_ceil(1_000)).ok().map(Nano)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_rounds_each_part_up() {
        let sheet = PriceSheet { per_job: Nano(5), input_per_k: Nano(150), output_per_k: Nano(1_001) };
        assert_eq!(sheet.cost(0, 0), Some(Nano(5)));
        assert_eq!(sheet.cost(1, 1), Some(Nano(5 + 1 + 2)));
        assert_eq!(sheet.cost(1_000, 1_000), Some(Nano(5 + 150 + 1_001)));
    }

    fn tokens(output_tokens: u64, complete: bool) -> Delivery {
        Delivery { output_tokens, complete, ..Delivery::default() }
    }

    /// (`WR-21`)
    #[test]
    fn what_is_due_never_runs_ahead_of_what_was_delivered() {
        let sheet = PriceSheet { per_job: Nano(320), input_per_k: Nano(1_000), output_per_k: Nano(2_000) };
        let due = |delivered| sheet.due(64, &delivered).unwrap().0;
        assert_eq!(due(tokens(0, false)), 0, "an empty chunk");
        assert_eq!(due(tokens(0, true)), 0, "an end without an answer");
        assert_eq!(due(tokens(1, false)), (320 + 64) / 32 + 2);
        assert_eq!(due(tokens(1, true)), 320 + 64 + 2, "a short answer is whole");
        assert_eq!(due(tokens(31, false)), 384 * 31 / 32 + 62);
        assert_eq!(due(tokens(32, false)), 384 + 64);
        assert_eq!(due(tokens(33, false)), due(tokens(33, true)));
        let rows = |rows, complete| Delivery { rows, rows_wanted: 5, complete, ..Delivery::default() };
        assert_eq!([0, 1, 4, 5].map(|count| due(rows(count, false))), [0, 384 / 5, 384 * 4 / 5, 384]);
        let step = sheet.cost(64, limits::RECEIPT_TOKENS).unwrap().0;
        assert!((0..32).all(|count| due(tokens(count, true)) <= step), "one step at the most");
    }

    /// (`WR-21`)
    #[test]
    fn what_is_due_grows_with_the_answer_alone_and_fits_or_is_nothing() {
        let most = PriceSheet { per_job: Nano(u64::MAX), input_per_k: Nano(0), output_per_k: Nano(0) };
        assert_eq!(most.due(0, &tokens(31, false)), Some(Nano(u64::MAX / 32 * 31 + 30)));
        assert_eq!(most.due(0, &tokens(32, false)), Some(Nano(u64::MAX)));
        let over = PriceSheet { input_per_k: Nano(1_000), ..most };
        assert_eq!(over.due(1, &tokens(1, false)), None, "the whole must fit, not only the share");
        let free = PriceSheet::default();
        assert_eq!(free.due(u64::MAX, &tokens(u64::MAX, true)), Some(Nano::ZERO));
    }

    #[test]
    fn a_bill_that_does_not_fit_is_no_bill() {
        let sheet = PriceSheet { output_per_k: Nano(u64::MAX), ..PriceSheet::default() };
        assert_eq!(sheet.cost(0, 1_001), None);
        assert_eq!(sheet.scaled(1_000_001), None);
    }
}
