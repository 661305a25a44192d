//! The role machine that guards channels for who is away: it answers a stale close with the newest voucher.

use std::collections::BTreeMap;

use crate::channel::ledger::{LedgerCall, LedgerEvent};
use crate::channel::watch::{Guarded, Watch};
use crate::io::{Command, Input, Machine, Output};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;

/// Watches channels and claims in time. It holds no key.
#[derive(Debug, Default)]
pub struct Watcher {
    watched: BTreeMap<[u8; 32], Watch>,
    outbox: Outbox,
}

impl Watcher {
    /// A watcher of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn guard(&mut self, guarded: Guarded) {
        let account = guarded.voucher.account;
        if let Some(watch) = self.watched.get_mut(&account) {
            watch.renew(guarded);
        } else if self.watched.len() < limits::CHANNELS_MAX {
            self.watched.insert(account, Watch::new(guarded));
            self.outbox.push(Output::Ledger(LedgerCall::Watch { account }));
        }
    }

    fn ledger(&mut self, now: Time, event: &LedgerEvent) {
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
                    watch.claim_failed();
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
            | Input::Gossip(_)
            | Input::Received { .. }
            | Input::Undelivered { .. }
            | Input::Engine { .. }
            | Input::Tick => {}
        }
        let due: Vec<LedgerCall> = self.watched.values_mut().filter_map(|watch| watch.due(now)).collect();
        for call in due {
            self.outbox.push(Output::Ledger(call));
        }
    }

    fn poll(&mut self) -> Output {
        let due = self.watched.values().filter_map(Watch::wake_at);
        self.outbox.poll(|| due.min().unwrap_or(Time(u64::MAX)))
    }
}
