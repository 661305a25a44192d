//! What a user asks for: a model, a task, limits and a budget.

use core::fmt;
use core::str::FromStr;

use crate::amount::Nano;
use crate::ident::{read_hex32, write_hex};
use crate::time::Span;
use crate::work::preferences::Preferences;
use crate::work::price::{Price, Weights};

pub use super::fault::{Counted, OrderFault};
pub use super::task::{ChatMessage, Generate, Role, Sampling, Task, TaskKind};

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
