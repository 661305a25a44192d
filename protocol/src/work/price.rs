//! What work costs: units that a model's weights count, and one price for them.

use crate::amount::Nano;
use crate::limits;

/// Nano for 1,000 units of a model's work: all that a bid asks. *Why one number*: a price with a shape is bent to where the
/// buyer's estimate is wrong.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct Price(pub u64);

/// How many units a token counts. A model's manifest may fix them, so that they are the same for all who serve it. (`WR-7`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weights {
    /// Of an input token that has to be read.
    pub input: u32,
    /// Of an input token that the provider has read before.
    pub cached: u32,
    /// Of an output token.
    pub output: u32,
}

/// The tokens of a task's input, as its bill counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct InputTokens {
    /// Those that have to be read.
    pub fresh: u32,
    /// Those that the provider has read before, for the same client.
    pub cached: u32,
}

/// A price and the weights of the model that it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tariff {
    /// The price.
    pub price: Price,
    /// The weights.
    pub weights: Weights,
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
    /// Input tokens that were read of a job that its client gave up before anything of the answer came; else 0.
    pub read: u32,
}

impl Price {
    /// Returns the bill for so many units, rounded up to whole nano. `None` where it does not fit. (`WR-7`)
    #[must_use]
    pub fn bill(self, units: u128) -> Option<Nano> {
        let exact = u128::from(self.0).checked_mul(units)?.div_ceil(1_000);
        u64::try_from(exact).ok().map(Nano)
    }

    /// Returns the price times `ppm` millionths, rounded down. `None` where it does not fit.
    #[must_use]
    pub fn scaled(self, ppm: u64) -> Option<Self> {
        let scaled = u128::from(self.0).checked_mul(u128::from(ppm))?.checked_div(1_000_000)?;
        u64::try_from(scaled).ok().map(Self)
    }
}

impl Weights {
    /// Those of a model whose manifest says nothing.
    pub const DEFAULT: Self = Self { input: 10, cached: 1, output: 60 };

    /// Units of taking a job at all, whatever the model: the handshake and the receipts of an answer of one word.
    pub const JOB: u32 = 256;

    /// Returns whether a manifest may fix these: an output token weighs one to twenty input tokens, a cached one no more
    /// than a fresh one, none more than 10,000 units. (`WR-17`)
    #[must_use]
    pub fn are_usable(&self) -> bool {
        let Self { input, cached, output } = *self;
        let twenty = input.saturating_mul(20);
        input >= 1 && output >= input && output <= twenty && cached <= input && output <= limits::WEIGHT_MAX
    }

    /// Returns the units of a job and its input, before any output.
    fn fixed(&self, input: InputTokens) -> u128 {
        let fresh = u128::from(self.input).saturating_mul(u128::from(input.fresh));
        let cached = u128::from(self.cached).saturating_mul(u128::from(input.cached));
        u128::from(Self::JOB).saturating_add(fresh).saturating_add(cached)
    }

    fn of_output(&self, tokens: u64) -> u128 {
        u128::from(self.output).saturating_mul(u128::from(tokens))
    }

    /// Returns the units of a whole answer of a number of tokens. (`WR-7`)
    #[must_use]
    pub fn units(&self, input: InputTokens, output_tokens: u64) -> u128 {
        self.fixed(input).saturating_add(self.of_output(output_tokens))
    }

    /// Returns the units that are due for a part of an answer: its output tokens in full, and of the job and its input the
    /// share that was delivered, rounded down. (`WR-21`)
    ///
    /// They are never more than [`Self::units`] of [`limits::RECEIPT_TOKENS`] output tokens, or of those delivered if they
    /// are more, and grow only with what is delivered. For a job that was given up while its input was read they are a quarter
    /// of the same share of the job as was read of the input. (`WR-24`)
    #[must_use]
    pub fn units_due(&self, input: InputTokens, delivered: &Delivery) -> u128 {
        let fixed = self.fixed(input);
        let (done, whole) =
            if delivered.read > 0 { read_share(input, delivered.read) } else { delivered.share() };
        let earned = fixed.saturating_mul(done).checked_div(whole).unwrap_or(fixed);
        earned.saturating_add(self.of_output(delivered.output_tokens))
    }
}

impl InputTokens {
    /// Returns an input of which nothing was read before.
    #[must_use]
    pub const fn fresh(fresh: u32) -> Self {
        Self { fresh, cached: 0 }
    }

    /// Returns how many tokens the input has.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::from(self.fresh).saturating_add(u64::from(self.cached))
    }
}

impl Tariff {
    /// Returns what is due for a part of an answer. `None` where it does not fit. (`WR-21`)
    #[must_use]
    pub fn due(&self, input: InputTokens, delivered: &Delivery) -> Option<Nano> {
        self.price.bill(self.weights.units_due(input, delivered))
    }

    /// Returns the bill for a whole answer of a number of tokens, and so the most that a task of so many can cost. `None`
    /// where it does not fit. (`WR-7`, `WR-8`)
    #[must_use]
    pub fn cost(&self, input: InputTokens, output_tokens: u64) -> Option<Nano> {
        self.price.bill(self.weights.units(input, output_tokens))
    }
}

