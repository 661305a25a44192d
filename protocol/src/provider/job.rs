//! One job at the provider: the task in, chunks out within what payment covers, and the ends it can come to.

use crate::amount::Nano;
use crate::channel::earn::{Took, VoucherFault};
use crate::channel::ledger::LedgerEvent;
use crate::ident::NodeId;
use crate::io::{EngineFault, EngineReport, Event, Output, PeerFault, Served};
use crate::limits;
use crate::session::Secure;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{
    Ack, Award, Chunk, Content, FromClient, FromProvider, NeedPayment, Refusal, Refuse, SealedFrame,
    ToClient, Work,
};
use crate::work::order::{JobId, ModelId, Task, TaskKind};
use crate::work::price::PriceSheet;
use crate::work::receipt::Receipt;
use crate::work::serve::Serving;

use super::Provider;

/// A job and its session.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) client: NodeId,
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
    Promised {
        /// Until when it is waited for.
        until: Time,
    },
    /// The task is here.
    Serving(Box<Serve>),
    /// At its end, kept so that a repeated message is known and a late payment counted.
    Over {
        /// Until when it is kept.
        until: Time,
        /// The channel that it was served on, and its bill.
        bill: Option<([u8; 32], Nano)>,
    },
}

/// A task that is being served.
#[derive(Debug)]
pub(super) struct Serve {
    account: [u8; 32],
    serving: Serving,
    /// The task, until the engine has it.
    task: Option<Task>,
    kind: TaskKind,
    /// The most that may stay unpaid, from the task and the window of tokens.
    window: Nano,
    cost_max: Nano,
    /// Tokens that the engine may make, and has made.
    allowed: u64,
    made: u64,
    counted: bool,
    waiting_since: Option<Time>,
    asked_at: Time,
    /// When the engine last had a reason to speak, or spoke.
    engine_at: Time,
    countersigned: bool,
}

impl Job {
    pub(super) const fn new(
        now: Time,
        client: NodeId,
        model: ModelId,
        award: Award,
        secure: Secure,
        reply: Vec<u8>,
    ) -> Self {
        let until = Time(now.0.saturating_add(limits::TASK_WAIT.0));
        Self { client, model, award, reply, phase: Phase::Promised { until }, secure }
    }

    /// Whether the job keeps a slot busy: until its answer has ended.
    pub(super) const fn holds_slot(&self) -> bool {
        match &self.phase {
            Phase::Promised { .. } => true,
            Phase::Serving(serve) => !serve.serving.has_ended(),
            Phase::Over { .. } => false,
        }
    }

    fn price(&self) -> PriceSheet {
        self.award.price
    }
}

impl Serve {
    pub(super) fn is_on(&self, account: &[u8; 32]) -> bool {
        self.account == *account
    }

    pub(super) fn wake_at(&self) -> Time {
        let waiting = self
            .waiting_since
            .map(|since| (since + limits::PAYMENT_WAIT).min(self.asked_at + limits::CHUNK_RETRY));
        let engine = self.engine_owes().then(|| self.engine_at + limits::ENGINE_WAIT);
        [waiting, engine, self.serving.wake_at()].into_iter().flatten().min().unwrap_or(Time(u64::MAX))
    }

    fn acked(&mut self, now: Time, client: NodeId, ack: &Ack) {
        if let (Some(signature), Some(chunk)) = (&ack.countersignature, self.serving.last_chunk()) {
            self.countersigned |= Receipt::countersigned(&chunk.receipt, client, signature);
        }
        self.serving.acked(now, ack.next);
    }

    /// Whether the engine has the task and has not said all that it may say.
    fn engine_owes(&self) -> bool {
        let may_speak = !self.counted || self.kind == TaskKind::Embed || self.in_flight() > 0;
        self.task.is_none() && !self.serving.has_ended() && may_speak
    }

    /// Tokens that the engine may still make.
    const fn in_flight(&self) -> u64 {
        self.allowed.saturating_sub(self.made)
    }
}

