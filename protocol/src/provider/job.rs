//! One job at the provider: the task in, chunks out as far as [`super::billing`] lets it, and the ends it can come to.

use crate::amount::Nano;
use crate::ident::{NodeId, Origin};
use crate::io::{EngineFault, EngineReport, Event, Output, PeerFault, Served};
use crate::limits;
use crate::session::Secure;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{
    Ack, Award, Chunk, Content, FromClient, FromProvider, Refusal, Refuse, SealedFrame, ToClient, Work,
};
use crate::work::answer_stream::AnswerStream;
use crate::work::order::{JobId, ModelId, Task, TaskKind};
use crate::work::price::PriceSheet;
use crate::work::receipt::Receipt;

use super::Provider;
use super::billing::Waiting;

/// A job and its session.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) origin: Origin,
    /// When it was awarded.
    pub(super) since: Time,
    pub(super) model: ModelId,
    pub(super) award: Award,
    pub(super) reply: Vec<u8>,
    pub(super) phase: Phase,
    secure: Secure,
}

/// How far a job has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Awarded; the task has not come.
    Promised(Promised),
    /// The task is here.
    Serving(Box<ServedJob>),
    /// At its end, kept so that a repeated message is known and a late payment counted.
    Over {
        /// Until when it is kept.
        until: Time,
        /// The channel that it was served on, and its bill.
        bill: Option<([u8; 32], Nano)>,
    },
}

/// A job whose task has not come.
#[derive(Debug)]
pub(super) struct Promised {
    /// Whether a slot is kept for it: a customer's for a moment, a stranger's never.
    holds_slot: bool,
    /// From then on it is late: that is held against its client until the task is here.
    late_at: Option<Time>,
    /// Until when it is waited for.
    until: Time,
}

impl Promised {
    pub(super) fn wake_at(&self) -> Time {
        self.late_at.unwrap_or(self.until)
    }
}

impl Phase {
    /// The task that is being served, if one is.
    pub(super) fn serving(&self) -> Option<&ServedJob> {
        match self {
            Self::Serving(served) => Some(served),
            Self::Promised(_) | Self::Over { .. } => None,
        }
    }
}

/// A task that is being served.
#[derive(Debug)]
pub(super) struct ServedJob {
    pub(super) account: [u8; 32],
    pub(super) stream: AnswerStream,
    /// The task, until the engine has it.
    pub(super) task: Option<Task>,
    pub(super) kind: TaskKind,
    /// The most that may stay unpaid, from the task and the window of tokens.
    pub(super) window: Nano,
    /// The same at this provider's own prices.
    own_window: Nano,
    pub(super) cost_max: Nano,
    /// Tokens that the engine may make, and has made.
    pub(super) allowed: u64,
    made: u64,
    pub(super) counted: bool,
    /// What of the channel's window this job holds: what it may make and has not billed.
    pub(super) under_way: Nano,
    pub(super) waiting: Option<Waiting>,
    /// When the engine last had a reason to speak, or spoke.
    pub(super) engine_at: Time,
    countersigned: bool,
}

impl Job {
    pub(super) fn new(
        now: Time,
        origin: Origin,
        is_customer: bool,
        model: ModelId,
        award: Award,
        secure: Secure,
        reply: Vec<u8>,
    ) -> Self {
        let phase = Phase::Promised(Promised {
            holds_slot: is_customer,
            late_at: Some(now + limits::AWARD_HOLD),
            until: now + limits::TASK_WAIT,
        });
        Self { origin, since: now, model, award, reply, phase, secure }
    }

    /// Whether it is served on this channel, or was.
    pub(super) fn is_on(&self, account: &[u8; 32]) -> bool {
        match &self.phase {
            Phase::Promised(_) | Phase::Over { bill: None, .. } => false,
            Phase::Serving(served) => served.is_on(account),
            Phase::Over { bill: Some((on, _)), .. } => on == account,
        }
    }