impl Delivery {
    /// Returns the part of the job and of the input that is earned, as numerator and denominator.
    fn share(&self) -> (u128, u128) {
        let (done, whole) = if self.rows_wanted > 0 {
            (u128::from(self.rows), u128::from(self.rows_wanted))
        } else {
            (u128::from(self.output_tokens), u128::from(limits::RECEIPT_TOKENS))
        };
        // An `End` makes whole what there is.
        if self.complete || done >= whole { (1, 1) } else { (done, whole) }
    }
}

/// Returns the part of the job and of the input that is earned by reading so much of it for nobody. (`WR-24`)
fn read_share(input: InputTokens, read: u32) -> (u128, u128) {
    let fresh = u128::from(input.fresh);
    (u128::from(read).min(fresh), fresh.saturating_mul(limits::READING_PARTS).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(output_tokens: u64, complete: bool) -> Delivery {
        Delivery { output_tokens, complete, ..Delivery::default() }
    }

    fn units(fresh: u32, cached: u32, output: u64, complete: bool) -> u128 {
        Weights::DEFAULT.units_due(InputTokens { fresh, cached }, &tokens(output, complete))
    }

    /// (`WR-21`)
    #[test]
    fn units_never_run_ahead_of_what_was_delivered() {
        assert_eq!(units(1_020, 0, 0, false), 0, "an empty chunk");
        assert_eq!(units(1_020, 0, 1, false), 386);
        assert_eq!(units(1_020, 0, 16, false), 6_188);
        assert_eq!(units(1_020, 0, 32, false), 12_376);
        assert_eq!(units(1_020, 300, 129, true), 18_496);
        assert_eq!(units(500, 0, 1, true), 5_316, "a short answer is whole");
        assert_eq!(units(0, 0, 0, true), 256);
        assert_eq!(units(64, 0, 33, false), units(64, 0, 33, true));
        let rows = |rows, complete| Delivery { rows, rows_wanted: 5, complete, ..Delivery::default() };
        let due = |delivered| Weights::DEFAULT.units_due(InputTokens::fresh(64), &delivered);
        assert_eq!([0, 1, 4, 5].map(|count| due(rows(count, false))), [0, 896 / 5, 896 * 4 / 5, 896]);
        let step = Weights::DEFAULT.units(InputTokens::fresh(64), limits::RECEIPT_TOKENS);
        assert!((0..32).all(|count| units(64, 0, count, true) <= step), "one step at the most");
    }

    /// (`WR-24`)
    #[test]
    fn reading_for_nobody_earns_a_quarter_of_the_input_at_the_most() {
        let due = |fresh, cached, read| {
            let delivered = Delivery { read, ..Delivery::default() };
            Weights::DEFAULT.units_due(InputTokens { fresh, cached }, &delivered)
        };
        assert_eq!([0, 1, 510, 1_020, 9_999].map(|read| due(1_020, 0, read)), [0, 2, 1_307, 2_614, 2_614]);
        assert_eq!(due(1_020, 300, 1_020), (256 + 10_200 + 300) / 4);
        assert_eq!(due(0, 300, 300), 0, "what was read before is not read again");
        assert_eq!(due(u32::MAX, u32::MAX, u32::MAX), (256 + 11 * u128::from(u32::MAX)) / 4);
    }

    /// (`WR-7`)
    #[test]
    fn a_bill_is_rounded_up_once_and_one_that_does_not_fit_is_none() {
        assert_eq!(Price(40_000).bill(18_496), Some(Nano(739_840)));
        assert_eq!(Price(40_000).bill(256), Some(Nano(10_240)));
        assert_eq!(Price(1).bill(1), Some(Nano(1)));
        assert_eq!(Price(1).bill(1_000), Some(Nano(1)));
        assert_eq!(Price(1).bill(1_001), Some(Nano(2)));
        assert_eq!(Price(0).bill(u128::MAX), Some(Nano::ZERO));
        assert_eq!(Price(u64::MAX).bill(1_000), Some(Nano(u64::MAX)));
        assert_eq!(Price(u64::MAX).bill(1_001), None);
        assert_eq!(Price(u64::MAX).scaled(1_000_001), None);
        let most = InputTokens { fresh: u32::MAX, cached: u32::MAX };
        let tariff = Tariff { price: Price(u64::MAX), weights: Weights::DEFAULT };
        assert_eq!(tariff.cost(most, u64::MAX), None);
    }

    /// (`WR-17`)
    #[test]
    fn weights_that_would_make_a_token_free_or_worth_a_book_are_refused() {
        let usable = |input, cached, output| Weights { input, cached, output }.are_usable();
        assert!(Weights::DEFAULT.are_usable() && usable(1, 0, 1) && usable(500, 500, 10_000));
        for (input, cached, output) in [(0, 0, 0), (10, 11, 60), (10, 1, 9), (10, 1, 201), (501, 1, 10_001)] {
            assert!(!usable(input, cached, output), "{input}:{cached}:{output}");
        }
    }
}
