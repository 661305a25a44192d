//! What a user asks for: a model, a task, limits and a budget.

use core::fmt;
use core::str::FromStr;

use crate::amount::Nano;
use crate::ident::{read_hex32, write_hex};
use crate::limits;
use crate::time::Span;
use crate::work::preferences::Preferences;
use crate::work::price::{Price, Weights};

/// Bytes of one prefix token on the wire.
const PREFIX_TOKEN_BYTES: usize = 4;

/// A model: the hash of its manifest, so that the same id is the same graph, weights and tokenizer everywhere.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct ModelId(pub [u8; 32]);

/// The client's own handle for an order; never leaves its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

/// One attempt at an order with one provider.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct JobId(pub [u8; 16]);

/// Which protection a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Tier {
    /// Encrypted on the way; the owner of the serving machine can read it.
    Open,
    /// Only a provider with verified evidence of a confidential environment.
    Confidential,
}

/// What kind of work a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum TaskKind {
    /// Vectors from texts.
    Embed,
    /// Text from a conversation.
    Generate,
}

/// The work itself. It travels only inside a session and its `Debug` form shows sizes, never text.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Task {
    /// One vector for each input.
    Embed {
        /// The texts, in the order of the answer.
        inputs: Vec<String>,
    },
    /// The next message of a conversation.
    Generate(Generate),
}

/// A conversation to be continued.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Generate {
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// Output tokens at the most, `prefix` not counted.
    pub max_tokens: u32,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Token ids that another provider already delivered; generation continues after them.
    pub prefix: Vec<u32>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
}

/// One message of a conversation.
#[derive(Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Role {
    /// Instructions.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

/// How tokens are drawn, in integers so that every party computes the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Sampling {
    /// Temperature in thousandths; 0 takes the likeliest token.
    pub temperature_milli: u32,
    /// Nucleus in thousandths; 1000 keeps all.
    pub top_p_milli: u32,
    /// How many of the likeliest tokens stay; 0 keeps all.
    pub top_k: u32,
    /// Seed of the draw.
    pub seed: u64,
}

/// A request with its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Which model.
    pub model: ModelId,
    /// The work.
    pub task: Task,
    /// The most that the order may cost, all attempts together.
    pub max_cost: Nano,
    /// When the order fails if it is not finished, counted from its arrival.
    pub deadline: Span,
    /// Which protection.
    pub tier: Tier,
    /// What one millisecond less of waiting is worth to the buyer; a ten-thousandth of the usual bill, if it does not say.
    /// (`MK-7`)
    pub nano_per_ms: Option<u64>,
    /// The most that a bid may ask; twice what won lately, if the buyer does not say. (`MK-52`)
    pub price_max: Option<Price>,
    /// What the model's manifest lets its tokens count.
    pub weights: Weights,
    /// Numbers of a vector, as the model's manifest states them; none where it is not known, or the answer is text. (`MO-9`)
    pub dims: Option<u32>,
    /// What is known of the length of the input.
    pub input: InputCount,
    /// Which providers may serve.
    pub preferences: Preferences,
}

/// What a client knows of the length of a task's input. (`WR-22`)
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum InputCount {
    /// Its tokens, counted with the model's tokenizer: of each text that is to be embedded, or of a conversation as a whole.
    Counted(Vec<u32>),
    /// Nothing: there is no tokenizer at hand, and the provider's count is believed within the bounds of the text.
    #[default]
    Estimated,
}

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

impl Task {
    /// Returns which kind of work this is.
    #[must_use]
    pub const fn kind(&self) -> TaskKind {
        match self {
            Self::Embed { .. } => TaskKind::Embed,
            Self::Generate(_) => TaskKind::Generate,
        }
    }

