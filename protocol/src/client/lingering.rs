//! What is left of an attempt that is over for the user: the last acknowledgement, and perhaps a window
//! to pay.

use crate::amount::Nano;
use crate::channel::id::ChannelId;
use crate::ident::{Identity, NodeId};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::extension::Extensions;
use crate::wire::message::{FromClient, FromProvider, SealedFrame};
use crate::work::stream::CheckedChunk;

use super::attempt::Attempt;
use super::payments::Payments;

/// A job that is over for the user, kept so that its provider hears the last acknowledgement and is
/// paid.
#[derive(Debug)]
pub(super) struct LingeringJob {
    pub(super) until: Time,
    /// The most that is still paid: a window for a job that its user left, nothing for one that its
    /// provider failed.
    pays: Nano,
    /// Whether reading alone is paid as well. (`WR-24`)
    pays_reading: bool,
    attempt: Box<Attempt>,
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
        let mut lingering = Self { until: now + wait, pays, pays_reading, attempt };
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

    pub(super) const fn account(&self) -> &ChannelId {
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
        match codec::decode_sealed::<FromProvider>(&opened.body) {
            Ok(FromProvider::Chunk(chunk)) => {
                let parts = self.attempt.stream.accept(chunk, opened.last).unwrap_or_default();
                self.pay(now, &parts, payments, outbox);
            }
            // The owner is told what is wrong with the channel; no order waits here any more.
            Ok(FromProvider::NeedPayment(need)) => {
                let _ = payments.recover(&self.attempt.account, need.newest, outbox);
            }
            Ok(FromProvider::Progress(said)) => {
                // It crossed the cancellation on its way.
                self.attempt.read = self.attempt.read.max(said.read);
                self.give_up();
                return;
            }
            Err(_) => {}
        }
        self.acknowledge(payments, identity, outbox);
    }

    fn pay(&mut self, now: Time, parts: &[CheckedChunk], payments: &mut Payments, outbox: &mut Outbox) {
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
            } else {
                payments.release(now, account, cost);
            }
        }
    }

    /// Listens for another [`limits::LINGER`], because the ledger has just shown its channel.
    pub(super) fn prolong(&mut self, now: Time) {
        self.until = now + limits::LINGER;
    }

    pub(super) fn acknowledge(&mut self, payments: &Payments, identity: &Identity, outbox: &mut Outbox) {
        self.attempt.send_ack(payments, identity, outbox);
    }

    /// Frees what was set aside for it.
    pub(super) fn end(&self, now: Time, payments: &mut Payments) {
        if self.pays > Nano::ZERO {
            payments.release(now, &self.attempt.account, self.pays);
        }
    }
}
