//! The role machine that watches channels for providers that are away: it answers a stale close
//! with the newest voucher.

use std::collections::BTreeMap;

use crate::channel::id::ChannelId;
use crate::channel::ledger::{LedgerCall, LedgerEvent};
use crate::channel::watch::{Watch, WatchedVoucher};
use crate::deadlines::Deadlines;
use crate::io::{Command, Input, Machine, Output};
use crate::limits;
use crate::outbox::Outbox;
use crate::time::Time;

/// Watches channels and claims in time. It holds no key.
#[derive(Debug, Default)]
pub struct Watcher {
    watched: BTreeMap<ChannelId, Watch>,
    /// When claims fall due.
    deadlines: Deadlines<ChannelId>,
    outbox: Outbox,
}

impl Watcher {
    /// Creates a watcher of nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns whether nothing is watched, or nothing any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watched.values().all(Watch::is_gone)
    }

    fn watch(&mut self, watched: WatchedVoucher) {
        let account = watched.voucher.account;
        self.deadlines.touch(account);
        if let Some(watch) = self.watched.get_mut(&account) {
            watch.renew(watched);
        } else if self.watched.len() < limits::CHANNELS_MAX || self.forget_least() {
            self.watched.insert(account, Watch::new(watched));
            self.outbox.call(LedgerCall::Watch { account });
        }
    }

    /// Makes room by forgetting the gone channel with the least at stake, if there is one.
    fn forget_least(&mut self) -> bool {
        let gone = self.watched.iter().filter(|(_, watch)| watch.is_gone());
        let least =
            gone.min_by_key(|(account, watch)| (watch.stake(), **account)).map(|(account, _)| *account);
        least.is_some_and(|account| self.watched.remove(&account).is_some())
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
                if let Some(watch) = self.watched.get_mut(account) {
                    watch.vanish(now);
                    self.outbox.call(LedgerCall::Unwatch { account: *account });
                }
            }
            // What the ledger does not show is brought again, whether the call failed or only seemed to go well.
            LedgerEvent::Failed { .. } => {}
        }
    }
}

impl Machine for Watcher {
    fn handle(&mut self, now: Time, input: Input) {
        match input {
            Input::Command(Command::Watch(watched)) => self.watch(watched),
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
            while let Some(call) = watch.due(now) {
                self.outbox.call(call);
            }
            self.deadlines.set(account, watch.wake_at());
        }
    }

    fn poll(&mut self) -> Output {
        self.outbox.poll(|| self.deadlines.next().unwrap_or(Time::NEVER))
    }
}
