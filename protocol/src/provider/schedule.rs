//! Which jobs run, when and how far: on the money of their channels, and in the slots that are free.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::ledger::LedgerEvent;
use crate::ident::{NodeId, Origin};
use crate::io::{EngineReport, PeerFault};
use crate::limits;
use crate::market::call::Classes;
use crate::session::SecureError;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{FromClient, Refusal, Refuse, SealedFrame, ToClient, Work};
use crate::work::order::{Counted, JobId, OrderFault};
use crate::work::price::Tariff;

use super::Provider;
use super::earnings::NamedChannel;
use super::job::{EngineWork, Job, JobMut, Means, Next, Phase, ServedJob};

impl Provider {
    /// Changes a job and what belongs to it.
    fn change<T>(&mut self, now: Time, id: JobId, change: impl FnOnce(&mut JobMut<'_>) -> T) -> Option<T> {
        let changed = self.job_mut(now, id).map(|mut job| change(&mut job));
        self.jobs.note(&id);
        changed
    }

    /// Lends a job with everything that a step of it may touch.
    fn job_mut(&mut self, now: Time, id: JobId) -> Option<JobMut<'_>> {
        let (job, freed) = self.jobs.with_freed(&id)?;
        Some(JobMut {
            now,
            id,
            job,
            freed,
            bidder: &mut self.bidder,
            earnings: &mut self.earnings,
            credit: &mut self.credit,
            clientele: &mut self.admission.clientele,
            identity: &self.identity,
            out: &mut self.outbox,
        })
    }