    /// Whether the job keeps a slot busy: from when the engine has its task until its answer has ended, and a customer's for
    /// a moment before. A task that waits for its money keeps none. (`MK-42`)
    pub(super) const fn holds_slot(&self) -> bool {
        match &self.phase {
            Phase::Promised(promised) => promised.holds_slot,
            Phase::Serving(served) => served.task.is_none() && !served.stream.has_ended(),
            Phase::Over { .. } => false,
        }
    }

    fn price(&self) -> PriceSheet {
        self.award.price
    }
}

impl ServedJob {
    pub(super) fn is_on(&self, account: &[u8; 32]) -> bool {
        self.account == *account
    }

    pub(super) fn wake_at(&self) -> Time {
        let waiting = self.waiting.map(Waiting::wake_at);
        let engine = self.engine_owes().then(|| self.engine_at + limits::ENGINE_WAIT);
        [waiting, engine, self.stream.wake_at()].into_iter().flatten().min().unwrap_or(Time(u64::MAX))
    }

    pub(super) fn acked(&mut self, now: Time, client: NodeId, ack: &Ack) {
        let receipt = self.stream.last_chunk().and_then(|chunk| chunk.receipt.as_ref());
        if let (Some(signature), Some(receipt)) = (&ack.countersignature, receipt) {
            self.countersigned |= Receipt::countersigned(receipt, client, signature);
        }
        self.stream.acked(now, ack.next);
    }

    /// The input is counted: what its ceiling was above it is worth no more tokens than at this provider's own prices. (`CH-5`)
    fn narrow(&mut self, price: &PriceSheet, input_tokens: u64) {
        if let Some(counted) = price.cost(input_tokens, limits::WINDOW_TOKENS) {
            self.window = self.window.min(counted.saturating_plus(self.own_window));
        }
    }

    /// Whether the engine has the task and has not said all that it may say.
    fn engine_owes(&self) -> bool {
        let may_speak = !self.counted || self.kind == TaskKind::Embed || self.in_flight() > 0;
        self.task.is_none() && !self.stream.has_ended() && may_speak
    }

    /// What may be billed without another word of this side.
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

    /// Tokens that the engine may still make.
    pub(super) const fn in_flight(&self) -> u64 {
        self.allowed.saturating_sub(self.made)
    }
}

impl Provider {
    pub(super) fn sealed(&mut self, now: Time, from: NodeId, frame: &SealedFrame) {
        let Some(job) = self.jobs.get_mut(&frame.job).filter(|job| job.origin.node == from) else { return };
        // A frame that does not open may be a copy: it changes nothing.
        let Ok(opened) = job.secure.open(frame.nonce, &frame.bytes) else { return };
        match codec::decode_sealed::<FromClient>(&opened.body) {
            Ok(FromClient::Work(work)) => self.take_work(now, frame.job, work),
            Ok(FromClient::Ack(ack)) => self.acked(now, frame.job, &ack),
            Ok(FromClient::Cancel) => self.over(now, frame.job, None),
            Err(_) => {
                self.fault(from, PeerFault::Malformed);
                self.over(now, frame.job, Some(Refusal::Malformed));
            }
        }
    }

    fn take_work(&mut self, now: Time, id: JobId, work: Work) {
        let Some(job) = self.jobs.get(&id) else { return };
        // The task may arrive twice: the client repeats it until the first chunk.
        let Phase::Promised(promised) = &job.phase else { return };
        let (origin, price, model) = (job.origin, job.price(), job.model);
        if promised.late_at.is_none() {
            self.standing.forgive(now, origin);
        }
        if let Err(why) = self.begin(now, id, origin, model, price, work) {
            self.over(now, id, Some(why));
        }
    }

