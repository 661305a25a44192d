//! The provider's side of one job's stream: gathers tokens into chunks, bills them, signs receipts where they are due,
//! repeats what was not acknowledged.

use std::collections::VecDeque;

use crate::amount::Nano;
use crate::ident::Identity;
use crate::limits;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::extension::Extensions;
use crate::wire::message::{Chunk, Content};
use crate::wire::signed::Signed;
use crate::work::order::{JobId, ModelId, Task};
use crate::work::price::{Delivery, InputTokens, Tariff};
use crate::work::receipt::{Receipt, Transcript};

/// The answer of one job on its way to the client.
#[derive(Debug)]
pub struct AnswerStream {
    job: JobId,
    model: ModelId,
    tariff: Tariff,
    transcript: Transcript,
    input: InputTokens,
    /// What the chunks so far hold.
    delivered: Delivery,
    cost: Nano,
    counted: Nano,
    next: u32,
    batch: Batch,
    since_receipt: SinceReceipt,
    /// Whether one is due with the first chunk.
    signs_first: bool,
    /// Tokens after which a receipt is due.
    receipt_tokens: u64,
    unacked: VecDeque<Chunk>,
    sent_at: Time,
    acked_at: Time,
    /// Repetitions since the client last acknowledged anything.
    repeated: u32,
    ended: bool,
}

/// What was sent since the last receipt.
#[derive(Debug)]
struct SinceReceipt {
    tokens: u64,
    chunks: u32,
    /// When that receipt was signed.
    since: Time,
}

/// Tokens that wait for their chunk to fill.
#[derive(Debug, Default)]
struct Batch {
    ids: Vec<u32>,
    text: String,
    since: Option<Time>,
    /// When the engine last brought tokens.
    came_at: Option<Time>,
}

impl AnswerStream {
    /// Creates the stream of a job whose task has just come.
    #[must_use]
    pub fn new(
        now: Time,
        job: JobId,
        model: ModelId,
        tariff: Tariff,
        input: InputTokens,
        task: &Task,
    ) -> Self {
        let delivered = Delivery { rows_wanted: task.rows(), ..Delivery::default() };
        Self {
            job,
            model,
            tariff,
            transcript: Transcript::begin(job, model, &codec::encode(task)),
            input,
            delivered,
            cost: Nano::ZERO,
            counted: Nano::ZERO,
            next: 0,
            batch: Batch::default(),
            since_receipt: SinceReceipt { tokens: 0, chunks: 0, since: now },
            signs_first: true,
            receipt_tokens: limits::RECEIPT_TOKENS,
            unacked: VecDeque::new(),
            sent_at: now,
            acked_at: now,
            repeated: 0,
            ended: false,
        }
    }

    /// Returns what `tokens` more output would add to the bill if the answer ended with them: the
    /// input is processed before the first of them, and an `End` makes all of it due.
    #[must_use]
    pub fn cost_of_next(&self, tokens: u64) -> Nano {
        let output = self.output_tokens().saturating_add(self.gathered_count()).saturating_add(tokens);
        self.tariff.cost(self.input, output).map_or(Nano(u64::MAX), |cost| cost.saturating_minus(self.cost))
    }

    /// Returns whether tokens wait for their chunk.
    #[must_use]
    pub fn has_gathered(&self) -> bool {
        self.gathered_count() > 0
    }

    fn gathered_count(&self) -> u64 {
        self.batch.ids.len() as u64
    }

    /// Takes a part of the answer. Returns the chunks that are ready. (`WR-11`)
    pub fn content(&mut self, now: Time, provider: &Identity, content: Content) -> Vec<Chunk> {
        let mut ready = Vec::new();
        if self.ended {
            return ready;
        }
        match content {
            Content::Tokens { ids, text } => {
                self.batch.ids.extend(ids);
                self.batch.text.push_str(&text);
                self.batch.since = self.batch.since.or(Some(now));
                // Where tokens come slowly none would join it in time. Someone waits for the first one.
                let came_at = self.batch.came_at.replace(now);
                let is_alone = came_at.is_none_or(|before| now >= before + limits::CHUNK_WAIT);
                if is_alone || self.gathered_count() >= u64::from(limits::CHUNK_TOKENS) {
                    ready.extend(self.flush(now, provider));
                }
            }
            Content::Vectors { first, dims, bytes } => {
                let row = (dims as usize).saturating_mul(4).max(1);
                let rows = limits::VECTOR_BYTES_MAX.checked_div(row).unwrap_or(1).max(1);
                let mut first = first;
                for part in bytes.chunks(rows.saturating_mul(row)) {
                    let vectors = Content::Vectors { first, dims, bytes: part.to_vec() };
                    ready.extend(self.chunk(now, provider, &vectors, false));
                    first = first.saturating_add(u32::try_from(rows).unwrap_or(u32::MAX));
                }
            }
            end @ Content::End { .. } => {
                ready.extend(self.flush(now, provider));
                ready.extend(self.chunk(now, provider, &end, true));
                self.ended = true;
            }
        }
        ready
    }

