//! Keys and domain-separated signatures: who says something, and in which role a key may speak.
//!
//! Every signature covers `"bombyx/1/" + domain + 0x00 + bytes`, so that a signature made for one purpose
//! is worthless for every other. Verification is strict: keys of small order are refused. (`WI-8`)

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

/// A node's identity: its ed25519 public key. The swarm derives the peer id from the same key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct NodeId(pub [u8; 32]);

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
        }
    }

    /// The exact bytes that are signed for `bytes` in this domain; they name the version. (`WI-13`)
    #[must_use]
    pub fn message(self, bytes: &[u8]) -> Vec<u8> {
        let mut message = b"bombyx/1/".to_vec();
        message.extend_from_slice(self.name().as_bytes());
        message.push(0);
        message.extend_from_slice(bytes);
        message
    }
}

/// An identity with its secret key. The key is wiped when this is dropped.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// The identity that a 32-byte seed stands for.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self { key: SigningKey::from_bytes(seed) }
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> NodeId {
        NodeId(self.key.verifying_key().to_bytes())
    }

    /// Signs `bytes` for `domain`.
    #[must_use]
    pub fn sign(&self, domain: Domain, bytes: &[u8]) -> Signature {
        #[cfg(feature = "fake-crypto")]
        if crate::fake::is_on() {
            return pretended(&self.id(), domain, bytes);
        }
        Signature(self.key.sign(&domain.message(bytes)).to_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id())
    }
}

impl NodeId {
    /// Whether `signature` over `bytes` was made by this node for `domain`.
    #[must_use]
    pub fn verifies(&self, domain: Domain, bytes: &[u8], signature: &Signature) -> bool {
        #[cfg(feature = "fake-crypto")]
        if crate::fake::is_on() {
            return pretended(self, domain, bytes) == *signature;
        }
        VerifyingKey::from_bytes(&self.0).is_ok_and(|key| {
            !key.is_weak()
                && key
                    .verify_strict(
                        &domain.message(bytes),
                        &ed25519_dalek::Signature::from_bytes(&signature.0),
                    )
                    .is_ok()
        })
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
    /// The first four bytes: enough to tell nodes apart in a trace.
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
    fn a_key_of_small_order_never_verifies() {
        let mut identity_point = [0u8; 32];
        identity_point[0] = 1;
        let trivial = Signature([0; 64]);
        assert!(!NodeId(identity_point).verifies(Domain::Call, b"bytes", &trivial));
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
