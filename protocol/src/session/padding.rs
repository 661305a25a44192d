//! The padded block inside every frame and every sealed message: header, body, zeros up to a power of two.
//!
//! ```text
//! 0        1               5                 5 + n             bucket
//! | 0x1F   | n: u32 LE     | body: n bytes   | zeros           |
//!    ||__ flags: bit 0 = last, bits 1 to 3 are zero
//!    |___ version of the block: 1
//! ```

use zeroize::Zeroizing;

/// Bytes of the smallest block.
pub const BUCKET_BYTES_MIN: usize = 256;

/// Bytes of the largest block: the largest power of two that fits a Noise message (65,535 bytes with tag).
pub const BUCKET_BYTES_MAX: usize = 32_768;

/// Bytes before the body.
const HEADER_BYTES: usize = 5;

/// The most bytes that one block carries; longer messages go in several frames.
pub const BODY_BYTES_MAX: usize = BUCKET_BYTES_MAX - HEADER_BYTES;

/// Version 1 in the upper half, no flag set.
const VERSION: u8 = 0x10;

/// The body ends its message.
const LAST: u8 = 0x01;

/// Why a decrypted block is not one that an honest sender makes (`SE-18`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// Another version, or a flag that version 1 does not define.
    #[error("block begins with {0:#04x}; this node reads version 1 and the flag `last` only")]
    Version(u8),
    /// The block is not the smallest one that holds the body it announces.
    #[error("block of {block} bytes announces a body of {body}; the sender must use the smallest bucket")]
    Bucket {
        /// Bytes of the block that came.
        block: usize,
        /// Bytes of the body that it announces.
        body: usize,
    },
    /// A byte after the body is not zero.
    #[error("padding is not zero; the sender may be smuggling data")]
    NotZero,
}

/// Returns the block size for a body of `body` bytes, or `None` where no block holds it (`SE-13`).
pub(super) fn bucket(body: usize) -> Option<usize> {
    let bytes = body.checked_add(HEADER_BYTES)?.checked_next_power_of_two()?.max(BUCKET_BYTES_MIN);
    (bytes <= BUCKET_BYTES_MAX).then_some(bytes)
}

/// Returns whether an honest block can have this size.
pub(super) fn is_bucket(bytes: usize) -> bool {
    bytes.is_power_of_two() && (BUCKET_BYTES_MIN..=BUCKET_BYTES_MAX).contains(&bytes)
}

/// Returns the block for `body`, or `None` where the body is longer than [`BODY_BYTES_MAX`].
pub(super) fn pad(body: &[u8], last: bool) -> Option<Zeroizing<Vec<u8>>> {
    let bytes = bucket(body.len())?;
    // All at once: a buffer that grows would leave copies of the body behind.
    let mut block = Zeroizing::new(Vec::with_capacity(bytes));
    block.push(if last { VERSION | LAST } else { VERSION });
    block.extend_from_slice(&u32::try_from(body.len()).ok()?.to_le_bytes());
    block.extend_from_slice(body);
    block.resize(bytes, 0);
    Some(block)
}

/// Returns the body of `block` and whether it is the last of its message.
pub(super) fn unpad(block: &[u8]) -> Result<(&[u8], bool), PaddingError> {
    let too_short = PaddingError::Bucket { block: block.len(), body: 0 };
    let (&first, rest) = block.split_first().ok_or(too_short)?;
    if first & !LAST != VERSION {
        return Err(PaddingError::Version(first));
    }
    let (length, rest) = rest.split_first_chunk().ok_or(too_short)?;
    let body = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
    let wrong_bucket = PaddingError::Bucket { block: block.len(), body };
    if bucket(body) != Some(block.len()) {
        return Err(wrong_bucket);
    }
    let (body, padding) = rest.split_at_checked(body).ok_or(wrong_bucket)?;
    if padding.iter().any(|&byte| byte != 0) {
        return Err(PaddingError::NotZero);
    }
    Ok((body, first & LAST != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `SE-13`: at each edge of each bucket.
    #[test]
    fn a_body_goes_into_the_smallest_bucket_that_holds_it() {
        let mut size = BUCKET_BYTES_MIN;
        while size <= BUCKET_BYTES_MAX {
            assert_eq!(bucket(size - HEADER_BYTES), Some(size));
            assert_eq!(
                bucket(size - HEADER_BYTES + 1),
                (size < BUCKET_BYTES_MAX).then_some(size * 2),
                "one byte more than {size} holds"
            );
            assert!(is_bucket(size) && !is_bucket(size + 1) && !is_bucket(size - 1));
            size *= 2;
        }
        assert_eq!(bucket(0), Some(BUCKET_BYTES_MIN));
        assert_eq!(bucket(usize::MAX), None);
        assert_eq!(pad(&vec![7; BODY_BYTES_MAX + 1], true), None);
    }

    /// `SE-18`
    #[test]
    fn a_block_that_no_honest_sender_makes_is_refused() {
        let good = pad(b"body", true).unwrap();
        assert_eq!(unpad(&good), Ok((b"body".as_slice(), true)));

        let altered = |at: usize, byte: u8| {
            let mut block = good.clone();
            block[at] = byte;
            unpad(&block).map(|_| ())
        };
        assert_eq!(altered(0, 0x21), Err(PaddingError::Version(0x21)));
        assert_eq!(altered(0, 0x13), Err(PaddingError::Version(0x13)));
        assert_eq!(altered(9, 1), Err(PaddingError::NotZero));
        assert_eq!(altered(255, 1), Err(PaddingError::NotZero));
        // A shorter length turns body into padding, a longer one leaves the bucket.
        assert_eq!(altered(1, 3), Err(PaddingError::NotZero));
        assert_eq!(altered(4, 0xff), Err(PaddingError::Bucket { block: 256, body: 0xff00_0004 }));
        assert_eq!(altered(1, 252), Err(PaddingError::Bucket { block: 256, body: 252 }));

        let mut wider = good.clone();
        wider.resize(512, 0);
        assert_eq!(unpad(&wider), Err(PaddingError::Bucket { block: 512, body: 4 }));
        for length in 0..5 {
            assert!(unpad(&good[..length]).is_err());
        }
    }
}
