//! One job: an award, then a task that is served, then a bill that may still be paid.

mod money_wait;
mod next;
mod sealed;
mod served;
mod serving;

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::channel::voucher::{Acceptance, VoucherFault};
use crate::ident::{Identity, Origin};
use crate::io::{EngineReport, Event, JobReport, Output, PeerFault};
use crate::limits;
use crate::outbox::Outbox;
use crate::session::Secure;
use crate::time::Time;
use crate::wire::message::{Ack, Award, Refusal, Refuse, ToClient};
use crate::work::order::JobId;
use crate::work::price::Price;

use super::bidder::{Bidder, Promised};
use super::clientele::Clientele;
use super::credit::Credit;
use super::earnings::Earnings;
use super::freed::FreedRoom;

pub(super) use next::Next;
pub(super) use served::{Count, EngineWork, Means, ServedJob};
use serving::ServedMut;

/// A job and its session.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) origin: Origin,
    /// When it was awarded.
    pub(super) since: Time,
    /// What was bid.
    pub(super) promised: Promised,
    /// What is paid, at least what was bid.
    pub(super) price: Price,
    pub(super) opening: Opening,
    pub(super) phase: Phase,
    pub(super) secure: Secure,
}

/// How the session of a job was opened.
#[derive(Debug)]
pub(super) enum Opening {
    /// By a handshake.
    Handshake {
        /// The first half of it.
        award: Award,
        /// The second half: the answer to the award, however often that comes.
        reply: Vec<u8>,
    },
    /// Within a session that was kept.
    Kept,
}

/// How far a job has come.
#[derive(Debug)]
pub(super) enum Phase {
    /// Awarded; the task has not come.
    Awarded(AwardedJob),
    /// The task is here.
    Serving(Box<ServedJob>),
    /// At its end, kept so that a repeated message is known and a late payment counted.
    Over {
        /// Until when it is kept.
        until: Time,
        /// The channel that it was served on, and its bill.
        bill: Option<(ChannelId, Nano)>,
        /// Whether all of the answer was sent and acknowledged.
        is_whole: bool,
        /// For reading alone, which the client may not pay: what its vouchers come to where it does. (`WR-24`)
        for_reading: Option<Nano>,
    },
}

/// A job whose task has not come.
#[derive(Debug)]
pub(super) struct AwardedJob {
    /// Whether a slot is kept for it: a customer's for a moment, a stranger's never.
    holds_slot: bool,
    /// From then on it is late: that is held against its client until the task is here.
    late_at: Option<Time>,
    /// Until when it is waited for.
    until: Time,
    /// The length of the input by this side's count, once the client has stated another. (`WR-22`)
    counts: Option<u64>,
}

impl Job {
    pub(super) fn new(
        now: Time,
        origin: Origin,
        holds_slot: bool,
        promised: Promised,
        price: Price,
        opening: Opening,
        secure: Secure,
    ) -> Self {
        let phase = Phase::Awarded(AwardedJob {
            holds_slot,
            late_at: Some(now + limits::AWARD_HOLD),
            until: now + limits::TASK_WAIT,
            counts: None,
        });
        Self { origin, since: now, promised, price, opening, phase, secure }
    }

    /// Returns whether its award came in a kept session and was not answered by itself.
    pub(super) const fn is_kept(&self) -> bool {
        matches!(self.opening, Opening::Kept)
    }

    /// Returns the task that is being served, if one is.
    pub(super) fn served(&self) -> Option<&ServedJob> {
        match &self.phase {
            Phase::Serving(served) => Some(served),
            Phase::Awarded(_) | Phase::Over { .. } => None,
        }
    }

    /// Returns the same, to change it.
    pub(super) fn served_mut(&mut self) -> Option<&mut ServedJob> {
        match &mut self.phase {
            Phase::Serving(served) => Some(served),
            Phase::Awarded(_) | Phase::Over { .. } => None,
        }
    }

    /// Returns the channel that it is served on, or was.
    pub(super) fn account(&self) -> Option<&ChannelId> {
        match &self.phase {
            Phase::Awarded(_) | Phase::Over { bill: None, .. } => None,
            Phase::Serving(served) => Some(&served.account),
            Phase::Over { bill: Some((account, _)), .. } => Some(account),
        }
    }

    /// Returns whether the job keeps a slot busy: from when the engine has its task until its
    /// answer has ended, and a customer's for a moment before. A task that waits for its money
    /// keeps none. (`MK-42`)
    pub(super) const fn holds_slot(&self) -> bool {
        match &self.phase {
            Phase::Awarded(awarded) => awarded.holds_slot,
            Phase::Serving(served) => served.has_begun() && !served.stream.has_ended(),
            Phase::Over { .. } => false,
        }
    }