    /// Lets a job take one step, and does what that asks for.
    pub(super) fn step(&mut self, now: Time, id: JobId, take: impl FnOnce(&mut JobMut<'_>) -> Next) {
        let Some(next) = self.change(now, id, take) else { return };
        match next {
            Next::Stay => {}
            Next::Resume => self.resume(now, id, false),
            Next::ResumeChannel(account) => self.resume_paid(now, &account),
            Next::Wait => self.wait_for_slot(now, id),
            Next::Count => self.queue_count(now, id),
            Next::GiveUp => self.give_up(now, id),
            Next::LeaveForgotten => self.leave_forgotten(now, id),
            Next::End(why) => {
                self.change(now, id, |job| job.end(why));
                self.retire(now, id);
            }
            Next::Recount(counted) => {
                self.change(now, id, |job| job.recount(counted));
            }
            Next::Forget => self.forget(now, id),
        }
    }

    /// Ends a job, well (`None`) or with a reason that the client is told.
    pub(super) fn end(&mut self, now: Time, id: JobId, why: Option<Refusal>) {
        self.step(now, id, |_| Next::End(why));
    }

    /// Opens a sealed frame of a job's client, and acts on it.
    pub(super) fn sealed(&mut self, now: Time, from: NodeId, frame: &SealedFrame) {
        let id = frame.job;
        let opened = self.jobs.change(&id, |job| {
            let opened = (job.origin.node == from).then(|| job.secure.open(frame.nonce, &frame.bytes))?;
            if let Some(served) = job.served_mut().filter(|_| opened.is_ok()) {
                served.heard(now);
            }
            Some(opened)
        });
        let opened = match opened.flatten() {
            Some(Ok(opened)) => opened,
            Some(Err(SecureError::Malformed { .. })) => {
                self.outbox.peer_fault(from, PeerFault::Malformed);
                return self.end(now, id, Some(Refusal::Malformed));
            }
            // Another one that does not open may be a copy, or anybody's: it changes nothing.
            Some(Err(_)) | None => return,
        };
        match codec::decode_sealed::<FromClient>(&opened.body) {
            Ok(FromClient::Work(work)) => self.begin(now, id, work),
            Ok(FromClient::Ack(ack)) if !ack.extensions.are_understood() => {
                self.end(now, id, Some(Refusal::NotUnderstood));
            }
            Ok(FromClient::Ack(ack)) => self.step(now, id, |job| job.acked(&ack)),
            Ok(FromClient::Cancel(_)) => self.step(now, id, |job| job.cancelled()),
            Err(_) => {
                self.outbox.peer_fault(from, PeerFault::Malformed);
                self.end(now, id, Some(Refusal::Malformed));
            }
        }
        let account = self.jobs.get(&id).and_then(Job::account).copied();
        if let Some(channel) = account.and_then(|account| self.earnings.channel_mut(&account)) {
            channel.heard = now;
        }
        self.keep_session(now, id);
    }

    /// Takes the task of a job. It may arrive twice: the client repeats it until the first chunk.
    fn begin(&mut self, now: Time, id: JobId, work: Work) {
        let Some(job) = self.jobs.get(&id).filter(|job| matches!(job.phase, Phase::Awarded(_))) else {
            return;
        };
        if job.is_late() {
            self.admission.clientele.forgive(now, job.origin);
        }
        let (client, counts) = (job.origin.node, job.counts());
        if let Some(counted) = counts.filter(|counted| *counted != work.input.count()) {
            // A copy of what was refused, that was under way.
            let why = Refusal::Counts(counted);
            return self.outbox.send_to_client(job.origin.node, ToClient::Refuse(Refuse::of(id, why)));
        }
        match self.accept(now, id, work) {
            Ok(mut served) => {
                served.recounted = counts.is_some();
                if self.admission.clientele.has_ever_paid(&client) {
                    served.stream.trust_first();
                }
                let held_slot = self.jobs.change(&id, |job| {
                    let held_slot = job.holds_slot();
                    served.accept_at = job.is_kept().then(|| now + limits::ACCEPT_WAIT);
                    job.phase = Phase::Serving(Box::new(served));
                    held_slot
                });
                self.jobs.freed.slot |= held_slot == Some(true);
                self.resume(now, id, false);
            }
            Err(why) => {
                self.end(now, id, Some(why));
                if why == Refusal::BadKeyProof {
                    self.outbox.peer_fault(client, PeerFault::Forged);
                }
            }
        }
    }

    /// Checks a task and the channel that is to pay for it: what costs least first, so that one fault has one name everywhere. Whether the
    /// input is as long as its client says shows when it is counted. (`WR-1`, `WR-8`)
    fn accept(&mut self, now: Time, id: JobId, work: Work) -> Result<ServedJob, Refusal> {
        let Some(job) = self.jobs.get(&id) else { return Err(Refusal::UnknownBid) };
        let (origin, promised, price, binding) = (job.origin, job.promised, job.price, job.secure.binding());
        if !work.extensions.are_understood() {
            return Err(Refusal::NotUnderstood);
        }
        work.task.check().map_err(refusal)?;
        // It was on offer when it was bid for.
        let offer = self.bidder.offers.find(&promised.model).ok_or(Refusal::Leaving)?;
        if offer.kind != work.task.kind() {
            return Err(Refusal::WrongKind);
        }
        let weights = offer.weights;
        let (input, output) = (work.input.count(), work.task.output_tokens_max());
        let engine_work = EngineWork {
            whole: offer.work(input, output),
            reading: offer.work(input, 0),
            ahead: offer.tokens_ahead(output),
        };
        if !promised.classes.is_near(&Classes::of(input, output)) {
            return Err(Refusal::OtherClass);
        }
        let channel = NamedChannel { terms: work.channel, binding, key_proof: work.key_proof };
        let account = self.learn(now, origin, channel)?;
        let tariffs = [price, promised.price].map(|price| Tariff { price, weights });
        let served =
            ServedJob::new(now, id, promised.model, tariffs, account, (work.task, engine_work), work.input)?;
        let loss_max = served.loss_max();
        if self.earnings.find_mut(&account).is_some_and(|earner| !earner.exposure.admit(loss_max)) {
            return Err(Refusal::Unpaid);
        }
        Ok(served)
    }

    /// Learns the channel of a task; where it takes another's place, what runs on that one ends. (`CH-51`)
    fn learn(&mut self, now: Time, origin: Origin, channel: NamedChannel) -> Result<ChannelId, Refusal> {
        self.abandon_late(now);
        let clientele = &self.admission.clientele;
        let has_paid = |node: &NodeId| clientele.has_ever_paid(node);
        let learnt = self.earnings.learn(now, channel, origin, has_paid, &mut self.outbox)?;
        if let Some(other) = learnt.in_place_of {
            self.displaced(now, &other, origin.prefix);
        }
        Ok(learnt.account)
    }

    /// Hands a job what its engine says.
    pub(super) fn engine(&mut self, now: Time, id: JobId, report: EngineReport) {
        if matches!(report, EngineReport::Counted { .. } | EngineReport::Failed(_)) {
            self.counts.told(&id);
        }
        self.step(now, id, |job| job.engine(report));
    }

    /// Does everything of jobs that is due by the clock.
    pub(super) fn timers(&mut self, now: Time) {
        for id in self.jobs.take_due(now) {
            self.step(now, id, |job| job.due());
        }
    }

    /// Takes what the ledger says of a channel: its jobs resume, or stop.
    pub(super) fn ledger(&mut self, now: Time, event: &LedgerEvent) {
        if let Some(account) = self.earnings.ledger(now, self.clock.unix_s(now), event, &mut self.outbox) {
            let payer = self.earnings.find(&account).filter(|earner| earner.newest().is_some());
            if let Some(client) = payer.map(|earner| earner.client()) {
                self.admission.clientele.has_paid(now, client);
            }
            self.credit.follow(now, &account, &mut self.earnings);
            self.resume_channel(now, &account);
        }
    }

    /// Returns the part of a channel's window that a job has which has begun, or is about to, beside the others that have, or would
    /// if the window were theirs.
    fn share(&self, account: &ChannelId, id: &JobId) -> u64 {
        let has_part = self.jobs.get(id).and_then(Job::served).is_some_and(ServedJob::has_part);
        share(self.jobs.sharing(account).saturating_add(usize::from(!has_part)))
    }

    /// Lets a job run as far as payment covers. One that `has_turn` may take a free slot before all that wait. (`CH-5`)
    pub(super) fn resume(&mut self, now: Time, id: JobId, has_turn: bool) {
        let Some(means) = self.means(now, id) else { return };
        let Some(served) = self.jobs.get(&id).and_then(Job::served) else { return };
        if !means.is_ready && !served.has_begun() && self.earnings.is_out_of_sight(&served.account) {
            // No voucher and no deposit helps it, before this node's own ledger answers. (`CH-57`)
            return self.end(now, id, Some(Refusal::Busy));
        }
        let is_counted = served.is_counted();
        if !is_counted && !self.may_begin_uncounted(id, means.credit) {
            return self.resume_uncounted(now, id, means.credit);
        }
        let (had_begun, share) = (served.has_begun(), self.share(&served.account, &id));
        // Who waits for a slot waits for its turn, and nobody goes before those who wait.
        let may_take = has_turn || self.is_line_empty(id);
        self.jobs.freed.slot |= !had_begun && !may_take;
        let has_slot = had_begun || (may_take && self.takes_slot(now, id));
        if !is_counted && !has_slot {
            return self.resume_uncounted(now, id, means.credit);
        }
        self.step(now, id, |job| match job.served() {
            Some(mut served) => served.resume(share, means.credit, has_slot),
            None => Next::Stay,
        });
        let has_begun = self.jobs.get(&id).and_then(Job::served).is_some_and(ServedJob::has_begun);
        if has_begun && !had_begun {
            self.begun(now, id);
        }
    }

    /// Lets every job on a channel resume, or stop: its money has changed, or others need less of the window. The one that has
    /// waited longest comes first.
    fn resume_channel(&mut self, now: Time, account: &ChannelId) {
        let is_known = self.earnings.find(account).is_some();
        let served = self.jobs.served_on(account);
        let mut jobs: Vec<(Time, JobId)> =
            served.map(|(id, served)| (served.waits_since().unwrap_or(now), id)).collect();
        jobs.sort_unstable();
        for (_, id) in jobs {
            if is_known {
                self.resume(now, id, false);
            } else {
                self.end(now, id, Some(Refusal::Unfunded));
            }
        }
    }

    /// Does the same after a payment, which also puts off until when they wait for one.
    fn resume_paid(&mut self, now: Time, account: &ChannelId) {
        self.jobs.wait_until(account, now + limits::PAYMENT_WAIT);
        self.resume_channel(now, account);
    }

    /// Lets jobs resume where another one on their channel has ended.
    pub(super) fn resume_freed(&mut self, now: Time) {
        while let Some(account) = self.jobs.freed.channels.pop_first() {
            self.resume_channel(now, &account);
        }
    }

    /// Returns what a job may run on. (`CH-50`)
    fn means(&self, now: Time, id: JobId) -> Option<Means> {
        let job = self.jobs.get(&id)?;
        let served = job.served()?;
        let account = &served.account;
        let has_begun = served.task.is_none();
        let may_borrow =
            self.earnings.is_unseen(account) && (has_begun || !self.is_half_full(&job.promised.model));
        let earner = self.earnings.find(account)?;
        let limit = if may_borrow { self.credit.limit(now, job.origin, Some(account)) } else { Nano::ZERO };
        let credit = limit.saturating_minus(earner.written_off());
        Some(Means { credit, is_ready: served.is_ready(earner, credit) })
    }

    /// Ends a job that waited for nothing.
    fn give_up(&mut self, now: Time, id: JobId) {
        let means = self.means(now, id);
        self.step(now, id, |job| job.served().map_or(Next::Stay, |mut served| served.give_up(means)));
    }
}

/// Tokens in flight for each of so many jobs side by side: even parts of the window, so that none waits for the end of
/// another.
fn share(jobs: usize) -> u64 {
    limits::WINDOW_TOKENS.checked_div(jobs as u64).unwrap_or(1).max(1)
}

/// Returns how a task that is over a limit is refused. (`WR-1`)
const fn refusal(fault: OrderFault) -> Refusal {
    match fault {
        OrderFault::Empty | OrderFault::NoOutput => Refusal::EmptyTask,
        OrderFault::TooLarge { .. } => Refusal::TaskTooLong(limits::TASK_BYTES_MAX as u64),
        OrderFault::TooMany { what: Counted::Inputs, max, .. } => Refusal::TooManyInputs(max as u64),
        OrderFault::TooMany { what: Counted::Messages, max, .. } => Refusal::TooManyMessages(max as u64),
        OrderFault::TooMany { what: Counted::Stops, max, .. } => Refusal::TooManyStops(max as u64),
        OrderFault::TooMany { what: Counted::PrefixTokens, .. } => {
            Refusal::TaskTooLong(limits::TASK_AND_PREFIX_BYTES_MAX as u64)
        }
        OrderFault::BadStop { .. } => Refusal::BadStop(limits::STOP_BYTES_MAX as u64),
        OrderFault::OverContext { context, .. } | OrderFault::InputOverContext { context, .. } => {
            Refusal::OverContext(context as u64)
        }
        // Of orders, not of tasks: no check of a task ends so.
        OrderFault::Busy | OrderFault::NoConfidentialTier => Refusal::Malformed,
    }
}
