//! Keys and domain-separated signatures: who says something, and in which role a key may speak.
//!
//! Every signature covers `"bombyx/1/" + domain + 0x00 + bytes`, so that a signature made for one purpose
//! is worthless for every other. Verification is strict: keys of small order are refused. (`WI-8`)

use core::fmt;
use core::str::FromStr;
use std::sync::OnceLock;

use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};
use zeroize::Zeroizing;

/// A node's identity: its ed25519 public key. The swarm derives the peer id from the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct NodeId(pub [u8; 32]);

/// Where a connection comes from, as far as it tells one owner from another: the first 24 bits of
/// an IPv4 address, the first 48 of an IPv6 one. The owner of one address mostly owns its
/// neighbours as well.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Prefix(u64);

impl Prefix {
    /// The prefix of a connection whose remote address is not known. All of these count as one
    /// owner.
    pub const UNKNOWN: Self = Self(0);

    /// Returns the prefix of an IPv4 address.
    #[must_use]
    pub const fn of_ipv4([a, b, c, _]: [u8; 4]) -> Self {
        Self(u64::from_be_bytes([4, 0, 0, 0, 0, a, b, c]))
    }

    /// Returns the prefix of an IPv6 address; one that stands for an IPv4 address (`::ffff:a.b.c.d`) has the prefix of that.
    #[must_use]
    pub const fn of_ipv6(octets: [u8; 16]) -> Self {
        match octets {
            [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => Self::of_ipv4([a, b, c, d]),
            [a, b, c, d, e, f, ..] => Self(u64::from_be_bytes([6, 0, a, b, c, d, e, f])),
        }
    }
}

/// A peer, and where its connection comes from: what budgets for strangers count by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The peer.
    pub node: NodeId,
    /// Of its connection.
    pub prefix: Prefix,
}

impl fmt::Debug for Prefix {
    /// Writes it as a network is written: `192.0.2.0/24`, `2001:db8:7::/48`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.to_be_bytes() {
            [4, _, _, _, _, a, b, c] => write!(f, "{a}.{b}.{c}.0/24"),
            [6, _, octets @ ..] => {
                let [a, b, c, d, e, g] = octets;
                let groups = [[a, b], [c, d], [e, g]].map(u16::from_be_bytes);
                groups.iter().try_for_each(|group| write!(f, "{group:x}:"))?;
                f.write_str(":/48")
            }
            _ => f.write_str("unknown"),
        }
    }
}

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Signature(pub [u8; 64]);

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// A call for bids, by a client's identity.
    Call,
    /// A seek, by a client's identity.
    Seek,
    /// An ask, by a provider's identity.
    Ask,
    /// A bid, by a provider's identity.
    Bid,
    /// A receipt, by the provider's identity.
    Receipt,
    /// The client's countersignature under a final receipt.
    Countersign,
    /// A task's proof that the channel that pays for it is its client's, by the channel's client key.
    Work,
}

impl Domain {
    const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Seek => "seek",
            Self::Ask => "ask",
            Self::Bid => "bid",
            Self::Receipt => "receipt",
            Self::Countersign => "countersign",
            Self::Work => "work",
        }
    }

    /// Returns the exact bytes that are signed for `bytes` in this domain; they name the version.
    /// (`WI-13`)
    #[must_use]
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        let mut message = b"bombyx/1/".to_vec();
        message.extend_from_slice(self.name().as_bytes());
        message.push(0);
        message.extend_from_slice(bytes);
        message
    }
}

/// An identity with its secret key, which is wiped when this is dropped.
pub struct Identity {
    id: NodeId,
    seed: Zeroizing<[u8; 32]>,
    /// Made of the seed when it first signs: seven times as large.
    key: OnceLock<Box<SigningKey>>,
}

