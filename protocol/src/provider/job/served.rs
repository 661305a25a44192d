//! A task that is being served: how far it may run on the money of its channel.

use crate::amount::Nano;
use crate::channel::earn::Earner;
use crate::channel::id::ChannelId;
use crate::ident::{NodeId, Origin};
use crate::io::Offer;
use crate::limits;
use crate::market::call::Classes;
use crate::time::{Span, Time};
use crate::wire::message::{Ack, Refusal};
use crate::work::answer_stream::AnswerStream;
use crate::work::order::{JobId, ModelId, Task, TaskKind};
use crate::work::price::{InputTokens, Tariff};
use crate::work::receipt::Receipt;

use super::super::quotes::DoneJob;
use super::money_wait::MoneyWait;

/// A task that is being served, and the stream of its answer.
#[derive(Debug)]
pub(in crate::provider) struct ServedJob {
    pub(in crate::provider) account: ChannelId,
    pub(in crate::provider) stream: AnswerStream,
    /// The task, until the engine has it.
    pub(in crate::provider) task: Option<Task>,
    kind: TaskKind,
    classes: Classes,
    /// The most that may stay unpaid, from the task and the window of tokens.
    pub(super) window: Nano,
    /// The same at this provider's own prices.
    own_window: Nano,
    cost_max: Nano,
    /// Tokens that the engine may make, and has made.
    pub(super) allowed: u64,
    pub(super) made: u64,
    /// The tokens of the input, as the client states them.
    pub(super) input: InputTokens,
    /// Whether the engine counts as many.
    pub(super) count: Count,
    /// Whether the engine has said how long the input is that it begins with: what comes before that is of an earlier task of this
    /// job.
    pub(super) has_started: bool,
    /// Whether it has counted another number before.
    pub(in crate::provider) recounted: bool,
    /// The part of the channel's window that this job holds: what it may make and has not billed.
    pub(super) under_way: Nano,
    pub(super) money: MoneyWait,
    /// Since when it waits for a slot, if it does.
    pub(super) slot_wait: Option<Time>,
    /// The engine's work on it, how much of that is to read, and the tokens that are expected of it.
    work: EngineWork,
    expected: u64,
    /// The engine's time for each job when this one began.
    pub(super) began: u64,
    /// Input tokens that the engine says it has read, and what the client was told of them.
    pub(super) read: u32,
    pub(super) told_read: u32,
    /// Whether any of the answer was made.
    pub(super) has_spoken: bool,
    /// When the client is told that its award is taken, where nothing said so before.
    pub(in crate::provider) accept_at: Option<Time>,
    /// When the client was last told how far it has come, and when it last said anything itself.
    pub(super) told_at: Time,
    pub(super) heard_at: Time,
    /// When the engine last had a reason to speak, or spoke.
    pub(super) engine_at: Time,
    /// Whether its client's countersignature is true, once one has come.
    countersigned: Option<bool>,
}

/// How far the count of a task's input is. (`WR-22`, `WR-25`)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::provider) enum Count {
    /// It waits for the money of a stranger.
    Unasked,
    /// It waits for its turn since then.
    Waits(Time),
    /// The engine counts.
    Runs,
    /// It is what the client has stated.
    Right,
}

/// How long an idle engine works on a task, by the speeds offered.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider) struct EngineWork {
    /// In all.
    pub(in crate::provider) whole: Span,
    /// Until the first token.
    pub(in crate::provider) reading: Span,
    /// Output tokens that are to be let go at a time: no more than the answer may have, nor than the engine makes in a while.
    pub(in crate::provider) ahead: u64,
}

/// What a job may run on.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider) struct Means {
    /// The credit that is left on its channel.
    pub(in crate::provider) credit: Nano,
    /// Whether it has not begun, and could.
    pub(in crate::provider) is_ready: bool,
}

impl ServedJob {
    /// Creates a task that has just come, to be paid on this channel.
    ///
    /// # Errors
    /// [`Refusal`] when no amount can be told for it.
    pub(in crate::provider) fn new(
        now: Time,
        id: JobId,
        model: ModelId,
        [tariff, own]: [Tariff; 2],
        account: ChannelId,
        (task, work): (Task, EngineWork),
        input: InputTokens,
    ) -> Result<Self, Refusal> {
        let window_at = |tariff: Tariff| tariff.cost(input, limits::WINDOW_TOKENS);
        let window = window_at(tariff).ok_or(Refusal::BillTooLarge)?;
        let cost_max = tariff.cost(input, task.output_tokens_max()).ok_or(Refusal::BillTooLarge)?;
        // The price is the client's to raise: what may be lost to it follows from this provider's own.
        let own_window = window_at(own).map_or(window, |own| window.min(own));
        Ok(Self {
            account,
            stream: AnswerStream::new(now, id, model, tariff, input, &task),
            kind: task.kind(),
            classes: Classes::of(input.count(), task.output_tokens_max()),
            expected: Offer::expected_answer(task.output_tokens_max()),
            task: Some(task),
            window,
            own_window,
            cost_max,
            allowed: 0,
            made: 0,
            input,
            count: Count::Unasked,
            has_started: false,
            recounted: false,
            under_way: Nano::ZERO,
            money: MoneyWait::default(),
            slot_wait: None,
            work,
            began: 0,
            read: 0,
            told_read: 0,
            has_spoken: false,
            told_at: now,
            accept_at: None,
            heard_at: now,
            engine_at: now,
            countersigned: None,
        })
    }

