//! The client's side of one job's stream: puts chunks in order and believes nothing that no receipt
//! confirms.

use std::collections::BTreeMap;

use crate::amount::Nano;
use crate::ident::{Domain, NodeId};
use crate::limits;
use crate::wire::codec;
use crate::wire::message::{Chunk, Content, Finish};
use crate::wire::signed::Signed;
use crate::work::order::{JobId, ModelId, Task};
use crate::work::price::{Delivery, InputTokens, Tariff, Weights};
use crate::work::receipt::{Receipt, Transcript};

/// A job whose answer is arriving.
#[derive(Debug)]
pub struct Stream {
    provider: NodeId,
    model: ModelId,
    job: JobId,
    tariff: Tariff,
    bounds: Bounds,
    transcript: Transcript,
    next: u32,
    early: BTreeMap<u32, (Chunk, bool)>,
    /// Output tokens in all chunks so far.
    delivered: u64,
    /// Output tokens of the newest receipt.
    output_tokens: u64,
    rows: u32,
    /// Numbers in one vector, by the manifest or else from the first one on. (`MO-9`)
    dims: Option<u32>,
    cost: Nano,
    receipt: Option<Signed>,
    finish: Option<Finish>,
    /// Input tokens that are paid for, once the client has given the job up while they were read.
    read: u32,
}

/// What the task allows the provider to claim.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    input: InputTokens,
    output_tokens: u64,
    rows: u32,
}

/// A chunk in its place, checked.
#[derive(Debug)]
pub struct CheckedChunk {
    /// What it says.
    pub content: Content,
    /// What its receipt adds to the bill, where it has one.
    pub bill: Option<Nano>,
}

impl CheckedChunk {
    /// Returns whether it brings the answer on: an empty chunk does not.
    #[must_use]
    pub const fn is_useful(&self) -> bool {
        match &self.content {
            Content::Tokens { ids, .. } => !ids.is_empty(),
            Content::Vectors { .. } | Content::End { .. } => true,
        }
    }
}

/// An untrue statement in a chunk. (`WR-6`)
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamFault {
    /// The content or the receipt cannot be read or is not signed by the provider.
    #[error("a chunk's content or receipt cannot be read or verified")]
    Unreadable,
    /// The receipt is for another job, place, model or transcript, or an answer ends without one.
    #[error("a receipt does not belong to what arrived")]
    Mismatch,
    /// The receipt bears an extension that must be understood, and is not. (`WI-16`)
    #[error("a receipt needs an extension that this node does not understand")]
    NotUnderstood,
    /// More tokens are claimed or sent than the task can have, or others claimed than were sent.
    #[error("a receipt claims tokens that the task cannot have")]
    Tokens,
    /// The bill is not what the price makes of what was delivered.
    #[error("a receipt's bill is not what the agreed price makes of what was delivered")]
    Cost,
    /// Vectors missing, repeated or of odd size.
    #[error("vectors are missing, repeated or of the wrong size")]
    Vectors,
}

impl Stream {
    /// Creates the stream of a job at an agreed price, whose vectors have `dims` numbers where that is known.
    #[must_use]
    pub fn new(
        provider: NodeId,
        model: ModelId,
        job: JobId,
        tariff: Tariff,
        input: InputTokens,
        task: &Task,
        dims: Option<u32>,
    ) -> Self {
        Self {
            provider,
            model,
            job,
            tariff,
            bounds: Bounds { input, output_tokens: task.output_tokens_max(), rows: task.rows() },
            transcript: Transcript::begin(job, model, &codec::encode(task)),
            next: 0,
            early: BTreeMap::new(),
            delivered: 0,
            output_tokens: 0,
            rows: 0,
            dims,
            cost: Nano::ZERO,
            receipt: None,
            finish: None,
            read: 0,
        }
    }

    /// Notes that the client has given the job up, and pays for so many input tokens that were read. (`WR-24`)
    pub const fn give_up(&mut self, read: u32) {
        self.read = read;
    }

    /// Accepts a chunk and returns every chunk that is now in its place: none, if it is repeated or far off.
    ///
    /// `last` is whether its frame was marked as the session's last: only such a frame may end an answer, so that a
    /// cut stream is never a success. (`SE-20`)
    ///
    /// # Errors
    /// [`StreamFault`] when the provider's statement is untrue: nothing of this chunk may be paid. (`WR-9`)
    pub fn accept(&mut self, chunk: Chunk, last: bool) -> Result<Vec<CheckedChunk>, StreamFault> {
        let ahead = chunk.index.checked_sub(self.next).map(|distance| distance as usize);
        if self.finish.is_some() || ahead.is_none_or(|distance| distance >= limits::CHUNKS_UNACKED_MAX) {
            return Ok(Vec::new());
        }
        self.early.entry(chunk.index).or_insert((chunk, last));
        let mut taken = Vec::new();
        while let Some((chunk, last)) = self.early.remove(&self.next) {
            taken.push(self.check(&chunk, last)?);
        }
        Ok(taken)
    }

