//! The session handshake, Noise NK: two messages of 48 bytes without payload, then a [`Secure`] on both sides.

use snow::HandshakeState;
use zeroize::Zeroizing;

use super::key::StaticKey;
use super::resolver::{self, KEY_BYTES, NK, TAG_BYTES};
use super::secure::{End, Secure};
use crate::entropy::Entropy;
use crate::ident::NodeId;

/// Bytes of each of the two handshake messages: an ephemeral public key, and the tag of an empty payload.
pub const HANDSHAKE_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// Why a handshake ended without a session. The state of the attempt is gone; start a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Not [`HANDSHAKE_BYTES`] long.
    #[error("handshake message of {got} bytes; it must have exactly {HANDSHAKE_BYTES}")]
    Length {
        /// Bytes that came.
        got: usize,
    },
    /// A public key of small order, whose shared secret anyone knows.
    #[error("the peer's public key has small order; choose another peer")]
    WeakKey,
    /// The tag does not fit: the peer has another key or another prologue, or the bytes were altered.
    #[error(
        "handshake message is not authentic; both sides need the same node ids and job id, and the peer the key \
         of its bid"
    )]
    Unauthentic,
}

impl HandshakeError {
    fn from_noise(error: &snow::Error) -> Self {
        if *error == snow::Error::Dh { Self::WeakKey } else { Self::Unauthentic }
    }
}

/// Returns what both sides must agree on before they talk: who talks to whom about which job (`SE-1`).
#[must_use]
pub fn prologue(client: &NodeId, provider: &NodeId, job: &[u8; 16]) -> Vec<u8> {
    [b"bombyx/1/session".as_slice(), &client.0, &provider.0, job].concat()
}

/// The client's side of a handshake that waits for the provider's reply.
pub struct Initiator {
    half: Half,
}

enum Half {
    Noise(Box<HandshakeState>),
    #[cfg(feature = "fake-crypto")]
    Pretended {
        provider: [u8; 32],
        prologue: Vec<u8>,
        ephemeral: [u8; KEY_BYTES],
    },
}

impl core::fmt::Debug for Initiator {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Initiator").finish_non_exhaustive()
    }
}

impl Initiator {
    /// Begins a session with the holder of `provider_key`; the bytes go to the provider (`SE-7`).
    ///
    /// # Errors
    /// [`HandshakeError::WeakKey`] where `provider_key` is a point of small order.
    pub fn start(
        provider_key: &[u8; 32],
        prologue: &[u8],
        entropy: &mut Entropy,
    ) -> Result<(Self, Vec<u8>), HandshakeError> {
        #[cfg(feature = "fake-crypto")]
        if crate::fake::is_on() {
            let (provider, prologue, ephemeral) = (*provider_key, prologue.to_vec(), entropy.bytes());
            let tag = first_tag(&provider, &prologue, &ephemeral);
            let first = [ephemeral.as_slice(), &tag].concat();
            return Ok((Self { half: Half::Pretended { provider, prologue, ephemeral } }, first));
        }
        let mut noise = resolver::builder(NK, entropy)
            .prologue(prologue)
            .and_then(|builder| builder.remote_public_key(provider_key))
            .and_then(snow::Builder::build_initiator)
            .expect("NK needs a prologue, the remote key and the primitives, and has them");
        let first = write_empty(&mut noise)?;
        Ok((Self { half: Half::Noise(Box::new(noise)) }, first))
    }

    /// Ends the handshake with the provider's reply; before that there is nothing to encrypt with (`SE-9`).
    ///
    /// # Errors
    /// [`HandshakeError`] where the reply is not the one of the provider that `start` named.
    pub fn finish(self, reply: &[u8]) -> Result<Secure, HandshakeError> {
        match self.half {
            Half::Noise(mut noise) => {
                read_empty(&mut noise, reply)?;
                Ok(Secure::new(*noise, End::Client))
            }
            #[cfg(feature = "fake-crypto")]
            Half::Pretended { provider, prologue, ephemeral } => {
                let (theirs, tag) = pretended(reply)?;
                let (session, shown) =
                    crate::fake::Session::agree(&provider, &prologue, [&ephemeral, theirs], true);
                if shown != tag { Err(HandshakeError::Unauthentic) } else { Ok(Secure::pretended(session)) }
            }
        }
    }
}

/// Returns the provider's side: takes the client's first message and gives the session and the
/// reply (`SE-8`).
///
/// A replayed first message gives a session that the replayer cannot use, because the reply's ephemeral key is
/// fresh; the first frame that opens shows that the client is really there.
///
/// # Errors
/// [`HandshakeError`] where `message` was not made for this key and prologue.
pub fn respond(
    key: &StaticKey,
    prologue: &[u8],
    message: &[u8],
    entropy: &mut Entropy,
) -> Result<(Secure, Vec<u8>), HandshakeError> {
    #[cfg(feature = "fake-crypto")]
    if crate::fake::is_on() {
        let ephemeral: [u8; KEY_BYTES] = entropy.bytes();
        let (theirs, tag) = pretended(message)?;
        if first_tag(&key.public(), prologue, theirs) != tag {
            return Err(HandshakeError::Unauthentic);
        }
        let (session, shown) =
            crate::fake::Session::agree(&key.public(), prologue, [theirs, &ephemeral], false);
        return Ok((Secure::pretended(session), [ephemeral.as_slice(), &shown].concat()));
    }
    let mut noise = resolver::builder(NK, entropy)
        .prologue(prologue)
        .and_then(|builder| builder.local_private_key(key.secret()))
        .and_then(snow::Builder::build_responder)
        .expect("NK needs a prologue, the local key and the primitives, and has them");
    read_empty(&mut noise, message)?;
    let reply = write_empty(&mut noise)?;
    Ok((Secure::new(noise, End::Provider), reply))
}

/// Returns what shows, in a pretended handshake, that the first message was made for this provider
/// and this job.
#[cfg(feature = "fake-crypto")]
fn first_tag(provider: &[u8; 32], prologue: &[u8], ephemeral: &[u8]) -> [u8; TAG_BYTES] {
    crate::fake::checksum(&[b"first", provider, prologue, ephemeral])
}

/// Splits a pretended handshake message into ephemeral key and tag.
#[cfg(feature = "fake-crypto")]
fn pretended(message: &[u8]) -> Result<(&[u8], [u8; TAG_BYTES]), HandshakeError> {
    let length = HandshakeError::Length { got: message.len() };
    if message.len() != HANDSHAKE_BYTES {
        return Err(length);
    }
    let (ephemeral, tag) = message.split_last_chunk::<TAG_BYTES>().ok_or(length)?;
    Ok((ephemeral, *tag))
}

fn write_empty(noise: &mut HandshakeState) -> Result<Vec<u8>, HandshakeError> {
    let mut message = vec![0; HANDSHAKE_BYTES];
    let written = noise.write_message(&[], &mut message).map_err(|e| HandshakeError::from_noise(&e))?;
    debug_assert_eq!(written, HANDSHAKE_BYTES);
    Ok(message)
}

fn read_empty(noise: &mut HandshakeState, message: &[u8]) -> Result<(), HandshakeError> {
    if message.len() != HANDSHAKE_BYTES {
        return Err(HandshakeError::Length { got: message.len() });
    }
    // Empty, but the cipher works in place and wants room for the tag.
    let mut payload = Zeroizing::new([0; TAG_BYTES]);
    noise.read_message(message, &mut *payload).map_err(|e| HandshakeError::from_noise(&e))?;
    Ok(())
}
