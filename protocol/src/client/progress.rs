//! How far an order has come, in all its attempts together.

use std::collections::VecDeque;

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::ident::NodeId;
use crate::io::{Bill, Failure, OrderNews};
use crate::limits;
use crate::market::auction::Candidate;
use crate::market::bid::Bid;
use crate::market::invite::Share;
use crate::market::score::{Lot, cut};
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::message::{Content, Refusal};
use crate::work::order::{InputCount, JobId, Order, OrderId, Task};
use crate::work::price::{InputTokens, Price};
use crate::work::stream::{CheckedChunk, Stream};

use super::back_off::BackOff;
use super::foreign_count::ForeignCount;
use super::memory::Memory;
use super::refusals::Refusals;
use super::room::{LateBid, Room};
use super::shared::SharedState;

impl Bill {
    /// Adds chunks of a stream, of which so many input and output tokens were billed before. Returns what is owed for them, if any had
    /// a receipt.
    pub(super) fn add(
        &mut self,
        parts: &[CheckedChunk],
        before: (u64, u64),
        stream: &Stream,
    ) -> Option<Nano> {
        let cost: Nano = parts.iter().filter_map(|part| part.bill).sum();
        let receipts = parts.iter().filter(|part| part.bill.is_some()).count();
        self.receipts = self.receipts.saturating_add(u32::try_from(receipts).unwrap_or(u32::MAX));
        self.cost = self.cost.saturating_plus(cost);
        let (input, output) = (stream.input_tokens(), stream.output_tokens());
        self.input_tokens = self.input_tokens.saturating_add(input.saturating_sub(before.0));
        self.output_tokens = self.output_tokens.saturating_add(output.saturating_sub(before.1));
        (receipts > 0).then_some(cost)
    }
}

/// What was ordered, and what has come of it in all attempts together.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) order: Order,
    pub(super) started: Time,
    pub(super) deadline: Time,
    /// Runners-up of the last auction, the best first.
    pub(super) candidates: VecDeque<Candidate>,
    /// Providers that failed this order: they are asked again where nobody else is left.
    pub(super) failed: Vec<NodeId>,
    /// Those of them that are not asked again: they refuse the task for what it is, or cannot be paid for it.
    pub(super) out: Vec<NodeId>,
    /// Whether it passes a lease over, so that another than its provider may be tried. (`MK-33`)
    pub(super) is_try: bool,
    /// Whether anything was awarded yet.
    pub(super) was_awarded: bool,
    /// The lowest ask of those that have served well and of the winner, when it was awarded: what they ask while they work on it is
    /// more. (`MK-14`)
    pub(super) lowest_ask: Option<Price>,
    /// Who has said that nobody can do it.
    pub(super) refusals: Refusals,
    /// Bidders of the last call that can begin only when the order's time is over.
    pub(super) late: Vec<LateBid>,
    /// When the first of those is asked again that are being left alone.
    pub(super) asked_again_at: Time,
    /// When it can be served where it came too late, as far as was said.
    pub(super) room: Option<Room>,
    /// Tokens of input and answer together that a model holds, once its providers have said that a task is too long.
    context: Option<u64>,
    /// When it may call again.
    pub(super) back_off: BackOff,
    /// Whether it may call those directly that are known to sell: at first, and once more where its limit was lowered.
    pub(super) may_call_directly: bool,
    /// Whether its last call went to them alone.
    pub(super) is_direct: bool,
    /// When it last called.
    pub(super) called_at: Time,
    /// Since when all of its calls to everybody met with silence.
    pub(super) silent_since: Option<Time>,
    /// Calls to everybody to which no bid came at all.
    pub(super) unanswered: u32,
    /// How often its answer's limit was lowered to what can be paid for.
    shortened: u8,
    /// Why nothing can be locked for it: it goes only to whom a channel that stands can pay.
    pub(super) unfunded: Option<PaymentFault>,
    /// Whom the last call invited.
    pub(super) invited: Share,
    /// Whom the next call invites, where nobody of those could be awarded.
    pub(super) invites: Option<Share>,
    /// Its input as a provider counts it, where this node does not.
    pub(super) count: ForeignCount,
    /// Output tokens that the user has already.
    pub(super) delivered: Vec<u32>,
    /// Vectors that the user has already.
    pub(super) rows: u32,
    pub(super) bill: Bill,
    /// How its last provider failed it.
    pub(super) last_failure: Option<Failure>,
    /// Why nobody could be asked after the last call.
    pub(super) obstacle: Option<Failure>,
}

