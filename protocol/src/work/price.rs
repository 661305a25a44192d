//! What work costs: a price sheet in integers and the one way to bill with it.

use crate::amount::Nano;
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

impl PriceSheet {
    /// The bill for a number of tokens: each part rounded up to whole nano. `None` where it does not fit.
    /// (`WR-7`)
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Option<Nano> {
        let input = per_thousand(self.input_per_k, input_tokens)?;
        let output = per_thousand(self.output_per_k, output_tokens)?;
        self.per_job.plus(input)?.plus(output)
    }

    /// The most that `task` can cost: what a bid is compared by, and what a budget is held against.
    #[must_use]
    pub fn cost_max(&self, task: &Task) -> Option<Nano> {
        self.cost(task.input_tokens_max(), task.output_tokens_max())
    }

    /// All three prices times `ppm` millionths, rounded down. `None` where one does not fit.
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

    /// Whether no price of `self` is below that of `floor`.
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

    #[test]
    fn a_bill_that_does_not_fit_is_no_bill() {
        let sheet = PriceSheet { output_per_k: Nano(u64::MAX), ..PriceSheet::default() };
        assert_eq!(sheet.cost(0, 1_001), None);
        assert_eq!(sheet.scaled(1_000_001), None);
    }
}
