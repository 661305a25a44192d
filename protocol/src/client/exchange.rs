//! What an attempt does with each thing that its provider says, and with silence: shows, pays, goes on or elsewhere.

use crate::amount::Nano;
use crate::channel::fault::PaymentFault;
use crate::channel::record::Record;
use crate::ident::{Identity, NodeId};
use crate::io::{Failure, OrderNews, PeerFault};
use crate::limits;
use crate::market::auction::Candidate;
use crate::outbox::Outbox;
use crate::session::SecureError;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::message::{Chunk, FromProvider, NeedPayment, Refusal, SealedFrame, WorkProgress};
use crate::work::order::OrderId;
use crate::work::stream::{CheckedChunk, StreamFault};

use super::attempt::{Attempt, Next};
use super::memory::Memory;
use super::payments::Payments;
use super::progress::Progress;

/// An attempt under way with everything that it may touch.
pub(super) struct AttemptMut<'a> {
    pub(super) now: Time,
    pub(super) id: OrderId,
    pub(super) progress: &'a mut Progress,
    pub(super) attempt: &'a mut Attempt,
    pub(super) payments: &'a mut Payments,
    pub(super) memory: &'a mut Memory,
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
        self.on_accept();
        match codec::decode_sealed::<FromProvider>(&opened.body) {
            Ok(FromProvider::Chunk(chunk)) => self.on_chunk(chunk, opened.last),
            Ok(FromProvider::NeedPayment(need)) if !need.extensions.are_understood() => {
                Next::FailOver(Failure::Refused(Refusal::NotUnderstood))
            }
            Ok(FromProvider::NeedPayment(need)) if self.attempt.is_to_answer(self.now, self.outbox) => {
                self.on_need_payment(&need)
            }
            Ok(FromProvider::NeedPayment(_)) => Next::Stay,
            Ok(FromProvider::Progress(progress)) => self.on_progress(progress),
            Err(_) => {
                self.peer_fault(PeerFault::Malformed);
                Next::FailOver(Failure::Session)
            }
        }
    }

    /// Notes that the provider has taken the award, if it was not known yet: it said so, or anything else in the session. (`MK-67`)
    pub(super) fn on_accept(&mut self) {
        if self.attempt.award.take().is_some() {
            self.attempt.has_task = true;
            self.progress.awarded(self.now, self.id, self.attempt.job, self.attempt.provider(), self.outbox);
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
            // A copy, or one ahead of one that is missing. (`CH-55`)
            if self.attempt.demands.may_answer(self.now) {
                self.acknowledge();
            }
            return Next::Stay;
        }
        self.attempt.demands.chunks(parts.len());
        let is_progress = parts.iter().any(CheckedChunk::is_useful);
        if is_progress {
            self.attempt.progress_at = self.now;
            self.attempt.patient_until = None;
            let (now, tokens) = (self.now, self.attempt.stream.output_tokens());
            self.attempt.first.get_or_insert((now, tokens));
            let Candidate { bid, prefix, .. } = &self.attempt.candidate;
            self.memory.gave(now, bid.provider, *prefix);
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
            let begins_at = self.now + start;
            self.progress.room =
                Some(self.progress.room_at(self.now, begins_at, &attempt.candidate.bid, self.memory));
            return Next::FailOver(Failure::Refused(Refusal::Busy));
        }
        let read = said.read.min(u32::try_from(attempt.input.count()).unwrap_or(u32::MAX));
        let changes_turn = waits || attempt.begins_at.is_some();
        if !waits {
            attempt.reads_since.get_or_insert(self.now);
        }
        let is_in_turn = changes_turn && self.now + start < attempt.word_counts_until();
        if is_in_turn || (read > attempt.read && attempt.reads_in_time(self.now, read)) {
            attempt.progress_at = self.now;
        }
        attempt.begins_at = waits.then_some(self.now + start);
        attempt.read = attempt.read.max(read);
        Next::Stay
    }

    /// Adds what has come to the order's bill. Returns what is owed for it, if there was a receipt.
    fn bill(&mut self, parts: &[CheckedChunk], before: (u64, u64), is_progress: bool) -> Option<Nano> {
        let cost = self.progress.bill.add(parts, before, &self.attempt.stream);
        if is_progress {
            let first_token = Some(self.now.since(self.progress.started));
            self.progress.bill.first_token = self.progress.bill.first_token.or(first_token);
        }
        self.attempt.reserved = self.attempt.reserved.saturating_minus(cost.unwrap_or(Nano::ZERO));
        cost
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
            // It is the ledger that it waits for, and no turn.
            (self.attempt.kept_waiting, self.attempt.begins_at) = (self.now, None);
        } else if !self.attempt.has_delivered() && self.attempt.reads_since.is_none() {
            // Others of this client have the channel's window: it begins after them.
            self.attempt.begins_at.get_or_insert(self.now);
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
            let own = self.payments.unfunded(account);
            // It has neither waited for a deposit nor taken the task: it has closed a channel that is open as far as is seen here.
            let has_begun = self.attempt.waited || self.attempt.has_task;
            if own.is_none() && !has_begun && self.payments.is_open(account) {
                self.payments.close(self.now, account, self.outbox);
                return Failure::Payment(PaymentFault::Closed { account: account.address() });
            }
            // It waits for so long; one that says so sooner does not speak of what this node has asked the ledger for.
            let has_waited = self.now >= self.attempt.started + limits::PAYMENT_WAIT;
            return own.filter(|_| has_waited).map_or(Failure::Refused(why), Failure::Payment);
        }
        let is_unpaid = why == Refusal::Unpaid && self.payments.is_settled(self.now, account);
        if is_unpaid || [Refusal::BadVoucher, Refusal::ChallengeTooShort].contains(&why) {
            self.payments.close(self.now, account, self.outbox);
        }
        Failure::Refused(why)
    }

    /// Answers silence: asks again, and after too much of it goes elsewhere. (`WR-16`)
    pub(super) fn on_time(&mut self) -> Next {
        if self.now >= self.attempt.progress_at + self.attempt.patience() {
            return Next::FailOver(Failure::Stalled);
        }
        if self.attempt.award.is_some() && self.now >= self.attempt.started + limits::AWARD_WAIT {
            return Next::FailOver(Failure::NoAnswer);
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
