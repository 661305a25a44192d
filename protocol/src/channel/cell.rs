//! Representation hashes of TON's ordinary cells: just enough to know an address and a signed hash without a chain library.
//!
//! A cell holds up to 1023 bits and four references. Its hash is SHA-256 over two descriptor bytes, the bits (padded by
//! a one and zeros to whole bytes), then the depth and the hash of each referenced cell.

use sha2::{Digest as _, Sha256};

use crate::amount::Nano;

/// All that a parent needs to know of a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CellHash {
    /// The representation hash.
    pub hash: [u8; 32],
    /// The longest way down to a cell without references, in steps.
    pub depth: u16,
}

/// Collects the bits and references of one ordinary cell.
///
/// The layouts of this crate are fixed and fit; the limits of a cell (1023 bits, four references) are asserted in debug
/// builds only.
#[derive(Debug, Default)]
pub(crate) struct CellBuilder {
    bytes: Vec<u8>,
    bits: u16,
    references: Vec<CellHash>,
}

impl CellBuilder {
    /// Creates a cell without bits, with room for all that it may hold.
    pub(crate) fn new() -> Self {
        Self { bytes: Vec::with_capacity(128), ..Self::default() }
    }

    /// Adds the lowest `width` bits of a byte, at most all of them.
    fn bits(&mut self, byte: u8, width: u32) {
        let place = u32::from(self.bits & 7);
        let left = byte.unbounded_shl(8u32.saturating_sub(width));
        match self.bytes.last_mut().filter(|_| place > 0) {
            Some(last) => {
                *last |= left.unbounded_shr(place);
                if place.saturating_add(width) > 8 {
                    self.bytes.push(left.unbounded_shl(8u32.saturating_sub(place)));
                }
            }
            None if width > 0 => self.bytes.push(left),
            None => {}
        }
        self.bits = self.bits.saturating_add(u16::try_from(width).unwrap_or(u16::MAX));
    }

    /// Adds the lowest `width` bits of `value`, highest first.
    pub(crate) fn uint(mut self, value: u64, width: u32) -> Self {
        let whole = width.wrapping_shr(3);
        let [begun, ..] = value.unbounded_shr(whole.saturating_mul(8)).to_le_bytes();
        self.bits(begun, width & 7);
        for byte in (0..whole).rev() {
            let [low, ..] = value.unbounded_shr(byte.saturating_mul(8)).to_le_bytes();
            self.bits(low, 8);
        }
        self
    }

    /// Adds 256 bits, as of a key or a hash.
    pub(crate) fn bytes32(mut self, value: &[u8; 32]) -> Self {
        if self.bits & 7 == 0 {
            self.bytes.extend_from_slice(value);
            self.bits = self.bits.saturating_add(256);
        } else {
            value.iter().for_each(|byte| self.bits(*byte, 8));
        }
        self
    }

    /// Adds an amount: four bits of length in bytes, then that many bytes.
    pub(crate) fn coins(self, amount: Nano) -> Self {
        let bytes = 64u32.saturating_sub(amount.0.leading_zeros()).div_ceil(8);
        self.uint(u64::from(bytes), 4).uint(amount.0, bytes.saturating_mul(8))
    }

    /// Adds a standard address without anycast: tag `10`, `0`, workchain, 256 bits.
    pub(crate) fn address(self, workchain: i8, hash: &[u8; 32]) -> Self {
        self.uint(0b100, 3).uint(u64::from(workchain.cast_unsigned()), 8).bytes32(hash)
    }

    /// Adds a reference to another cell.
    pub(crate) fn reference(mut self, cell: CellHash) -> Self {
        self.references.push(cell);
        self
    }

    /// Returns the cell's hash and depth.
    pub(crate) fn finish(mut self) -> CellHash {
        debug_assert!(self.bits <= 1023 && self.references.len() <= 4, "not a cell: {self:?}");
        let references = u8::try_from(self.references.len()).unwrap_or(u8::MAX);
        let whole = self.bits.wrapping_shr(3);
        let begun = u16::from(self.bits & 7 != 0);
        let data = u8::try_from(whole.saturating_mul(2).saturating_add(begun)).unwrap_or(u8::MAX);
        if begun == 1 {
            self.bits(1, 1);
        }
        let mut hasher = Sha256::new();
        hasher.update([references, data]);
        hasher.update(&self.bytes);
        for cell in &self.references {
            hasher.update(cell.depth.to_be_bytes());
        }
        for cell in &self.references {
            hasher.update(cell.hash);
        }
        let depth = self.references.iter().map(|cell| cell.depth.saturating_add(1)).max().unwrap_or(0);
        CellHash { hash: hasher.finalize().into(), depth }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_empty_cell_has_its_well_known_hash() {
        let empty = CellBuilder::new().finish();
        assert_eq!(
            hex::encode(empty.hash),
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
        );
        assert_eq!(empty.depth, 0);
    }

    #[test]
    fn an_amount_takes_as_many_bytes_as_it_needs() {
        for (nano, bits) in [(0, 4), (1, 12), (255, 12), (256, 20), (u64::MAX >> 8, 60), (u64::MAX, 68)] {
            assert_eq!(CellBuilder::new().coins(Nano(nano)).bits, bits, "{nano}");
        }
    }

    #[test]
    fn bits_are_packed_from_the_highest_down() {
        let wide = CellBuilder::new().uint(1, 4).bytes32(&[0xab; 32]).uint(0x0123_4567_89ab_cdef, 64);
        assert_eq!((wide.bytes[..3].to_vec(), wide.bits), (vec![0x1a, 0xba, 0xba], 324));
        assert_eq!(wide.bytes[32..], [0xb0, 0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0]);
        let cell = CellBuilder::new().uint(0b101, 3).uint(0xff, 8).uint(0, 4);
        assert_eq!((cell.bytes.as_slice(), cell.bits), (&[0b1011_1111, 0b1110_0000][..], 15));
    }

    #[test]
    fn a_parent_is_one_deeper_than_its_deepest_child() {
        let leaf = CellBuilder::new().finish();
        let middle = CellBuilder::new().reference(leaf).finish();
        assert_eq!(CellBuilder::new().reference(leaf).reference(middle).finish().depth, 2);
    }
}
