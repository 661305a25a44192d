//! Private channels between two nodes: sealed bids, the Noise handshake, and padded, replay-proof frames.
//!
//! | file | what flows through it |
//! |---|---|
//! | `key` | a node's long-lived x25519 secret |
//! | `sealed` | one message to a public key, without a round trip (bids) |
//! | `handshake` | two messages of 48 bytes that make a [`Secure`] on both sides |
//! | `kept` | what is left of a handshake for the jobs after its first |
//! | `secure` | numbered, padded, encrypted frames over a transport that may lose, repeat or reorder them |
//! | `padding` | the block inside each frame, so that a length says little |
//! | `replay` | which frame numbers were already opened |
//! | `resolver` | the primitives that Noise runs on |
//!
//! **Protected**: nobody between the two ends (a relay, the process that speaks libp2p, an internet provider)
//! reads or alters a frame, or delivers it twice; a provider's key stolen later opens no recorded session;
//! lengths are visible only as powers of two.
//!
//! **Not protected**: the provider decrypts, so without a trusted execution environment the owner of the GPU
//! reads prompt and answer (tier *open*). The client is anonymous to Noise: its node id is bound to the session
//! but proven elsewhere, by its signed call. Timing and the number of frames are visible. A sealed bid has no
//! forward secrecy towards its receiver. An attacker with a large quantum computer opens recordings.
//!
//! Byte layouts, the numbered rules (`SE-…`) and their reasons: `spec/04-session.md`.
//!
//! ```
//! use bombyx_protocol::{entropy::Entropy, ident::NodeId, session::{Initiator, StaticKey, prologue, respond}};
//!
//! let (mut client_entropy, mut provider_entropy) = (Entropy::new([1; 32]), Entropy::new([2; 32]));
//! let provider_key = StaticKey::from_seed([3; 32]);
//! let prologue = prologue(&NodeId([4; 32]), &NodeId([5; 32]), &[6; 16]);
//!
//! let (initiator, first) = Initiator::start(&provider_key.public(), &prologue, &mut client_entropy)?;
//! let (mut provider, reply) = respond(&provider_key, &prologue, &first, &mut provider_entropy)?;
//! let mut client = initiator.finish(&reply)?;
//!
//! let frame = client.seal(b"why is silk strong?", true)?;
//! let opened = provider.open(frame.nonce, &frame.bytes)?;
//! assert!(opened.last && opened.body == b"why is silk strong?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod handshake;
mod kept;
mod key;
mod padding;
mod replay;
mod resolver;
mod sealed;
mod secure;

pub use handshake::{HANDSHAKE_BYTES, HandshakeError, Initiator, prologue, respond};
pub use kept::{JobNumbers, KEPT_JOBS_MAX, KeptSecret};
pub use key::StaticKey;
pub use padding::{BODY_BYTES_MAX, BUCKET_BYTES_MAX, BUCKET_BYTES_MIN, PaddingError};
pub use replay::REPLAY_WINDOW;
pub use sealed::{SEALED_OVERHEAD_BYTES, SealError, seal, unseal};
pub use secure::{End, FRAME_OVERHEAD_BYTES, FRAMES_MAX, Frame, Plaintext, Secure, SecureError};
