//! The role machine that guards channels for who is away: it answers a stale close with the newest voucher.

use std::collections::BTreeMap;

use crate::channel::ledger::{LedgerCall, LedgerEvent};
use crate::channel::watch::{Guarded, Watch};
use crate::deadlines::Deadlines;
use crate::io::{Command, Input, Machine, Output};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;

/// Watches channels and claims in time. It holds no key.
#[derive(Debug, Default)]
pub struct Watcher {
    watched: BTreeMap<[u8; 32], Watch>,
    /// Of the claims to come.
    deadlines: Deadlines<[u8; 32]>,
    outbox: Outbox,
}

impl Watcher {
    /// A watcher of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is guarded, or any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watched.is_empty()
    }

    fn guard(&mut self, guarded: Guarded) {
        let account = guarded.voucher.account;
        self.deadlines.touch(account);
        if let Some(watch) = self.watched.get_mut(&account) {
            watch.renew(guarded);
        } else if self.watched.len() < limits::CHANNELS_MAX {
            self.watched.insert(account, Watch::new(guarded));
            self.outbox.call(LedgerCall::Watch { account });
        }
    }

    fn ledger(&mut self, now: Time, event: &LedgerEvent) {
        self.deadlines.touch(event.account());
        match event {
            LedgerEvent::Channel { account, state: Some(state) } => {
                if let Some(watch) = self.watched.get_mut(account) {
                    watch.observe(now, state);
                }
            }
            LedgerEvent::Channel { account, state: None } => {
                // Gone after it was there: settled. Not there yet: the voucher is for a later funding.
                self.watched.remove(account);
            }
            LedgerEvent::Failed { account, .. } => {
                if let Some(watch) = self.watched.get_mut(account) {
                    watch.claim_failed(now);
                }
            }
        }
    }
}

impl Machine for Watcher {
    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Command(Command::Guard(guarded)) => self.guard(guarded),
            Input::Ledger(event) => self.ledger(now, &event),
            Input::Persisted(id) => self.outbox.persisted(id),
            Input::Command(_)
            | Input::Gossip { .. }
            | Input::Received { .. }
            | Input::Undelivered { .. }
            | Input::Engine { .. }
            | Input::Tick => {}
        }
        for account in self.deadlines.due(now) {
            let Some(watch) = self.watched.get_mut(&account) else { continue };
            if let Some(call) = watch.due(now) {
                self.outbox.call(call);
            }
            self.deadlines.set(account, watch.wake_at());
        }
    }

    fn poll(&mut self) -> Output {
        self.outbox.poll(|| self.deadlines.next().unwrap_or(Time(u64::MAX)))
    }
}
