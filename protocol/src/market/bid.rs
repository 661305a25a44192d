//! A bid: a provider's firm price and speed for one call, sealed so that only the caller reads it.

use crate::amount::Nano;
use crate::channel::terms::Address;
use crate::ident::{Domain, Identity, NodeId};
use crate::market::call::CallId;
use crate::wire::codec;
use crate::wire::extension::{Extensions, Features};
use crate::wire::signed::{Signed, Statement};
use crate::work::order::{ModelId, Tier};
use crate::work::price::Price;

/// A firm offer. Signed in [`Domain::Bid`], then sealed to the call's key. (`MK-5`)
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bid {
    /// The call that this answers.
    pub call: CallId,
    /// Who offers.
    pub provider: NodeId,
    /// Which model.
    pub model: ModelId,
    /// X25519 key of the session that will carry the task.
    pub session_key: [u8; 32],
    /// The price, for a task of the call's size classes.
    pub price: Price,
    /// Milliseconds until the job can begin, as the provider expects.
    pub start_ms: u32,
    /// Milliseconds of work of those whom it saw go because it came too late for them, and who are not yet back.
    pub ahead_ms: u32,
    /// Input tokens that it reads in a second.
    pub read_tps: u32,
    /// Output tokens that it makes in a second.
    pub write_tps: u32,
    /// Seconds for which it keeps what it has read for this client; 0: not at all.
    pub keep_s: u16,
    /// Which protection is offered.
    pub tier: Tier,
    /// Milliseconds in which the offer can be awarded; after an award it stays awardable to the winner for
    /// [`crate::limits::LEASE_VALID`].
    pub valid_ms: u32,
    /// How the provider is paid.
    pub payee: Payee,
    /// What it serves before a channel is seen on the ledger.
    pub credit: Nano,
    /// What the provider understands.
    pub features: Features,
    /// What else it needs or offers.
    pub extensions: Extensions,
}

/// Where a provider's money goes: its side of a channel's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Payee {
    /// Which ledger.
    pub network_id: i32,
    /// Key that signs the provider's close orders; not its identity and not its wallet key.
    pub key: [u8; 32],
    /// Account that is paid.
    pub address: Address,
    /// The least challenge time that it accepts.
    pub challenge_s: u32,
}

/// The hash of a bid's signed bytes. An award names it, and only the client that could unseal the
/// bid can. (`MK-9`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub struct BidHash(pub [u8; 32]);

impl BidHash {
    /// Returns the hash of a signed bid.
    #[must_use]
    pub fn of(signed: &Signed) -> Self {
        Self(*blake3::hash(&signed.body).as_bytes())
    }
}

impl Bid {
    /// Signs the bid.
    #[must_use]
    pub fn sign(&self, provider: &Identity) -> Signed {
        Signed::new(provider, Domain::Bid, codec::encode(self))
    }

    /// Returns how many milliseconds pass until the first token of an answer to so many input tokens, by the provider's own
    /// word.
    #[must_use]
    pub fn first_token_ms(&self, input_tokens: u64) -> u64 {
        u64::from(self.start_ms).saturating_add(self.reading_ms(input_tokens))
    }

    /// Returns how many milliseconds it takes to read so many tokens, by the provider's own word.
    #[must_use]
    pub fn reading_ms(&self, tokens: u64) -> u64 {
        span_ms(tokens, self.read_tps)
    }

    /// Returns how many milliseconds it takes to make so many tokens, by the provider's own word.
    #[must_use]
    pub fn writing_ms(&self, tokens: u64) -> u64 {
        span_ms(tokens, self.write_tps)
    }
}

/// Returns how many milliseconds so many tokens take at so many a second; none at a speed that nobody states.
fn span_ms(tokens: u64, per_s: u32) -> u64 {
    tokens.saturating_mul(1_000).checked_div(u64::from(per_s)).unwrap_or(0)
}

#[cfg(test)]
impl Bid {
    /// Returns a bid of which every part is small.
    pub(crate) const fn for_tests() -> Self {
        let address = Address::basechain([1; 32]);
        Self {
            call: CallId([1; 16]),
            provider: NodeId([1; 32]),
            model: ModelId([1; 32]),
            session_key: [1; 32],
            price: Price(1),
            start_ms: 1,
            ahead_ms: 0,
            read_tps: 1,
            write_tps: 1,
            keep_s: 0,
            tier: Tier::Open,
            valid_ms: 1,
            payee: Payee { network_id: -3, key: [1; 32], address, challenge_s: 60 },
            credit: Nano::ZERO,
            features: Features::OWN,
            extensions: Extensions::NONE,
        }
    }
}

impl Statement for Bid {
    const DOMAIN: Domain = Domain::Bid;

    fn signer(&self) -> NodeId {
        self.provider
    }
}
