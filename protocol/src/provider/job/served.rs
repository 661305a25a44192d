//! A task that is being served: how far it may run on the money of its channel, and what of its answer leaves when.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::ident::{Identity, NodeId, Origin};
use crate::io::{EngineReport, Offer, Output, PeerFault};
use crate::limits;
use crate::market::call::Classes;
use crate::outbox::Outbox;
use crate::session::Secure;
use crate::time::{Span, Time};
use crate::wire::extension::Extensions;
use crate::wire::message::{Ack, Chunk, Content, FromProvider, NeedPayment, Refusal, WorkProgress};
use crate::work::answer_stream::AnswerStream;
use crate::work::order::{JobId, ModelId, Task, TaskKind};
use crate::work::price::{InputTokens, Tariff};
use crate::work::receipt::Receipt;

use super::super::clientele::Clientele;
use super::super::credit::Credit;
use super::super::earnings::Channel;
use super::super::freed::FreedRoom;
use super::super::quotes::DoneJob;
use super::next::Next;
use super::sealed::send_sealed;

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
    window: Nano,
    /// The same at this provider's own prices.
    own_window: Nano,
    cost_max: Nano,
    /// Tokens that the engine may make, and has made.
    allowed: u64,
    made: u64,
    /// The tokens of the input, as the client states them.
    input: InputTokens,
    /// Whether the engine counts as many.
    count: Count,
    /// Whether it has counted another number before.
    pub(in crate::provider) recounted: bool,
    /// The part of the channel's window that this job holds: what it may make and has not billed.
    pub(super) under_way: Nano,
    waiting: Option<Wait>,
    /// Whether it has stood still for money, so that its time was not the engine's.
    stood_still: bool,
    /// Since when it waits for a slot, if it does.
    slot_wait: Option<Time>,
    /// The engine's work on it, how much of that is to read, and the tokens that are expected of it.
    work: EngineWork,
    expected: u64,
    /// The engine's time for each job when this one began.
    began: u64,
    /// Input tokens that the engine says it has read, and what the client was told of them.
    read: u32,
    told_read: u32,
    /// Whether any of the answer was made.
    has_spoken: bool,
    /// When the client was last told how far it has come, and when it last said anything itself.
    told_at: Time,
    heard_at: Time,
    /// When the engine last had a reason to speak, or spoke.
    engine_at: Time,
    pub(super) countersigned: bool,
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

/// What a client is told of its start while its input is counted: nobody waits long for that.
const COUNT_MS: u32 = 1_000;

/// How long an idle engine works on a task, by the speeds offered.
#[derive(Debug, Clone, Copy)]
pub(in crate::provider) struct EngineWork {
    /// In all.
    pub(in crate::provider) whole: Span,
    /// Until the first token.
    pub(in crate::provider) reading: Span,
}