impl Progress {
    /// Notes that a provider has taken a job of the order.
    pub(super) fn awarded(
        &mut self,
        now: Time,
        id: OrderId,
        job: JobId,
        provider: NodeId,
        outbox: &mut Outbox,
    ) {
        let bill = &mut self.bill;
        bill.matched = bill.matched.or(Some(now.since(self.started)));
        bill.job = Some(job);
        bill.providers.push(provider);
        outbox.order_news(id, OrderNews::Awarded { provider, job });
    }

    pub(super) fn new(now: Time, order: Order) -> Self {
        let deadline = now + order.deadline;
        Self {
            order,
            started: now,
            deadline,
            candidates: VecDeque::new(),
            failed: Vec::new(),
            out: Vec::new(),
            is_try: false,
            was_awarded: false,
            lowest_ask: None,
            refusals: Refusals::default(),
            late: Vec::new(),
            asked_again_at: now,
            room: None,
            context: None,
            back_off: BackOff::default(),
            may_call_directly: true,
            is_direct: false,
            called_at: now,
            silent_since: None,
            unanswered: 0,
            shortened: 0,
            unfunded: None,
            invited: Share::FIRST,
            invites: None,
            count: ForeignCount::default(),
            delivered: Vec::new(),
            rows: 0,
            bill: Bill::default(),
            last_failure: None,
            obstacle: None,
        }
    }

    /// Returns how many tokens or vectors the user has.
    pub(super) fn delivered_count(&self) -> u32 {
        self.rows.max(u32::try_from(self.delivered.len()).unwrap_or(u32::MAX))
    }

    /// Returns why the order has failed, now that nothing more can come of it: an answer that had begun was cut short; where none
    /// came, what stood in its way last. (`MK-15`)
    pub(super) fn why_over(&self, now: Time, shared: &mut SharedState) -> Failure {
        match (self.last_failure, self.obstacle) {
            _ if self.delivered_count() > 0 => self.why_cut(false),
            (_, Some(Failure::Full { .. })) | (Some(Failure::Refused(Refusal::Busy)), _) => {
                self.full(now, shared)
            }
            (None, Some(Failure::LeftAlone { .. })) => Failure::left_alone(now, self.asked_again_at),
            // A bid is in, and no time is left for its job.
            (None, _) if !self.candidates.is_empty() => Failure::Deadline,
            (failure, obstacle) => failure.or(obstacle).unwrap_or(Failure::Deadline),
        }
    }

    /// Returns why the order has failed at its deadline, while a provider had its award or its task: an answer was under way, or
    /// none had begun for want of room; `room` says when there is some where the task waits for its turn. (`MK-15`)
    pub(super) fn why_late(
        &mut self,
        now: Time,
        room: Option<Room>,
        is_silent: bool,
        shared: &mut SharedState,
    ) -> Failure {
        let was_full = matches!(self.obstacle, Some(Failure::Full { .. }))
            || self.last_failure == Some(Failure::Refused(Refusal::Busy));
        if self.delivered_count() > 0 || !(was_full || room.is_some()) {
            return self.why_cut(is_silent);
        }
        self.room = room.or(self.room);
        self.full(now, shared)
    }

    /// Returns why an answer that had begun is not whole: its provider failed, or `is_silent`, and nobody went on; or else its
    /// deadline came. (`MK-15`)
    pub(super) fn why_cut(&self, is_silent: bool) -> Failure {
        match self.delivered_count() {
            0 => Failure::Deadline,
            delivered if is_silent || self.last_failure.is_some() => Failure::CutShort { delivered },
            _ => Failure::Deadline,
        }
    }

    /// Makes an appointment for an order that nobody has room for in time. (`MK-50`)
    pub(super) fn full(&self, now: Time, shared: &mut SharedState) -> Failure {
        let Room { at, job, bids } = self.room.unwrap_or_else(|| Room::unknown(now));
        let SharedState { appointments, entropy, .. } = shared;
        let come_back_s = appointments.make(now, self.order.model, at.since(now), job, entropy.number());
        // It is told and no more: what a bid states is the speed under its present load, and how long an answer gets a guess.
        let answer_s = (job >= self.order.deadline)
            .then(|| u32::try_from(job.0.div_ceil(1_000_000)).unwrap_or(u32::MAX));
        Failure::Full { bids: bids.max(1), come_back_s, answer_s }
    }

    /// Returns when it can be served by a bidder that can begin only then.
    pub(super) fn room_at(&self, now: Time, begins_at: Time, bid: &Bid, memory: &Memory) -> Room {
        let answer = memory.purchases.output_tokens(&bid.model, &self.lot());
        Room::after(now, begins_at, bid, answer, self.deadline)
    }

    /// Returns what may still be spent.
    pub(super) fn budget(&self) -> Nano {
        self.order.max_cost.saturating_minus(self.bill.cost)
    }