impl Provider {
    pub(super) fn sealed(&mut self, now: Time, from: NodeId, frame: &SealedFrame) {
        let Some(job) = self.jobs.get_mut(&frame.job).filter(|job| job.client == from) else { return };
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
        if !matches!(job.phase, Phase::Promised { .. }) {
            return;
        }
        let (client, price, model) = (job.client, job.price(), job.model);
        if let Err(why) = self.begin(now, id, client, model, price, work) {
            self.over(now, id, Some(why));
        }
    }

    fn begin(
        &mut self,
        now: Time,
        id: JobId,
        client: NodeId,
        model: ModelId,
        price: PriceSheet,
        work: Work,
    ) -> Result<(), Refusal> {
        work.task.check().map_err(|_| Refusal::TaskTooLarge)?;
        let kind = self.desk.find(&model).map(|offer| offer.kind);
        if kind != Some(work.task.kind()) {
            return Err(Refusal::TaskTooLarge);
        }
        let account = self.earnings.learn(work.channel, client, &self.config, &mut self.outbox)?;
        let window =
            price.cost(work.task.input_tokens_max(), limits::WINDOW_TOKENS).ok_or(Refusal::TaskTooLarge)?;
        let cost_max = price.cost_max(&work.task).ok_or(Refusal::TaskTooLarge)?;
        if self.earnings.find(&account).is_some_and(|earner| earner.written_off() > window) {
            return Err(Refusal::Unpaid);
        }
        let serve = Serve {
            account,
            serving: Serving::new(now, id, model, price, &codec::encode(&work.task)),
            kind: work.task.kind(),
            task: Some(work.task),
            window,
            cost_max,
            allowed: 0,
            made: 0,
            counted: false,
            waiting_since: None,
            asked_at: now,
            engine_at: now,
            countersigned: false,
        };
        if let Some(job) = self.jobs.get_mut(&id) {
            job.phase = Phase::Serving(Box::new(serve));
        }
        self.go_on(now, id);
        Ok(())
    }

    /// Serves as far as payment covers; says so when it does not. (`CH-5`)
    fn go_on(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Serving(serve) = &mut job.phase else { return };
        let Some(earner) = self.earnings.find(&serve.account) else { return };
        let allowance = earner.allowance(serve.window, self.config.credit);
        let settled_up = earner.unpaid() == Nano::ZERO;
        let covered = match (&serve.task, serve.kind) {
            // Vectors cannot be made by halves: the whole task must be covered before it starts.
            (Some(_), TaskKind::Embed) => serve.cost_max <= allowance,
            (Some(_), TaskKind::Generate) => allowance > Nano::ZERO || serve.cost_max == Nano::ZERO,
            (None, _) => true,
        };
        if covered && let Some(task) = serve.task.take() {
            serve.engine_at = now;
            self.outbox.push(Output::Run { job: id, model: job.model, task });
        }
        if serve.in_flight() == 0 {
            serve.engine_at = now;
        }
        let mut more = 0u32;
        while serve.counted
            && serve.kind == TaskKind::Generate
            && !serve.serving.has_ended()
            && serve.in_flight() < limits::WINDOW_TOKENS
            && serve.serving.has_room()
        {
            let step = [limits::CHUNK_TOKENS, 1].into_iter().find(|step| {
                let tokens = serve.in_flight().saturating_add(u64::from(*step));
                serve.serving.cost_of_next(tokens) <= allowance
            });
            let Some(step) = step else { break };
            serve.allowed = serve.allowed.saturating_add(u64::from(step));
            more = more.saturating_add(step);
        }
        if more > 0 {
            self.outbox.push(Output::Allow { job: id, tokens: more });
        }
        let owes = serve.serving.is_done() && !settled_up;
        let starved = serve.kind == TaskKind::Generate
            && serve.counted
            && !serve.serving.has_ended()
            && serve.in_flight() == 0
            && serve.serving.has_room();
        if !covered || starved || owes {
            if serve.waiting_since.is_none() {
                serve.waiting_since = Some(now);
                self.need_payment(now, id);
            }
        } else {
            serve.waiting_since = None;
            if serve.serving.is_done() && settled_up {
                self.over(now, id, None);
            }
        }
    }