    /// Returns the bytes of all text in the task.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        match self {
            Self::Embed { inputs } => inputs.iter().map(String::len).fold(0, usize::saturating_add),
            Self::Generate(generate) => generate
                .messages
                .iter()
                .map(|message| message.content.len())
                .chain(generate.stop.iter().map(String::len))
                .fold(0, usize::saturating_add),
        }
    }

    /// Returns the most input tokens that any tokenizer can make of this: one a byte, and room for
    /// the template. A provider that claims more is not believed. (`WR-8`)
    #[must_use]
    pub fn input_tokens_max(&self) -> u64 {
        let (items, forced) = match self {
            Self::Embed { inputs } => (inputs.len(), 0),
            Self::Generate(generate) => (generate.messages.len(), generate.prefix.len()),
        };
        let template = 32u64.saturating_mul((items as u64).saturating_add(1));
        (self.text_bytes() as u64).saturating_add(template).saturating_add(forced as u64)
    }

    /// Returns about how many input tokens this is, for want of a tokenizer: one to three bytes of text. (`WR-22`)
    #[must_use]
    pub fn input_tokens_estimate(&self) -> u64 {
        let forced = match self {
            Self::Embed { .. } => 0,
            Self::Generate(generate) => generate.prefix.len(),
        };
        (self.text_bytes() as u64).div_ceil(3).saturating_add(forced as u64)
    }

    /// Returns how many vectors the whole answer has; 0 for an answer of tokens.
    #[must_use]
    pub fn rows(&self) -> u32 {
        match self {
            Self::Embed { inputs } => u32::try_from(inputs.len()).unwrap_or(u32::MAX),
            Self::Generate(_) => 0,
        }
    }

    /// Returns the most output tokens of this task.
    #[must_use]
    pub const fn output_tokens_max(&self) -> u64 {
        match self {
            Self::Embed { .. } => 0,
            Self::Generate(generate) => generate.max_tokens as u64,
        }
    }

    /// Returns the most prefix tokens that fit beside the text of this task. (`WR-1`)
    #[must_use]
    pub fn prefix_tokens_max(&self) -> usize {
        limits::TASK_AND_PREFIX_BYTES_MAX.saturating_sub(self.text_bytes()) / PREFIX_TOKEN_BYTES
    }

    /// Returns what is left of the task when these tokens, or this many vectors, have been
    /// delivered: the next provider goes on where the last one stopped. `max_tokens` counts the
    /// tokens after the prefix. (`WR-13`)
    #[must_use]
    pub fn rest_after(&self, delivered: &[u32], rows: u32) -> Self {
        match self {
            Self::Embed { inputs } => {
                Self::Embed { inputs: inputs.iter().skip(rows as usize).cloned().collect() }
            }
            Self::Generate(generate) => {
                let done = u32::try_from(delivered.len()).unwrap_or(u32::MAX);
                Self::Generate(Generate {
                    prefix: [generate.prefix.as_slice(), delivered].concat(),
                    max_tokens: generate.max_tokens.saturating_sub(done),
                    ..generate.clone()
                })
            }
        }
    }

    /// Checks the task against the protocol's limits. (`WR-1`)
    ///
    /// # Errors
    /// [`OrderFault`] says which limit and what to do.
    pub fn check(&self) -> Result<(), OrderFault> {
        let bytes = self.text_bytes();
        if bytes > limits::TASK_BYTES_MAX {
            return Err(OrderFault::TooLarge { bytes });
        }
        let within = |what, count, max| {
            if count > max { Err(OrderFault::TooMany { what, count, max }) } else { Ok(()) }
        };
        match self {
            Self::Embed { inputs } if inputs.is_empty() => Err(OrderFault::Empty),
            Self::Embed { inputs } => within(Counted::Inputs, inputs.len(), limits::EMBED_INPUTS_MAX),
            Self::Generate(generate) if generate.messages.is_empty() => Err(OrderFault::Empty),
            Self::Generate(generate) if generate.max_tokens == 0 => Err(OrderFault::NoOutput),
            Self::Generate(generate) => {
                within(Counted::Messages, generate.messages.len(), limits::CHAT_MESSAGES_MAX)?;
                within(Counted::Stops, generate.stop.len(), limits::STOPS_MAX)?;
                let is_bad = |stop: &String| stop.is_empty() || stop.len() > limits::STOP_BYTES_MAX;
                if let Some(index) = generate.stop.iter().position(is_bad) {
                    return Err(OrderFault::BadStop { index });
                }
                within(Counted::PrefixTokens, generate.prefix.len(), self.prefix_tokens_max())
            }
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embed { inputs } => {
                write!(f, "Embed({} inputs, {} bytes)", inputs.len(), self.text_bytes())
            }
            Self::Generate(generate) => write!(
                f,
                "Generate({} messages, {} bytes, up to {} tokens)",
                generate.messages.len(),
                self.text_bytes(),
                generate.max_tokens
            ),
        }
    }
}

impl fmt::Debug for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0.get(..4).unwrap_or(&self.0))
    }
}

impl fmt::Display for ModelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl FromStr for ModelId {
    type Err = ModelIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_hex32(text).map(Self).ok_or(ModelIdError)
    }
}

