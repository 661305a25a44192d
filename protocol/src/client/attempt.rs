//! One attempt at an order with one provider: chunks in, acknowledgements and vouchers out, and the silence that ends it.

use crate::amount::Nano;
use crate::channel::demands::{Demands, Response};
use crate::channel::fault::PaymentFault;
use crate::channel::id::ChannelId;
use crate::ident::{Identity, NodeId};
use crate::io::{Failure, Output, PeerFault};
use crate::limits;
use crate::market::auction::{Candidate, Source};
use crate::market::call::Classes;
use crate::market::history::Timing;
use crate::outbox::Outbox;
use crate::session::Secure;
use crate::time::{Span, Time};
use crate::wire::codec;
use crate::wire::extension::Extensions;
use crate::wire::message::{
    Ack, Finish, FromClient, KeptAward, Message, ReleaseReason, SealedFrame, ToProvider, Work,
};
use crate::work::order::{JobId, Task};
use crate::work::price::{InputTokens, Tariff};
use crate::work::receipt::Receipt;
use crate::work::stream::Stream;

use super::kept::KeptOpening;
use super::payments::Payments;
use super::progress::Progress;
use super::purchases::Service;
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
    /// The award that brought the task, in a kept session, until anything says that it came.
    pub(super) award: Option<Box<KeptAward>>,
    /// Whether the input is stated as this provider counts it.
    pub(super) recounted: bool,
    /// What is set aside for it on the channel and not yet owed.
    pub(super) reserved: Nano,
    /// Vectors that earlier attempts delivered: this attempt counts its inputs from 0.
    pub(super) rows_before: u32,
    /// When the task was sent.
    pub(super) started: Time,
    /// When the first content came, and how many tokens it had.
    pub(super) first: Option<(Time, u64)>,
    /// Whether the provider has waited for money: then its time is not its own.
    pub(super) waited: bool,
    pub(super) progress_at: Time,
    /// Until when it is known to have waited for a channel of this client's that was not open yet.
    pub(super) kept_waiting: Time,
    /// Whether the provider has said that it has the task. (`WR-23`)
    pub(super) has_task: bool,
    /// When it begins where it waits for its turn there, by the provider's word.
    pub(super) begins_at: Option<Time>,
    /// Since when it reads, by the provider's word, and until when it may.
    pub(super) reads_since: Option<Time>,
    reads_until: Time,
    /// Input tokens that the provider says it has read.
    pub(super) read: u32,
    /// The most that its promises of time count for: a part of the time that the order had left. (`WR-16`)
    promise_max: Span,
    /// Until then, a provider that reports waiting does not count as stalled.
    pub(super) patient_until: Option<Time>,
    pub(super) asked_at: Time,
    /// What its provider has asked of it.
    pub(super) demands: Demands,
}

/// A session in which a task can be sent: its provider has taken an award, or the award goes with the task.
#[derive(Debug)]
pub(super) struct OpenSession {
    pub(super) job: JobId,
    pub(super) candidate: Candidate,
    pub(super) secure: Secure,
    /// The kept session that it begins in, where the award goes with the task.
    pub(super) opening: Option<KeptOpening>,
    /// Whether the input is stated as this provider counts it.
    pub(super) recounted: bool,
}