    /// Returns the task that is left to do: after a failover the next provider goes on where the last one
    /// stopped. (`WR-13`)
    pub(super) fn task_left(&self) -> Task {
        let mut left = self.order.task.rest_after(&self.delivered, self.rows);
        if let Some(context) = self.context {
            let room = context.saturating_sub(u64::from(self.input_left(&left)));
            if let Task::Generate(generate) = &mut left {
                generate.max_tokens = generate.max_tokens.min(u32::try_from(room).unwrap_or(u32::MAX));
            }
        }
        left
    }

    /// Narrows the answer to what a model can hold beside the input, where its providers say that they cannot hold the whole.
    /// Returns whether that leaves anything to ask for. (`MK-49`)
    pub(super) fn narrow(&mut self, context: u64) -> bool {
        let lot = self.lot();
        let room = context.saturating_sub(lot.input.count());
        let narrows = room > 0 && room < lot.output_tokens_max;
        if narrows {
            self.context = Some(context);
        }
        narrows
    }

    /// Returns what is bid for: the task that is left to do.
    pub(super) fn lot(&self) -> Lot {
        let task = self.task_left();
        Lot {
            weights: self.order.weights,
            input: InputTokens::fresh(self.input_left(&task)),
            output_tokens_max: task.output_tokens_max(),
        }
    }

    /// Returns the least that must be payable for what is left to be served in part, at the price by which all of it has this ceiling.
    /// (`MK-13`)
    pub(super) fn least(&self, ceiling: Nano) -> Nano {
        if self.delivered.is_empty() { self.lot().least(ceiling) } else { ceiling }
    }

    /// Cuts an answer of which nothing has come to what is bought where so many tokens can be paid for. Returns whether another call
    /// is worth it. (`MK-13`)
    pub(super) fn shorten(&mut self, tokens: u64) -> bool {
        let may_again = self.shortened < limits::SHORTENINGS_MAX && self.delivered.is_empty();
        let Task::Generate(generate) = &mut self.order.task else { return false };
        let Some(tokens) = cut(tokens) else { return false };
        let lower = u32::try_from(tokens).unwrap_or(u32::MAX).min(generate.max_tokens);
        if !may_again || lower == generate.max_tokens {
            return false;
        }
        generate.max_tokens = lower;
        self.shortened = self.shortened.saturating_add(1);
        true
    }

    /// Returns the input tokens of the task that is left, as this node states them: what it has counted itself, else what the
    /// provider counted that it is stated to, else an estimate; and what was delivered, which is input now.
    fn input_left(&self, left: &Task) -> u32 {
        let counted = match &self.order.input {
            InputCount::Counted(counts) => Some(sum(counts.get(self.rows as usize..).unwrap_or_default())),
            InputCount::Estimated => self.count.stated().filter(|_| self.rows == 0),
        };
        let count = counted.map_or_else(
            || left.input_tokens_estimate(),
            |count| u64::from(count).saturating_add(self.delivered.len() as u64),
        );
        u32::try_from(count.min(left.input_tokens_max())).unwrap_or(u32::MAX)
    }

    /// Takes a provider's count of the input of the task that is left. Returns whether it can be believed: this node has not
    /// counted itself, and no text of this length has more. (`WR-22`)
    pub(super) fn recount(&mut self, provider: NodeId, count: u64) -> bool {
        let most = self.task_left().input_tokens_max();
        let is_believed = self.order.input == InputCount::Estimated && count <= most;
        if is_believed {
            let whole = count.saturating_sub(self.delivered.len() as u64);
            if let Ok(whole) = u32::try_from(whole) {
                self.count.give(provider, whole);
            }
        }
        is_believed
    }

    /// Counts a part of the answer as delivered. Returns it as the user sees it: vectors are counted over all attempts.
    pub(super) fn deliver(&mut self, content: Content, rows_before: u32) -> Content {
        let is_empty = matches!(&content, Content::Tokens { ids, .. } if ids.is_empty());
        if !is_empty {
            self.back_off.reset();
            self.last_failure = None;
        }
        match content {
            Content::Tokens { ids, text } => {
                self.delivered.extend(&ids);
                Content::Tokens { ids, text }
            }
            Content::Vectors { first, dims, bytes } => {
                let first = first.saturating_add(rows_before);
                let row = (dims as usize).saturating_mul(4);
                let rows =
                    bytes.len().checked_div(row).and_then(|rows| u32::try_from(rows).ok()).unwrap_or(0);
                self.rows = first.saturating_add(rows);
                Content::Vectors { first, dims, bytes }
            }
            Content::End { finish } => Content::End { finish },
        }
    }
}

fn sum(counts: &[u32]) -> u32 {
    counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
}
