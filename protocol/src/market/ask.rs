//! Asks: what providers say they offer, when they are sought.

use crate::ident::{Domain, Identity, NodeId};
use crate::limits;
use crate::market::call::Classes;
use crate::market::seek::SeekId;
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::signed::{Signed, Statement};
use crate::work::order::{ModelId, TaskKind, Tier};
use crate::work::price::Price;

/// Returns the task that an ask's price is for: up to 1,024 tokens of input and as many of output; of a model that makes vectors,
/// none of output. A bid's is for its call.
#[must_use]
pub const fn asked(kind: TaskKind) -> Classes {
    match kind {
        TaskKind::Generate => Classes { input_log2: 10, output_log2: 10 },
        TaskKind::Embed => Classes { input_log2: 10, output_log2: 0 },
    }
}

/// The answer to a seek. Not firm: it tells a client who is there and about what price to expect. (`MK-12`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Ask {
    /// Who offers.
    pub provider: NodeId,
    /// Which model.
    pub model: ModelId,
    /// The model's human name, at most [`limits::ASK_NAME_BYTES_MAX`] bytes.
    pub name: String,
    /// What kind of work it does.
    pub kind: TaskKind,
    /// The price at the moment for the client that seeks, of a task of the classes [`asked`].
    pub price: Price,
    /// Tokens of input and output together that a task may have.
    pub context_tokens: u32,
    /// Tokens of the largest answer.
    pub output_max: u32,
    /// Input tokens that it reads in a second, at the moment.
    pub read_tps: u32,
    /// Output tokens that it makes in a second, at the moment.
    pub write_tps: u32,
    /// Milliseconds until a job could begin, at the moment.
    pub start_ms: u32,
    /// Which protection.
    pub tier: Tier,
    /// The seek that this answers.
    pub seek: SeekId,
    /// Milliseconds that the ask is good for, at most [`limits::ASK_VALID`].
    pub valid_ms: u32,
    /// What the provider understands.
    pub features: Features,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

impl Ask {
    /// Returns what its price is for.
    #[must_use]
    pub const fn classes(&self) -> Classes {
        asked(self.kind)
    }

    /// Signs the ask.
    #[must_use]
    pub fn sign(&self, provider: &Identity) -> Signed {
        Signed::new(provider, Domain::Ask, codec::encode(self))
    }

    /// Returns whether it can be shown: its name is one that a manifest could have. (`WR-17`)
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let of_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        (1..=limits::ASK_NAME_BYTES_MAX).contains(&self.name.len()) && self.name.bytes().all(of_name)
    }
}

#[cfg(test)]
impl Ask {
    /// Returns an ask of which every part is small.
    pub(crate) fn for_tests() -> Self {
        Self {
            provider: NodeId([1; 32]),
            model: ModelId([1; 32]),
            name: "m".into(),
            kind: TaskKind::Embed,
            price: Price(1),
            context_tokens: 1,
            output_max: 1,
            read_tps: 1,
            write_tps: 1,
            start_ms: 1,
            tier: Tier::Open,
            seek: SeekId([0; 16]),
            valid_ms: 1,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }
}

impl Statement for Ask {
    const DOMAIN: Domain = Domain::Ask;

    fn signer(&self) -> NodeId {
        self.provider
    }
}