impl Identity {
    /// Returns the identity that a 32-byte seed stands for.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let id = NodeId(SigningKey::from_bytes(seed).verifying_key().to_bytes());
        Self { id, seed: Zeroizing::new(*seed), key: OnceLock::new() }
    }

    /// Returns the public half.
    #[must_use]
    pub const fn id(&self) -> NodeId {
        self.id
    }

    /// Signs `bytes` for `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        #[cfg(feature = "fake-crypto")]
        if crate::fake::is_on() {
            return pretended(&self.id(), domain, bytes);
        }
        let key = self.key.get_or_init(|| Box::new(SigningKey::from_bytes(&self.seed)));
        Signature(key.sign(&domain.message(bytes)).to_bytes())
    }
}

/// Returns a public key that is a point of the curve and not of small order: under one that is,
/// a trivial signature verifies for every message, and the ledger's VM refused only the neutral
/// element, and that only lately.
pub(crate) fn strong_key(bytes: &[u8; 32]) -> Option<VerifyingKey> {
    VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak())
}

/// Returns whether [`strong_key`] finds one.
pub(crate) fn is_strong(bytes: &[u8; 32]) -> bool {
    #[cfg(feature = "fake-crypto")]
    if crate::fake::is_on() {
        return true;
    }
    strong_key(bytes).is_some()
}

