//! A call for bids: what a client gossips on the model's topic. It holds sizes, never a prompt.

use crate::ident::{Domain, Identity, NodeId, write_hex};
use crate::market::invite::Share;
use crate::wire::codec;
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
    /// Output tokens at the most, as a power of two; 0 for one or none.
    pub output_log2: u8,
    /// Which protection is asked for.
    pub tier: Tier,
    /// Milliseconds after the call in which bids are read.
    pub window_ms: u32,
    /// Which share of the providers may answer. (`MK-16`)
    pub invited: Share,
}

impl Call {
    /// Makes the call for an order.
    #[must_use]
    pub fn for_order(
        id: CallId,
        client: NodeId,
        seal_key: [u8; 32],
        order: &Order,
        window_ms: u32,
        invited: Share,
    ) -> Self {
        Self {
            id,
            client,
            seal_key,
            model: order.model,
            kind: order.task.kind(),
            input_log2: size_class(order.task.input_tokens_max()),
            output_log2: size_class(order.task.output_tokens_max()),
            tier: order.tier,
            window_ms,
            invited,
        }
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

/// Returns the smallest power of two that is not below `tokens`, as its exponent. (`MK-2`)
#[must_use]
pub fn size_class(tokens: u64) -> u8 {
    // An exponent of a u64 is at most 64.
    u8::try_from(tokens.checked_next_power_of_two().map_or(64, u64::trailing_zeros)).unwrap_or(64)
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
}
