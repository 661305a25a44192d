//! One message sealed to a public key without a round trip, Noise N: how a bid reaches its client alone.

use zeroize::Zeroizing;

use super::key::StaticKey;
use super::padding::{self, BODY_BYTES_MAX, PaddingError};
use super::resolver::{self, KEY_BYTES, N, TAG_BYTES};
use crate::entropy::Entropy;

/// Bytes that sealing adds to the padded block: an ephemeral public key and a tag.
pub const SEALED_OVERHEAD_BYTES: usize = KEY_BYTES + TAG_BYTES;

/// Why a message was not sealed or not unsealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More than [`BODY_BYTES_MAX`] bytes to seal.
    #[error("{got} bytes to seal; a sealed message holds at most {BODY_BYTES_MAX}")]
    TooLong {
        /// Bytes to seal.
        got: usize,
    },
    /// Not the length of a sealed block.
    #[error("sealed message of {got} bytes; it must be {SEALED_OVERHEAD_BYTES} bytes longer than a bucket")]
    Length {
        /// Bytes that came.
        got: usize,
    },
    /// A public key of small order, whose shared secret anyone knows.
    #[error("public key of small order; the other side must make a new key")]
    WeakKey,
    /// The tag does not fit: another key, another context, or altered bytes.
    #[error("sealed message is not authentic; it was made for another key or context, or altered")]
    Unauthentic,
    /// Decrypted, but not a block that an honest sender makes.
    #[error("sealed message is malformed: {0}")]
    Malformed(#[from] PaddingError),
    /// Decrypted, but marked as one part of a longer message, which sealing does not know.
    #[error("sealed message is not marked as the last of its message; a sealed message is always whole")]
    Partial,
}

impl SealError {
    fn from_noise(error: &snow::Error) -> Self {
        if *error == snow::Error::Dh { Self::WeakKey } else { Self::Unauthentic }
    }
}

/// Seals `plaintext` to the holder of the key behind `to`. Who sealed it is not proven: sign inside (`SE-4`).
///
/// `context` must be the same when unsealing; it is authenticated and not sent. It names the purpose and what
/// the message answers, so that it is worthless anywhere else.
///
/// # Errors
/// [`SealError::TooLong`] or [`SealError::WeakKey`].
pub fn seal(
    to: &[u8; 32],
    context: &[u8],
    plaintext: &[u8],
    entropy: &mut Entropy,
) -> Result<Vec<u8>, SealError> {
    let block = padding::pad(plaintext, true).ok_or(SealError::TooLong { got: plaintext.len() })?;
    #[cfg(feature = "fake-crypto")]
    if crate::fake::is_on() {
        let ephemeral: [u8; KEY_BYTES] = entropy.bytes();
        let tag: [u8; TAG_BYTES] = crate::fake::checksum(&[to, context, &ephemeral, &block]);
        return Ok([ephemeral.as_slice(), &block, &tag].concat());
    }
    let mut noise = resolver::builder(N, entropy)
        .prologue(context)
        .and_then(|builder| builder.remote_public_key(to))
        .and_then(snow::Builder::build_initiator)
        .expect("N needs a prologue, the remote key and the primitives, and has them");
    let mut sealed = vec![0; block.len().saturating_add(SEALED_OVERHEAD_BYTES)];
    let written = noise.write_message(&block, &mut sealed).map_err(|e| SealError::from_noise(&e))?;
    debug_assert_eq!(written, sealed.len());
    Ok(sealed)
}

/// Opens what [`seal`] made for `key` in the same `context` (`SE-5`, `SE-6`).
///
/// # Errors
/// [`SealError`] says why the bytes are not such a message.
pub fn unseal(key: &StaticKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    // Checked before any work on the curve, so that nonsense costs nothing.
    let block_bytes = sealed
        .len()
        .checked_sub(SEALED_OVERHEAD_BYTES)
        .filter(|&bytes| padding::is_bucket(bytes))
        .ok_or(SealError::Length { got: sealed.len() })?;
    #[cfg(feature = "fake-crypto")]
    if crate::fake::is_on() {
        return unseal_pretended(key, context, sealed);
    }
    // The receiver of a one-way message draws no randomness; its source stays empty.
    let mut noise = resolver::builder_without_entropy(N)
        .prologue(context)
        .and_then(|builder| builder.local_private_key(key.secret()))
        .and_then(snow::Builder::build_responder)
        .expect("N needs a prologue, the local key and the primitives, and has them");
    // With room for the tag the cipher decrypts in place; without, it would leave a copy that nobody wipes.
    let mut block = Zeroizing::new(vec![0; block_bytes.saturating_add(TAG_BYTES)]);
    let read = noise.read_message(sealed, &mut block).map_err(|e| SealError::from_noise(&e))?;
    unpad(block.get(..read).unwrap_or_default())
}

fn unpad(block: &[u8]) -> Result<Vec<u8>, SealError> {
    let (body, last) = padding::unpad(block)?;
    if !last {
        return Err(SealError::Partial);
    }
    Ok(body.to_vec())
}

#[cfg(feature = "fake-crypto")]
fn unseal_pretended(key: &StaticKey, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let (ephemeral, rest) = sealed.split_first_chunk::<KEY_BYTES>().ok_or(SealError::Unauthentic)?;
    let (block, tag) = rest.split_last_chunk::<TAG_BYTES>().ok_or(SealError::Unauthentic)?;
    if crate::fake::checksum(&[&key.public(), context, ephemeral, block]) != *tag {
        return Err(SealError::Unauthentic);
    }
    unpad(block)
}
