//! The steps of a task that is being served: what of its answer leaves when, on the money of its channel.

use crate::amount::Nano;
use crate::ident::{Identity, Origin};
use crate::io::{EngineReport, Output, PeerFault};
use crate::limits;
use crate::outbox::Outbox;
use crate::session::Secure;
use crate::time::{Span, Time};
use crate::wire::extension::Extensions;
use crate::wire::message::{
    Accept, Chunk, Content, FromProvider, NeedPayment, Refusal, ToClient, WorkProgress,
};
use crate::work::order::{JobId, ModelId, TaskKind};

use super::super::clientele::Clientele;
use super::super::credit::Credit;
use super::super::earnings::Channel;
use super::super::freed::FreedRoom;
use super::next::Next;
use super::sealed::send_sealed;
use super::served::{Count, Means, ServedJob};

/// What a client is told of its start while its input is counted: nobody waits long for that.
const COUNT_MS: u32 = 1_000;

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
        earner.exposure.allow(served.under_way, Nano::ZERO);
        let allowance = earner.allowance(served.window, credit);
        let is_covered = served.is_covered(allowance);
        let can_wait = served.task.is_some() && (earner.is_relied_on() || is_covered);
        if can_wait && !has_slot {
            // Its money is seen to when it has its turn. One that had its turn without it is waited for no longer for that.
            earner.exposure.allow(Nano::ZERO, served.under_way);
            if is_covered {
                served.money.end(None);
            }
            return if served.slot_wait.is_some() { Next::Stay } else { Next::Wait };
        }
        let covered = has_slot && is_covered;
        let started = served.task.take_if(|_| covered);
        if started.is_some() || served.in_flight() == 0 {
            served.engine_at = self.now;
        }
        if started.is_some() {
            (served.slot_wait, served.told_at) = (None, self.now);
            if !served.is_counted() {
                served.count = Count::Runs;
            }
        }
        served.stream.sign_every(share / limits::WINDOW_RECEIPTS);
        let more = served.allow_tokens(allowance, share);
        served.under_way = served.at_risk();
        earner.exposure.allow(Nano::ZERO, served.under_way);
        let lacks_voucher = earner.is_relied_on() && earner.unpaid() > Nano::ZERO && served.task.is_none();
        if earner.is_unseen() {
            // Before anything is made on it.
            self.credit.record(self.now, self.origin, served.account, earner.exposure.lent());
        }
        let settled_up = earner.unpaid() == Nano::ZERO;
        channel.secure(self.out);
        let has_just_begun = started.is_some();
        if let Some(task) = started {
            let kind = task.kind();
            let run = Output::Run { job: self.id, model: self.model, task };
            match kind {
                // No allowance follows: it is all that vectors wait for.
                TaskKind::Embed => self.out.push_behind(served.account, run),
                TaskKind::Generate => self.out.push(run),
            }
        }
        if more > 0 {
            self.out.push_behind(served.account, Output::Allow { job: self.id, tokens: more });
        }
        let is_done = served.stream.is_done();
        if covered && !served.is_starved() && (settled_up || !is_done) {
            served.money.end(Some(self.now));
            if has_just_begun {
                served.money.restart();
            }
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
            earner.is_relied_on() || self.served.is_covered(earner.allowance(self.served.window, credit))
        });
        if has_means || self.clientele.has_ever_paid(&self.origin.node) {
            return Next::Count;
        }
        self.wait_for_money(false);
        Next::Stay
    }

    /// Asks for the money that is missing, and waits for it.
    fn wait_for_money(&mut self, lacks_voucher: bool) {
        let is_stranger = !self.clientele.has_ever_paid(&self.origin.node);
        let wait =
            if is_stranger && lacks_voucher { limits::STRANGER_PAYMENT_WAIT } else { limits::PAYMENT_WAIT };
        if !self.served.money.begin(self.now, wait) {
            return;
        }
        // What has no receipt yet cannot be paid: one asks for payment as well as words do.
        if self.sign_now() {
            self.served.money.asked(self.now);
        } else if self.served.money.asks(self.now) {
            self.need_payment();
        }
    }

    /// Takes what the engine says.
    pub(super) fn engine(&mut self, report: EngineReport) -> Next {
        if self.is_of_earlier(&report) {
            return Next::Stay;
        }
        self.served.engine_at = self.now;
        match report {
            EngineReport::Counted { input_tokens, cached_tokens } => {
                self.served.has_started = self.served.has_begun();
                if self.served.is_counted() {
                    return Next::Stay;
                }
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

    /// Returns whether the engine says that of an earlier task of this job, which is gone: each begins with its count.
    fn is_of_earlier(&self, report: &EngineReport) -> bool {
        let served = &*self.served;
        match report {
            EngineReport::Counted { .. } => served.count != Count::Runs && !served.has_begun(),
            EngineReport::Read { .. } | EngineReport::Content(_) => !served.has_started,
            EngineReport::Failed(_) => false,
        }
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
        if self.served.accept_at.take_if(|at| *at <= now).is_some() {
            let accept = ToClient::Accept(Accept::of(self.id, Vec::new()));
            self.out.send_to_client(self.origin.node, accept);
        }
        if self.served.engine_owes() && now >= self.served.engine_at + limits::ENGINE_WAIT {
            return Next::End(Some(Refusal::Engine));
        }
        if self.is_forgotten() {
            return Next::LeaveForgotten;
        }
        // One whose turn came and whose money did not waits for its money, in its place of the line.
        if self.served.slot_wait.is_some() && self.served.money.since().is_none() {
            // A client that has gone away needs no turn.
            let is_gone = now >= self.served.heard_at + limits::CLIENT_WAIT;
            return if is_gone { Next::End(None) } else { Next::Wait };
        }
        if self.served.is_mute() && now >= self.served.told_at + limits::PROGRESS_EVERY {
            self.tell(if self.served.is_being_counted() { COUNT_MS } else { 0 });
        }
        if self.served.money.is_over(now) || self.served.stream.is_abandoned(now) {
            return Next::GiveUp;
        }
        let asks = self.served.money.asks(now);
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

    /// Returns whether its client, who pays, has forgotten the job: it was asked about it and has not answered, but has begun another on
    /// the channel and spoken since. What it says comes in order. (`CH-9`)
    fn is_forgotten(&self) -> bool {
        let (served, now) = (&*self.served, self.now);
        let is_unanswered = served.stream.is_unanswered(now)
            || (served.money.asks(now) && served.money.was_asked_since(served.heard_at));
        let is_passed_over = self
            .channel
            .as_deref()
            .is_some_and(|channel| channel.used > served.heard_at && served.is_passed_over(channel.heard));
        is_unanswered && is_passed_over && self.clientele.has_ever_paid(&self.origin.node)
    }

    /// Says why it waited for nothing, and holds that against the client that wasted the room.
    /// (`MK-45`)
    pub(in crate::provider) fn give_up(&mut self, means: Option<Means>) -> Next {
        let (origin, has_task) = (self.origin, self.served.task.is_some());
        // A client that has paid for everything and waits for its deposit to grow owes nothing.
        let owes = self.channel.as_deref_mut().and_then(Channel::live);
        let owes = owes.is_some_and(|earner| earner.is_relied_on() && earner.unpaid() > Nano::ZERO);
        let is_out_of_sight = self.channel.as_deref().is_some_and(Channel::is_out_of_sight);
        let lacks_money = has_task && self.channel.as_deref().is_some_and(Channel::is_unfunded);
        let why = match means {
            _ if owes => Refusal::Unpaid,
            Some(Means { is_ready: true, .. }) => Refusal::Busy,
            // It is this node that does not see the deposit any more. (`CH-57`)
            Some(_) if is_out_of_sight => Refusal::Busy,
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
            if new {
                self.served.money.delivered();
            }
            let stream = &mut self.served.stream;
            if new && let Some(channel) = self.channel.as_deref_mut() {
                if chunk.receipt.is_some() {
                    channel.ask_for_voucher();
                }
                if let Some(earner) = channel.live() {
                    earner.exposure.serve(stream.newly_billed());
                }
            }
            let last = stream.last_chunk().is_some_and(|end| end.index == chunk.index);
            self.send_sealed(&FromProvider::Chunk(chunk), last);
        }
    }

    /// Tells the client what is missing, with the newest voucher in case it has lost it. (`CH-19`)
    fn need_payment(&mut self) {
        self.served.money.asked(self.now);
        let Some(channel) = self.channel.as_deref_mut() else { return };
        channel.ask_for_voucher();
        let Some(earner) = channel.live() else { return };
        let need = NeedPayment {
            cumulative: earner.served(),
            newest: earner.newest(),
            extensions: Extensions::NONE,
        };
        self.send_sealed(&FromProvider::NeedPayment(need), false);
    }

    fn send_sealed(&mut self, said: &FromProvider, last: bool) {
        self.served.accept_at = None;
        send_sealed(self.out, self.secure, self.origin.node, self.id, said, last);
    }
}