impl OpenSession {
    /// Gives the job back, so that its provider keeps no slot for it. One whose award goes with the task has not been awarded.
    pub(super) fn give_back(mut self, outbox: &mut Outbox) {
        let Candidate { bid, .. } = &self.candidate;
        if self.opening.is_some() {
            outbox.release(bid.provider, bid.call, ReleaseReason::Unfit);
        } else {
            let cancel = FromClient::Cancel(Extensions::NONE);
            if let Some(said) = sealed(&mut self.secure, bid.provider, self.job, &cancel) {
                outbox.push(said);
            }
        }
    }
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
    /// Sends the task that is left in a session, paid on the channel on which it was set aside.
    pub(super) fn start(
        now: Time,
        session: OpenSession,
        account: ChannelId,
        progress: &Progress,
        shared: &mut SharedState,
    ) -> Self {
        let OpenSession { job, candidate, secure, opening, recounted } = session;
        let task = progress.task_left();
        let bid = &candidate.bid;
        let lot = progress.lot();
        let reserved = progress.cost_max(&candidate);
        let left = progress.deadline.since(now).0;
        let promise_max = Span(left.checked_div(limits::PROMISE_PARTS).unwrap_or(0));
        let SharedState { payments, outbox, .. } = shared;
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
            award: None,
            recounted,
            reserved,
            rows_before: progress.rows,
            started: now,
            first: None,
            waited: false,
            progress_at: now,
            kept_waiting: now,
            has_task: false,
            begins_at: None,
            reads_since: None,
            reads_until: now + Span(left.saturating_sub(left.checked_div(4).unwrap_or(0))),
            read: 0,
            promise_max,
            patient_until: None,
            asked_at: now,
            demands: Demands::new(now),
        };
        match opening {
            Some(opening) => attempt.send_award(opening, payments, outbox),
            None => attempt.send_work(payments, outbox),
        }
        attempt
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
            writing_us: now.since(at).0,
            output_tokens: output_tokens.saturating_sub(tokens),
            ..self.reading(at)
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

    /// Returns how long it has waited beyond what was promised, where it waits for its turn by its provider's last word. (`WR-23`)
    pub(super) fn waiting(&self, now: Time) -> Option<Timing> {
        self.begins_at.map(|_| if self.waited { Timing::default() } else { self.reading(now) })
    }

    /// Returns how long what has come took, where that is four times what was promised for so many tokens, and two seconds more.
    pub(super) fn slow(&self, now: Time) -> Option<Timing> {
        let (at, tokens) = self.first.filter(|_| !self.waited)?;
        if !matches!(self.task, Task::Generate(_)) {
            return None;
        }
        let output_tokens = self.stream.output_tokens().saturating_sub(tokens).max(1);
        let writing = now.since(at);
        let promised = Span::from_ms(self.candidate.bid.writing_ms(output_tokens));
        let most = promised.0.saturating_mul(limits::SLOW_TIMES).saturating_add(limits::SLOW_BEYOND.0);
        (writing.0 > most).then(|| Timing { writing_us: writing.0, output_tokens, ..self.reading(at) })
    }

    /// Returns how long reading took that ended then.
    fn reading(&self, ended: Time) -> Timing {
        let promised = Span::from_ms(u64::from(self.candidate.bid.start_ms));
        Timing {
            reading_us: ended.since(self.started).0.saturating_sub(promised.0),
            input_tokens: u64::from(self.input.fresh).saturating_add(u64::from(self.input.cached / 8)),
            ..Timing::default()
        }
    }

    /// Returns whether nothing has come for twice the time that was promised for it and a second, so that it is not slowness that
    /// the order's deadline meets. (`MK-15`)
    pub(super) fn is_silent(&self, now: Time) -> bool {
        let promised = Span(self.promised().0.saturating_mul(2));
        now >= self.progress_at + promised + Span::from_s(1)
    }

    /// Returns whether reading ends in three quarters of the order's time if it goes on as it has. (`WR-16`)
    pub(super) fn reads_in_time(&self, now: Time, read: u32) -> bool {
        let Some(since) = self.reads_since else { return false };
        let whole = u128::from(now.since(since).0).saturating_mul(u128::from(self.input.count()));
        let whole = whole.checked_div(u128::from(read)).and_then(|whole| u64::try_from(whole).ok());
        whole.is_some_and(|whole| since + Span(whole) <= self.reads_until)
    }