    fn check(&mut self, chunk: &Chunk, last: bool) -> Result<CheckedChunk, StreamFault> {
        let receipt: Option<Receipt> = chunk
            .receipt
            .as_ref()
            .map(|signed| signed.open_by(self.provider, Domain::Receipt))
            .transpose()
            .map_err(|_| StreamFault::Unreadable)?;
        let content: Content = codec::decode_sealed(&chunk.content).map_err(|_| StreamFault::Unreadable)?;
        let transcript = self.transcript.then(chunk.index, &chunk.content);
        let chunks = self.next.saturating_add(1);
        let is_end = matches!(content, Content::End { .. });
        let belongs = |receipt: &Receipt| {
            receipt.job == self.job
                && receipt.model == self.model
                && receipt.chunks == chunks
                && receipt.transcript == transcript
        };
        if is_end != last || !receipt.as_ref().map_or(!is_end, belongs) {
            return Err(StreamFault::Mismatch);
        }
        if receipt.as_ref().is_some_and(|receipt| !receipt.extensions.are_understood()) {
            return Err(StreamFault::NotUnderstood);
        }
        let delivered = self.delivered.saturating_add(self.check_content(&content)?);
        if delivered > self.bounds.output_tokens {
            return Err(StreamFault::Tokens);
        }
        let rows = self.rows_after(&content);
        let so_far = Delivery {
            output_tokens: delivered,
            rows,
            rows_wanted: self.bounds.rows,
            complete: is_end,
            read: 0,
        };
        let bill = receipt.as_ref().map(|receipt| self.check_bill(receipt, &so_far)).transpose()?;
        if let Some(receipt) = receipt {
            self.output_tokens = delivered;
            self.cost = receipt.cost;
            self.receipt.clone_from(&chunk.receipt);
        }
        self.transcript = transcript;
        self.next = chunks;
        self.delivered = delivered;
        self.rows = rows;
        if let Content::Vectors { dims, .. } = &content {
            self.dims = Some(*dims);
        }
        if let Content::End { finish } = &content {
            self.finish = Some(*finish);
        }
        Ok(CheckedChunk { content, bill })
    }

    /// Returns how many vectors have arrived once this content has.
    fn rows_after(&self, content: &Content) -> u32 {
        match content {
            Content::Vectors { first, dims, bytes } => first.saturating_add(row_count(*dims, bytes.len())),
            Content::Tokens { .. } | Content::End { .. } => self.rows,
        }
    }

    /// Checks what a receipt claims. Returns what it adds to the bill. As what is due follows from
    /// what was delivered, a receipt without new content adds nothing. (`WR-21`)
    fn check_bill(&self, receipt: &Receipt, delivered: &Delivery) -> Result<Nano, StreamFault> {
        let input = self.bounds.input;
        if (receipt.input_tokens, receipt.cached_tokens) != (u64::from(input.fresh), u64::from(input.cached))
            || receipt.output_tokens != delivered.output_tokens
        {
            return Err(StreamFault::Tokens);
        }
        if self.tariff.due(input, delivered) != Some(receipt.cost) && !self.is_reading(receipt, delivered) {
            return Err(StreamFault::Cost);
        }
        receipt.cost.minus(self.cost).ok_or(StreamFault::Cost)
    }

    /// Returns whether a receipt asks no more than what reading alone is worth, in a job of tokens that its client gave up
    /// before anything came. (`WR-24`)
    fn is_reading(&self, receipt: &Receipt, delivered: &Delivery) -> bool {
        let reading = Delivery { read: self.read, ..Delivery::default() };
        let is_empty = self.next == 0 && *delivered == Delivery::default();
        is_empty && self.tariff.due(self.bounds.input, &reading).is_some_and(|due| receipt.cost <= due)
    }

    /// Checks what a chunk holds against the task. Returns the output tokens in it.
    fn check_content(&self, content: &Content) -> Result<u64, StreamFault> {
        match content {
            Content::Tokens { ids, .. } => Ok(ids.len() as u64),
            Content::Vectors { first, dims, bytes } => {
                let rows = row_count(*dims, bytes.len());
                let whole = u64::from(rows)
                    .checked_mul(u64::from(*dims))
                    .and_then(|numbers| numbers.checked_mul(4))
                    .is_some_and(|size| size == bytes.len() as u64);
                let fits = first.saturating_add(rows) <= self.bounds.rows;
                let same = self.dims.is_none_or(|before| before == *dims);
                if rows > 0 && whole && *first == self.rows && fits && same {
                    Ok(0)
                } else {
                    Err(StreamFault::Vectors)
                }
            }
            // An embedding that ends early is a truncated answer, never a success.
            Content::End { .. } if self.rows < self.bounds.rows => Err(StreamFault::Vectors),
            Content::End { .. } => Ok(0),
        }
    }

    /// Returns the chunk that is waited for.
    #[must_use]
    pub const fn next(&self) -> u32 {
        self.next
    }

    /// Returns why the answer ended, once it has.
    #[must_use]
    pub const fn finish(&self) -> Option<Finish> {
        self.finish
    }

    /// Returns the newest receipt.
    #[must_use]
    pub const fn receipt(&self) -> Option<&Signed> {
        self.receipt.as_ref()
    }

    /// Returns whether anything of use has arrived: a token or a vector.
    #[must_use]
    pub const fn has_content(&self) -> bool {
        self.delivered > 0 || self.rows > 0
    }

    /// Returns what a window of tokens after a cancellation may still come to.
    #[must_use]
    pub fn cost_of_window(&self) -> Nano {
        self.tariff.cost(self.bounds.input, limits::WINDOW_TOKENS).unwrap_or(Nano::ZERO)
    }

    /// Returns the bill so far.
    #[must_use]
    pub const fn cost(&self) -> Nano {
        self.cost
    }

    /// Returns input tokens billed.
    #[must_use]
    pub fn input_tokens(&self) -> u64 {
        if self.receipt.is_some() { self.bounds.input.count() } else { 0 }
    }

    /// Returns output tokens billed.
    #[must_use]
    pub const fn weights(&self) -> Weights {
        self.tariff.weights
    }

    /// Returns the output tokens that have come.
    #[must_use]
    pub const fn output_tokens(&self) -> u64 {
        self.output_tokens
    }
}

fn row_count(dims: u32, bytes: usize) -> u32 {
    let row = (dims as usize).saturating_mul(4);
    bytes.checked_div(row).and_then(|rows| u32::try_from(rows).ok()).unwrap_or(0)
}