/// A text that is not a model id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a model id; expected 64 hexadecimal digits")]
pub struct ModelIdError;

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0.get(..4).unwrap_or(&self.0))
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(content: &str, max_tokens: u32) -> Task {
        Task::Generate(Generate {
            messages: vec![ChatMessage { role: Role::User, content: content.into() }],
            max_tokens,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
            prefix: vec![],
            stop: vec![],
        })
    }

    /// (`WR-1`)
    #[test]
    fn a_task_at_the_limit_is_taken_and_one_past_it_is_not() {
        assert_eq!(chat(&"x".repeat(limits::TASK_BYTES_MAX), 1).check(), Ok(()));
        let bytes = limits::TASK_BYTES_MAX + 1;
        assert_eq!(chat(&"x".repeat(bytes), 1).check(), Err(OrderFault::TooLarge { bytes }));
        let inputs = |count| Task::Embed { inputs: vec![String::new(); count] };
        assert_eq!(inputs(limits::EMBED_INPUTS_MAX).check(), Ok(()));
        assert!(matches!(inputs(limits::EMBED_INPUTS_MAX + 1).check(), Err(OrderFault::TooMany { .. })));
        assert_eq!(inputs(0).check(), Err(OrderFault::Empty));
        assert_eq!(chat("x", 0).check(), Err(OrderFault::NoOutput));
    }

    /// (`WR-1`)
    #[test]
    fn a_prefix_may_be_as_long_as_the_text_leaves_room() {
        for bytes in [1, 1_024, 20_000, limits::TASK_BYTES_MAX] {
            let Task::Generate(short) = chat(&"x".repeat(bytes), 1) else { panic!() };
            let with_prefix = |count| Task::Generate(Generate { prefix: vec![7; count], ..short.clone() });
            let max = with_prefix(0).prefix_tokens_max();
            assert!(max > 2_048, "{max}");
            assert_eq!(with_prefix(max).check(), Ok(()));
            let refused = OrderFault::TooMany { what: Counted::PrefixTokens, count: max + 1, max };
            assert_eq!(with_prefix(max + 1).check(), Err(refused));
        }
    }

    /// Whatever passes the check, the largest of all included, travels in one frame. (`WR-1`)
    #[test]
    fn the_largest_task_fits_one_sealed_message() {
        use crate::wire::codec;

        // The channel's terms travel with the task; they have some 150 bytes.
        const TERMS_ROOM: usize = 512;
        let fits = |task: &Task| codec::encode(task).len() + TERMS_ROOM <= limits::SEALED_BODY_BYTES_MAX;
        let head = limits::TASK_BYTES_MAX - (limits::CHAT_MESSAGES_MAX - 1) - limits::STOPS_MAX;
        let mut contents = vec![String::from("x"); limits::CHAT_MESSAGES_MAX - 1];
        contents.push("x".repeat(head));
        let message = |content| ChatMessage { role: Role::Assistant, content };
        let sampling = Sampling { temperature_milli: 5, top_p_milli: 1_000, top_k: u32::MAX, seed: u64::MAX };
        let whole = Generate {
            messages: contents.into_iter().map(message).collect(),
            max_tokens: u32::MAX,
            sampling,
            prefix: Vec::new(),
            stop: vec!["x".into(); limits::STOPS_MAX],
        };
        let short = Generate { messages: vec![message("x".into())], stop: Vec::new(), ..whole.clone() };
        for generate in [whole, short] {
            let room = Task::Generate(generate.clone()).prefix_tokens_max();
            let task = Task::Generate(Generate { prefix: vec![u32::MAX; room], ..generate });
            assert_eq!(task.check(), Ok(()));
            assert!(fits(&task), "{task:?}");
        }
        let inputs =
            vec!["x".repeat(limits::TASK_BYTES_MAX / limits::EMBED_INPUTS_MAX); limits::EMBED_INPUTS_MAX];
        assert!(fits(&Task::Embed { inputs }));
    }

    /// (`WR-13`)
    #[test]
    fn what_is_left_of_a_task_is_what_was_not_delivered() {
        let Task::Generate(whole) = chat("x", 10) else { panic!() };
        let order = Task::Generate(Generate { prefix: vec![1, 2], ..whole });
        let left = |delivered: &[u32]| {
            let Task::Generate(left) = order.rest_after(delivered, 0) else { panic!() };
            (left.prefix, left.max_tokens)
        };
        assert_eq!(left(&[]), (vec![1, 2], 10));
        assert_eq!(left(&[3, 4, 5]), (vec![1, 2, 3, 4, 5], 7));
        assert_eq!(left(&[3; 10]).1, 0);
        let texts = Task::Embed { inputs: vec!["a".into(), "b".into(), "c".into()] };
        assert_eq!(texts.rest_after(&[], 2), Task::Embed { inputs: vec!["c".into()] });
        assert_eq!(texts.rest_after(&[], 9), Task::Embed { inputs: vec![] });
    }

    #[test]
    fn the_debug_form_of_a_task_holds_no_text() {
        let shown = format!("{:?}", chat("a very secret prompt", 5));
        assert!(!shown.contains("secret"), "{shown}");
    }
}
