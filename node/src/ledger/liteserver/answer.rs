//! What a server answers in the words of the lite interface, as [`super::question`] asks.

use super::tl::{Block, Reader, Writer};

/// Bit of `runSmcMethod`'s mode that asks for the stack.
pub(in crate::ledger) const MODE_RESULT: u32 = 1 << 2;

/// What a server answers. Proofs and states are bags of cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) enum Answer {
    /// To `Question::Masterchain`.
    Masterchain { last: Block },
    /// To `Question::MasterchainExt`; times in unix seconds.
    MasterchainExt { last: Block, last_time_s: u32, now_s: u32 },
    /// To `Question::Time`.
    Time { now_s: u32 },
    /// To `Question::Version`.
    Version { now_s: u32 },
    /// To `Question::Header` and `Question::LookUp`.
    Header { block: Block, mode: u32, proof: Vec<u8> },
    /// To `Question::Send`.
    Sent,
    /// To `Question::Account`; an empty state for an account that nobody used.
    Account { block: Block, shard_block: Block, proof: Vec<u8>, state: Vec<u8> },
    /// To `Question::RunMethod`.
    RunMethod { block: Block, shard_block: Block, exit_code: i32, stack: Option<Vec<u8>> },
    /// To `Question::Transactions`, newest first: one bag with as many roots.
    Transactions { blocks: Vec<Block>, transactions: Vec<u8> },
    /// To any.
    Error { code: i32, message: String },
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
    use super::*;

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
        for answer in answers() {
            let bytes = answer.write();
            assert_eq!(bytes.len() % 4, 0);
            assert_eq!(Answer::read(&bytes).as_ref(), Some(&answer));
            // The fields of a genesis block are not read.
            for cut in 0..bytes.len().saturating_sub(100) {
                assert_ne!(Answer::read(&bytes[..cut]).as_ref(), Some(&answer), "{answer:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn garbage_is_no_answer() {
        for length in 0..200_u8 {
            assert_eq!(Answer::read(&vec![length; usize::from(length)]), None);
        }
    }
}
