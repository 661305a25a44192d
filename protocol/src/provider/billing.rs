//! How far a job may run on the money of its channel: vouchers in, allowances out, and the wait when there is none.

use crate::amount::Nano;
use crate::channel::earn::{Took, VoucherFault};
use crate::channel::ledger::LedgerEvent;
use crate::channel::terms::ChannelTerms;
use crate::ident::{NodeId, Origin};
use crate::io::{Output, PeerFault};
use crate::limits;
use crate::time::Time;
use crate::wire::message::{Ack, FromProvider, NeedPayment, Refusal};
use crate::work::order::{JobId, TaskKind};

use super::Provider;
use super::job::{Phase, ServedJob, seal};

/// A job that stands still for want of payment, or of room in the window that it shares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// By this the others on its channel let it go first.
    since: Time,
    /// Then it is given up; payment for anything on its channel puts that off.
    pub(super) until: Time,
    /// When the client was last told.
    pub(super) asked_at: Time,
}

impl Waiting {
    pub(super) fn wake_at(self) -> Time {
        self.until.min(self.asked_at + limits::CHUNK_RETRY)
    }
}

impl ServedJob {
    /// Whether it can begin, or has begun. Vectors cannot be made by halves: the whole task must be covered.
    fn is_covered(&self, allowance: Nano) -> bool {
        match (&self.task, self.kind) {
            (Some(_), TaskKind::Embed) => self.cost_max <= allowance,
            (Some(_), TaskKind::Generate) => allowance > Nano::ZERO || self.cost_max == Nano::ZERO,
            (None, _) => true,
        }
    }

    /// Takes as many further tokens as the allowance covers, `share` in flight at the most.
    fn take_tokens(&mut self, allowance: Nano, share: u64) -> u32 {
        let mut more = 0u32;
        while self.counted
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

    /// Whether its engine could go on and may not, and all that it made is sent.
    fn is_starved(&self) -> bool {
        self.kind == TaskKind::Generate
            && self.counted
            && !self.stream.has_ended()
            && self.in_flight() == 0
            && !self.stream.has_gathered()
            && self.stream.has_room()
    }
}

impl Provider {
    /// Serves as far as payment covers; says so when it does not. (`CH-5`)
    pub(super) fn resume(&mut self, now: Time, id: JobId) {
        let on = self.jobs.get(&id).and_then(|job| job.phase.serving()).map(|served| served.account);
        if let Some(account) = on {
            self.resume_within(now, id, share(self.running_on(&account)));
        }
    }

