//! A job that is being served: chunks in, acknowledgements and vouchers out, and the silence that ends it.

use crate::amount::Nano;
use crate::channel::record::Record;
use crate::ident::NodeId;
use crate::io::{Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::Candidate;
use crate::session::Secure;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::message::{
    Ack, Chunk, Content, FromClient, FromProvider, NeedPayment, SealedFrame, ToProvider, Work,
};
use crate::work::order::{JobId, OrderId, Task};
use crate::work::receipt::Receipt;
use crate::work::stream::Stream;

use super::Client;
use super::deposit::Needs;
use super::errand::Phase;

/// A job in progress.
#[derive(Debug)]
pub(super) struct Working {
    pub(super) job: JobId,
    pub(super) account: [u8; 32],
    candidate: Candidate,
    secure: Secure,
    stream: Stream,
    task: Task,
    /// Vectors that earlier attempts delivered: this attempt counts its inputs from 0.
    rows_before: u32,
    reserved: Nano,
    progress_at: Time,
    /// The most that its promises of time count for: a part of the time that the order had left. (`WR-16`)
    promise_max: Span,
    /// Until when a provider that says that it waits is not taken for silent.
    patient_until: Option<Time>,
    asked_at: Time,
}

/// A job that is over for the user, kept to acknowledge and pay what the provider has not heard yet.
#[derive(Debug)]
pub(super) struct Lingering {
    pub(super) until: Time,
    /// What of that is paid at the most: a window of a job that its user left, nothing of one that its provider failed.
    pays: Nano,
    working: Box<Working>,
}

impl Working {
    pub(super) fn provider(&self) -> NodeId {
        self.candidate.bid.provider
    }

    /// Whether anything of use has come.
    pub(super) const fn has_delivered(&self) -> bool {
        self.stream.has_content()
    }

    /// What is owed for it so far.
    pub(super) const fn cost(&self) -> Nano {
        self.stream.cost()
    }

    /// Whether twice the time that was promised for the first token has passed, and a second for the way.
    pub(super) fn is_late(&self, now: Time) -> bool {
        let promised = Span(self.promised().0.saturating_mul(2));
        now >= self.progress_at + promised + Span::from_s(1)
    }

    /// Returns how long this provider may take for a chunk by its own word: before the first one, and for a slow one later.
    fn promised(&self) -> Span {
        let bid = &self.candidate.bid;
        let promised_ms = if self.stream.next() == 0 {
            u64::from(bid.first_token_ms)
        } else {
            u64::from(limits::CHUNK_TOKENS)
                .saturating_mul(1_000)
                .checked_div(u64::from(bid.tokens_per_s))
                .unwrap_or(0)
        };
        Span::from_ms(promised_ms).min(self.promise_max)
    }

    /// How long it may be silent altogether.
    fn patience(&self) -> Span {
        Span(limits::STALL_WAIT.0.saturating_add(self.promised().0.saturating_mul(3)))
    }

    /// When it is asked again: for a chunk not before it can be there.
    fn ask_at(&self) -> Time {
        let chunk = if self.stream.next() == 0 { Span(0) } else { self.promised() };
        self.asked_at + limits::CHUNK_RETRY + chunk
    }

    pub(super) fn wake_at(&self) -> Time {
        self.ask_at().min(self.progress_at + self.patience())
    }
}

impl Client {
    /// Sends the task over a fresh session.
    pub(super) fn begin_work(
        &mut self,
        now: Time,
        id: OrderId,
        job: JobId,
        candidate: Candidate,
        secure: Secure,
    ) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let task = errand.task_left();
        let provider = candidate.bid.provider;
        let reserved = candidate.price.cost_max(&task).unwrap_or(Nano(u64::MAX)).min(errand.budget());
        let rows_before = errand.rows;
        let left = errand.deadline.since(now).0;
        let promise_max = Span(left.checked_div(limits::PROMISE_PARTS).unwrap_or(0));
        let draw = self.entropy.number();
        let bid = &candidate.bid;
        let needs = Needs { cost_max: reserved, draw, acquaintance: self.acquaintance(&provider) };
        let found = self.payments.channel_for(now, bid, needs, &self.config, &mut self.outbox);
        let account = match found {
            Ok(account) => account,
            Err(fault) => {
                self.jobs.remove(&job);
                let why = Failure::Payment(fault);
                if fault.is_providers() {
                    return self.failed(now, id, provider, why);
                }
                return self.end(now, id, Some(why));
            }
        };
        let stream = Stream::new(provider, candidate.bid.model, job, candidate.price, &task);
        let Some(errand) = self.orders.get_mut(&id) else { return };
        errand.phase = Phase::Working(Box::new(Working {
            job,
            account,
            candidate,
            secure,
            stream,
            task,
            rows_before,
            reserved,
            progress_at: now,
            promise_max,
            patient_until: None,
            asked_at: now,
        }));
        self.send_work(id);
    }

    fn send_work(&mut self, id: OrderId) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        let Some(terms) = self.payments.terms(&working.account) else { return };
        let work = FromClient::Work(Work { task: working.task.clone(), channel: terms });
        if let Some((to, message)) = seal(working, &work) {
            self.send(to, message);
        }
    }

    pub(super) fn sealed(&mut self, now: Time, from: NodeId, frame: &SealedFrame) {
        if let Some(lingering) = self.lingering.get_mut(&frame.job) {
            if lingering.working.provider() == from
                && let Ok(opened) = lingering.working.secure.open(frame.nonce, &frame.bytes)
            {
                self.late(now, frame.job, &opened.body, opened.last);
            }
            return;
        }
        let Some(id) = self.jobs.get(&frame.job).copied() else { return };
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        if working.job != frame.job || working.provider() != from {
            return;
        }
        // A frame that does not open may be a copy: it changes nothing.
        let Ok(opened) = working.secure.open(frame.nonce, &frame.bytes) else { return };
        let Ok(said) = codec::decode_sealed::<FromProvider>(&opened.body) else {
            self.fault(from, PeerFault::Malformed);
            return self.failed(now, id, from, Failure::Session);
        };
        match said {
            FromProvider::Chunk(chunk) => self.chunk(now, id, from, chunk, opened.last),
            FromProvider::NeedPayment(need) => self.need_payment(now, id, &need),
        }
    }

    /// What a provider says after the user is done with a job: what it delivered all the same is paid, and the
    /// last acknowledgement repeated.
    fn late(&mut self, now: Time, job: JobId, body: &[u8], last: bool) {
        let Some(lingering) = self.lingering.get_mut(&job) else { return };
        let working = &mut lingering.working;
        let account = working.account;
        match codec::decode_sealed::<FromProvider>(body) {
            Ok(FromProvider::Chunk(chunk)) => {
                let taken = working.stream.take(chunk, last).unwrap_or_default();
                let cost: Nano = taken.iter().filter_map(|part| part.bill).sum();
                let left = core::mem::take(&mut lingering.pays);
                lingering.pays = left.minus(cost).unwrap_or(Nano::ZERO);
                if cost > left {
                    self.payments.release(now, &account, left);
                } else if cost > Nano::ZERO {
                    self.payments.fund(now, &account, true, &mut self.outbox);
                    if self.payments.owe(&account, cost).is_ok() {
                        self.payments.persist(&account, &mut self.outbox);
                    } else {
                        self.payments.release(now, &account, cost);
                    }
                }
            }
            // What is wrong with the channel is told to its owner; no order waits here any more.
            Ok(FromProvider::NeedPayment(need)) => {
                let _ = self.payments.recover(&account, need.newest, &mut self.outbox);
            }
            Err(_) => {}
        }
        self.ack_lingering(job);
    }

    fn chunk(&mut self, now: Time, id: OrderId, from: NodeId, chunk: Chunk, last: bool) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        let before = (working.stream.input_tokens(), working.stream.output_tokens());
        let Ok(taken) = working.stream.take(chunk, last) else {
            self.fault(from, PeerFault::FalseReceipt);
            return self.failed(now, id, from, Failure::FalseReceipt);
        };
        if taken.is_empty() {
            return self.send_ack(now, id);
        }
        let is_progress = taken.iter().any(|part| part.is_useful());
        if is_progress {
            working.progress_at = now;
            working.patient_until = None;
        }
        // What came without a receipt is not acknowledged by itself: the next one covers it.
        working.asked_at = now;
        let cost: Nano = taken.iter().filter_map(|part| part.bill).sum();
        let receipts = taken.iter().filter(|part| part.bill.is_some()).count();
        let receipts = u32::try_from(receipts).unwrap_or(u32::MAX);
        errand.bill.receipts = errand.bill.receipts.saturating_add(receipts);
        errand.bill.cost = errand.bill.cost.saturating_plus(cost);
        let input = working.stream.input_tokens().saturating_sub(before.0);
        let output = working.stream.output_tokens().saturating_sub(before.1);
        errand.bill.input_tokens = errand.bill.input_tokens.saturating_add(input);
        errand.bill.output_tokens = errand.bill.output_tokens.saturating_add(output);
        if is_progress {
            errand.bill.first_token = errand.bill.first_token.or(Some(now.since(errand.started)));
        }
        working.reserved = working.reserved.saturating_minus(cost);
        let account = working.account;
        let rows_before = working.rows_before;
        let receipt = working.stream.receipt().filter(|_| receipts > 0).cloned();
        let job = working.job;
        let finish = working.stream.finish();
        let mut shown = Vec::with_capacity(taken.len());
        for part in taken {
            match part.content {
                Content::Tokens { ids, text } => {
                    errand.delivered.extend(&ids);
                    shown.push(Content::Tokens { ids, text });
                }
                Content::Vectors { first, dims, bytes } => {
                    let first = first.saturating_add(rows_before);
                    let row = (dims as usize).saturating_mul(4);
                    let rows =
                        bytes.len().checked_div(row).and_then(|rows| u32::try_from(rows).ok()).unwrap_or(0);
                    errand.rows = first.saturating_add(rows);
                    shown.push(Content::Vectors { first, dims, bytes });
                }
                Content::End { finish } => shown.push(Content::End { finish }),
            }
        }
        // The user sees the text at once; only money has to wait for the disk.
        for content in shown {
            self.news(id, OrderNews::Content(content));
        }
        if is_progress {
            // Now there is something to pay for. (`CH-32`)
            self.fund(now, &account, from, true);
        }
        let Some(receipt) = receipt else { return };
        if self.payments.owe(&account, cost).is_err() {
            return self.failed(now, id, from, Failure::FalseReceipt);
        }
        self.outbox.persist(Record::Receipt { job, provider: from, receipt });
        self.payments.persist(&account, &mut self.outbox);
        self.send_ack(now, id);
        if let Some(finish) = finish {
            self.finished(now, id, finish);
        } else if let Some(fault) = self.payments.forgo_later(&account) {
            self.unpayable(now, account, fault);
        }
    }

    fn finished(&mut self, now: Time, id: OrderId, finish: crate::wire::message::Finish) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        errand.bill.finish = Some(finish);
        if let Phase::Working(working) = &errand.phase
            && working.has_delivered()
        {
            self.leases.keep(now, working.candidate.clone());
        }
        self.praise(now, id);
        self.leave_job(now, id, true);
        self.end(now, id, None);
    }

    /// Turns a job that is over for the user into one that only owes its last acknowledgement. What still comes is paid
    /// where the provider is not to blame, a window of it at the most. (`WR-14`, `WR-21`)
    pub(super) fn leave_job(&mut self, now: Time, id: OrderId, pays: bool) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        match core::mem::replace(&mut errand.phase, Phase::Idle) {
            Phase::Working(mut working) => {
                self.jobs.remove(&working.job);
                if working.stream.finish().is_none()
                    && let Some((to, message)) = seal(&mut working, &FromClient::Cancel)
                {
                    self.send(to, message);
                }
                // A channel that is still on its way to the ledger must be waited for: the bill stands.
                let is_settled =
                    self.payments.is_open(&working.account) || !self.payments.is_asked_for(&working.account);
                let wait = if is_settled { limits::LINGER } else { limits::LEDGER_WAIT };
                let window = working.stream.cost_of_window(working.task.input_tokens_max());
                let keeps = pays && self.lingering.len() < limits::JOBS_MAX;
                let most = if keeps { window.min(working.reserved) } else { Nano::ZERO };
                self.payments.release(now, &working.account, working.reserved);
                // What it may still be paid stays set aside, so that no other job counts on it.
                let pays = self.payments.set_aside(&working.account, most);
                if self.lingering.len() < limits::JOBS_MAX {
                    self.lingering.insert(working.job, Lingering { until: now + wait, pays, working });
                }
            }
            Phase::Awarding(_) => self.jobs.retain(|_, order| *order != id),
            Phase::Idle | Phase::Calling(_) => {}
        }
    }

    fn send_ack(&mut self, now: Time, id: OrderId) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        working.asked_at = now;
        let ack = ack(working, &self.payments, &self.identity);
        if ack.payment.is_some() {
            errand.bill.vouchers = errand.bill.vouchers.saturating_add(1);
        }
        if let Some((to, message)) = seal(working, &FromClient::Ack(ack)) {
            self.send(to, message);
        }
    }

    fn ack_lingering(&mut self, job: JobId) {
        let Some(lingering) = self.lingering.get_mut(&job) else { return };
        let ack = ack(&lingering.working, &self.payments, &self.identity);
        if let Some((to, message)) = seal(&mut lingering.working, &FromClient::Ack(ack)) {
            self.send(to, message);
        }
    }

    fn need_payment(&mut self, now: Time, id: OrderId, need: &NeedPayment) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        let account = working.account;
        let provider = working.provider();
        if !self.payments.is_asked_for(&account) {
            // It has taken the task and wants to see money first.
            self.fund(now, &account, provider, false);
        }
        match self.payments.recover(&account, need.newest, &mut self.outbox) {
            Ok(None) => self.payments.cover(&account, &mut self.outbox),
            Ok(Some(fault)) => return self.unpayable(now, account, fault),
            Err(_) => return self.fault(provider, PeerFault::FalseVoucher),
        }
        if let Some(fault) = self.payments.forgo_later(&account) {
            self.unpayable(now, account, fault);
        }
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        // A provider may wait for the ledger as this node does, see it later, or have other jobs on the channel: whoever
        // says so lives, for as long as it may wait itself.
        let until = *working.patient_until.get_or_insert(now + limits::PAYMENT_WAIT);
        let is_coming = self.payments.is_asked_for(&account) && !self.payments.is_open(&account);
        if now < until || is_coming {
            working.progress_at = now;
        }
        self.send_ack(now, id);
    }

    /// The ledger has shown a channel: whoever waits for a voucher on it gets one.
    pub(super) fn pay_all(&mut self, now: Time, account: [u8; 32]) {
        let orders: Vec<OrderId> = self.orders_on(account).collect();
        for id in orders {
            self.send_ack(now, id);
        }
        let jobs: Vec<JobId> = self
            .lingering
            .iter_mut()
            .filter(|(_, lingering)| lingering.working.account == account)
            .map(|(job, lingering)| {
                lingering.until = now + limits::LINGER;
                *job
            })
            .collect();
        for job in jobs {
            self.ack_lingering(job);
        }
    }

    /// Silence: ask again, and after too much of it go elsewhere. (`WR-16`)
    pub(super) fn work_due(&mut self, now: Time, id: OrderId) {
        let Some(errand) = self.orders.get_mut(&id) else { return };
        let Phase::Working(working) = &mut errand.phase else { return };
        let provider = working.provider();
        if now >= working.progress_at + working.patience() {
            return self.failed(now, id, provider, Failure::Stalled);
        }
        if now >= working.ask_at() {
            working.asked_at = now;
            if working.stream.next() == 0 {
                self.send_work(id);
            } else {
                self.send_ack(now, id);
            }
        }
    }

    pub(super) fn lingering_due(&mut self, now: Time) {
        let payments = &mut self.payments;
        self.lingering.retain(|_, lingering| {
            let stays = lingering.until > now;
            if !stays && lingering.pays > Nano::ZERO {
                payments.release(now, &lingering.working.account, lingering.pays);
            }
            stays
        });
        let (orders, lingering) = (&self.orders, &self.lingering);
        self.payments.forget_proposed(|account| {
            orders.values().any(|errand| errand.account().as_ref() == Some(account))
                || lingering.values().any(|lingering| lingering.working.account == *account)
        });
    }
}

fn ack(working: &Working, payments: &super::Payments, identity: &crate::ident::Identity) -> Ack {
    let countersignature = working
        .stream
        .finish()
        .and(working.stream.receipt())
        .map(|receipt| Receipt::countersign(receipt, identity));
    Ack { next: working.stream.next(), payment: payments.payment(&working.account), countersignature }
}

fn seal(working: &mut Working, said: &FromClient) -> Option<(NodeId, ToProvider)> {
    let last = matches!(said, FromClient::Cancel);
    // Out of nonces: the job is at its end anyway, its silence will end it.
    let frame = working.secure.seal(&codec::encode(said), last).ok()?;
    let sealed = SealedFrame { job: working.job, nonce: frame.nonce, bytes: frame.bytes };
    Some((working.provider(), ToProvider::Sealed(sealed)))
}
