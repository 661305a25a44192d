//! One attempt at an order with one provider: chunks in, acknowledgements and vouchers out, and the silence that ends it.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::channel::record::Record;
use crate::ident::{Identity, NodeId};
use crate::io::{Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::{Candidate, Source};
use crate::market::call::Classes;
use crate::market::history::Timing;
use crate::outbox::Outbox;
use crate::session::{Secure, SecureError};
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::extension::Extensions;
use crate::wire::message::{
    Ack, Chunk, Finish, FromClient, FromProvider, NeedPayment, Refusal, SealedFrame, ToProvider, Work,
    WorkProgress,
};
use crate::work::order::{JobId, OrderId, Task};
use crate::work::price::{InputTokens, Tariff};
use crate::work::receipt::Receipt;
use crate::work::stream::{CheckedChunk, Stream, StreamFault};

use super::memory::{Memory, Service};
use super::payments::{Needs, Payments};
use super::progress::Progress;
use super::room::Room;
use super::shared::SharedState;

/// A job that a provider serves.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) job: JobId,
    /// The channel that it is paid on.
    pub(super) account: ChannelId,
    pub(super) candidate: Candidate,
    pub(super) secure: Secure,
    pub(super) stream: Stream,
    pub(super) task: Task,
    pub(super) input: InputTokens,
    /// Whether the input is stated as this provider counts it.
    pub(super) recounted: bool,
    /// What is set aside for it on the channel and not yet owed.
    pub(super) reserved: Nano,
    /// Vectors that earlier attempts delivered: this attempt counts its inputs from 0.
    rows_before: u32,
    /// When the task was sent.
    pub(super) started: Time,
    /// When the first content came, and how many tokens it had.
    first: Option<(Time, u64)>,
    /// Whether the provider has waited for money: then its time is not its own.
    waited: bool,
    progress_at: Time,
    /// Until when it is known to have waited for a channel of this client's that was not open yet.
    kept_waiting: Time,
    /// Whether the provider has said that it has the task. (`WR-23`)
    has_task: bool,
    /// Whether it waits for a slot there, by the provider's word.
    waits: bool,
    /// Since when it reads, by the provider's word, and until when it may.
    reads_since: Option<Time>,
    reads_until: Time,
    /// Input tokens that the provider says it has read.
    pub(super) read: u32,
    /// The most that its promises of time count for: a part of the time that the order had left. (`WR-16`)
    promise_max: Span,
    /// Until then, a provider that reports waiting does not count as stalled.
    patient_until: Option<Time>,
    asked_at: Time,
}

/// A session with a provider that has taken an award: a task can be sent.
#[derive(Debug)]
pub(super) struct OpenSession {
    pub(super) job: JobId,
    pub(super) candidate: Candidate,
    pub(super) secure: Secure,
    /// Whether the input is stated as this provider counts it.
    pub(super) recounted: bool,
}

/// What an order does after a step of its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Next {
    /// It goes on waiting.
    Stay,
    /// The answer is complete.
    Done(Finish),
    /// Another provider is asked.
    FailOver(Failure),
    /// The channel cannot be paid on as was planned: some orders on it end, perhaps this one.
    Unpayable {
        /// The channel.
        account: ChannelId,
        /// What is wrong with it.
        fault: PaymentFault,
    },
}

impl Attempt {
    /// Sets aside what the task that is left can cost, and sends it over a fresh session.
    ///
    /// # Errors
    /// [`PaymentFault`] tells why it cannot be paid.
    pub(super) fn start(
        now: Time,
        session: OpenSession,
        progress: &Progress,
        shared: &mut SharedState,
    ) -> Result<Self, PaymentFault> {
        let OpenSession { job, candidate, secure, recounted } = session;
        let task = progress.task_left();
        let bid = &candidate.bid;
        let lot = progress.lot();
        let reserved = lot.cost_max(candidate.price).unwrap_or(Nano(u64::MAX)).min(progress.budget());
        let left = progress.deadline.since(now).0;
        let promise_max = Span(left.checked_div(limits::PROMISE_PARTS).unwrap_or(0));
        let draw = shared.entropy.number();
        let needs = Needs { cost_max: reserved, draw, acquaintance: shared.acquaintance(&bid.provider) };
        let SharedState { payments, config, outbox, .. } = shared;
        let account = payments.channel_for(now, bid, needs, config, outbox)?;
        let tariff = Tariff { price: candidate.price, weights: lot.weights };
        let stream = Stream::new(bid.provider, bid.model, job, tariff, lot.input, &task, progress.order.dims);
        let mut attempt = Self {
            job,
            account,
            candidate,
            secure,
            stream,
            task,
            input: lot.input,
            recounted,
            reserved,
            rows_before: progress.rows,
            started: now,
            first: None,
            waited: false,
            progress_at: now,
            kept_waiting: now,
            has_task: false,
            waits: false,
            reads_since: None,
            reads_until: now + Span(left.saturating_sub(left.checked_div(4).unwrap_or(0))),
            read: 0,
            promise_max,
            patient_until: None,
            asked_at: now,
        };
        attempt.send_work(payments, outbox);
        Ok(attempt)
    }

