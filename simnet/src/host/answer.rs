//! What an engine says: filler of the length that the order's answer has.

use bombyx_protocol::io::EngineReport;
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::Generate;

/// Numbers in one vector of an embedding.
const DIMS: u32 = 8;

/// What an engine has to make for one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// Vectors for this many inputs.
    Embed { inputs: u32 },
    /// This many tokens after those of the prefix.
    Generate { prefix: u64, tokens: u64, finish: Finish },
}

/// Returns what is left of an order's whole answer: what a prefix holds is done already.
pub(super) fn rest_of(generate: &Generate, answer: u64) -> Work {
    let prefix = generate.prefix.len() as u64;
    let left = answer.saturating_sub(prefix);
    let most = u64::from(generate.max_tokens);
    let finish = if left > most { Finish::Length } else { Finish::Stop };
    Work::Generate { prefix, tokens: left.min(most), finish }
}

/// Returns a report of `count` tokens from the place `first` of the answer on.
pub(super) fn filler(first: u64, count: u64) -> EngineReport {
    let ids: Vec<u32> = (first..first + count).map(|place| (place % 32_000) as u32).collect();
    let text = "word ".repeat(ids.len());
    EngineReport::Content(Content::Tokens { ids, text })
}

/// Returns a report of the vectors of all inputs.
pub(super) fn vectors(inputs: u32) -> EngineReport {
    let bytes = vec![0; inputs as usize * DIMS as usize * 4];
    EngineReport::Content(Content::Vectors { first: 0, dims: DIMS, bytes })
}

/// Returns the report that ends an answer.
pub(super) fn end(finish: Finish) -> EngineReport {
    EngineReport::Content(Content::End { finish })
}
