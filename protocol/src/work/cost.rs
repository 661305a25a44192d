//! What a provider thinks that work costs it, and the one number that it asks for a call.

use crate::amount::Nano;
use crate::work::price::{InputTokens, Price, Weights};

/// What an owner wants for the work of one model, in the numbers in which owners reckon. It never leaves the provider: a
/// bid asks a [`Price`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CostSheet {
    /// Nano for taking a job at all.
    pub per_job: Nano,
    /// Nano for 1,000 input tokens.
    pub input_per_k: Nano,
    /// Nano for 1,000 output tokens.
    pub output_per_k: Nano,
}

impl CostSheet {
    /// Returns what such a job costs by this sheet, in thousandths of a nano.
    #[must_use]
    pub fn milli(&self, input_tokens: u64, output_tokens: u64) -> u128 {
        let of = |nano: Nano, count: u64| u128::from(nano.0).saturating_mul(u128::from(count));
        of(self.per_job, 1_000)
            .saturating_add(of(self.input_per_k, input_tokens))
            .saturating_add(of(self.output_per_k, output_tokens))
    }

    /// Returns what such a job costs by this sheet, rounded up to whole nano.
    #[must_use]
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Nano {
        let nano = self.milli(input_tokens, output_tokens).div_ceil(1_000);
        Nano(u64::try_from(nano).unwrap_or(u64::MAX))
    }

    /// Returns the sheet of an owner who wants `ppm` millionths of this, rounded down.
    #[must_use]
    pub fn scaled(&self, ppm: u64) -> Self {
        let scale = |nano: Nano| {
            let scaled = u128::from(nano.0).saturating_mul(u128::from(ppm)).checked_div(1_000_000);
            Nano(scaled.and_then(|nano| u64::try_from(nano).ok()).unwrap_or(u64::MAX))
        };
        Self {
            per_job: scale(self.per_job),
            input_per_k: scale(self.input_per_k),
            output_per_k: scale(self.output_per_k),
        }
    }

    /// Returns the price at which the bill for such a job covers its cost. (`MK-5`)
    #[must_use]
    pub fn quote(&self, weights: &Weights, input: InputTokens, output_tokens: u64) -> Price {
        let units = weights.units(input, output_tokens).max(1);
        let price = self.milli(input.count(), output_tokens).div_ceil(units);
        Price(u64::try_from(price).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::price::Tariff;

    #[test]
    fn a_quote_covers_the_cost_of_the_job_that_it_is_for() {
        let weights = Weights::DEFAULT;
        let sheet = CostSheet { per_job: Nano(5), input_per_k: Nano(500_000), output_per_k: Nano(4_000_000) };
        for (fresh, output) in [(0, 0), (12, 0), (768, 64), (100_000, 1), (1, 4_096)] {
            let input = InputTokens::fresh(fresh);
            let price = sheet.quote(&weights, input, output);
            let bill = Tariff { price, weights }.cost(input, output).unwrap();
            let cost = sheet.milli(u64::from(fresh), output).div_ceil(1_000);
            assert!(u128::from(bill.0) >= cost, "{fresh} {output}: {bill:?} for {cost}");
            let less = Tariff { price: Price(price.0.saturating_sub(1)), weights };
            assert!(price.0 == 0 || u128::from(less.cost(input, output).unwrap().0) <= cost);
        }
        assert_eq!(CostSheet::default().quote(&weights, InputTokens::default(), 0), Price(0));
        let most = CostSheet { per_job: Nano(u64::MAX), ..sheet };
        assert_eq!(
            most.quote(&Weights { input: 1, cached: 0, output: 1 }, InputTokens::default(), 0),
            Price(u64::MAX)
        );
    }
}
