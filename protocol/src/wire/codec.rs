//! Encoding and decoding with a limit: the only caller of the codec crate.

use crate::channel::terms::{AgreedTerms, ChannelTerms};
use crate::limits::{FRAME_BYTES_MAX, GOSSIP_BYTES_MAX, SEALED_BODY_BYTES_MAX};

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// More bytes than this kind of message may have. (`WI-5`)
    #[error("{bytes} bytes, the limit for this kind of message is {max}")]
    TooLong {
        /// Bytes found.
        bytes: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// Not a message of this version. (`WI-4`)
    #[error("not a message of this version")]
    Malformed,
    /// A message, and then more. (`WI-7`)
    #[error("{extra} bytes are left over after the message")]
    Trailing {
        /// Bytes that were not consumed.
        extra: usize,
    },
}

/// What most messages need, a signed bid among them; longer ones grow.
const ROOM: usize = 320;

/// Encodes a value. Values of this crate always encode: every collection in them is bounded by its maker.
#[must_use]
pub fn encode<T: bincode::Encode>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ROOM);
    encode_onto(value, &mut bytes);
    bytes
}

/// Encodes as [`encode`] does, at the end of `bytes`: for callers that encode often and keep the
/// memory.
pub fn encode_onto<T: bincode::Encode>(value: &T, bytes: &mut Vec<u8>) {
    // Writing to memory cannot fail, and no type here has an encoder of its own that could refuse.
    let _ = bincode::encode_into_writer(value, Onto(bytes), bincode::config::legacy());
}

/// Writes to the end of a vector.
struct Onto<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Onto<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Decodes a direct message.
///
/// # Errors
/// [`DecodeError`] when the bytes are too long, malformed or not all used.
pub fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    within::<T, FRAME_BYTES_MAX>(bytes)
}

/// Decodes a gossip message.
///
/// # Errors
/// As [`decode`].
pub fn decode_gossip<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    within::<T, GOSSIP_BYTES_MAX>(bytes)
}

/// Decodes what came out of a sealed message.
///
/// # Errors
/// As [`decode`].
pub fn decode_sealed<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    within::<T, SEALED_BODY_BYTES_MAX>(bytes)
}

fn within<T: bincode::Decode<()>, const MAX: usize>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX {
        return Err(DecodeError::TooLong { bytes: bytes.len(), max: MAX });
    }
    // The limit also bounds what a length field may claim: without it eight bytes abort the process. (`WI-6`)
    let config = bincode::config::legacy().with_limit::<MAX>();
    let (value, used) = bincode::decode_from_slice(bytes, config).map_err(|_| DecodeError::Malformed)?;
    match bytes.len().checked_sub(used) {
        Some(0) => Ok(value),
        Some(extra) => Err(DecodeError::Trailing { extra }),
        None => Err(DecodeError::Malformed),
    }
}

impl bincode::Encode for AgreedTerms {
    /// Returns the terms alone: the account follows from them.
    fn encode<E: bincode::enc::Encoder>(&self, encoder: &mut E) -> Result<(), bincode::error::EncodeError> {
        bincode::Encode::encode::<E>(&**self, encoder)
    }
}

impl<Context> bincode::Decode<Context> for AgreedTerms {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        ChannelTerms::decode(decoder).map(Self::from)
    }
}

bincode::impl_borrow_decode!(AgreedTerms);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_claims_the_world_is_refused_without_taking_memory() {
        let claim = u64::MAX.to_le_bytes();
        assert_eq!(decode::<Vec<u8>>(&claim), Err(DecodeError::Malformed));
        let claim = (FRAME_BYTES_MAX as u64 + 1).to_le_bytes();
        assert_eq!(decode::<Vec<u8>>(&claim), Err(DecodeError::Malformed));
    }

    #[test]
    fn bytes_after_the_message_are_refused() {
        let mut bytes = encode(&7u32);
        assert_eq!(decode::<u32>(&bytes), Ok(7));
        bytes.push(0);
        assert_eq!(decode::<u32>(&bytes), Err(DecodeError::Trailing { extra: 1 }));
    }

    #[test]
    fn a_frame_past_its_limit_is_refused_before_it_is_read() {
        let long = vec![0; FRAME_BYTES_MAX + 1];
        let refused = DecodeError::TooLong { bytes: FRAME_BYTES_MAX + 1, max: FRAME_BYTES_MAX };
        assert_eq!(decode::<Vec<u8>>(&long), Err(refused));
    }
}
