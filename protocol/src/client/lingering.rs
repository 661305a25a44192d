//! What is left of an attempt that is over for the user: it owes its last acknowledgement, and perhaps a window.

use crate::amount::Nano;
use crate::ident::{Identity, NodeId};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;
use crate::wire::codec;
use crate::wire::message::{FromClient, FromProvider, SealedFrame};
use crate::work::stream::CheckedChunk;

use super::attempt::Attempt;
use super::payments::Payments;

/// A job that is over for the user, kept to acknowledge and pay what the provider has not heard yet.
#[derive(Debug)]
pub(super) struct Lingering {
    pub(super) until: Time,
    /// What of that is paid at the most: a window of a job that its user left, nothing of one that its provider failed.
    pays: Nano,
    attempt: Box<Attempt>,
}

impl Lingering {
    /// Ends an attempt for the user. What still comes is paid where the provider is not to blame (`pays`), a window of it at
    /// the most. Nothing lingers where too much does already (`is_full`). (`WR-14`, `WR-21`)
    pub(super) fn start(
        now: Time,
        mut attempt: Box<Attempt>,
        pays: bool,
        is_full: bool,
        payments: &mut Payments,
        outbox: &mut Outbox,
    ) -> Option<Self> {
        if attempt.stream.finish().is_none() {
            attempt.say(&FromClient::Cancel, outbox);
        }
        let account = attempt.account;
        // A channel that is still on its way to the ledger must be waited for: the bill stands.
        let is_settled = payments.is_open(&account) || !payments.is_asked_for(&account);
        let wait = if is_settled { limits::LINGER } else { limits::LEDGER_WAIT };
        let window = attempt.stream.cost_of_window(attempt.task.input_tokens_max());
        let most = if pays && !is_full { window.min(attempt.reserved) } else { Nano::ZERO };
        payments.release(now, &account, attempt.reserved);
        // What it may still be paid stays set aside, so that no other job counts on it.
        let pays = payments.set_aside(&account, most);
        (!is_full).then_some(Self { until: now + wait, pays, attempt })
    }

    pub(super) const fn account(&self) -> &[u8; 32] {
        &self.attempt.account
    }

    /// Accepts what a provider says after the user is done with its job: what it delivered all the same is paid, and the
    /// last acknowledgement repeated.
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
            // What is wrong with the channel is told to its owner; no order waits here any more.
            Ok(FromProvider::NeedPayment(need)) => {
                let _ = payments.recover(&self.attempt.account, need.newest, outbox);
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

    /// The ledger shows its channel: it is heard for as long again.
    pub(super) fn prolong(&mut self, now: Time) {
        self.until = now + limits::LINGER;
    }

    pub(super) fn acknowledge(&mut self, payments: &Payments, identity: &Identity, outbox: &mut Outbox) {
        self.attempt.send_ack(payments, identity, outbox);
    }

    /// It is heard no more: what was set aside for it is free.
    pub(super) fn end(&self, now: Time, payments: &mut Payments) {
        if self.pays > Nano::ZERO {
            payments.release(now, &self.attempt.account, self.pays);
        }
    }
}