    /// Makes no receipt due with the first chunk: its client has paid before. (`WR-3`)
    pub const fn trust_first(&mut self) {
        self.signs_first = false;
    }

    /// Makes a receipt due from now on after this many tokens, one at the least.
    pub fn sign_every(&mut self, tokens: u64) {
        self.receipt_tokens = tokens.max(1);
    }

    /// Returns a receipt for what was sent without one, in a chunk of no tokens. (`WR-18`)
    pub fn sign_now(&mut self, now: Time, provider: &Identity) -> Option<Chunk> {
        if self.since_receipt.chunks == 0 || self.ended {
            return None;
        }
        let nothing = Content::Tokens { ids: Vec::new(), text: String::new() };
        self.chunk(now, provider, &nothing, true)
    }

    /// Returns a receipt for the input tokens that were read, in a chunk of no tokens, where the client has given the job up before
    /// anything of its answer was there. (`WR-24`)
    pub fn sign_reading(&mut self, now: Time, provider: &Identity, read: u32) -> Option<Chunk> {
        if self.next > 0 || self.has_gathered() || self.ended || self.delivered.rows_wanted > 0 || read == 0 {
            return None;
        }
        self.delivered.read = read;
        let nothing = Content::Tokens { ids: Vec::new(), text: String::new() };
        self.chunk(now, provider, &nothing, true)
    }

    /// Returns the chunk of gathered tokens, if it waited long enough.
    pub fn flush_due(&mut self, now: Time, provider: &Identity) -> Option<Chunk> {
        let due = self.batch.since.is_some_and(|since| now >= since + limits::CHUNK_WAIT);
        if due { self.flush(now, provider) } else { None }
    }

    fn flush(&mut self, now: Time, provider: &Identity) -> Option<Chunk> {
        let (ids, text) = (core::mem::take(&mut self.batch.ids), core::mem::take(&mut self.batch.text));
        self.batch.since = None;
        if ids.is_empty() && text.is_empty() {
            return None;
        }
        self.chunk(now, provider, &Content::Tokens { ids, text }, false)
    }

    fn chunk(&mut self, now: Time, provider: &Identity, content: &Content, must_sign: bool) -> Option<Chunk> {
        let encoded = codec::encode(content);
        let mut delivered = self.delivered;
        let mut tokens = 0;
        match content {
            Content::Tokens { ids, .. } => tokens = ids.len() as u64,
            Content::Vectors { first, dims, bytes } => {
                let row = (*dims as usize).saturating_mul(4);
                let rows = bytes.len().checked_div(row).and_then(|rows| u32::try_from(rows).ok());
                delivered.rows = first.saturating_add(rows.unwrap_or(0));
            }
            Content::End { .. } => delivered.complete = true,
        }
        delivered.output_tokens = delivered.output_tokens.saturating_add(tokens);
        let cost = self.tariff.due(self.input, &delivered)?;
        self.transcript = self.transcript.then(self.next, &encoded);
        self.delivered = delivered;
        self.cost = cost;
        let index = self.next;
        self.next = index.saturating_add(1);
        self.since_receipt.tokens = self.since_receipt.tokens.saturating_add(tokens);
        self.since_receipt.chunks = self.since_receipt.chunks.saturating_add(1);
        let receipt = (must_sign || self.is_receipt_due(now)).then(|| self.sign(now, provider));
        let chunk = Chunk { index, content: encoded, receipt };
        if self.unacked.is_empty() {
            // Waiting for an answer starts with the first chunk that needs one.
            self.acked_at = now;
        }
        self.unacked.push_back(chunk.clone());
        self.sent_at = now;
        Some(chunk)
    }

    /// Returns whether the client must be able to pay for what it has. (`WR-3`)
    fn is_receipt_due(&self, now: Time) -> bool {
        (self.next == 1 && self.signs_first)
            || self.since_receipt.tokens >= self.receipt_tokens
            || self.since_receipt.chunks >= limits::RECEIPT_CHUNKS
            || now >= self.since_receipt.since + limits::RECEIPT_WAIT
    }