    /// Tells the client what is missing, with the newest voucher in case it has lost it. (`CH-19`)
    fn need_payment(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Serving(serve) = &mut job.phase else { return };
        serve.asked_at = now;
        let Some(earner) = self.earnings.find(&serve.account) else { return };
        let need = NeedPayment { cumulative: earner.served(), newest: earner.newest() };
        let client = job.client;
        let sealed = seal(job, id, &FromProvider::NeedPayment(need), false);
        self.send_sealed(client, sealed);
    }

    pub(super) fn engine(&mut self, now: Time, id: JobId, report: EngineReport) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Serving(serve) = &mut job.phase else { return };
        serve.engine_at = now;
        match report {
            EngineReport::Started { input_tokens } => {
                serve.counted = true;
                let _ = serve.serving.started(input_tokens);
            }
            EngineReport::Content(content) => {
                if let Content::Tokens { ids, .. } = &content {
                    serve.made = serve.made.saturating_add(ids.len() as u64);
                }
                let chunks = serve.serving.content(now, &self.identity, content);
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
        self.go_on(now, id);
    }

    /// Sends chunks; new ones are also counted as served.
    fn send_chunks(&mut self, id: JobId, chunks: Vec<Chunk>, new: bool) {
        for chunk in chunks {
            let Some(job) = self.jobs.get_mut(&id) else { return };
            let Phase::Serving(serve) = &mut job.phase else { return };
            if new && let Some(earner) = self.earnings.find(&serve.account) {
                earner.serve(serve.serving.newly_billed());
            }
            let last = serve.serving.last_chunk().is_some_and(|end| end.index == chunk.index);
            let client = job.client;
            let sealed = seal(job, id, &FromProvider::Chunk(chunk), last);
            self.send_sealed(client, sealed);
        }
    }

    fn send_sealed(&mut self, client: NodeId, sealed: Option<SealedFrame>) {
        if let Some(frame) = sealed {
            self.send(client, ToClient::Sealed(frame));
        }
    }

    fn acked(&mut self, now: Time, id: JobId, ack: &Ack) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let client = job.client;
        let account = match &mut job.phase {
            Phase::Serving(serve) => {
                serve.acked(now, client, ack);
                serve.account
            }
            Phase::Over { bill: Some((account, _)), .. } => *account,
            Phase::Promised { .. } | Phase::Over { bill: None, .. } => return,
        };
        if let Some(payment) = ack.payment {
            match self.earnings.take(&account, payment, self.config.settle_at, &mut self.outbox) {
                Ok(Took::More) => return self.go_on_all(now, account),
                Ok(Took::Nothing | Took::Early) => {}
                Err(fault) => {
                    // An honest client may be wrong about the funding, never about its own signature.
                    if fault == VoucherFault::Signature {
                        self.fault(client, PeerFault::FalseVoucher);
                    }
                    return self.over(now, id, Some(Refusal::BadVoucher));
                }
            }
        }
        self.go_on(now, id);
    }