    /// Returns what this window counts for where it bounds what the channel may lose. (`CH-9`)
    pub(in crate::provider) fn loss_max(&self) -> Nano {
        self.window.min(Nano(self.own_window.0.saturating_mul(limits::WINDOW_PRICE_TIMES)))
    }

    /// Returns what can be learnt from it, once it has ended well.
    pub(super) const fn done(&self, client: Origin) -> DoneJob {
        let (input, output_tokens) = (self.input, self.stream.output_tokens());
        DoneJob { client, classes: self.classes, input, output_tokens }
    }

    pub(super) fn wake_at(&self) -> Time {
        let engine = self.engine_owes().then(|| self.engine_at + limits::ENGINE_WAIT);
        let told = self.is_mute().then(|| self.told_at + limits::PROGRESS_EVERY);
        [self.money.wake_at(), engine, told, self.accept_at, self.stream.wake_at()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Time::NEVER)
    }

    /// Returns whether the engine has its task, or had it.
    pub(in crate::provider) const fn has_begun(&self) -> bool {
        self.task.is_none()
    }

    /// Returns whether it has a part of its channel's window: it has begun, or would if the window were its own.
    pub(in crate::provider) fn has_part(&self) -> bool {
        self.has_begun() || self.waits_since().is_some()
    }

    /// Returns since when it waits for a slot, if it does.
    pub(in crate::provider) const fn waits_for_slot(&self) -> Option<Time> {
        self.slot_wait
    }

    /// Returns since when it waits for its turn to be counted, if it does.
    pub(in crate::provider) const fn waits_for_count(&self) -> Option<Time> {
        match self.count {
            Count::Waits(since) => Some(since),
            Count::Unasked | Count::Runs | Count::Right => None,
        }
    }

    /// Notes how far its count is, now that the engine owes it.
    pub(in crate::provider) fn counts(&mut self, now: Time, count: Count) {
        (self.count, self.engine_at) = (count, now);
        self.money.end(None);
    }

    /// Returns whether an engine may begin with it and count then, if its client can be believed: there is money, and it has not
    /// counted another number before. Vectors it would make at once. (`WR-22`)
    pub(in crate::provider) fn may_begin_uncounted(&self, earner: &Earner, credit: Nano) -> bool {
        self.count == Count::Unasked
            && !self.recounted
            && self.kind == TaskKind::Generate
            && self.is_covered(earner.allowance(self.window, credit))
    }

    /// Returns whether the input is as long as its client says.
    pub(in crate::provider) fn is_counted(&self) -> bool {
        self.count == Count::Right
    }

    pub(super) const fn is_being_counted(&self) -> bool {
        matches!(self.count, Count::Waits(_) | Count::Runs)
    }

    /// Notes that its client has spoken.
    pub(in crate::provider) const fn heard(&mut self, now: Time) {
        self.heard_at = now;
    }

    /// Returns whether its client, which spoke then of some job on the channel, had not spoken of this one for long, and owes it an
    /// answer. (`CH-9`)
    pub(in crate::provider) fn is_passed_over(&self, spoke_at: Time) -> bool {
        let is_asked = self.stream.is_repeated() || self.money.was_asked_since(self.heard_at);
        is_asked && spoke_at >= self.heard_at + limits::FORGOTTEN_AFTER
    }

    /// Notes the engine's time for each job, as it begins.
    pub(in crate::provider) const fn began(&mut self, began: u64) {
        self.began = began;
    }

    /// Returns the engine's time for each job when it began.
    pub(in crate::provider) const fn began_at(&self) -> u64 {
        self.began
    }

    /// Returns the engine's work on it.
    pub(in crate::provider) const fn work(&self) -> Span {
        self.work.whole
    }

    /// Returns how much of the engine's work on it is done, by the tokens read and made: fifteen sixteenths at the most.
    pub(in crate::provider) fn work_done(&self) -> Span {
        let EngineWork { whole, reading, .. } = self.work;
        let read =
            if self.has_spoken { reading } else { part(reading, u64::from(self.read), self.input.count()) };
        let written = part(Span(whole.0.saturating_sub(reading.0)), self.made, self.expected);
        let most = whole.0.saturating_sub(whole.0 / 16);
        Span(read.0.saturating_add(written.0).min(most))
    }

    /// Returns what is left of it.
    pub(in crate::provider) fn work_left(&self) -> Span {
        Span(self.work.whole.0.saturating_sub(self.work_done().0))
    }

    /// Returns whether its engine works on it, and has said so, and nothing but that has taken its time.
    pub(in crate::provider) fn is_under_way(&self, now: Time) -> bool {
        (self.has_spoken || self.read > 0) && !self.has_stood_still(now)
    }