    fn resume_within(&mut self, now: Time, id: JobId, share: u64) {
        let Some((account, credit, is_ready)) = self.means(now, id) else { return };
        let has_slot = !is_ready || self.takes_slot(now, id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Serving(served) = &mut job.phase else { return };
        let Some(earner) = self.earnings.find(&served.account) else { return };
        earner.allow(served.under_way, Nano::ZERO);
        let allowance = earner.allowance(served.window, credit);
        let covered = has_slot && served.is_covered(allowance);
        let started = served.task.take_if(|_| covered);
        if started.is_some() {
            served.engine_at = now;
        }
        if served.in_flight() == 0 {
            served.engine_at = now;
        }
        served.stream.sign_every(share / limits::WINDOW_RECEIPTS);
        let more = served.take_tokens(allowance, share);
        served.under_way = served.at_risk();
        earner.allow(Nano::ZERO, served.under_way);
        let lacks_voucher = earner.is_open() && earner.unpaid() > Nano::ZERO && served.task.is_none();
        if earner.seen().is_none_or(|state| state.epoch == 0) {
            // Before anything is made on it.
            self.credit.note(now, job.origin, account, earner.lent());
        }
        let settled_up = earner.unpaid() == Nano::ZERO;
        self.earnings.secure(&served.account, &mut self.outbox);
        if let Some(task) = started {
            self.outbox.push(Output::Run { job: id, model: job.model, task });
        }
        if more > 0 {
            self.outbox.push(Output::Allow { job: id, tokens: more });
        }
        let owes = served.stream.is_done() && !settled_up;
        if !covered || served.is_starved() || owes {
            if served.waiting.is_none() {
                let is_stranger = !self.standing.has_ever_paid(&job.origin.node);
                let wait = if is_stranger && lacks_voucher {
                    limits::STRANGER_PAYMENT_WAIT
                } else {
                    limits::PAYMENT_WAIT
                };
                served.waiting = Some(Waiting { since: now, until: now + wait, asked_at: now });
                // What has no receipt yet cannot be paid: one asks for payment as well as words do.
                match served.stream.sign_now(now, &self.identity) {
                    Some(receipt) => self.send_chunks(id, vec![receipt], true),
                    None => self.need_payment(now, id),
                }
            }
        } else {
            served.waiting = None;
            if served.stream.is_done() && settled_up {
                self.over(now, id, None);
            }
        }
    }

    /// Tells the client what is missing, with the newest voucher in case it has lost it. (`CH-19`)
    pub(super) fn need_payment(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Phase::Serving(served) = &mut job.phase else { return };
        if let Some(waiting) = &mut served.waiting {
            waiting.asked_at = now;
        }
        let Some(earner) = self.earnings.find(&served.account) else { return };
        let need = NeedPayment { cumulative: earner.served(), newest: earner.newest() };
        let client = job.origin.node;
        let sealed = seal(job, id, &FromProvider::NeedPayment(need), false);
        self.send_sealed(client, sealed);
    }

    pub(super) fn acked(&mut self, now: Time, id: JobId, ack: &Ack) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let client = job.origin.node;
        let account = match &mut job.phase {
            Phase::Serving(served) => {
                served.acked(now, client, ack);
                served.account
            }
            Phase::Over { bill: Some((account, _)), .. } => *account,
            Phase::Promised(_) | Phase::Over { bill: None, .. } => return,
        };
        if let Some(payment) = ack.payment {
            let settle_at = self.earnings.settle_at(self.settle_at);
            match self.earnings.take(&account, payment, settle_at, &mut self.outbox) {
                Ok(Took::More) => {
                    self.standing.has_paid(now, client);
                    self.note_loan(now, &account);
                    return self.resume_channel(now, account, true);
                }
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
        self.resume(now, id);
    }

    /// Every job on a channel may go on, or must stop: its money has changed, by payment or because others need less of
    /// the window. Whoever has waited longest comes first.
    fn resume_channel(&mut self, now: Time, account: [u8; 32], paid: bool) {
        let known = self.earnings.find(&account).is_some();
        let mut jobs: Vec<(Time, JobId)> = Vec::new();
        for (id, job) in self.jobs.iter_mut() {
            let Phase::Serving(served) = &mut job.phase else { continue };
            if served.account != account {
                continue;
            }
            if let Some(waiting) = served.waiting.as_mut().filter(|_| paid) {
                waiting.until = now + limits::PAYMENT_WAIT;
            }
            jobs.push((served.waiting.map_or(now, |waiting| waiting.since), *id));
        }
        jobs.sort_unstable();
        let share = share(jobs.len() as u64);
        for (_, id) in jobs {
            if known {
                self.resume_within(now, id, share);
            } else {
                self.over(now, id, Some(Refusal::Unfunded));
            }
        }
    }

    /// Lets jobs go on where another one on their channel has ended.
    pub(super) fn resume_freed(&mut self, now: Time) {
        while let Some(account) = self.freed.pop_first() {
            self.resume_channel(now, account, false);
        }
    }

    pub(super) fn ledger(&mut self, now: Time, event: &LedgerEvent) {
        if let Some(account) = self.earnings.ledger(now, event, &mut self.outbox) {
            let payer = self.earnings.find(&account).filter(|earner| earner.newest().is_some());
            if let Some(client) = payer.map(|earner| earner.client()) {
                self.standing.has_paid(now, client);
            }
            self.note_loan(now, &account);
            self.resume_channel(now, account, false);
        }
    }

    /// Learns the channel of a task; where it takes another's place, what runs on that one ends. (`CH-51`)
    pub(super) fn learn(
        &mut self,
        now: Time,
        origin: Origin,
        terms: ChannelTerms,
    ) -> Result<[u8; 32], Refusal> {
        self.abandon_late(now);
        let standing = &self.standing;
        let has_paid = |node: &NodeId| standing.has_ever_paid(node);
        let learnt = self.earnings.learn(now, terms, origin, &self.payee, has_paid, &mut self.outbox)?;
        if let Some(other) = learnt.in_place_of {
            self.displaced(now, &other, origin.prefix);
        }
        Ok(learnt.account)
    }

    /// Lets tasks that wait for a slot begin where one has become free: customers' first, then who has waited longest. (`MK-42`)
    pub(super) fn resume_waiting(&mut self, now: Time) {
        if !core::mem::take(&mut self.slot_freed) {
            return;
        }
        let waits = |id: &JobId, job: &super::Job| {
            let served = job.phase.serving().filter(|served| served.task.is_some())?;
            let is_stranger = !self.standing.has_ever_paid(&job.origin.node);
            Some((is_stranger, served.waiting.map_or(now, |waiting| waiting.since), *id))
        };
        let mut waiting: Vec<(bool, Time, JobId)> =
            self.jobs.iter().filter_map(|(id, job)| waits(id, job)).collect();
        waiting.sort_unstable();
        waiting.into_iter().for_each(|(.., id)| self.resume(now, id));
    }

    /// A job's channel, what credit there is on it, and whether it could begin now and has not. (`CH-50`)
    pub(super) fn means(&mut self, now: Time, id: JobId) -> Option<([u8; 32], Nano, bool)> {
        let job = self.jobs.get(&id)?;
        let served = job.phase.serving()?;
        let (account, has_begun) = (served.account, served.task.is_none());
        let may_borrow = self.earnings.is_unseen(&account) && (has_begun || !self.is_half_full(&job.model));
        let earner = self.earnings.find(&account)?;
        let limit = if may_borrow { self.credit.limit(now, job.origin, Some(&account)) } else { Nano::ZERO };
        let credit = limit.saturating_minus(earner.written_off());
        let is_ready = !has_begun && served.is_covered(earner.allowance(served.window, credit));
        Some((account, credit, is_ready))
    }

    /// Whether a slot is free for a job that could begin.
    fn takes_slot(&mut self, now: Time, id: JobId) -> bool {
        let Some(job) = self.jobs.get(&id) else { return false };
        let (origin, model) = (job.origin, job.model);
        let is_customer = self.standing.has_ever_paid(&origin.node);
        self.has_slot(now, &model, origin, is_customer)
    }

    /// Counts what is unpaid on a channel that the ledger has not shown, or may become so.
    pub(super) fn note_loan(&mut self, now: Time, account: &[u8; 32]) {
        let is_unseen = self.earnings.is_unseen(account);
        let Some((origin, lent)) = self.earnings.lent(account) else { return };
        if is_unseen {
            self.credit.note(now, origin, *account, lent);
        } else {
            self.credit.settle(account, lent);
        }
    }

    /// Forgets a job at its end, and gives up what it left unpaid once no other job shares its channel. (`CH-9`)
    pub(super) fn forget(&mut self, now: Time, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        if let Phase::Over { until, bill: Some((account, cost)) } = &mut job.phase {
            let (account, cost) = (*account, *cost);
            let owing = self.earnings.find(&account).is_some_and(|earner| earner.unpaid() > Nano::ZERO);
            if owing {
                *until = now + limits::LINGER;
                if self.running_on(&account) > 0 {
                    return;
                }
                self.earnings.write_off(&account, cost, &mut self.outbox);
            }
        }
        self.remove(now, id);
    }

    /// Jobs that are being served on a channel.
    fn running_on(&self, account: &[u8; 32]) -> u64 {
        let on =
            self.jobs.values().filter_map(|job| job.phase.serving()).filter(|served| served.is_on(account));
        on.count() as u64
    }
}

/// Tokens in flight for each of so many jobs side by side: even parts of the window, so that none waits for the end of
/// another.
fn share(jobs: u64) -> u64 {
    limits::WINDOW_TOKENS.checked_div(jobs).unwrap_or(1).max(1)
}
