//! What a model's tokens count in a bill, by its manifest. (`WR-7`)

use serde::{Deserialize, Serialize};

/// Most units that one token may count.
pub const WEIGHT_MAX: u32 = 10_000;

/// How many units a token counts in a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenWeights {
    /// An input token that has to be read.
    pub input: u32,
    /// An input token that was read before.
    pub cached: u32,
    /// An output token.
    pub output: u32,
}

impl TokenWeights {
    /// Returns whether they may stand in a manifest: an output token weighs one to twenty input tokens, a cached one no
    /// more than a fresh one.
    pub(crate) fn are_usable(self) -> bool {
        let Self { input, cached, output } = self;
        input >= 1
            && output >= input
            && output <= input.saturating_mul(20)
            && cached <= input
            && output <= WEIGHT_MAX
    }
}