    pub(super) const fn provider(&self) -> NodeId {
        self.candidate.bid.provider
    }

    /// Returns whether anything of use has come.
    pub(super) const fn has_delivered(&self) -> bool {
        self.stream.has_content()
    }

    /// Returns what is owed for it so far.
    pub(super) const fn cost(&self) -> Nano {
        self.stream.cost()
    }

    /// Returns what is remembered of it, now that it has ended well.
    pub(super) fn service(&self, now: Time) -> Service {
        let bid = &self.candidate.bid;
        let output_tokens = self.stream.output_tokens();
        let units = self.stream.weights().units(self.input, output_tokens);
        let timing = self.first.filter(|_| !self.waited).map(|(at, tokens)| Timing {
            reading_us: at.since(self.started).0.saturating_sub(Span::from_ms(u64::from(bid.start_ms)).0),
            input_tokens: u64::from(self.input.fresh).saturating_add(u64::from(self.input.cached / 8)),
            writing_us: now.since(at).0,
            output_tokens: output_tokens.saturating_sub(tokens),
        });
        Service {
            model: bid.model,
            won: (self.candidate.source != Source::Lease).then_some(bid.price),
            output_log2: Classes::of(self.input.count(), self.task.output_tokens_max()).output_log2,
            output_tokens: u32::try_from(output_tokens).unwrap_or(u32::MAX),
            units: u64::try_from(units).unwrap_or(u64::MAX),
            timing,
        }
    }

    /// Returns whether twice the time that was promised for the first token has passed, and a second for the way. What the
    /// provider has said since is no excuse, but that its client's channel is not open yet.
    pub(super) fn is_late(&self, now: Time) -> bool {
        let promised = Span(self.promised().0.saturating_mul(2));
        now >= self.kept_waiting + promised + Span::from_s(1)
    }

    /// Returns whether nothing has come for twice the time that was promised for it and a second, so that it is not slowness that
    /// the order's deadline meets. (`MK-15`)
    pub(super) fn is_silent(&self, now: Time) -> bool {
        let promised = Span(self.promised().0.saturating_mul(2));
        now >= self.progress_at + promised + Span::from_s(1)
    }

    /// Returns whether reading ends in three quarters of the order's time if it goes on as it has. (`WR-16`)
    fn reads_in_time(&self, now: Time, read: u32) -> bool {
        let Some(since) = self.reads_since else { return false };
        let whole = u128::from(now.since(since).0).saturating_mul(u128::from(self.input.count()));
        let whole = whole.checked_div(u128::from(read)).and_then(|whole| u64::try_from(whole).ok());
        whole.is_some_and(|whole| since + Span(whole) <= self.reads_until)
    }

    /// Returns until when its provider's word that its turn will come keeps it waiting: twice as long as the bid promised, and a
    /// while for a line that is slower than was foretold. (`WR-16`)
    fn word_counts_until(&self) -> Time {
        let promised_ms = self.candidate.bid.first_token_ms(self.input.count());
        self.started + Span::from_ms(promised_ms.saturating_mul(2)) + limits::WORD_WAIT
    }

    /// Returns how long this provider may take for a chunk by its own word: before the first one, and for a slow one later.
    fn promised(&self) -> Span {
        let bid = &self.candidate.bid;
        let promised_ms = if self.stream.next() == 0 {
            bid.first_token_ms(self.input.count())
        } else {
            bid.writing_ms(u64::from(limits::CHUNK_TOKENS))
        };
        Span::from_ms(promised_ms).min(self.promise_max)
    }

