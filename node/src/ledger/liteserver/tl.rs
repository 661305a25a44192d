//! TL, little-endian: fields one after the other. Byte strings carry their length and end on a multiple of four.

use bombyx_protocol::channel::terms::Address;

/// The shard that is a whole workchain.
pub(super) const WHOLE_SHARD: u64 = 1 << 63;

/// The name of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct Block {
    pub(in crate::ledger) workchain: i32,
    pub(super) shard: u64,
    pub(in crate::ledger) seqno: u32,
    pub(super) root_hash: [u8; 32],
    pub(super) file_hash: [u8; 32],
}

impl Block {
    /// Returns the name of a whole workchain's block.
    pub(in crate::ledger) fn whole(workchain: i32, seqno: u32, hash: [u8; 32]) -> Self {
        Self { workchain, shard: WHOLE_SHARD, seqno, root_hash: hash, file_hash: hash }
    }
}

/// Takes fields from the front; `None` when they end too early.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        self.take().map(i32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn hash(&mut self) -> Option<[u8; 32]> {
        self.take()
    }

    pub(super) fn bytes(&mut self) -> Option<Vec<u8>> {
        let [first] = self.take()?;
        let (length, head) = match first {
            0xff => return None,
            0xfe => {
                let [a, b, c] = self.take()?;
                (u32::from_le_bytes([a, b, c, 0]) as usize, 4)
            }
            short => (usize::from(short), 1),
        };
        let taken = self.0.get(..length)?.to_vec();
        let padded = (head + length).next_multiple_of(4) - head;
        self.0 = self.0.get(padded..)?;
        Some(taken)
    }

    pub(super) fn block(&mut self) -> Option<Block> {
        Some(Block {
            workchain: self.i32()?,
            shard: self.u64()?,
            seqno: self.u32()?,
            root_hash: self.hash()?,
            file_hash: self.hash()?,
        })
    }

    pub(super) fn account(&mut self) -> Option<Address> {
        Some(Address { workchain: i8::try_from(self.i32()?).ok()?, hash: self.hash()? })
    }
}

#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn i32(&mut self, value: i32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn hash(&mut self, hash: &[u8; 32]) {
        self.0.extend_from_slice(hash);
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        let start = self.0.len();
        match u8::try_from(bytes.len()) {
            Ok(short @ ..0xfe) => self.0.push(short),
            // Frames are bounded far below what three bytes of length can say.
            _ => self.u32(0xfe | u32::try_from(bytes.len()).unwrap_or(u32::MAX) << 8),
        }
        self.0.extend_from_slice(bytes);
        let end = start + (self.0.len() - start).next_multiple_of(4);
        self.0.resize(end, 0);
    }

    pub(super) fn block(&mut self, block: &Block) {
        self.i32(block.workchain);
        self.u64(block.shard);
        self.u32(block.seqno);
        self.hash(&block.root_hash);
        self.hash(&block.file_hash);
    }

    pub(super) fn account(&mut self, account: Address) {
        self.i32(i32::from(account.workchain));
        self.hash(&account.hash);
    }

    /// Writes the state before the first block.
    pub(super) fn genesis(&mut self) {
        self.i32(-1);
        self.hash(&[0; 32]);
        self.hash(&[0; 32]);
    }

    /// Writes interface version 1.1, whose servers run get-methods.
    pub(super) fn version(&mut self) {
        self.u32(0x101);
        self.u64(0b11);
    }
}
