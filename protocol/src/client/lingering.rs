//! What is left of an attempt that is over for the user: the last acknowledgement, and perhaps a window
//! to pay.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::deadlines::Deadlines;
use crate::ident::{Identity, NodeId};
use crate::io::Failure;
use crate::limits;
use crate::outbox::Outbox;
use crate::table::Table;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::extension::Extensions;
use crate::wire::message::{FromClient, FromProvider, SealedFrame};
use crate::work::order::{JobId, OrderId};
use crate::work::stream::CheckedChunk;

use super::attempt::Attempt;
use super::payments::Payments;
use super::progress::Progress;

/// A job that is over for the user, kept so that its provider hears the last acknowledgement and is
/// paid.
#[derive(Debug)]
pub(super) struct LingeringJob {
    until: Time,
    /// The most that is still paid: a window for a job that its user left, nothing for one that its
    /// provider failed or its order has left.
    pays: Nano,
    /// Whether reading alone is paid as well. (`WR-24`)
    pays_reading: bool,
    /// When its provider was last told that it is over.
    cancelled_at: Time,
    attempt: Box<Attempt>,
    /// The order that it was of, where its end is told once the last bill is there.
    ending: Option<Box<EndingOrder>>,
}

/// Every job that lingers, and when something of it is due.
#[derive(Debug, Default)]
pub(super) struct LingeringJobs {
    table: Table<JobId, LingeringJob>,
    deadlines: Deadlines<JobId>,
}

impl LingeringJobs {
    pub(super) const fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn insert(&mut self, job: JobId, lingering: LingeringJob) {
        self.deadlines.touch(job);
        self.table.insert(job, lingering);
    }

    pub(super) fn get_mut(&mut self, job: &JobId) -> Option<&mut LingeringJob> {
        let lingering = self.table.get_mut(job)?;
        self.deadlines.touch(*job);
        Some(lingering)
    }

    /// Returns those that are paid on a channel.
    pub(super) fn on_mut(&mut self, account: &ChannelId) -> impl Iterator<Item = &mut LingeringJob> {
        let Self { table, deadlines } = self;
        let on = table.iter_mut().filter(move |(_, lingering)| lingering.account() == account);
        on.map(move |(job, lingering)| {
            deadlines.touch(*job);
            lingering
        })
    }

    /// Returns whether one is paid on a channel.
    pub(super) fn is_on(&self, account: &ChannelId) -> bool {
        self.table.values().any(|lingering| lingering.account() == account)
    }

    /// Returns whether the end of this order is not told yet.
    pub(super) fn has(&self, order: OrderId) -> bool {
        self.table.values().any(|lingering| lingering.is_of(order))
    }

    /// Takes those that have something due.
    pub(super) fn take_due(&mut self, now: Time) -> Vec<JobId> {
        let Self { table, deadlines } = self;
        deadlines.due_of(now, table, LingeringJob::wake_at)
    }

    /// Forgets one whose time is over.
    pub(super) fn expire(&mut self, now: Time, job: &JobId, payments: &mut Payments) {
        if self.table.get(job).is_some_and(|lingering| lingering.until <= now)
            && let Some(lingering) = self.table.remove(job)
        {
            lingering.end(now, payments);
            self.deadlines.touch(*job);
        }
    }

    /// Returns when something of one is due next.
    pub(super) fn wake_at(&mut self) -> Option<Time> {
        let Self { table, deadlines } = self;
        deadlines.next_of(table, LingeringJob::wake_at)
    }
}

/// An order that is over but for its last bill: what came of it without a receipt is being billed. (`WR-14`)
#[derive(Debug)]
pub(super) struct EndingOrder {
    pub(super) id: OrderId,
    pub(super) progress: Progress,
    pub(super) why: Failure,
    since: Time,
    /// Then its end is told at the latest.
    until: Time,
}

impl LingeringJob {
    /// Ends an attempt for the user. If the provider is not to blame (`pays`), up to a window of what
    /// still comes is paid, and what was read for nobody where the provider's `level` is high enough. Returns `None` if
    /// too many jobs linger already (`is_full`). (`WR-14`, `WR-21`, `WR-24`)
    pub(super) fn start(
        now: Time,
        mut attempt: Box<Attempt>,
        pays: bool,
        level: u8,
        is_full: bool,
        payments: &mut Payments,
        outbox: &mut Outbox,
    ) -> Option<Self> {
        if attempt.stream.finish().is_none() {
            attempt.say(&FromClient::Cancel(Extensions::NONE), outbox);
        }
        let account = attempt.account;
        // The bill stands while the channel is on its way to the ledger, so the wait is longer.
        let is_settled = payments.is_open(&account) || !payments.is_asked_for(&account);
        let wait = if is_settled { limits::LINGER } else { limits::LEDGER_WAIT };
        let window = attempt.stream.cost_of_window();
        let most = if pays && !is_full { window.min(attempt.reserved) } else { Nano::ZERO };
        payments.release(now, &account, attempt.reserved);
        // What may still be paid stays set aside, so that no other job counts on it.
        let pays = payments.set_aside(&account, most);
        let pays_reading = level >= limits::READING_LEVEL;
        let until = now + wait;
        let mut lingering = Self { until, pays, pays_reading, cancelled_at: now, attempt, ending: None };
        lingering.give_up();
        (!is_full).then_some(lingering)
    }

    /// Notes how much is paid for reading alone: what the provider has said.
    fn give_up(&mut self) {
        if self.pays_reading {
            let read = self.attempt.read;
            self.attempt.stream.give_up(read);
        }
    }

