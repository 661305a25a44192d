//! The words of the lite interface (`lite_api`), as far as wallets and channels need them: what is asked, what is answered.
//!
//! Each is a constructor's number, then its fields, as [`super::tl`] writes them.

use bombyx_protocol::channel::terms::Address;

use super::tl::{Block, Reader, WHOLE_SHARD, Writer};

/// `liteServer.query`, around every question.
const QUERY: u32 = 0x798c_06df;
/// `liteServer.waitMasterchainSeqno`, which may stand before a question.
const WAIT_SEQNO: u32 = 0xbaea_b892;
/// `adnl.message.query` and `adnl.message.answer`, around that and around every answer.
const MESSAGE_QUERY: u32 = 0xb48b_f97a;
const MESSAGE_ANSWER: u32 = 0x0fac_8416;
/// `tcp.ping` and `tcp.pong`.
const PING: u32 = 0x4d08_2b9a;
const PONG: u32 = 0xdc69_fb03;
/// Bit of `runSmcMethod`'s mode that asks for the stack.
pub(in crate::ledger) const MODE_RESULT: u32 = 1 << 2;

/// A frame's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Frame {
    /// A question with the number that its answer repeats.
    Query { id: [u8; 32], question: Vec<u8> },
    /// An answer with its question's number.
    Answer { id: [u8; 32], answer: Vec<u8> },
    /// A sign of life that wants another.
    Ping(u64),
    /// That other.
    Pong(u64),
}

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

/// What a server answers. Proofs and states are bags of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Answer {
    /// To [`Question::Masterchain`].
    Masterchain { last: Block },
    /// To [`Question::MasterchainExt`]; times in unix seconds.
    MasterchainExt { last: Block, last_time_s: u32, now_s: u32 },
    /// To [`Question::Time`].
    Time { now_s: u32 },
    /// To [`Question::Version`].
    Version { now_s: u32 },
    /// To [`Question::Header`] and [`Question::LookUp`].
    Header { block: Block, mode: u32, proof: Vec<u8> },
    /// To [`Question::Send`].
    Sent,
    /// To [`Question::Account`]; an empty state for an account that nobody used.
    Account { block: Block, shard_block: Block, proof: Vec<u8>, state: Vec<u8> },
    /// To [`Question::RunMethod`].
    RunMethod { block: Block, shard_block: Block, exit_code: i32, stack: Option<Vec<u8>> },
    /// To [`Question::Transactions`], newest first: one bag with as many roots.
    Transactions { blocks: Vec<Block>, transactions: Vec<u8> },
    /// To any.
    Error { code: i32, message: String },
}

impl Frame {
    /// Reads a frame; `None` for anything else.
    pub(in crate::ledger) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.u32()? {
            MESSAGE_QUERY => Self::Query { id: reader.hash()?, question: reader.bytes()? },
            MESSAGE_ANSWER => Self::Answer { id: reader.hash()?, answer: reader.bytes()? },
            PING => Self::Ping(reader.u64()?),
            PONG => Self::Pong(reader.u64()?),
            _ => return None,
        })
    }

    pub(in crate::ledger) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Query { id, question } => {
                writer.u32(MESSAGE_QUERY);
                writer.hash(id);
                writer.bytes(question);
            }
            Self::Answer { id, answer } => {
                writer.u32(MESSAGE_ANSWER);
                writer.hash(id);
                writer.bytes(answer);
            }
            Self::Ping(number) => {
                writer.u32(PING);
                writer.u64(*number);
            }
            Self::Pong(number) => {
                writer.u32(PONG);
                writer.u64(*number);
            }
        }
        writer.0
    }
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

