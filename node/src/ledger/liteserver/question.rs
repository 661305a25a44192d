//! What a client asks in the words of the lite interface (`lite_api`), as far as wallets and channels need them.
//!
//! Each is a constructor's number, then its fields, as [`super::tl`] writes them.

use bombyx_protocol::channel::terms::Address;

use super::tl::{Block, Reader, WHOLE_SHARD, Writer};

/// `liteServer.query`, around every question.
const QUERY: u32 = 0x798c_06df;
/// `liteServer.waitMasterchainSeqno`, which may stand before a question.
const WAIT_SEQNO: u32 = 0xbaea_b892;

/// What a client asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Question {
    /// The newest block.
    Masterchain,
    /// The newest block with its time.
    MasterchainExt,
    /// The server's clock.
    Time,
    /// The server's version.
    Version,
    /// The head of a block.
    Header { block: Block, mode: u32 },
    /// The same, of the block with this number.
    LookUp { workchain: i32, seqno: u32 },
    /// To pass an external message on.
    Send { message: Vec<u8> },
    /// An account as of a block.
    Account { block: Block, account: Address },
    /// A get-method's result as of a block; `stack` is a bag of cells.
    RunMethod { mode: u32, block: Block, account: Address, method: u64, stack: Vec<u8> },
    /// Transactions of an account from the one with this time and hash on, backwards.
    Transactions { count: u32, account: Address, lt: u64, hash: [u8; 32] },
}

impl Question {
    /// Reads a question with what stands around it; `None` for one that is not known here.
    pub(in crate::ledger) fn read(bytes: &[u8]) -> Option<Self> {
        let mut outer = Reader(bytes);
        if outer.u32()? != QUERY {
            return None;
        }
        let inner = outer.bytes()?;
        let mut reader = Reader(&inner);
        let mut number = reader.u32()?;
        if number == WAIT_SEQNO {
            // A block to wait for, and for how long: the newest block answers.
            reader.u64()?;
            number = reader.u32()?;
        }
        Some(match number {
            0x89b5_e62e => Self::Masterchain,
            0x70a6_71df => {
                reader.u32()?;
                Self::MasterchainExt
            }
            0x16ad_5a34 => Self::Time,
            0x232b_940b => Self::Version,
            0x21ec_069e => Self::Header { block: reader.block()?, mode: reader.u32()? },
            0xfac8_f71e => {
                reader.u32()?;
                let workchain = reader.i32()?;
                reader.u64()?;
                // Searching by logical time or clock is not offered; the number is what clients of accounts use.
                Self::LookUp { workchain, seqno: reader.u32()? }
            }
            0x690a_d482 => Self::Send { message: reader.bytes()? },
            0x6b89_0e25 => Self::Account { block: reader.block()?, account: reader.account()? },
            0x5cc6_5dd2 => Self::RunMethod {
                mode: reader.u32()?,
                block: reader.block()?,
                account: reader.account()?,
                method: reader.u64()?,
                stack: reader.bytes()?,
            },
            0x1c40_e7a1 => Self::Transactions {
                count: reader.u32()?,
                account: reader.account()?,
                lt: reader.u64()?,
                hash: reader.hash()?,
            },
            _ => return None,
        })
    }

    pub(in crate::ledger) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Masterchain => writer.u32(0x89b5_e62e),
            Self::MasterchainExt => {
                writer.u32(0x70a6_71df);
                writer.u32(0);
            }
            Self::Time => writer.u32(0x16ad_5a34),
            Self::Version => writer.u32(0x232b_940b),
            Self::Header { block, mode } => {
                writer.u32(0x21ec_069e);
                writer.block(block);
                writer.u32(*mode);
            }
            Self::LookUp { workchain, seqno } => {
                writer.u32(0xfac8_f71e);
                writer.u32(1);
                writer.i32(*workchain);
                writer.u64(WHOLE_SHARD);
                writer.u32(*seqno);
            }
            Self::Send { message } => {
                writer.u32(0x690a_d482);
                writer.bytes(message);
            }
            Self::Account { block, account } => {
                writer.u32(0x6b89_0e25);
                writer.block(block);
                writer.account(*account);
            }
            Self::RunMethod { mode, block, account, method, stack } => {
                writer.u32(0x5cc6_5dd2);
                writer.u32(*mode);
                writer.block(block);
                writer.account(*account);
                writer.u64(*method);
                writer.bytes(stack);
            }
            Self::Transactions { count, account, lt, hash } => {
                writer.u32(0x1c40_e7a1);
                writer.u32(*count);
                writer.account(*account);
                writer.u64(*lt);
                writer.hash(hash);
            }
        }
        let mut outer = Writer::default();
        outer.u32(QUERY);
        outer.bytes(&writer.0);
        outer.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn questions() -> Vec<Question> {
        let block = Block::whole(-1, 77, [3; 32]);
        let account = Address::basechain([9; 32]);
        vec![
            Question::Masterchain,
            Question::MasterchainExt,
            Question::Time,
            Question::Version,
            Question::Header { block: block.clone(), mode: 1 },
            Question::LookUp { workchain: -1, seqno: 5 },
            Question::Send { message: vec![7; 300] },
            Question::Account { block: block.clone(), account },
            Question::RunMethod { mode: 4, block, account, method: 85143, stack: vec![1, 2, 3] },
            Question::Transactions { count: 16, account, lt: 1 << 40, hash: [4; 32] },
        ]
    }

    #[test]
    fn what_is_written_is_read_and_nothing_shorter() {
        for question in questions() {
            let bytes = question.write();
            assert_eq!(Question::read(&bytes).as_ref(), Some(&question));
            for cut in 0..bytes.len() {
                assert_eq!(Question::read(&bytes[..cut]), None, "{question:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn garbage_is_no_question() {
        for length in 0..200_u8 {
            assert_eq!(Question::read(&vec![length; usize::from(length)]), None);
        }
    }
}