    /// Keeps the end of its order until the last bill is there, or for a moment. Returns the order at once where no bill is to come.
    /// (`WR-14`)
    pub(super) fn await_bill(
        &mut self,
        now: Time,
        id: OrderId,
        progress: Progress,
        why: Failure,
    ) -> Option<Progress> {
        if self.pays == Nano::ZERO || !self.attempt.has_delivered() {
            return Some(progress);
        }
        let until = now + limits::LAST_BILL_WAIT;
        self.ending = Some(Box::new(EndingOrder { id, progress, why, since: now, until }));
        None
    }

    /// Hands out the order whose end is to be told now.
    pub(super) fn take_ended(&mut self, now: Time) -> Option<Box<EndingOrder>> {
        self.ending.take_if(|ending| ending.until <= now)
    }

    /// Returns whether it is of this order, whose end is not told yet.
    fn is_of(&self, order: OrderId) -> bool {
        self.ending.as_ref().is_some_and(|ending| ending.id == order)
    }

    fn wake_at(&self) -> Time {
        self.ending.as_ref().map_or(self.until, |ending| ending.until.min(self.until))
    }

    const fn account(&self) -> &ChannelId {
        &self.attempt.account
    }

    /// Accepts what a provider says after the user is done with its job: pays what it delivered all the
    /// same, and repeats the last acknowledgement.
    pub(super) fn on_frame(
        &mut self,
        now: Time,
        from: NodeId,
        frame: &SealedFrame,
        payments: &mut Payments,
        identity: &Identity,
        outbox: &mut Outbox,
    ) {
        if self.attempt.provider() != from {
            return;
        }
        let Ok(opened) = self.attempt.secure.open(frame.nonce, &frame.bytes) else { return };
        self.cancel_again(now, outbox);
        match codec::decode_sealed::<FromProvider>(&opened.body) {
            Ok(FromProvider::Chunk(chunk)) => {
                let before = (self.attempt.stream.input_tokens(), self.attempt.stream.output_tokens());
                let parts = self.attempt.stream.accept(chunk, opened.last).unwrap_or_default();
                // A copy is acknowledged as often as one of an order under way. (`CH-55`)
                if parts.is_empty() && !self.attempt.demands.may_answer(now) {
                    return;
                }
                self.attempt.demands.chunks(parts.len());
                if self.pay(now, &parts, payments, outbox) {
                    self.bill(now, &parts, before, payments);
                }
            }
            // The owner is told what is wrong with the channel; no order waits here any more.
            Ok(FromProvider::NeedPayment(_)) if !self.attempt.is_to_answer(now, outbox) => return,
            Ok(FromProvider::NeedPayment(need)) => {
                let _ = payments.recover(&self.attempt.account, need.newest, outbox);
            }
            Ok(FromProvider::Progress(said)) => {
                // It crossed the cancellation on its way.
                self.attempt.read = self.attempt.read.max(said.read);
                self.give_up();
                return;
            }
            // What says nothing asks for no answer.
            Err(_) => return,
        }
        self.acknowledge(payments, identity, outbox);
    }

    /// Says again that the job is over, where its provider goes on: the word was lost, or came before the award. (`WR-14`)
    fn cancel_again(&mut self, now: Time, outbox: &mut Outbox) {
        let has_just_begun = self.attempt.award.take().is_some();
        let is_lost = now >= self.cancelled_at + limits::CHUNK_RETRY;
        if self.attempt.stream.finish().is_none() && (has_just_begun || is_lost) {
            self.cancelled_at = now;
            self.attempt.say(&FromClient::Cancel(Extensions::NONE), outbox);
        }
    }

    /// Adds what was billed to the bill of an order whose end is not told yet. Another receipt may be on its way behind this one:
    /// it is waited for once as long as this one took.
    fn bill(&mut self, now: Time, parts: &[CheckedChunk], before: (u64, u64), payments: &Payments) {
        let Some(ending) = &mut self.ending else { return };
        let is_paid = payments.is_payable(&self.attempt.account);
        let bill = &mut ending.progress.bill;
        let cost = bill.add(parts, before, &self.attempt.stream);
        if let Some(cost) = cost.filter(|_| !is_paid) {
            bill.unpaid = bill.unpaid.saturating_plus(cost);
        }
        ending.until = ending.until.min(now + now.since(ending.since));
    }

    /// Pays for what came, as far as it is paid for. Returns whether anything was.
    fn pay(
        &mut self,
        now: Time,
        parts: &[CheckedChunk],
        payments: &mut Payments,
        outbox: &mut Outbox,
    ) -> bool {
        let account = &self.attempt.account;
        let cost: Nano = parts.iter().filter_map(|part| part.bill).sum();
        let left = core::mem::take(&mut self.pays);
        self.pays = left.minus(cost).unwrap_or(Nano::ZERO);
        if cost > left {
            payments.release(now, account, left);
        } else if cost > Nano::ZERO {
            payments.fund(now, account, true, outbox);
            if payments.owe(account, cost).is_ok() {
                payments.persist(account, outbox);
                return true;
            }
            payments.release(now, account, cost);
        }
        false
    }

    /// Listens for another [`limits::LINGER`], because the ledger has just shown its channel.
    pub(super) fn prolong(&mut self, now: Time) {
        self.until = now + limits::LINGER;
    }

    pub(super) fn acknowledge(&mut self, payments: &Payments, identity: &Identity, outbox: &mut Outbox) {
        let has_voucher = self.attempt.send_ack(payments, identity, outbox);
        if let Some(ending) = self.ending.as_mut().filter(|_| has_voucher) {
            let bill = &mut ending.progress.bill;
            bill.vouchers = bill.vouchers.saturating_add(1);
        }
    }

    /// Frees what was set aside for it.
    fn end(&self, now: Time, payments: &mut Payments) {
        if self.pays > Nano::ZERO {
            payments.release(now, &self.attempt.account, self.pays);
        }
    }
}