    fn sign(&mut self, now: Time, provider: &Identity) -> Signed {
        self.since_receipt = SinceReceipt { tokens: 0, chunks: 0, since: now };
        let receipt = Receipt {
            job: self.job,
            model: self.model,
            chunks: self.next,
            transcript: self.transcript,
            input_tokens: u64::from(self.input.fresh),
            cached_tokens: u64::from(self.input.cached),
            output_tokens: self.output_tokens(),
            cost: self.cost,
            extensions: Extensions::NONE,
        };
        receipt.sign(provider)
    }

    /// Returns what was billed since this was last asked.
    pub fn newly_billed(&mut self) -> Nano {
        let new = self.cost.saturating_minus(self.counted);
        self.counted = self.cost;
        new
    }

    /// Notes that the client has everything before `next`. Returns whether that was news.
    pub fn acked(&mut self, now: Time, next: u32) -> bool {
        let before = self.unacked.len();
        while self.unacked.front().is_some_and(|chunk| chunk.index < next) {
            self.unacked.pop_front();
        }
        let news = self.unacked.len() < before;
        if news {
            self.acked_at = now;
            self.repeated = 0;
        } else {
            // It speaks and misses something: it does not wait for long.
            self.repeated = self.repeated.min(1);
        }
        news
    }

    /// Returns the final receipt, once the answer has ended.
    #[must_use]
    pub fn last_chunk(&self) -> Option<&Chunk> {
        self.unacked.back().filter(|_| self.ended)
    }

    /// Returns whether anything was sent.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.next > 0
    }

    /// Returns whether it is a bill for reading alone. (`WR-24`)
    #[must_use]
    pub const fn is_for_reading(&self) -> bool {
        self.delivered.read > 0
    }

    /// Returns whether the answer has ended and all of it is acknowledged.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended && self.unacked.is_empty()
    }

    /// Returns whether the answer has ended.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ended
    }

    /// Returns whether another chunk may leave before one is acknowledged.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unacked.len() < limits::CHUNKS_UNACKED_MAX
    }

    /// Returns what to repeat now: the first of what is unacknowledged, after a silence that
    /// doubles each time. A client that acknowledges nothing costs four repetitions of
    /// [`limits::REPEAT_BYTES_MAX`]; one that acknowledges gets the rest. (`WR-12`)
    pub fn repeats(&mut self, now: Time) -> Vec<Chunk> {
        let due = !self.unacked.is_empty() && now >= self.repeat_at();
        if !due {
            return Vec::new();
        }
        self.sent_at = now;
        self.repeated = self.repeated.saturating_add(1);
        let mut bytes = 0usize;
        let fits = |chunk: &&Chunk| {
            let is_first = bytes == 0;
            bytes = bytes.saturating_add(chunk.content.len());
            is_first || bytes <= limits::REPEAT_BYTES_MAX
        };
        self.unacked.iter().take_while(fits).cloned().collect()
    }

    /// Returns when the next repetition is due.
    fn repeat_at(&self) -> Time {
        let wait = limits::CHUNK_RETRY.0.saturating_mul(1u64.checked_shl(self.repeated).unwrap_or(u64::MAX));
        self.sent_at + Span(wait)
    }

    /// Returns everything unacknowledged from `next` on: the client says that it misses it.
    #[must_use]
    pub fn missing(&self, next: u32) -> Vec<Chunk> {
        self.unacked.iter().filter(|chunk| chunk.index >= next).cloned().collect()
    }

    /// Returns whether something was repeated that the client has not acknowledged.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        !self.unacked.is_empty() && self.repeated > 0
    }

    /// Returns whether the client has answered neither of two repetitions in time.
    #[must_use]
    pub fn is_unanswered(&self, now: Time) -> bool {
        self.is_repeated() && self.repeated > 1 && now >= self.repeat_at()
    }

    /// Returns whether the client has been silent for too long.
    #[must_use]
    pub fn is_abandoned(&self, now: Time) -> bool {
        !self.unacked.is_empty() && now >= self.acked_at + limits::CLIENT_WAIT
    }

    /// Returns when something of the above is due.
    #[must_use]
    pub fn wake_at(&self) -> Option<Time> {
        let flush = self.batch.since.map(|since| since + limits::CHUNK_WAIT);
        let repeat =
            (!self.unacked.is_empty()).then(|| self.repeat_at().min(self.acked_at + limits::CLIENT_WAIT));
        [flush, repeat].into_iter().flatten().min()
    }

    /// Returns input tokens billed.
    #[must_use]
    pub const fn input(&self) -> InputTokens {
        self.input
    }

    /// Returns output tokens billed.
    #[must_use]
    pub const fn output_tokens(&self) -> u64 {
        self.delivered.output_tokens
    }

    /// Returns the bill so far.
    #[must_use]
    pub const fn cost(&self) -> Nano {
        self.cost
    }
}