    /// Returns how long it may be silent altogether.
    fn patience(&self) -> Span {
        Span(limits::STALL_WAIT.0.saturating_add(self.promised().0.saturating_mul(3)))
    }

    /// Returns when it is asked again: for a chunk not before it can be there.
    fn ask_at(&self) -> Time {
        let chunk = match (self.stream.next(), self.has_task) {
            (0, false) => Span(0),
            // It has the task: a word now and then says that this side is still there.
            (0, true) => limits::PROGRESS_EVERY,
            _ => self.promised(),
        };
        self.asked_at + limits::CHUNK_RETRY + chunk
    }

    pub(super) fn wake_at(&self) -> Time {
        self.ask_at().min(self.progress_at + self.patience())
    }

    fn send_work(&mut self, payments: &Payments, outbox: &mut Outbox) {
        let Some(channel) = payments.terms(&self.account) else { return };
        let (task, input) = (self.task.clone(), self.input);
        self.say(&FromClient::Work(Work { task, input, channel, extensions: Extensions::NONE }), outbox);
    }

    /// Acknowledges what has come, with the newest voucher. Returns whether there was one.
    pub(super) fn send_ack(&mut self, payments: &Payments, identity: &Identity, outbox: &mut Outbox) -> bool {
        let countersignature = self
            .stream
            .finish()
            .and(self.stream.receipt())
            .map(|receipt| Receipt::countersign(receipt, identity));
        let payment = payments.payment(&self.account);
        self.say(
            &FromClient::Ack(Ack {
                next: self.stream.next(),
                payment,
                countersignature,
                extensions: Extensions::NONE,
            }),
            outbox,
        );
        payment.is_some()
    }

    pub(super) fn say(&mut self, said: &FromClient, outbox: &mut Outbox) {
        let last = matches!(said, FromClient::Cancel(_));
        // Out of nonces: the job is at its end anyway, its silence will end it.
        let Ok(frame) = self.secure.seal(&codec::encode(said), last) else { return };
        let sealed = SealedFrame { job: self.job, nonce: frame.nonce, bytes: frame.bytes };
        outbox.send_to_provider(self.provider(), ToProvider::Sealed(sealed));
    }
}

/// An attempt under way with everything that it may touch.
pub(super) struct AttemptMut<'a> {
    pub(super) now: Time,
    pub(super) id: OrderId,
    pub(super) progress: &'a mut Progress,
    pub(super) attempt: &'a mut Attempt,
    pub(super) payments: &'a mut Payments,
    pub(super) memory: &'a Memory,
    pub(super) identity: &'a Identity,
    pub(super) outbox: &'a mut Outbox,
}

