//! When those that are full can serve an order that has too little time for them, by their word. (`MK-50`)

use crate::ident::{NodeId, Prefix};
use crate::limits;
use crate::market::bid::Bid;
use crate::time::{Span, Time};
use crate::work::price::Price;

/// A bid that can be served only when the order's time is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct LateBid {
    pub(super) provider: NodeId,
    pub(super) prefix: Prefix,
    /// Whether its bidder has served this client.
    pub(super) is_proven: bool,
    pub(super) price: Price,
    /// Until its first token, by the bidder's word.
    wait: Span,
    /// Of that, to read the input.
    pub(super) reading: Span,
    /// After how long the order may come back.
    late: Span,
    /// How long the job takes by the bidder's word.
    job: Span,
}

impl LateBid {
    /// Returns what a bid says to an order with so much input, so many tokens of answer as are usual, and so many milliseconds
    /// left.
    pub(super) fn of(
        bid: &Bid,
        (prefix, is_proven): (Prefix, bool),
        input_tokens: u64,
        answer_tokens: u64,
        left_ms: u64,
    ) -> Self {
        let (reading, writing) = (bid.reading_ms(input_tokens), bid.writing_ms(answer_tokens));
        let begins = u64::from(bid.start_ms).saturating_add(u64::from(bid.ahead_ms));
        let job = reading.saturating_add(writing);
        let served = served_late(begins.saturating_add(job), left_ms);
        // It is never sent away for longer than until a job can begin, unless it is the reading that takes all of its time.
        let late = if reading < left_ms { served.min(begins) } else { served };
        Self {
            provider: bid.provider,
            prefix,
            is_proven,
            price: bid.price,
            wait: Span::from_ms(u64::from(bid.start_ms).saturating_add(reading)),
            reading: Span::from_ms(reading),
            late: Span::from_ms(late),
            job: Span::from_ms(job),
        }
    }

    /// Returns whether an order with so much time left goes on asking: a foretold wait may be too long by half.
    pub(super) fn may_be_in_time(&self, left: Span) -> bool {
        self.wait.0 / limits::WAIT_TIMES_HOPED < left.0
    }
}

/// When one that was full can serve the order, by its word.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) at: Time,
    /// How long the job takes there.
    pub(super) job: Span,
    /// Bids that came too late with this one.
    pub(super) bids: u32,
}

impl Room {
    /// Returns the earliest that these bids promise, if there is one.
    pub(super) fn of(now: Time, late: &[LateBid]) -> Option<Self> {
        let best = late.iter().min_by_key(|bid| bid.late)?;
        let bids = u32::try_from(late.len()).unwrap_or(u32::MAX);
        Some(Self { at: now + best.late, job: best.job, bids })
    }

    /// Returns the one in which a job of this bid begins only then, of an order with this deadline of which so many tokens of
    /// answer are usual.
    pub(super) fn after(now: Time, begins_at: Time, bid: &Bid, answer_tokens: u64, deadline: Time) -> Self {
        let (start_ms, writing_ms) = (begins_at.since(now).as_ms(), bid.writing_ms(answer_tokens));
        let late = served_late(start_ms.saturating_add(writing_ms), deadline.since(now).as_ms());
        Self { at: now + Span::from_ms(late.min(start_ms)), job: Span::from_ms(writing_ms), bids: 1 }
    }

    /// Returns the one that is reckoned with where nobody has said anything.
    pub(super) fn unknown(now: Time) -> Self {
        Self { at: now + limits::CALL_WAIT_MAX, job: Span(0), bids: 0 }
    }
}

/// Returns by how many milliseconds an order is late that is served in so many by a provider's word: who comes back a little later
/// is not told to come back again.
fn served_late(wait_ms: u64, left_ms: u64) -> u64 {
    wait_ms.saturating_add(wait_ms / limits::COME_BACK_PARTS).saturating_sub(left_ms)
}