    /// Every job on a channel may go on, or must stop: its money has changed.
    fn go_on_all(&mut self, now: Time, account: [u8; 32]) {
        let jobs: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| matches!(&job.phase, Phase::Serving(serve) if serve.account == account))
            .map(|(id, _)| *id)
            .collect();
        for id in jobs {
            if self.earnings.find(&account).is_some() {
                self.go_on(now, id);
            } else {
                self.over(now, id, Some(Refusal::Unfunded));
            }
        }
    }

    pub(super) fn ledger(&mut self, now: Time, event: &LedgerEvent) {
        if let Some(account) = self.earnings.ledger(event, &mut self.outbox) {
            self.go_on_all(now, account);
        }
    }

    /// Ends a job, well (`None`) or with a reason that the client is told.
    fn over(&mut self, now: Time, id: JobId, why: Option<Refusal>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let bill = match &job.phase {
            Phase::Serving(serve) => Some((serve.account, serve.serving.cost())),
            Phase::Promised { .. } => None,
            Phase::Over { .. } => return,
        };
        let over = Phase::Over { until: now + limits::LINGER, bill };
        let client = job.client;
        let served = match core::mem::replace(&mut job.phase, over) {
            Phase::Over { .. } | Phase::Promised { .. } => None,
            Phase::Serving(serve) => Some(serve),
        };
        if let Some(why) = why {
            self.send(client, ToClient::Refuse(Refuse { job: id, why }));
        }
        let Some(serve) = served else { return };
        if !serve.serving.has_ended() && serve.task.is_none() {
            self.outbox.push(Output::Cancel { job: id });
        }
        self.outbox.push(Output::Event(Event::Served(Served {
            job: id,
            client,
            input_tokens: serve.serving.input_tokens(),
            output_tokens: serve.serving.output_tokens(),
            cost: serve.serving.cost(),
            refused: why,
            countersigned: serve.countersigned,
        })));
    }

    /// Everything that is due by the clock.
    pub(super) fn timers(&mut self, now: Time) {
        let due: Vec<JobId> = self
            .jobs
            .iter()
            .filter(|(_, job)| match &job.phase {
                Phase::Promised { until } | Phase::Over { until, .. } => *until <= now,
                Phase::Serving(serve) => serve.wake_at() <= now,
            })
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            self.job_due(now, id);
        }
    }

    fn job_due(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Serving(serve) = &mut job.phase else { return self.forget(now, id) };
        if serve.engine_owes() && now >= serve.engine_at + limits::ENGINE_WAIT {
            return self.over(now, id, Some(Refusal::Engine));
        }
        let starved = serve.waiting_since.is_some_and(|since| now >= since + limits::PAYMENT_WAIT);
        if starved || serve.serving.is_abandoned(now) {
            // Who has paid for everything and waits for its deposit to grow owes nothing.
            let owes = self
                .earnings
                .find(&serve.account)
                .is_some_and(|earner| earner.is_open() && earner.unpaid() > Nano::ZERO);
            let why = if owes { Refusal::Unpaid } else { Refusal::Unfunded };
            return self.over(now, id, Some(why));
        }
        let ask = serve.waiting_since.is_some() && now >= serve.asked_at + limits::CHUNK_RETRY;
        let flushed: Vec<Chunk> = serve.serving.flush_due(now, &self.identity).into_iter().collect();
        let repeats = serve.serving.repeats(now);
        let any = !flushed.is_empty();
        self.send_chunks(id, repeats, false);
        self.send_chunks(id, flushed, true);
        if ask {
            self.need_payment(now, id);
        }
        if any {
            self.go_on(now, id);
        }
    }
}

impl Provider {
    /// Forgets a job at its end, and gives up what it left unpaid once no other job shares its channel.
    fn forget(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Phase::Over { until, bill: Some((account, cost)) } = &mut job.phase {
            let (account, cost) = (*account, *cost);
            let owing = self.earnings.find(&account).is_some_and(|earner| earner.unpaid() > Nano::ZERO);
            if owing {
                *until = now + limits::LINGER;
                let shared = self
                    .jobs
                    .values()
                    .any(|job| matches!(&job.phase, Phase::Serving(serve) if serve.account == account));
                if shared {
                    return;
                }
                if let Some(earner) = self.earnings.find(&account) {
                    earner.write_off(cost);
                }
            }
        }
        self.jobs.remove(&id);
    }
}

fn seal(job: &mut Job, id: JobId, said: &FromProvider, last: bool) -> Option<SealedFrame> {
    // Out of nonces: the job ends by its client's silence.
    let frame = job.secure.seal(&codec::encode(said), last).ok()?;
    Some(SealedFrame { job: id, nonce: frame.nonce, bytes: frame.bytes })
}