    /// Returns whether its task was waited for longer than usual.
    pub(super) const fn is_late(&self) -> bool {
        matches!(&self.phase, Phase::Awarded(AwardedJob { late_at: None, counts: None, .. }))
    }

    /// Returns the length of the input by this side's count, if the client has stated another before.
    pub(super) const fn counts(&self) -> Option<u64> {
        match &self.phase {
            Phase::Awarded(awarded) => awarded.counts,
            Phase::Serving(_) | Phase::Over { .. } => None,
        }
    }

    /// Keeps it longer at its end.
    pub(super) const fn stay_until(&mut self, later: Time) {
        if let Phase::Over { until, .. } = &mut self.phase {
            *until = later;
        }
    }

    /// Returns when something of it is due.
    pub(super) fn wake_at(&self) -> Time {
        match &self.phase {
            Phase::Awarded(awarded) => awarded.late_at.unwrap_or(awarded.until),
            Phase::Over { until, .. } => *until,
            Phase::Serving(served) => served.wake_at(),
        }
    }
}

/// One job and everything that a step of it may touch.
pub(super) struct JobMut<'a> {
    pub(super) now: Time,
    pub(super) id: JobId,
    pub(super) job: &'a mut Job,
    pub(super) freed: &'a mut FreedRoom,
    pub(super) bidder: &'a mut Bidder,
    pub(super) earnings: &'a mut Earnings,
    pub(super) credit: &'a mut Credit,
    pub(super) clientele: &'a mut Clientele,
    pub(super) identity: &'a Identity,
    pub(super) out: &'a mut Outbox,
}