    /// Returns whether it has stood still for money for long enough to tell, or does.
    pub(in crate::provider) fn has_stood_still(&self, now: Time) -> bool {
        self.money.has_stood_still(now)
    }

    /// Returns whether the client is told that the job is alive: it waits for a slot, or the engine counts or reads. (`WR-23`)
    pub(super) const fn is_mute(&self) -> bool {
        self.slot_wait.is_some() || self.is_being_counted() || (self.task.is_none() && !self.has_spoken)
    }

    /// Returns since when it waits for money, if it does.
    pub(in crate::provider) fn waits_since(&self) -> Option<Time> {
        self.money.since()
    }

    /// Puts its end off: something was paid on its channel.
    pub(in crate::provider) fn wait_until(&mut self, until: Time) {
        self.money.put_off(until);
    }

    pub(super) fn acked(&mut self, now: Time, client: NodeId, ack: &Ack) {
        let receipt = self.stream.last_chunk().and_then(|chunk| chunk.receipt.as_ref());
        if let (Some(signature), Some(receipt), None) = (&ack.countersignature, receipt, self.countersigned) {
            self.countersigned = Some(Receipt::countersigned(receipt, client, signature));
        }
        self.stream.acked(now, ack.next);
    }

    /// Returns whether its client has countersigned the bill.
    pub(super) fn is_countersigned(&self) -> bool {
        self.countersigned == Some(true)
    }

    /// Returns whether the engine has the task and has not said all that it may say.
    pub(super) fn engine_owes(&self) -> bool {
        let may_speak = self.kind == TaskKind::Embed || self.in_flight() > 0;
        self.is_being_counted() || (self.task.is_none() && !self.stream.has_ended() && may_speak)
    }

    /// Returns what may be billed without another word of this side.
    pub(super) fn at_risk(&self) -> Nano {
        match self.kind {
            _ if self.task.is_some() || self.stream.has_ended() => Nano::ZERO,
            TaskKind::Embed => self.cost_max.saturating_minus(self.stream.cost()),
            TaskKind::Generate if self.in_flight() > 0 || self.stream.has_gathered() => {
                self.stream.cost_of_next(self.in_flight())
            }
            // Its end may still come, and makes the rest of the input due.
            TaskKind::Generate if self.stream.output_tokens() > 0 => self.stream.cost_of_next(0),
            TaskKind::Generate => Nano::ZERO,
        }
    }

    /// Returns the tokens that the engine may still make.
    pub(super) const fn in_flight(&self) -> u64 {
        self.allowed.saturating_sub(self.made)
    }

    /// Returns whether it can begin, or has begun: nobody reads an input whose first token may not be made. Vectors cannot be made by
    /// halves: the whole task must be covered. (`CH-5`)
    pub(super) fn is_covered(&self, allowance: Nano) -> bool {
        match (&self.task, self.kind) {
            (Some(_), TaskKind::Embed) => self.cost_max <= allowance,
            (Some(_), TaskKind::Generate) => self.stream.cost_of_next(1) <= allowance,
            (None, _) => true,
        }
    }

    /// Returns whether it has not begun, and could on this much credit.
    pub(in crate::provider) fn is_ready(&self, earner: &Earner, credit: Nano) -> bool {
        self.task.is_some() && self.is_counted() && self.is_covered(earner.allowance(self.window, credit))
    }

    /// Allows as many further tokens as the allowance covers, `share` in flight at the most, and no more than its engine makes in a
    /// while: what a slow one holds of the window for later is kept from the others on the channel. (`CH-5`)
    pub(super) fn allow_tokens(&mut self, allowance: Nano, share: u64) -> u32 {
        let share = share.min(self.work.ahead);
        let mut more = 0u32;
        while self.task.is_none()
            && self.kind == TaskKind::Generate
            && !self.stream.has_ended()
            && self.in_flight() < share
            && self.stream.has_room()
        {
            let step = [limits::CHUNK_TOKENS, 1].into_iter().find(|step| {
                let tokens = self.in_flight().saturating_add(u64::from(*step));
                (tokens <= share || *step == 1) && self.stream.cost_of_next(tokens) <= allowance
            });
            let Some(step) = step else { break };
            self.allowed = self.allowed.saturating_add(u64::from(step));
            more = more.saturating_add(step);
        }
        more
    }

    /// Returns whether its engine could go on and may not, and all that it made is sent.
    pub(super) fn is_starved(&self) -> bool {
        self.kind == TaskKind::Generate
            && self.task.is_none()
            && !self.stream.has_ended()
            && self.in_flight() == 0
            && !self.stream.has_gathered()
            && self.stream.has_room()
    }
}

/// Returns the part of a span that so many of so many are: all of it where there are none or more.
fn part(span: Span, done: u64, all: u64) -> Span {
    let product = u128::from(span.0).saturating_mul(u128::from(done.min(all)));
    let part = product.checked_div(u128::from(all)).unwrap_or(u128::from(span.0));
    Span(u64::try_from(part).unwrap_or(span.0))
}
