//! Randomness as a seed at construction: every random byte of a role machine comes from here.

use zeroize::Zeroize as _;

/// A stream of unpredictable bytes expanded from one 32-byte seed. Equal seeds give equal streams.
/// (`CO-3`)
pub struct Entropy {
    key: [u8; 32],
    blocks: u64,
}

impl Entropy {
    /// Creates a stream from a seed. In production the seed comes from the operating system,
    /// once.
    #[must_use]
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: blake3::derive_key("bombyx/1/entropy", &seed), blocks: 0 }
    }

    /// Fills `out` with the next bytes of the stream.
    pub fn fill(&mut self, out: &mut [u8]) {
        let mut reader =
            blake3::Hasher::new_keyed(&self.key).update(&self.blocks.to_le_bytes()).finalize_xof();
        reader.fill(out);
        self.blocks = self.blocks.wrapping_add(1);
    }

    /// Returns the next `N` bytes.
    #[must_use]
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// Returns the next 64-bit number.
    #[must_use]
    pub fn number(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }
}

impl Drop for Entropy {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Entropy({} blocks)", self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_streams_and_no_block_repeats() {
        let (mut a, mut b) = (Entropy::new([1; 32]), Entropy::new([1; 32]));
        let first: [u8; 32] = a.bytes();
        assert_eq!(first, b.bytes::<32>());
        assert_ne!(first, a.bytes::<32>());
        assert_ne!(first, Entropy::new([2; 32]).bytes::<32>());
    }
}