/// The encodings of the eight points of small order.
#[rustfmt::skip]
const SMALL_ORDER: [[u8; 32]; 8] = {
    const A: [u8; 32] = [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
        0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
    ];
    const B: [u8; 32] = [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
        0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
    ];
    const fn last(mut bytes: [u8; 32], sign: u8) -> [u8; 32] {
        bytes[31] |= sign;
        bytes
    }
    let mut one = [0; 32];
    one[0] = 1;
    let mut minus_one = [0xff; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    [one, minus_one, [0; 32], last([0; 32], 0x80), A, last(A, 0x80), B, last(B, 0x80)]
};

/// Makes exactly the strict check of ed25519-dalek, under a key that is [`strong_key`], for less:
/// the plain check has compared the bytes of R with those of a point, so R need not be read as a
/// point again to know its order. (`WI-8`)
pub(crate) fn verifies_strictly(key: &VerifyingKey, message: &[u8], signature: &Signature) -> bool {
    let plain = ed25519_dalek::Signature::from_bytes(&signature.0);
    !SMALL_ORDER.contains(plain.r_bytes()) && key.verify(message, &plain).is_ok()
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

impl NodeId {
    /// Stands for a provider of whom only the key in a channel's terms is known. No key has this public half's full order, so
    /// nobody signs or connects as it, and no job is paid on its channel. (`CH-52`)
    pub const UNKNOWN: Self = Self([0; 32]);

    /// Returns 64 bits that depend on this node and on the random id of a message. Everyone
    /// computes the same.
    pub(crate) fn draw(&self, id: &[u8; 16]) -> u64 {
        let mut both = [0; 48];
        let (first, rest) = both.split_at_mut(id.len());
        first.copy_from_slice(id);
        rest.copy_from_slice(&self.0);
        let [a, b, c, d, e, f, g, h, ..] = *blake3::hash(&both).as_bytes();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Returns whether `signature` over `bytes` was made by this node for `domain`.
    #[must_use]
    pub fn verifies(&self, domain: Domain, bytes: &[u8], signature: &Signature) -> bool {
        #[cfg(feature = "fake-crypto")]
        if crate::fake::is_on() {
            return pretended(self, domain, bytes) == *signature;
        }
        strong_key(&self.0).is_some_and(|key| verifies_strictly(&key, &domain.message(bytes), signature))
    }
}

#[cfg(feature = "fake-crypto")]
fn pretended(node: &NodeId, domain: Domain, bytes: &[u8]) -> Signature {
    Signature(crate::fake::checksum(&[&node.0, domain.name().as_bytes(), bytes]))
}

/// Writes bytes as lower-case hexadecimal.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly 32 bytes of hexadecimal.
pub(crate) fn read_hex32(text: &str) -> Option<[u8; 32]> {
    let mut out = [0u8; 32];
    let text = text.as_bytes();
    // `from_str_radix` would also take a sign.
    if text.len() != 64 || !text.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for NodeId {
    /// Returns the first four bytes: enough to tell nodes apart in a trace.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0.get(..4).unwrap_or(&self.0))
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        read_hex32(text).map(Self).ok_or(NodeIdError)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, self.0.get(..4).unwrap_or(&self.0))
    }
}

/// A text that is not a node id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a node id; expected 64 hexadecimal digits")]
pub struct NodeIdError;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_signature_counts_in_its_own_domain_only() {
        let node = Identity::from_seed(&[7; 32]);
        let signature = node.sign(Domain::Call, b"bytes");
        assert!(node.id().verifies(Domain::Call, b"bytes", &signature));
        assert!(!node.id().verifies(Domain::Bid, b"bytes", &signature));
        assert!(!node.id().verifies(Domain::Call, b"other", &signature));
        assert!(!Identity::from_seed(&[8; 32]).id().verifies(Domain::Call, b"bytes", &signature));
    }

    #[test]
    fn neighbours_share_a_prefix_and_others_do_not() {
        let of = Prefix::of_ipv4;
        assert_eq!(of([192, 0, 2, 1]), of([192, 0, 2, 254]));
        assert_ne!(of([192, 0, 2, 1]), of([192, 0, 3, 1]));
        assert_ne!(of([0; 4]), Prefix::UNKNOWN);
        let mut mapped = [0; 16];
        mapped[10..].copy_from_slice(&[0xff, 0xff, 192, 0, 2, 77]);
        assert_eq!(Prefix::of_ipv6(mapped), of([192, 0, 2, 1]));
        let long = [0x20, 0x01, 0x0d, 0xb8, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        let mut neighbour = long;
        neighbour[6] = 0xff;
        assert_eq!(Prefix::of_ipv6(long), Prefix::of_ipv6(neighbour));
        neighbour[5] = 8;
        assert_ne!(Prefix::of_ipv6(long), Prefix::of_ipv6(neighbour));
        assert_eq!(
            format!("{:?} {:?}", of([192, 0, 2, 1]), Prefix::of_ipv6(long)),
            "192.0.2.0/24 2001:db8:7::/48"
        );
        assert_eq!(format!("{:?}", Prefix::UNKNOWN), "unknown");
    }

    #[test]
    fn a_key_of_small_order_never_verifies() {
        let mut identity_point = [0u8; 32];
        identity_point[0] = 1;
        let trivial = Signature([0; 64]);
        assert!(!NodeId(identity_point).verifies(Domain::Call, b"bytes", &trivial));
    }

    /// (WI-8)
    #[test]
    fn the_strict_check_refuses_what_that_of_the_library_refuses_and_nothing_else() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../spec/vectors/wire/strict.json")).unwrap();
        let bytes = |text: &serde_json::Value| hex::decode(text.as_str().unwrap()).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() > 20);
        for case in cases {
            let key = VerifyingKey::from_bytes(&bytes(&case["key"]).try_into().unwrap()).unwrap();
            let message = bytes(&case["message"]);
            let signature = Signature(bytes(&case["signature"]).try_into().unwrap());
            let theirs = ed25519_dalek::Signature::from_bytes(&signature.0);
            let strict = case["strict"].as_bool().unwrap();
            assert_eq!(key.verify(&message, &theirs).is_ok(), case["plain"].as_bool().unwrap(), "{case}");
            assert_eq!(key.verify_strict(&message, &theirs).is_ok(), strict, "{case}");
            let ours = strong_key(key.as_bytes())
                .is_some_and(|strong| verifies_strictly(&strong, &message, &signature));
            assert_eq!(ours, strict, "{case}");
        }
    }

    #[test]
    fn every_point_of_small_order_is_known() {
        let mut known = SMALL_ORDER.to_vec();
        known.sort_unstable();
        known.dedup();
        assert_eq!(known.len(), 8, "the curve's cofactor");
        for point in &known {
            assert!(VerifyingKey::from_bytes(point).unwrap().is_weak() && strong_key(point).is_none());
        }
    }

    #[test]
    fn a_node_id_survives_its_text_form() {
        let id = Identity::from_seed(&[7; 32]).id();
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["zz", &"+f".repeat(32), &"ab".repeat(33)] {
            assert_eq!(text.parse::<NodeId>(), Err(NodeIdError), "{text}");
        }
    }
}