impl AttemptMut<'_> {
    /// Accepts a frame of the attempt's session.
    pub(super) fn on_frame(&mut self, frame: &SealedFrame) -> Next {
        let opened = match self.attempt.secure.open(frame.nonce, &frame.bytes) {
            Ok(opened) => opened,
            Err(SecureError::Malformed { .. }) => {
                self.peer_fault(PeerFault::Malformed);
                return Next::FailOver(Failure::Session);
            }
            // Another one that does not open may be a copy, or anybody's: it changes nothing.
            Err(_) => return Next::Stay,
        };
        match codec::decode_sealed::<FromProvider>(&opened.body) {
            Ok(FromProvider::Chunk(chunk)) => self.on_chunk(chunk, opened.last),
            Ok(FromProvider::NeedPayment(need)) if !need.extensions.are_understood() => {
                Next::FailOver(Failure::Refused(Refusal::NotUnderstood))
            }
            Ok(FromProvider::NeedPayment(need)) => self.on_need_payment(&need),
            Ok(FromProvider::Progress(progress)) => self.on_progress(progress),
            Err(_) => {
                self.peer_fault(PeerFault::Malformed);
                Next::FailOver(Failure::Session)
            }
        }
    }

    /// Accepts a chunk, hands its content to the user, and pays for a new receipt. (`WR-6`, `CH-3`)
    fn on_chunk(&mut self, chunk: Chunk, last: bool) -> Next {
        let before = (self.attempt.stream.input_tokens(), self.attempt.stream.output_tokens());
        let parts = match self.attempt.stream.accept(chunk, last) {
            Ok(parts) => parts,
            Err(StreamFault::NotUnderstood) => {
                return Next::FailOver(Failure::Refused(Refusal::NotUnderstood));
            }
            Err(_) => {
                self.peer_fault(PeerFault::FalseReceipt);
                return Next::FailOver(Failure::FalseReceipt);
            }
        };
        if parts.is_empty() {
            self.acknowledge();
            return Next::Stay;
        }
        let is_progress = parts.iter().any(CheckedChunk::is_useful);
        if is_progress {
            self.attempt.progress_at = self.now;
            self.attempt.patient_until = None;
            let (now, tokens) = (self.now, self.attempt.stream.output_tokens());
            self.attempt.first.get_or_insert((now, tokens));
        }
        // What came without a receipt is not acknowledged by itself: the next one covers it.
        self.attempt.asked_at = self.now;
        let cost = self.bill(&parts, before, is_progress);
        // The user sees the text at once; only money has to wait for the disk.
        for part in parts {
            let content = self.progress.deliver(part.content, self.attempt.rows_before);
            self.outbox.order_news(self.id, OrderNews::Content(content));
        }
        if is_progress {
            // Now there is something to pay for. (`CH-32`)
            self.fund(true);
        }
        let Some(cost) = cost else { return Next::Stay };
        if self.payments.owe(&self.attempt.account, cost).is_err() {
            return Next::FailOver(Failure::FalseReceipt);
        }
        if let Some(receipt) = self.attempt.stream.receipt().cloned() {
            let (job, provider) = (self.attempt.job, self.attempt.provider());
            self.outbox.persist(Record::Receipt { job, provider, receipt });
        }
        self.payments.persist(&self.attempt.account, self.outbox);
        self.acknowledge();
        match self.attempt.stream.finish() {
            Some(finish) => Next::Done(finish),
            None => self.resume(),
        }
    }

    /// Accepts that the provider waits, or reads: it is alive as long as its turn comes in time, or it has read more. (`WR-23`)
    fn on_progress(&mut self, said: WorkProgress) -> Next {
        let attempt = &mut self.attempt;
        attempt.has_task = true;
        let (waits, start) = (said.start_ms > 0, Span::from_ms(u64::from(said.start_ms)));
        if waits && self.now + start >= self.progress.deadline {
            let bid = &attempt.candidate.bid;
            let answer = self.memory.output_tokens(&bid.model, &self.progress.lot());
            let writing = Span::from_ms(bid.writing_ms(answer));
            let left = self.progress.deadline.since(self.now);
            self.progress.room = Some(Room::after(self.now, start, writing, left));
            return Next::FailOver(Failure::Refused(Refusal::Busy));
        }
        let read = said.read.min(u32::try_from(attempt.input.count()).unwrap_or(u32::MAX));
        let changes_turn = waits || attempt.waits;
        if !waits {
            attempt.reads_since.get_or_insert(self.now);
        }
        let is_in_turn = changes_turn && self.now + start < attempt.word_counts_until();
        if is_in_turn || (read > attempt.read && attempt.reads_in_time(self.now, read)) {
            attempt.progress_at = self.now;
        }
        attempt.waits = waits;
        attempt.read = attempt.read.max(read);
        Next::Stay
    }

    /// Adds what has come to the order's bill. Returns what is owed for it, if there was a receipt.
    fn bill(&mut self, parts: &[CheckedChunk], before: (u64, u64), is_progress: bool) -> Option<Nano> {
        let bill = &mut self.progress.bill;
        let stream = &self.attempt.stream;
        let cost: Nano = parts.iter().filter_map(|part| part.bill).sum();
        let receipts = parts.iter().filter(|part| part.bill.is_some()).count();
        let receipts = u32::try_from(receipts).unwrap_or(u32::MAX);
        bill.receipts = bill.receipts.saturating_add(receipts);
        bill.cost = bill.cost.saturating_plus(cost);
        let input = stream.input_tokens().saturating_sub(before.0);
        let output = stream.output_tokens().saturating_sub(before.1);
        bill.input_tokens = bill.input_tokens.saturating_add(input);
        bill.output_tokens = bill.output_tokens.saturating_add(output);
        if is_progress {
            bill.first_token = bill.first_token.or(Some(self.now.since(self.progress.started)));
        }
        self.attempt.reserved = self.attempt.reserved.saturating_minus(cost);
        (receipts > 0).then_some(cost)
    }

    /// Answers a provider that waits for money: asks the ledger for the channel if that was not done,
    /// goes on from its newest voucher, and sends a newer one. (`CH-8`, `CH-32`)
    fn on_need_payment(&mut self, need: &NeedPayment) -> Next {
        let account = self.attempt.account;
        self.attempt.waited = true;
        if !self.payments.is_asked_for(&account)
            || self.payments.is_too_small(&account, self.attempt.reserved)
        {
            // It has taken the task and wants to see money first.
            self.fund(false);
        }
        match self.payments.recover(&account, need.newest, self.outbox) {
            Ok(None) => self.payments.cover(&account, self.outbox),
            Ok(Some(fault)) => return Next::Unpayable { account, fault },
            Err(_) => {
                self.peer_fault(PeerFault::FalseVoucher);
                return Next::Stay;
            }
        }
        // A provider may wait for the ledger as this node does, see it later, or have other jobs on
        // the channel. One that says so is alive, for as long as it may wait itself.
        let until = *self.attempt.patient_until.get_or_insert(self.now + limits::PAYMENT_WAIT);
        let is_coming = self.payments.is_asked_for(&account) && !self.payments.is_open(&account);
        if is_coming {
            self.attempt.kept_waiting = self.now;
        }
        if self.now < until || is_coming {
            self.attempt.progress_at = self.now;
        }
        self.acknowledge();
        self.resume()
    }

    /// Goes on, unless the channel is asked back and does not hold enough.
    fn resume(&mut self) -> Next {
        let account = self.attempt.account;
        let fault = self.payments.forgo_deferred(&account);
        fault.map_or(Next::Stay, |fault| Next::Unpayable { account, fault })
    }

    /// Notes that the ledger shows the channel, or time has passed, or something has come: says
    /// what has arrived, and pays.
    pub(super) fn acknowledge(&mut self) {
        self.attempt.asked_at = self.now;
        if self.attempt.send_ack(self.payments, self.identity, self.outbox) {
            let bill = &mut self.progress.bill;
            bill.vouchers = bill.vouchers.saturating_add(1);
        }
    }

    /// Notes that the provider refuses to go on. Returns how that fails the order: a channel that
    /// will not do with this provider any more is asked back, and one that is not funded is this
    /// node's own failure.
    pub(super) fn on_refuse(&mut self, why: Refusal) -> Failure {
        let account = &self.attempt.account;
        if why == Refusal::Unfunded {
            return self.payments.unfunded(account).map_or(Failure::Refused(why), Failure::Payment);
        }
        if [Refusal::Unpaid, Refusal::BadVoucher, Refusal::ChallengeTooShort].contains(&why) {
            self.payments.close(self.now, account, self.outbox);
        }
        Failure::Refused(why)
    }

    /// Answers silence: asks again, and after too much of it goes elsewhere. (`WR-16`)
    pub(super) fn on_time(&mut self) -> Next {
        if self.now >= self.attempt.progress_at + self.attempt.patience() {
            return Next::FailOver(Failure::Stalled);
        }
        if self.now >= self.attempt.ask_at() {
            if self.attempt.stream.next() == 0 && !self.attempt.has_task {
                self.attempt.asked_at = self.now;
                self.attempt.send_work(self.payments, self.outbox);
            } else {
                self.acknowledge();
            }
        }
        Next::Stay
    }

    /// Asks the ledger for the channel, since the provider has delivered (`useful`) or waits for money, unless it is a
    /// stranger and another stranger has its turn. (`CH-32`)
    fn fund(&mut self, useful: bool) {
        let (account, provider) = (&self.attempt.account, self.attempt.provider());
        let is_stranger = |other: &NodeId| self.memory.level(other) == 0;
        let waits = !useful
            && is_stranger(&provider)
            && self.payments.is_anothers_turn(self.now, account, is_stranger);
        if !waits {
            self.payments.fund(self.now, account, useful, self.outbox);
        }
    }

    fn peer_fault(&mut self, fault: PeerFault) {
        self.outbox.peer_fault(self.attempt.provider(), fault);
    }
}