    fn begin(
        &mut self,
        now: Time,
        id: JobId,
        origin: Origin,
        model: ModelId,
        price: PriceSheet,
        work: Work,
    ) -> Result<(), Refusal> {
        work.task.check().map_err(|_| Refusal::TaskTooLarge)?;
        let kind = self.bidder.find(&model).map(|offer| offer.kind);
        if kind != Some(work.task.kind()) {
            return Err(Refusal::TaskTooLarge);
        }
        let account = self.learn(now, origin, work.channel)?;
        let window =
            price.cost(work.task.input_tokens_max(), limits::WINDOW_TOKENS).ok_or(Refusal::TaskTooLarge)?;
        let cost_max = price.cost_max(&work.task).ok_or(Refusal::TaskTooLarge)?;
        // The price is the client's to raise: what may be lost to it follows from this provider's own.
        let own = self.bidder.find(&model).map(|offer| offer.price);
        let own_window = own
            .and_then(|own| own.cost(work.task.input_tokens_max(), limits::WINDOW_TOKENS))
            .map_or(window, |own| window.min(own));
        let widest = window.min(Nano(own_window.0.saturating_mul(limits::WINDOW_PRICE_TIMES)));
        if self.earnings.find(&account).is_some_and(|earner| !earner.admit(widest)) {
            return Err(Refusal::Unpaid);
        }
        let served = ServedJob {
            account,
            stream: AnswerStream::new(now, id, model, price, &work.task),
            kind: work.task.kind(),
            task: Some(work.task),
            window,
            own_window,
            cost_max,
            allowed: 0,
            made: 0,
            counted: false,
            under_way: Nano::ZERO,
            waiting: None,
            engine_at: now,
            countersigned: false,
        };
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Serving(Box::new(served));
        }
        self.resume(now, id);
        Ok(())
    }

    pub(super) fn engine(&mut self, now: Time, id: JobId, report: EngineReport) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let price = job.price();
        let Phase::Serving(served) = &mut job.phase else { return };
        served.engine_at = now;
        match report {
            EngineReport::Started { input_tokens } => {
                served.counted = true;
                served.narrow(&price, input_tokens);
                served.stream.started(input_tokens);
            }
            EngineReport::Content(content) => {
                if let Content::Tokens { ids, .. } = &content {
                    served.made = served.made.saturating_add(ids.len() as u64);
                }
                let chunks = served.stream.content(now, &self.identity, content);
                self.send_chunks(id, chunks, true);
            }
            EngineReport::Failed(fault) => {
                let why = match fault {
                    EngineFault::TooLarge => Refusal::TaskTooLarge,
                    EngineFault::Broken => Refusal::Engine,
                };
                return self.over(now, id, Some(why));
            }
        }
        let ended = self.jobs.get(&id).and_then(|job| job.phase.serving());
        if let Some(served) = ended.filter(|served| served.stream.has_ended()) {
            // What it did not use of the window is the others'.
            self.freed.insert(served.account);
            self.slot_freed = true;
        }
        self.resume(now, id);
    }

    /// Sends chunks; new ones are also counted as served.
    pub(super) fn send_chunks(&mut self, id: JobId, chunks: Vec<Chunk>, new: bool) {
        for chunk in chunks {
            let Some(job) = self.jobs.get_mut(&id) else { return };
            let Phase::Serving(served) = &mut job.phase else { return };
            if new && let Some(earner) = self.earnings.find(&served.account) {
                earner.serve(served.stream.newly_billed());
            }
            let last = served.stream.last_chunk().is_some_and(|end| end.index == chunk.index);
            let client = job.origin.node;
            let sealed = seal(job, id, &FromProvider::Chunk(chunk), last);
            self.send_sealed(client, sealed);
        }
    }

    pub(super) fn send_sealed(&mut self, client: NodeId, sealed: Option<SealedFrame>) {
        if let Some(frame) = sealed {
            self.send(client, ToClient::Sealed(frame));
        }
    }

    /// Ends a job, well (`None`) or with a reason that the client is told.
    pub(super) fn over(&mut self, now: Time, id: JobId, why: Option<Refusal>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        // What was sent is owed: without a receipt it could not be paid. (`WR-14`)
        if let Phase::Serving(served) = &mut job.phase {
            let receipt = served.stream.sign_now(now, &self.identity);
            self.send_chunks(id, receipt.into_iter().collect(), true);
        }
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let bill = match &job.phase {
            Phase::Serving(served) => Some((served.account, served.stream.cost())),
            Phase::Promised(_) => None,
            Phase::Over { .. } => return,
        };
        let over = Phase::Over { until: now + limits::LINGER, bill };
        let client = job.origin.node;
        let served = match core::mem::replace(&mut job.phase, over) {
            Phase::Over { .. } | Phase::Promised(_) => None,
            Phase::Serving(served) => Some(served),
        };
        if let Some(served) = &served {
            if let Some(earner) = self.earnings.find(&served.account) {
                earner.allow(served.under_way, Nano::ZERO);
            }
            self.note_loan(now, &served.account);
            self.freed.insert(served.account);
            self.slot_freed = true;
        }
        if let Some(why) = why {
            self.send(client, ToClient::Refuse(Refuse { job: id, why }));
        }
        let Some(served) = served else { return };
        if !served.stream.has_ended() && served.task.is_none() {
            self.outbox.push(Output::Cancel { job: id });
        }
        self.outbox.push(Output::Event(Event::Served(Served {
            job: id,
            client,
            input_tokens: served.stream.input_tokens(),
            output_tokens: served.stream.output_tokens(),
            cost: served.stream.cost(),
            refused: why,
            countersigned: served.countersigned,
        })));
    }

    /// Everything that is due by the clock.
    pub(super) fn timers(&mut self, now: Time) {
        let due: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| match &job.phase {
                Phase::Promised(promised) => promised.wake_at() <= now,
                Phase::Over { until, .. } => *until <= now,
                Phase::Serving(served) => served.wake_at() <= now,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.job_due(now, id);
        }
    }

    fn job_due(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let served = match &mut job.phase {
            Phase::Serving(served) => served,
            Phase::Promised(promised) => {
                let (origin, is_over) = (job.origin, promised.until <= now);
                if let Some(late_at) = promised.late_at.take() {
                    self.slot_freed |= core::mem::take(&mut promised.holds_slot);
                    // Not now: this machine may have been asleep.
                    self.standing.mark(late_at, origin);
                }
                if is_over {
                    self.fault(origin.node, PeerFault::NoTask);
                    self.remove(now, id);
                }
                return;
            }
            Phase::Over { .. } => return self.forget(now, id),
        };
        if served.engine_owes() && now >= served.engine_at + limits::ENGINE_WAIT {
            return self.over(now, id, Some(Refusal::Engine));
        }
        let starved = served.waiting.is_some_and(|waiting| now >= waiting.until);
        if starved || served.stream.is_abandoned(now) {
            // Who has paid for everything and waits for its deposit to grow owes nothing.
            let owes = self
                .earnings
                .find(&served.account)
                .is_some_and(|earner| earner.is_open() && earner.unpaid() > Nano::ZERO);
            let lacks_money = served.task.is_some() && self.earnings.is_unfunded(&served.account);
            let origin = job.origin;
            let why = match self.means(now, id) {
                _ if owes => Refusal::Unpaid,
                Some((_, _, true)) => Refusal::Busy,
                Some(_) | None => Refusal::Unfunded,
            };
            let is_thief = owes && !self.standing.has_ever_paid(&origin.node);
            if is_thief || (lacks_money && why == Refusal::Unfunded) {
                self.standing.mark(now, origin);
            }
            if lacks_money && why == Refusal::Unfunded {
                self.fault(origin.node, PeerFault::NoMoney);
            }
            return self.over(now, id, Some(why));
        }
        let ask = served.waiting.is_some_and(|waiting| now >= waiting.asked_at + limits::CHUNK_RETRY);
        let flushed: Vec<Chunk> = served.stream.flush_due(now, &self.identity).into_iter().collect();
        let repeats = served.stream.repeats(now);
        let any = !flushed.is_empty();
        self.send_chunks(id, repeats, false);
        self.send_chunks(id, flushed, true);
        if ask {
            self.need_payment(now, id);
        }
        if any {
            self.resume(now, id);
        }
    }
}

pub(super) fn seal(job: &mut Job, id: JobId, said: &FromProvider, last: bool) -> Option<SealedFrame> {
    // Out of nonces: the job ends by its client's silence.
    let frame = job.secure.seal(&codec::encode(said), last).ok()?;
    Some(SealedFrame { job: id, nonce: frame.nonce, bytes: frame.bytes })
}
