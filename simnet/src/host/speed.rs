//! How fast a GPU class is.

use bombyx_protocol::time::Span;

/// Time to tokenise a task.
pub(super) const TOKENISE: Span = Span(1_000);

/// How fast a GPU class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Input tokens a second, of all jobs together.
    pub prefill_per_s: u64,
    /// Output tokens a second of a job that is alone.
    pub decode_per_s: u64,
    /// By how many thousandths each further answer in the batch lengthens the time for a token.
    pub slowdown_milli: u64,
    /// From the task to the first token with an empty prompt.
    pub start: Span,
    /// Answers that it writes at that speed; more of them share it.
    pub answers: u64,
    /// Output tokens in one report at the most.
    pub chunk_tokens: u32,
}

impl Speed {
    /// Returns the time from a task of this many input tokens to its first output token, alone on the card.
    #[must_use]
    pub const fn first_token_after(self, input_tokens: u64) -> Span {
        let reading = input_tokens * 1_000_000 / self.prefill_per_s;
        Span(TOKENISE.0 + self.start.0 + reading + 1_000_000 / self.decode_per_s)
    }

    /// Returns the time from a task to the end of its answer, alone on the card.
    #[must_use]
    pub const fn whole_after(self, input_tokens: u64, output_tokens: u64) -> Span {
        let rest = output_tokens.saturating_sub(1) * 1_000_000 / self.decode_per_s;
        Span(self.first_token_after(input_tokens).0 + rest)
    }
}
