//! A call for bids: what a client gossips on the model's topic. It holds sizes, never a prompt.

use crate::ident::{Domain, Identity, NodeId, write_hex};
use crate::market::invite::Share;
use crate::time::Span;
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::signed::{Signed, Statement};
use crate::work::order::{ModelId, Order, TaskKind, Tier};

/// A call's random id. (`MK-3`)
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct CallId(pub [u8; 16]);

/// A request for bids. Signed in [`Domain::Call`]. (`MK-1`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Call {
    /// Random; bids name it.
    pub id: CallId,
    /// Where bids go.
    pub client: NodeId,
    /// X25519 key that bids are sealed to.
    pub seal_key: [u8; 32],
    /// Which model.
    pub model: ModelId,
    /// What kind of work.
    pub kind: TaskKind,
    /// Input tokens at the most, as a power of two: the call tells a size class, not a size.
    pub input_log2: u8,
    /// Output tokens at the most, as a power of two; 0 for none.
    pub output_log2: u8,
    /// Which protection is asked for.
    pub tier: Tier,
    /// Milliseconds after the call in which bids are read.
    pub window_ms: u32,
    /// Which share of the providers may answer. (`MK-16`)
    pub invited: Share,
    /// When it was made, in Unix seconds: it is acted upon while it is fresh. (`WI-18`)
    pub made_s: u64,
    /// Milliseconds that the order has left, rounded up so that it tells little.
    pub deadline_ms: u32,
    /// Proof of work; 0 for none. Nothing checks it in this version.
    pub stamp: u64,
    /// What the client understands.
    pub features: Features,
    /// What else the call needs or offers.
    pub extensions: Extensions,
}

/// Who calls, and when.
#[derive(Debug, Clone, Copy)]
pub struct Caller {
    /// Where bids go.
    pub client: NodeId,
    /// What they are sealed to.
    pub seal_key: [u8; 32],
    /// Unix seconds.
    pub made_s: u64,
}

impl Call {
    /// Makes the call for what is left of an order, with so much time left.
    #[must_use]
    pub fn for_order(
        id: CallId,
        caller: Caller,
        order: &Order,
        classes: Classes,
        left: Span,
        window: Span,
        invited: Share,
    ) -> Self {
        let Caller { client, seal_key, made_s } = caller;
        let Classes { input_log2, output_log2 } = classes;
        Self {
            id,
            client,
            seal_key,
            model: order.model,
            kind: order.task.kind(),
            input_log2,
            output_log2,
            tier: order.tier,
            window_ms: u32::try_from(window.as_ms()).unwrap_or(u32::MAX),
            invited,
            made_s,
            deadline_ms: deadline_class(left),
            stamp: 0,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }

    /// Returns the size classes of the task.
    #[must_use]
    pub const fn classes(&self) -> Classes {
        Classes { input_log2: self.input_log2, output_log2: self.output_log2 }
    }

    /// Returns whether the call asks this provider for a bid. (`MK-16`)
    #[must_use]
    pub fn invites(&self, provider: &NodeId) -> bool {
        self.invited.invites(&self.id.0, provider)
    }

    /// Signs the call.
    #[must_use]
    pub fn sign(&self, client: &Identity) -> Signed {
        Signed::new(client, Domain::Call, codec::encode(self))
    }
}

impl Statement for Call {
    const DOMAIN: Domain = Domain::Call;

    fn signer(&self) -> NodeId {
        self.client
    }
}

/// The size classes of a task: what a call tells of it, and what a price is for. (`MK-2`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Classes {
    /// Input tokens, as a power of two that is not below them.
    pub input_log2: u8,
    /// Output tokens at the most, likewise; 0 for none.
    pub output_log2: u8,
}

/// Input tokens of the smallest class, as a power of two: below them the handshake weighs more than what is read.
const INPUT_LOG2_MIN: u8 = 8;
/// Output tokens of the smallest class of an answer of tokens, as a power of two.
const OUTPUT_LOG2_MIN: u8 = 6;

impl Classes {
    /// Returns the classes of a task of so many input tokens and at most so many output tokens.
    #[must_use]
    pub fn of(input_tokens: u64, output_tokens_max: u64) -> Self {
        Self {
            input_log2: size_class(input_tokens).max(INPUT_LOG2_MIN),
            output_log2: if output_tokens_max == 0 {
                0
            } else {
                size_class(output_tokens_max).max(OUTPUT_LOG2_MIN)
            },
        }
    }

    /// Returns whether a price for one of them holds for the other: each class is the same or the next. (`MK-46`)
    #[must_use]
    pub const fn is_near(&self, other: &Self) -> bool {
        self.input_log2.abs_diff(other.input_log2) <= 1 && self.output_log2.abs_diff(other.output_log2) <= 1
    }

    /// Returns the input tokens that a price is quoted for: three quarters of the class, which is about its mean.
    #[must_use]
    pub fn input_tokens(&self) -> u32 {
        let most = 1u64.checked_shl(u32::from(self.input_log2)).unwrap_or(u64::MAX);
        u32::try_from(most.div_ceil(4).saturating_mul(3)).unwrap_or(u32::MAX)
    }

    /// Returns the output tokens that a task of the class may have.
    #[must_use]
    pub fn output_tokens_max(&self) -> u64 {
        match u32::from(self.output_log2) {
            0 => 0,
            log2 => 1u64.checked_shl(log2).unwrap_or(u64::MAX),
        }
    }
}

/// Returns the smallest power of two that is not below `tokens`, as its exponent. (`MK-2`)
#[must_use]
pub fn size_class(tokens: u64) -> u8 {
    // An exponent of a u64 is at most 64.
    u8::try_from(tokens.checked_next_power_of_two().map_or(64, u64::trailing_zeros)).unwrap_or(64)
}

/// Returns the least of 1, 2, 4, 8 … seconds that is not below the time left, in milliseconds. (`MK-2`)
fn deadline_class(left: Span) -> u32 {
    let seconds = left.as_ms().div_ceil(1_000).max(1).checked_next_power_of_two();
    seconds.and_then(|seconds| u32::try_from(seconds.saturating_mul(1_000)).ok()).unwrap_or(u32::MAX)
}

impl core::fmt::Debug for CallId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write_hex(f, self.0.get(..4).unwrap_or(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_class_covers_its_size_and_not_twice_it() {
        for tokens in [1u64, 2, 3, 5, 64, 65, 1_000_000] {
            let covered = 1u64 << size_class(tokens);
            assert!(covered >= tokens && covered / 2 < tokens, "{tokens} in {covered}");
        }
        assert_eq!(size_class(0), 0);
        assert_eq!(size_class(u64::MAX), 64);
    }

    /// (`MK-2`)
    #[test]
    fn a_deadline_is_told_as_a_class_that_covers_it() {
        let class = |ms| deadline_class(Span::from_ms(ms));
        for (left, told) in
            [(0, 1_000), (1_000, 1_000), (1_001, 2_000), (120_000, 128_000), (1 << 40, u32::MAX)]
        {
            assert_eq!(class(left), told, "{left} ms");
        }
        assert_eq!(deadline_class(Span::MAX), u32::MAX);
    }
}
