//! Why an order cannot be taken at all.

use core::fmt;

use crate::limits;

/// What a task may have too many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Texts to embed.
    Inputs,
    /// Messages of a conversation.
    Messages,
    /// Strings that end an answer.
    Stops,
    /// Tokens that another provider delivered.
    PrefixTokens,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inputs => "inputs",
            Self::Messages => "messages",
            Self::Stops => "stop strings",
            Self::PrefixTokens => "prefix tokens",
        })
    }
}

/// Why an order cannot be taken at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// Nothing to do.
    #[error("the task is empty; give at least one message or one input")]
    Empty,
    /// Text over the limit.
    #[error(
        "the task holds {bytes} bytes of text, the limit is {} bytes; shorten it or split it",
        limits::TASK_BYTES_MAX
    )]
    TooLarge {
        /// Bytes of text found.
        bytes: usize,
    },
    /// Inputs, messages, stop strings or prefix tokens over their limit.
    #[error("too many {what}: {count}, the limit is {max}")]
    TooMany {
        /// What there is too much of.
        what: Counted,
        /// How many.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// A stop string that is empty or too long.
    #[error("stop string {index} is empty or longer than {} bytes", limits::STOP_BYTES_MAX)]
    BadStop {
        /// Which, from 0.
        index: usize,
    },
    /// A conversation leaves no room for an answer in the model's context. The words are OpenAI's: clients look for them.
    #[error(
        "This model's maximum context length is {context} tokens. However, your messages resulted in {tokens} tokens. Please \
         reduce the length of the messages."
    )]
    OverContext {
        /// Tokens of the conversation.
        tokens: usize,
        /// Tokens that the model holds, answer included.
        context: u32,
    },
    /// A text to embed is over the model's context.
    #[error(
        "This model's maximum context length is {context} tokens. However, input {index} has {tokens} tokens. Please shorten it \
         or split it."
    )]
    InputOverContext {
        /// Which, from 0.
        index: usize,
        /// Its tokens.
        tokens: usize,
        /// Tokens that the model reads.
        context: u32,
    },
    /// `max_tokens` is zero.
    #[error("max_tokens is 0; ask for at least one token")]
    NoOutput,
    /// The client works on as many orders as it may.
    #[error("{} orders are in flight already; try again when one has ended", limits::ORDERS_MAX)]
    Busy,
    /// No provider can prove a confidential environment yet.
    #[error(
        "no confidential tier yet: no evidence of a confidential environment can be verified by this version"
    )]
    NoConfidentialTier,
}