impl JobMut<'_> {
    /// Lends the task that is being served, with the channel that pays for it; nothing before and after.
    pub(super) fn served(&mut self) -> Option<ServedMut<'_>> {
        let Phase::Serving(served) = &mut self.job.phase else { return None };
        Some(ServedMut {
            now: self.now,
            id: self.id,
            origin: self.job.origin,
            model: self.job.promised.model,
            secure: &mut self.job.secure,
            channel: self.earnings.channel_mut(&served.account),
            served,
            credit: self.credit,
            clientele: self.clientele,
            freed: self.freed,
            identity: self.identity,
            out: self.out,
        })
    }

    /// Takes what the client has, and what it pays. (`CH-6`)
    pub(super) fn acked(&mut self, ack: &Ack) -> Next {
        let client = self.job.origin.node;
        if let Some(served) = self.job.served_mut() {
            served.acked(self.now, client, ack);
        }
        if let Some(counted) = self.job.counts() {
            // Who acknowledges instead of sending its task once more has missed why that was sent back.
            self.refuse(Refusal::Counts(counted));
        }
        let Some(account) = self.job.account().copied() else { return Next::Stay };
        let Some(payment) = ack.payment else { return Next::Resume };
        match self.earnings.accept(&account, payment, self.out) {
            Ok(Acceptance::More) => {
                self.clientele.has_paid(self.now, client);
                self.credit.follow(self.now, &account, self.earnings);
                Next::ResumeChannel(account)
            }
            Ok(Acceptance::Nothing | Acceptance::Early) => Next::Resume,
            Err(fault) => {
                // An honest client may be wrong about the funding, never about its own signature.
                if fault == VoucherFault::Signature {
                    self.out.peer_fault(client, PeerFault::FalseVoucher);
                }
                Next::End(Some(Refusal::BadVoucher))
            }
        }
    }

    /// Takes what the engine says.
    pub(super) fn engine(&mut self, report: EngineReport) -> Next {
        self.served().map_or(Next::Stay, |mut served| served.engine(report))
    }

    /// Does what is due by the clock.
    pub(super) fn due(&mut self) -> Next {
        match &mut self.job.phase {
            Phase::Over { .. } => Next::Forget,
            Phase::Serving(_) => self.served().map_or(Next::Stay, |mut served| served.due()),
            Phase::Awarded(awarded) => {
                let origin = self.job.origin;
                if let Some(late_at) = awarded.late_at.take() {
                    self.freed.slot |= core::mem::take(&mut awarded.holds_slot);
                    // Not now: this machine may have been asleep.
                    self.clientele.mark(late_at, origin);
                }
                if self.now < awarded.until {
                    return Next::Stay;
                }
                if awarded.counts.is_some() {
                    // It has its task and was told no; going elsewhere is no offence.
                    return Next::Forget;
                }
                self.out.peer_fault(origin.node, PeerFault::NoTask);
                Next::Forget
            }
        }
    }

    /// Tells the client how long the input is by this side's count, and waits for the task once more: no work was done that is
    /// billed. Where an engine had begun on its client's word, that is worth nothing until further jobs have ended well. (`WR-22`)
    pub(super) fn recount(&mut self, counted: u64) {
        let Phase::Serving(served) = &self.job.phase else { return };
        if served.has_begun() {
            self.clientele.has_ended(self.job.origin.node, false, true);
        }
        if served.recounted {
            return self.end(Some(Refusal::Counts(counted)));
        }
        let awarded = Phase::Awarded(AwardedJob {
            holds_slot: false,
            late_at: None,
            until: self.now + limits::TASK_WAIT,
            counts: Some(counted),
        });
        let Phase::Serving(served) = core::mem::replace(&mut self.job.phase, awarded) else { return };
        self.free(&served);
        self.refuse(Refusal::Counts(counted));
        self.stop(&served);
    }

    /// Frees what a task held that is served no more.
    fn free(&mut self, served: &ServedJob) {
        if let Some(earner) = self.earnings.find_mut(&served.account) {
            earner.exposure.allow(served.under_way, Nano::ZERO);
        }
        self.credit.follow(self.now, &served.account, self.earnings);
        self.freed.channels.insert(served.account);
        self.freed.slot = true;
    }

    /// Stops the engine, where it has the task.
    fn stop(&mut self, served: &ServedJob) {
        if !served.stream.has_ended() && served.has_begun() {
            // Its slot is another's at once: nothing of it may come to the engine behind that one's task.
            let has_task = self.out.withdraw(&served.account, self.id);
            if has_task {
                self.out.push(Output::Cancel { job: self.id });
            }
        }
    }

    fn refuse(&mut self, why: Refusal) {
        self.out.send_to_client(self.job.origin.node, ToClient::Refuse(Refuse::of(self.id, why)));
    }

    /// Notes that the client gives the job up: what was read for it is billed where that is paid. (`WR-14`, `WR-24`)
    pub(super) fn cancelled(&mut self) -> Next {
        if let Some(mut served) = self.served() {
            served.bill_reading();
        }
        Next::End(None)
    }

    /// Ends the job, well (`None`) or with a reason that the client is told.
    pub(super) fn end(&mut self, why: Option<Refusal>) {
        // What was sent is owed: without a receipt it could not be paid. (`WR-14`)
        if let Some(mut served) = self.served() {
            served.sign_now();
        }
        let bill = match &self.job.phase {
            Phase::Serving(served) => Some((served.account, served.stream.cost())),
            Phase::Awarded(awarded) => {
                self.freed.slot |= awarded.holds_slot;
                None
            }
            Phase::Over { .. } => return,
        };
        let client = self.job.origin.node;
        let read = self.job.served().filter(|served| served.stream.is_for_reading());
        let earner = read.and_then(|served| self.earnings.find(&served.account));
        let for_reading = earner.map(crate::channel::earn::Earner::served);
        let is_whole = why.is_none() && self.job.served().is_some_and(|served| served.stream.is_done());
        let over = Phase::Over { until: self.now + limits::LINGER, bill, is_whole, for_reading };
        let served = match core::mem::replace(&mut self.job.phase, over) {
            Phase::Over { .. } | Phase::Awarded(_) => None,
            Phase::Serving(served) => Some(served),
        };
        if let Some(served) = &served {
            if served.has_begun() && !served.stream.has_ended() && !served.has_stood_still(self.now) {
                // As much as it has come to.
                self.freed.done.push((self.job.promised.model, served.work_done(), served.began_at()));
            }
            self.free(served);
        }
        if let Some(why) = why {
            self.refuse(why);
        }
        let Some(served) = served else { return };
        if why.is_none() && served.stream.is_done() {
            self.bidder.served(&self.job.promised.model, &served.done(self.job.origin));
        }
        self.clientele.has_ended(client, served.is_countersigned(), why.is_some());
        self.stop(&served);
        self.out.push(Output::Event(Event::Served(JobReport {
            job: self.id,
            client,
            input_tokens: served.stream.input().count(),
            output_tokens: served.stream.output_tokens(),
            cost: served.stream.cost(),
            delivered: served.stream.has_begun(),
            refused: why,
            countersigned: served.is_countersigned(),
        })));
    }
}
