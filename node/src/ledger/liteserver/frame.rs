//! What a frame of a link holds: a question or an answer, with the number that joins the two, or a sign of life.

use super::tl::{Reader, Writer};

/// `adnl.message.query` and `adnl.message.answer`, around every question and every answer.
const MESSAGE_QUERY: u32 = 0xb48b_f97a;
const MESSAGE_ANSWER: u32 = 0x0fac_8416;
/// `tcp.ping` and `tcp.pong`.
const PING: u32 = 0x4d08_2b9a;
const PONG: u32 = 0xdc69_fb03;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
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
    fn garbage_is_no_frame() {
        for length in 0..200_u8 {
            assert_eq!(Frame::read(&vec![length; usize::from(length)]), None);
        }
    }
}