impl Answer {
    /// Reads an answer; `None` for one that is not known here.
    pub(in crate::ledger) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        Some(match reader.u32()? {
            0x8583_2881 => Self::Masterchain { last: reader.block()? },
            0xa8cc_e0f5 => {
                reader.u32()?;
                reader.u32()?;
                reader.u64()?;
                Self::MasterchainExt {
                    last: reader.block()?,
                    last_time_s: reader.u32()?,
                    now_s: reader.u32()?,
                }
            }
            0xe953_000d => Self::Time { now_s: reader.u32()? },
            0x5a04_91e5 => {
                reader.u64()?;
                reader.u64()?;
                Self::Version { now_s: reader.u32()? }
            }
            0x752d_8219 => {
                Self::Header { block: reader.block()?, mode: reader.u32()?, proof: reader.bytes()? }
            }
            0x3950_e597 => Self::Sent,
            0x7079_c751 => {
                let (block, shard_block) = (reader.block()?, reader.block()?);
                reader.bytes()?;
                Self::Account { block, shard_block, proof: reader.bytes()?, state: reader.bytes()? }
            }
            0xa39a_616b => {
                let mode = reader.u32()?;
                let (block, shard_block) = (reader.block()?, reader.block()?);
                // Proofs and context that this side never asks for, in the order of their bits.
                for bit in [0, 0, 1, 3, 4] {
                    if mode & (1 << bit) != 0 {
                        reader.bytes()?;
                    }
                }
                let exit_code = reader.i32()?;
                let stack = if mode & MODE_RESULT == 0 { None } else { Some(reader.bytes()?) };
                Self::RunMethod { block, shard_block, exit_code, stack }
            }
            0x6f26_c60b => {
                let mut blocks = Vec::new();
                for _ in 0..reader.u32()? {
                    blocks.push(reader.block()?);
                }
                Self::Transactions { blocks, transactions: reader.bytes()? }
            }
            0xbba9_e148 => {
                let code = reader.i32()?;
                Self::Error { code, message: String::from_utf8_lossy(&reader.bytes()?).into_owned() }
            }
            _ => return None,
        })
    }

    pub(in crate::ledger) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Masterchain { last } => {
                writer.u32(0x8583_2881);
                writer.block(last);
                writer.hash(&[0; 32]);
                writer.genesis();
            }
            Self::MasterchainExt { last, last_time_s, now_s } => {
                writer.u32(0xa8cc_e0f5);
                writer.u32(0);
                writer.version();
                writer.block(last);
                writer.u32(*last_time_s);
                writer.u32(*now_s);
                writer.hash(&[0; 32]);
                writer.genesis();
            }
            Self::Time { now_s } => {
                writer.u32(0xe953_000d);
                writer.u32(*now_s);
            }
            Self::Version { now_s } => {
                writer.u32(0x5a04_91e5);
                writer.u32(0);
                writer.version();
                writer.u32(*now_s);
            }
            Self::Header { block, mode, proof } => {
                writer.u32(0x752d_8219);
                writer.block(block);
                writer.u32(*mode);
                writer.bytes(proof);
            }
            Self::Sent => {
                writer.u32(0x3950_e597);
                writer.u32(1);
            }
            Self::Account { block, shard_block, proof, state } => {
                writer.u32(0x7079_c751);
                writer.block(block);
                writer.block(shard_block);
                writer.bytes(&[]);
                writer.bytes(proof);
                writer.bytes(state);
            }
            Self::RunMethod { block, shard_block, exit_code, stack } => {
                writer.u32(0xa39a_616b);
                writer.u32(if stack.is_some() { MODE_RESULT } else { 0 });
                writer.block(block);
                writer.block(shard_block);
                writer.i32(*exit_code);
                if let Some(stack) = stack {
                    writer.bytes(stack);
                }
            }
            Self::Transactions { blocks, transactions } => {
                writer.u32(0x6f26_c60b);
                writer.u32(u32::try_from(blocks.len()).unwrap_or(u32::MAX));
                for block in blocks {
                    writer.block(block);
                }
                writer.bytes(transactions);
            }
            Self::Error { code, message } => {
                writer.u32(0xbba9_e148);
                writer.i32(*code);
                writer.bytes(message.as_bytes());
            }
        }
        writer.0
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
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

    fn answers() -> Vec<Answer> {
        let block = Block::whole(-1, 77, [3; 32]);
        let shard_block = Block::whole(0, 78, [5; 32]);
        vec![
            Answer::Masterchain { last: block.clone() },
            Answer::MasterchainExt { last: block.clone(), last_time_s: 5, now_s: 6 },
            Answer::Time { now_s: 7 },
            Answer::Version { now_s: 8 },
            Answer::Header { block: block.clone(), mode: 1, proof: vec![1; 253] },
            Answer::Sent,
            Answer::Account {
                block: block.clone(),
                shard_block: shard_block.clone(),
                proof: vec![2; 254],
                state: vec![],
            },
            Answer::RunMethod { block: block.clone(), shard_block, exit_code: -14, stack: Some(vec![1]) },
            Answer::Transactions { blocks: vec![block; 3], transactions: vec![9; 1_000] },
            Answer::Error { code: 500, message: "no".into() },
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
        for answer in answers() {
            let bytes = answer.write();
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(Answer::read(&bytes).as_ref(), Some(&answer));
            // The fields of a genesis block are not read.
            for cut in 0..bytes.len().saturating_sub(100) {
                assert_ne!(Answer::read(&bytes[..cut]).as_ref(), Some(&answer), "{answer:?} cut at {cut}");
            }
        }
        let frames = [
            Frame::Query { id: [1; 32], question: vec![1; 70_000] },
            Frame::Answer { id: [2; 32], answer: vec![] },
            Frame::Ping(5),
            Frame::Pong(6),
        ];
        for frame in frames {
            assert_eq!(Frame::read(&frame.write()).as_ref(), Some(&frame));
        }
    }

    #[test]
    fn garbage_is_no_question() {
        for length in 0..200_u8 {
            let bytes = vec![length; usize::from(length)];
            assert_eq!(Question::read(&bytes), None);
            assert_eq!(Answer::read(&bytes), None);
            assert_eq!(Frame::read(&bytes), None);
        }
    }
}
