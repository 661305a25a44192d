//! The work that an order asks for: texts to embed, or a conversation to be continued.

use core::fmt;

use crate::limits;
use crate::work::fault::{Counted, OrderFault};

/// Bytes of one prefix token on the wire.
const PREFIX_TOKEN_BYTES: usize = 4;

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
