//! The randomness of the operating system, from a seed.
//!
//! Hash tables take their keys, and libp2p its choices of peers, from the operating system. A program that defines the
//! function through which libraries ask for it answers in its place; with a seed, the same questions in the same order
//! have the same answers. Nothing here is a secret: the peers of a simulation protect nothing.
#![allow(unsafe_code, reason = "a C function can be defined in no other way")]

use std::sync::atomic::{AtomicU64, Ordering};

/// The increment of SplitMix64 (Steele, Lea, Flood 2014).
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

static STATE: AtomicU64 = AtomicU64::new(0);
static ASKED: AtomicU64 = AtomicU64::new(0);

/// Makes all answers from now on follow from `seed`. Call it before the thread begins that is to depend on nothing else.
pub(crate) fn seed(seed: u64) {
    STATE.store(seed.wrapping_mul(GOLDEN) ^ 0x5eed_5eed_5eed_5eed, Ordering::SeqCst);
}

/// Returns how often anyone asked.
pub(crate) fn asked() -> u64 {
    ASKED.load(Ordering::SeqCst)
}

/// Takes a step of SplitMix64.
fn next() -> u64 {
    let mut z = STATE.fetch_add(GOLDEN, Ordering::SeqCst).wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the C library's function of this name does, from the seed.
///
/// # Safety
/// `buffer` must be valid for writing `length` bytes, as for the function that it replaces.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    ASKED.fetch_add(1, Ordering::SeqCst);
    // SAFETY: the caller promises a buffer of this length. Only whole bytes are written, none is read.
    let buffer =
        unsafe { std::slice::from_raw_parts_mut(buffer.cast::<std::mem::MaybeUninit<u8>>(), length) };
    for chunk in buffer.chunks_mut(8) {
        for (byte, random) in chunk.iter_mut().zip(next().to_le_bytes()) {
            byte.write(random);
        }
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