/// A job that stands still because it lacks payment, or room in the window that it shares.
#[derive(Debug, Clone, Copy)]
struct Wait {
    /// Jobs on one channel resume in this order.
    since: Time,
    /// Then it is given up; payment for anything on its channel puts that off.
    until: Time,
    /// When the client was last told.
    asked_at: Time,
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
            recounted: false,
            under_way: Nano::ZERO,
            waiting: None,
            stood_still: false,
            slot_wait: None,
            work,
            began: 0,
            read: 0,
            told_read: 0,
            has_spoken: false,
            told_at: now,
            heard_at: now,
            engine_at: now,
            countersigned: false,
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
        let waiting = self.waiting.map(|waiting| waiting.until.min(waiting.asked_at + limits::CHUNK_RETRY));
        let engine = self.engine_owes().then(|| self.engine_at + limits::ENGINE_WAIT);
        let told = self.is_mute().then(|| self.told_at + limits::PROGRESS_EVERY);
        [waiting, engine, told, self.stream.wake_at()].into_iter().flatten().min().unwrap_or(Time::NEVER)
    }

    /// Returns whether the engine has its task, or had it.
    pub(in crate::provider) const fn has_begun(&self) -> bool {
        self.task.is_none()
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
        (self.count, self.engine_at, self.waiting) = (count, now, None);
    }

    /// Returns whether the input is as long as its client says.
    pub(in crate::provider) fn is_counted(&self) -> bool {
        self.count == Count::Right
    }

    const fn is_being_counted(&self) -> bool {
        matches!(self.count, Count::Waits(_) | Count::Runs)
    }

    /// Notes that its client has spoken.
    pub(in crate::provider) const fn heard(&mut self, now: Time) {
        self.heard_at = now;
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
        let EngineWork { whole, reading } = self.work;
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
        self.stood_still || self.waiting.is_some_and(|waiting| now >= waiting.since + limits::STOOD_STILL)
    }

    /// Returns whether the client is told that the job is alive: it waits for a slot, or the engine counts or reads. (`WR-23`)
    const fn is_mute(&self) -> bool {
        self.slot_wait.is_some() || self.is_being_counted() || (self.task.is_none() && !self.has_spoken)
    }

    /// Returns since when it waits, if it does.
    pub(in crate::provider) fn waits_since(&self) -> Option<Time> {
        self.waiting.map(|waiting| waiting.since)
    }

    /// Puts its end off: something was paid on its channel. It keeps its slot or its place in the line for it, but not for ever:
    /// what its client pays may be for others, or a nano now and then. (`MK-48`)
    pub(in crate::provider) fn wait_until(&mut self, until: Time) {
        if let Some(waiting) = &mut self.waiting {
            waiting.until = until.min(waiting.since + limits::QUEUE_WAIT_MAX);
        }
    }

    pub(super) fn acked(&mut self, now: Time, client: NodeId, ack: &Ack) {
        let receipt = self.stream.last_chunk().and_then(|chunk| chunk.receipt.as_ref());
        if let (Some(signature), Some(receipt)) = (&ack.countersignature, receipt) {
            self.countersigned |= Receipt::countersigned(receipt, client, signature);
        }
        self.stream.acked(now, ack.next);
    }

    /// Returns whether the engine has the task and has not said all that it may say.
    fn engine_owes(&self) -> bool {
        let may_speak = self.kind == TaskKind::Embed || self.in_flight() > 0;
        self.is_being_counted() || (self.task.is_none() && !self.stream.has_ended() && may_speak)
    }

    /// Returns what may be billed without another word of this side.
    fn at_risk(&self) -> Nano {
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
    const fn in_flight(&self) -> u64 {
        self.allowed.saturating_sub(self.made)
    }

    /// Returns whether it can begin, or has begun: nobody reads an input whose first token may not be made. Vectors cannot be made by
    /// halves: the whole task must be covered. (`CH-5`)
    fn is_covered(&self, allowance: Nano) -> bool {
        match (&self.task, self.kind) {
            (Some(_), TaskKind::Embed) => self.cost_max <= allowance,
            (Some(_), TaskKind::Generate) => self.stream.cost_of_next(1) <= allowance,
            (None, _) => true,
        }
    }

    /// Returns whether it has not begun, and could on this much credit.
    pub(in crate::provider) fn is_ready(&self, earner: &crate::channel::earn::Earner, credit: Nano) -> bool {
        self.task.is_some() && self.is_counted() && self.is_covered(earner.allowance(self.window, credit))
    }

    /// Allows as many further tokens as the allowance covers, `share` in flight at the most.
    fn allow_tokens(&mut self, allowance: Nano, share: u64) -> u32 {
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
    fn is_starved(&self) -> bool {
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

/// A task that is being served, with the channel that pays for it and everything else that a step of it may touch.
pub(in crate::provider) struct ServedMut<'a> {
    pub(super) now: Time,
    pub(super) id: JobId,
    pub(super) origin: Origin,
    pub(super) model: ModelId,
    pub(super) secure: &'a mut Secure,
    pub(super) served: &'a mut ServedJob,
    pub(super) channel: Option<&'a mut Channel>,
    pub(super) credit: &'a mut Credit,
    pub(super) clientele: &'a mut Clientele,
    pub(super) freed: &'a mut FreedRoom,
    pub(super) identity: &'a Identity,
    pub(super) out: &'a mut Outbox,
}

impl ServedMut<'_> {
    /// Serves as far as payment covers, with `share` tokens in flight at the most; says so when it does not. (`CH-5`)
    pub(in crate::provider) fn resume(&mut self, share: u64, credit: Nano, has_slot: bool) -> Next {
        let served = &mut *self.served;
        let Some(channel) = self.channel.as_deref_mut() else { return Next::Stay };
        let Some(earner) = channel.live() else { return Next::Stay };
        earner.allow(served.under_way, Nano::ZERO);
        let allowance = earner.allowance(served.window, credit);
        let is_covered = served.is_covered(allowance);
        let can_wait = served.task.is_some() && (earner.is_open() || is_covered);
        if can_wait && !has_slot {
            // Its money is seen to when it has its turn. One that had its turn without it is waited for no longer for that.
            earner.allow(Nano::ZERO, served.under_way);
            served.waiting.take_if(|_| is_covered);
            return if served.slot_wait.is_some() { Next::Stay } else { Next::Wait };
        }
        let covered = has_slot && is_covered;
        let started = served.task.take_if(|_| covered);
        if started.is_some() || served.in_flight() == 0 {
            served.engine_at = self.now;
        }
        if started.is_some() {
            (served.slot_wait, served.told_at) = (None, self.now);
        }
        served.stream.sign_every(share / limits::WINDOW_RECEIPTS);
        let more = served.allow_tokens(allowance, share);
        served.under_way = served.at_risk();
        earner.allow(Nano::ZERO, served.under_way);
        let lacks_voucher = earner.is_open() && earner.unpaid() > Nano::ZERO && served.task.is_none();
        if earner.seen().is_none_or(|state| state.epoch == 0) {
            // Before anything is made on it.
            self.credit.record(self.now, self.origin, served.account, earner.lent());
        }
        let settled_up = earner.unpaid() == Nano::ZERO;
        channel.secure(self.out);
        let has_just_begun = started.is_some();
        if let Some(task) = started {
            self.out.push(Output::Run { job: self.id, model: self.model, task });
        }
        if more > 0 {
            self.out.push(Output::Allow { job: self.id, tokens: more });
        }
        let is_done = served.stream.is_done();
        if covered && !served.is_starved() && (settled_up || !is_done) {
            served.stood_still = !has_just_begun && served.has_stood_still(self.now);
            served.waiting = None;
            return if is_done { Next::End(None) } else { Next::Stay };
        }
        self.wait_for_money(lacks_voucher);
        Next::Stay
    }

    /// Has the input counted once the channel is open, or the credit covers its begin; a customer's at once. (`WR-25`)
    pub(in crate::provider) fn resume_uncounted(&mut self, credit: Nano) -> Next {
        if self.served.count != Count::Unasked {
            return Next::Stay;
        }
        let earner = self.channel.as_deref_mut().and_then(Channel::live);
        let has_means = earner.is_some_and(|earner| {
            earner.is_open() || self.served.is_covered(earner.allowance(self.served.window, credit))
        });
        if has_means || self.clientele.has_ever_paid(&self.origin.node) {
            return Next::Count;
        }
        self.wait_for_money(false);
        Next::Stay
    }

    /// Asks for the money that is missing, and waits for it.
    fn wait_for_money(&mut self, lacks_voucher: bool) {
        if self.served.waiting.is_some() {
            return;
        }
        let is_stranger = !self.clientele.has_ever_paid(&self.origin.node);
        let wait =
            if is_stranger && lacks_voucher { limits::STRANGER_PAYMENT_WAIT } else { limits::PAYMENT_WAIT };
        let (since, until) = (self.now, self.now + wait);
        self.served.waiting = Some(Wait { since, until, asked_at: since });
        // What has no receipt yet cannot be paid: one asks for payment as well as words do.
        if !self.sign_now() {
            self.need_payment();
        }
    }

    /// Takes what the engine says.
    pub(super) fn engine(&mut self, report: EngineReport) -> Next {
        self.served.engine_at = self.now;
        match report {
            // Of a task of the same name, that is gone.
            EngineReport::Counted { .. } if self.served.count != Count::Runs => return Next::Stay,
            EngineReport::Counted { input_tokens, cached_tokens } => {
                let stated = self.served.input;
                if stated.count() != u64::from(input_tokens) || stated.cached > cached_tokens {
                    return Next::Recount(u64::from(input_tokens));
                }
                self.served.count = Count::Right;
            }
            EngineReport::Read { tokens } => {
                let most = u32::try_from(self.served.input.count()).unwrap_or(u32::MAX);
                self.served.read = self.served.read.max(tokens.min(most));
                return Next::Stay;
            }
            EngineReport::Content(content) => {
                self.served.has_spoken = true;
                if let Content::Tokens { ids, .. } = &content {
                    self.served.made = self.served.made.saturating_add(ids.len() as u64);
                }
                let chunks = self.served.stream.content(self.now, self.identity, content);
                self.send_chunks(chunks, true);
            }
            EngineReport::Failed(why) => return Next::End(Some(why)),
        }
        if self.served.stream.has_ended() {
            // The others get what it did not use of the window.
            self.freed.channels.insert(self.served.account);
            self.freed.slot = true;
            if !self.served.has_stood_still(self.now) {
                self.freed.done.push((self.model, self.served.work(), self.served.began));
            }
        }
        Next::Resume
    }

    /// Lets it wait for a slot, for so long as it seems, and says so. (`WR-23`)
    pub(in crate::provider) fn wait(&mut self, start: Span) -> Next {
        self.served.slot_wait.get_or_insert(self.now);
        let start_ms = u32::try_from(start.as_ms()).unwrap_or(u32::MAX).max(1);
        self.tell(start_ms);
        Next::Stay
    }

    /// Tells the client how far the job has come.
    fn tell(&mut self, start_ms: u32) {
        self.served.told_at = self.now;
        self.served.told_read = self.served.read;
        let said = FromProvider::Progress(WorkProgress { start_ms, read: self.served.read });
        self.send_sealed(&said, false);
    }

    /// Does what is due by the clock: repeats, asks for payment, sends what waited long enough, gives up.
    pub(super) fn due(&mut self) -> Next {
        let now = self.now;
        if self.served.engine_owes() && now >= self.served.engine_at + limits::ENGINE_WAIT {
            return Next::End(Some(Refusal::Engine));
        }
        // One whose turn came and whose money did not waits for its money, in its place of the line.
        if self.served.slot_wait.is_some() && self.served.waiting.is_none() {
            // A client that has gone away needs no turn.
            let is_gone = now >= self.served.heard_at + limits::CLIENT_WAIT;
            return if is_gone { Next::End(None) } else { Next::Wait };
        }
        if self.served.is_mute() && now >= self.served.told_at + limits::PROGRESS_EVERY {
            self.tell(if self.served.is_being_counted() { COUNT_MS } else { 0 });
        }
        let starved = self.served.waiting.is_some_and(|waiting| now >= waiting.until);
        if starved || self.served.stream.is_abandoned(now) {
            return Next::GiveUp;
        }
        let asks = self.served.waiting.is_some_and(|waiting| now >= waiting.asked_at + limits::CHUNK_RETRY);
        let flushed = self.served.stream.flush_due(now, self.identity);
        let repeats = self.served.stream.repeats(now);
        let any = flushed.is_some();
        self.send_chunks(repeats, false);
        self.send_chunks(flushed, true);
        if asks {
            self.need_payment();
        }
        if any { Next::Resume } else { Next::Stay }
    }

    /// Says why it waited for nothing, and holds that against the client that wasted the room.
    /// (`MK-45`)
    pub(in crate::provider) fn give_up(&mut self, means: Option<Means>) -> Next {
        let (origin, has_task) = (self.origin, self.served.task.is_some());
        // A client that has paid for everything and waits for its deposit to grow owes nothing.
        let owes = self.channel.as_deref_mut().and_then(Channel::live);
        let owes = owes.is_some_and(|earner| earner.is_open() && earner.unpaid() > Nano::ZERO);
        let lacks_money = has_task && self.channel.as_deref().is_some_and(Channel::is_unfunded);
        let why = match means {
            _ if owes => Refusal::Unpaid,
            Some(Means { is_ready: true, .. }) => Refusal::Busy,
            Some(_) | None => Refusal::Unfunded,
        };
        let is_thief = owes && !self.clientele.has_ever_paid(&origin.node);
        let is_broke = lacks_money && why == Refusal::Unfunded;
        if is_thief || is_broke {
            self.clientele.mark(self.now, origin);
        }
        if is_broke {
            self.out.peer_fault(origin.node, PeerFault::NoMoney);
        }
        Next::End(Some(why))
    }

    /// Sends a receipt for what was sent without one. Returns whether there was anything.
    pub(super) fn sign_now(&mut self) -> bool {
        let receipt = self.served.stream.sign_now(self.now, self.identity);
        let is_any = receipt.is_some();
        self.send_chunks(receipt, true);
        is_any
    }

    /// Bills a regular client for the input that was read until it gave the job up, as far as it was told. (`WR-24`)
    pub(super) fn bill_reading(&mut self) {
        let is_regular = self.clientele.is_regular(&self.origin.node);
        let is_reading = self.served.has_begun() && !self.served.has_spoken;
        if is_regular && is_reading {
            let read = self.served.told_read;
            let receipt = self.served.stream.sign_reading(self.now, self.identity, read);
            self.send_chunks(receipt, true);
        }
    }

    /// Sends chunks; new ones are also counted as served.
    fn send_chunks(&mut self, chunks: impl IntoIterator<Item = Chunk>, new: bool) {
        for chunk in chunks {
            let stream = &mut self.served.stream;
            if new && let Some(earner) = self.channel.as_deref_mut().and_then(Channel::live) {
                earner.serve(stream.newly_billed());
            }
            let last = stream.last_chunk().is_some_and(|end| end.index == chunk.index);
            self.send_sealed(&FromProvider::Chunk(chunk), last);
        }
    }

    /// Tells the client what is missing, with the newest voucher in case it has lost it. (`CH-19`)
    fn need_payment(&mut self) {
        if let Some(waiting) = &mut self.served.waiting {
            waiting.asked_at = self.now;
        }
        let Some(earner) = self.channel.as_deref_mut().and_then(Channel::live) else { return };
        let need = NeedPayment {
            cumulative: earner.served(),
            newest: earner.newest(),
            extensions: Extensions::NONE,
        };
        self.send_sealed(&FromProvider::NeedPayment(need), false);
    }

    fn send_sealed(&mut self, said: &FromProvider, last: bool) {
        send_sealed(self.out, self.secure, self.origin.node, self.id, said, last);
    }
}