    /// Returns until when its provider's word that its turn will come keeps it waiting: twice as long as the bid promised, and a
    /// while for a line that is slower than was foretold. (`WR-16`)
    pub(super) fn word_counts_until(&self) -> Time {
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
    pub(super) fn patience(&self) -> Span {
        Span(limits::STALL_WAIT.0.saturating_add(self.promised().0.saturating_mul(3)))
    }

    /// Returns when it is asked again: for a chunk not before it can be there.
    pub(super) fn ask_at(&self) -> Time {
        let chunk = match (self.stream.next(), self.has_task) {
            (0, false) => Span(0),
            // It has the task: a word now and then says that this side is still there.
            (0, true) => limits::PROGRESS_EVERY,
            _ => self.promised(),
        };
        self.asked_at + limits::CHUNK_RETRY + chunk
    }

    pub(super) fn wake_at(&self) -> Time {
        let award = self.award.as_ref().map_or(Time::NEVER, |_| self.started + limits::AWARD_WAIT);
        self.ask_at().min(self.progress_at + self.patience()).min(award)
    }

    /// Returns whether a demand of payment is to be answered. One too many is held against the provider. (`CH-55`)
    pub(super) fn is_to_answer(&mut self, now: Time, outbox: &mut Outbox) -> bool {
        let response = self.demands.take(now);
        if response == Response::Accuse {
            outbox.peer_fault(self.provider(), PeerFault::Demanding);
        }
        response == Response::Answer
    }

    /// Sends the task, with its award where that is not answered.
    pub(super) fn send_work(&mut self, payments: &Payments, outbox: &mut Outbox) {
        if let Some(award) = &self.award {
            return outbox.send_to_provider(self.provider(), ToProvider::KeptAward(KeptAward::clone(award)));
        }
        if let Some(work) = self.work(payments) {
            self.say(&work, outbox);
        }
    }

    fn work(&self, payments: &Payments) -> Option<FromClient> {
        let channel = payments.terms(&self.account)?;
        let key_proof = payments.key_proof(&self.account, self.secure.binding());
        let (task, input) = (self.task.clone(), self.input);
        Some(FromClient::Work(Work { task, input, channel, key_proof, extensions: Extensions::NONE }))
    }

    /// Sends the award of the job with its task, as the first frame of its session. (`MK-67`)
    fn send_award(&mut self, opening: KeptOpening, payments: &Payments, outbox: &mut Outbox) {
        let Some(work) = self.work(payments) else { return };
        let Ok(frame) = self.secure.seal(&codec::encode(&work), false) else { return };
        self.award = Some(Box::new(KeptAward {
            job: self.job,
            call: self.candidate.bid.call,
            bid: self.candidate.hash,
            price: self.candidate.price,
            session: opening.session,
            number: opening.number,
            work: frame.bytes,
            extensions: Extensions::NONE,
        }));
        self.send_work(payments, outbox);
    }

    /// Acknowledges what has come, with the newest voucher, which waits for the disk. Returns whether there was one. (`CO-2`)
    pub(super) fn send_ack(&mut self, payments: &Payments, identity: &Identity, outbox: &mut Outbox) -> bool {
        let countersignature = self
            .stream
            .finish()
            .and(self.stream.receipt())
            .map(|receipt| Receipt::countersign(receipt, identity));
        let payment = payments.payment(&self.account);
        let ack = Ack { next: self.stream.next(), payment, countersignature, extensions: Extensions::NONE };
        if let Some(said) = self.sealed(&FromClient::Ack(ack)) {
            match payment {
                Some(_) => outbox.push_behind(self.account, said),
                None => outbox.push(said),
            }
        }
        payment.is_some()
    }

    /// Says something that pays for nothing.
    pub(super) fn say(&mut self, said: &FromClient, outbox: &mut Outbox) {
        if let Some(said) = self.sealed(said) {
            outbox.push(said);
        }
    }

    fn sealed(&mut self, said: &FromClient) -> Option<Output> {
        sealed(&mut self.secure, self.candidate.bid.provider, self.job, said)
    }
}

/// Returns what is said to a provider in the session of a job.
fn sealed(secure: &mut Secure, to: NodeId, job: JobId, said: &FromClient) -> Option<Output> {
    let last = matches!(said, FromClient::Cancel(_));
    // Out of nonces: the job is at its end anyway, its silence will end it.
    let frame = secure.seal(&codec::encode(said), last).ok()?;
    let sealed = SealedFrame { job, nonce: frame.nonce, bytes: frame.bytes };
    Some(Output::Send { to, message: Message::ToProvider(ToProvider::Sealed(sealed)) })
}
