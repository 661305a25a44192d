//! What the machines want done on the ledger: in order on one account, side by side on different ones.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent, LedgerFault};
use futures::FutureExt as _;
use tokio::time::{Instant, sleep, timeout};

use super::limits::{
    ABSENCES_NEEDED, CALL_WAIT, CALLS_AT_A_TIME, CALLS_AT_A_TIME_COUNTED, CALLS_PER_ACCOUNT_MAX, FUNDS_WAIT,
    OPENING_WAIT, PROBE_PAUSE, WATCHED_MAX,
};
use super::state::{FinishedCall, ServiceTask};
use super::watched;
use crate::ledger::{Ledger, LedgerError, Refusal};
use crate::role::Role;

/// Awaits what may panic: a fault in one call must not block its account's queue. The panic itself is logged by its hook.
pub(super) async fn unbroken<T>(future: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(future).catch_unwind().await.ok()
}

impl ServiceTask {
    pub(super) fn on_call(&mut self, role: Role, call: LedgerCall) {
        let account = call.account();
        match &call {
            LedgerCall::Watch { .. } => return self.watch(role, account),
            LedgerCall::Unwatch { .. } => return self.unwatch(role, account),
            LedgerCall::Open { .. } => {
                if !self.watched.get(&account).is_some_and(|watched| *watched.by.get(role)) {
                    self.watch(role, account);
                }
            }
            LedgerCall::TopUp { .. }
            | LedgerCall::Claim { .. }
            | LedgerCall::Close { .. }
            | LedgerCall::RequestClose { .. }
            | LedgerCall::Finalize { .. } => {}
        }
        let queue = self.queues.entry(account).or_default();
        // Each top-up adds to the deposit; any other call has done its work once it is done.
        if call.top_up().is_none() && queue.contains(&(role, call.clone())) {
            return;
        }
        if queue.len() >= CALLS_PER_ACCOUNT_MAX {
            tracing::warn!(%account, "too many ledger calls wait on one channel");
            let (top_up, fault) = (call.top_up(), LedgerFault::NotSent);
            return self.push_event(role, LedgerEvent::Failed { account, top_up, fault });
        }
        queue.push_back((role, call));
        if queue.len() == 1 {
            self.ready.push_back(account);
            self.start();
        }
    }

    fn watch(&mut self, role: Role, account: ChannelId) {
        if self.watched.len() >= WATCHED_MAX && !self.watched.contains_key(&account) {
            tracing::warn!("too many channels are watched; a further one is not");
            return;
        }
        let watched = self.watched.entry(account).or_default();
        *watched.by.get_mut(role) = true;
        let at_stake = watched.is_at_stake();
        match watched.seen.clone() {
            // What others on this node have seen is one look.
            Some(Some(state)) if role == Role::Provider && state.epoch != 0 => watched.unconfirmed = true,
            Some(seen) => {
                self.push_event(
                    role,
                    LedgerEvent::Channel { account, state: seen.as_ref().map(watched::core_state) },
                );
            }
            None => {}
        }
        let now = self.time(Instant::now());
        if let Some(dropped) = self.looks.watch(now, account, at_stake) {
            self.dropped(dropped);
        }
        self.look_soon();
    }

    fn unwatch(&mut self, role: Role, account: ChannelId) {
        let Some(watched) = self.watched.get_mut(&account) else { return };
        *watched.by.get_mut(role) = false;
        if Role::ALL.iter().any(|role| *watched.by.get(*role)) {
            let at_stake = watched.is_at_stake();
            self.looks.set_at_stake(&account, at_stake);
        } else {
            self.watched.remove(&account);
            self.sights.forget(&account);
            self.looks.forget(&account);
        }
    }

    /// Forgets a channel that nobody has funded: it is watched again when somebody names it again.
    pub(super) fn dropped(&mut self, account: ChannelId) {
        tracing::debug!(
            %account,
            "a channel that nobody has funded is watched no more"
        );
        self.watched.remove(&account);
        self.sights.forget(&account);
    }

    /// Starts the calls whose turn it is, and no more at a time than leave a ledger that counts requests time for looks. Those
    /// that bring money home go before others, and have as many places again, so that nothing that hangs holds them.
    fn start(&mut self) {
        let places = if self.ledger.spacing().is_zero() { CALLS_AT_A_TIME } else { CALLS_AT_A_TIME_COUNTED };
        loop {
            let first = |account: &ChannelId| self.queues.get(account).and_then(VecDeque::front);
            let urgent = |account: &ChannelId| first(account).is_some_and(|(_, call)| is_urgent(call));
            let (at, places) = match self.ready.iter().position(urgent) {
                Some(at) => (at, 2 * places),
                None => (0, places),
            };
            if self.running.len() >= places {
                return;
            }
            let Some(account) = self.ready.remove(at) else { return };
            self.start_next(account);
        }
    }

    fn start_next(&mut self, account: ChannelId) {
        let Some((role, call)) = self.queues.get(&account).and_then(VecDeque::front).cloned() else { return };
        let ledger = Arc::clone(&self.ledger);
        let was_silent = self.was_silent_lately();
        self.running.spawn(async move {
            let outcome = execute_once_heard(&ledger, &call, was_silent).await;
            let look = unbroken(ledger.channel(account.address()));
            let seen = timeout(CALL_WAIT, look).await.ok().flatten();
            FinishedCall { account, role, outcome, seen }
        });
    }

    pub(super) fn on_finished_call(&mut self, ran: FinishedCall) {
        let FinishedCall { account, role, outcome, seen } = ran;
        let done = self.queues.get_mut(&account).and_then(VecDeque::pop_front);
        self.sights.called();
        let name = done.as_ref().map_or("call", |(_, call)| name(call));
        if matches!(seen, Some(Ok(_))) {
            self.heard();
        } else {
            self.doubt(Instant::now());
        }
        let top_up = done.as_ref().and_then(|(_, call)| call.top_up());
        // The state first, so that a machine that hears of a failure knows what is the case.
        if let Some(Ok(seen)) = seen {
            if let Some(watched) = self.watched.get_mut(&account) {
                watched.settled_at = Some(Instant::now());
                watched.absences = ABSENCES_NEEDED;
            }
            self.observe(account, seen);
        }
        match outcome {
            Some(Ok(())) => tracing::info!(%account, "ledger: {name} is done"),
            // Its provider has said so already, and only the ledger is believed.
            Some(Err(LedgerError::NotOpen { .. })) if done.is_some_and(|(_, call)| closes(&call)) => {
                tracing::debug!(%account, "ledger: {name} is not needed, as the channel is gone");
            }
            Some(Err(error)) => {
                tracing::warn!(%account, %error, "ledger: {name} failed");
                // Where no channel is, the state that was told says it all.
                if !matches!(error, LedgerError::NotOpen { .. }) {
                    self.push_event(role, LedgerEvent::Failed { account, top_up, fault: error.fault() });
                }
            }
            None => {
                tracing::error!(
                    %account,
                    "ledger: {name} broke, or did not end; please report it"
                );
                self.push_event(role, LedgerEvent::Failed { account, top_up, fault: LedgerFault::Unknown });
            }
        }
        if self.queues.get(&account).is_some_and(|queue| !queue.is_empty()) {
            self.ready.push_back(account);
        } else {
            self.queues.remove(&account);
        }
        self.start();
    }
}

/// Returns whether money is lost if the call comes too late.
const fn is_urgent(call: &LedgerCall) -> bool {
    match call {
        LedgerCall::Claim { .. } | LedgerCall::Close { .. } => true,
        LedgerCall::Open { .. }
        | LedgerCall::TopUp { .. }
        | LedgerCall::RequestClose { .. }
        | LedgerCall::Finalize { .. }
        | LedgerCall::Watch { .. }
        | LedgerCall::Unwatch { .. } => false,
    }
}

/// Returns whether a call brings a channel to its end.
const fn closes(call: &LedgerCall) -> bool {
    match call {
        LedgerCall::Close { .. } | LedgerCall::RequestClose { .. } | LedgerCall::Finalize { .. } => true,
        LedgerCall::Open { .. }
        | LedgerCall::TopUp { .. }
        | LedgerCall::Claim { .. }
        | LedgerCall::Watch { .. }
        | LedgerCall::Unwatch { .. } => false,
    }
}

/// Executes a call; one that locks coins waits for a ledger that does not answer, as long as nothing of it was sent. Nothing is
/// returned of one that broke, or took too long.
async fn execute_once_heard(
    ledger: &Ledger,
    call: &LedgerCall,
    mut was_silent: bool,
) -> Option<Result<(), LedgerError>> {
    let mut until = Instant::now() + OPENING_WAIT;
    loop {
        let outcome = timeout(CALL_WAIT, unbroken(execute(ledger, call))).await.ok().flatten();
        match &outcome {
            Some(Err(error)) if locks(call) && error.is_silence() && Instant::now() < until => {
                was_silent = true;
                sleep(PROBE_PAUSE).await;
            }
            // Whoever fills the wallet has waited for the ledger as well.
            Some(Err(LedgerError::Balance { .. })) if locks(call) && was_silent && Instant::now() < until => {
                until = until.min(Instant::now() + FUNDS_WAIT);
                sleep(PROBE_PAUSE).await;
            }
            _ => return outcome,
        }
    }
}

/// Returns whether the call locks coins of this node. Whoever asks for that waits for it until a deadline of their own.
const fn locks(call: &LedgerCall) -> bool {
    match call {
        LedgerCall::Open { .. } | LedgerCall::TopUp { .. } => true,
        LedgerCall::Claim { .. }
        | LedgerCall::Close { .. }
        | LedgerCall::RequestClose { .. }
        | LedgerCall::Finalize { .. }
        | LedgerCall::Watch { .. }
        | LedgerCall::Unwatch { .. } => false,
    }
}

async fn execute(ledger: &Ledger, call: &LedgerCall) -> Result<(), LedgerError> {
    let done = match call {
        LedgerCall::Open { terms, deposit } => ledger.open(terms, *deposit).await.map(drop),
        LedgerCall::TopUp { account, amount } => ledger.top_up(account.address(), *amount).await,
        LedgerCall::Claim { voucher } => ledger.claim(voucher).await,
        LedgerCall::Close { voucher, order, signature } => {
            ledger.provider_close(order, *signature, voucher.map(|voucher| voucher.signature)).await
        }
        LedgerCall::RequestClose { request, signature } => {
            ledger.request_close_signed(request, *signature).await.map(drop)
        }
        LedgerCall::Finalize { account } => ledger.finalize(account.address()).await,
        LedgerCall::Watch { .. } | LedgerCall::Unwatch { .. } => Ok(()),
    };
    match (call, done) {
        // An earlier attempt had its effect after all, or somebody else did it.
        (LedgerCall::Open { .. }, Err(LedgerError::AlreadyOpen { .. }))
        | (LedgerCall::Claim { .. }, Err(LedgerError::Refused { refusal: Refusal::Stale, .. }))
        | (LedgerCall::RequestClose { .. }, Err(LedgerError::Refused { refusal: Refusal::Closing, .. })) => {
            Ok(())
        }
        (_, other) => other,
    }
}

const fn name(call: &LedgerCall) -> &'static str {
    match call {
        LedgerCall::Open { .. } => "opening a channel",
        LedgerCall::TopUp { .. } => "topping a channel up",
        LedgerCall::Claim { .. } => "claiming a voucher",
        LedgerCall::Close { .. } => "closing a channel",
        LedgerCall::RequestClose { .. } => "requesting a close",
        LedgerCall::Finalize { .. } => "finalizing a channel",
        LedgerCall::Watch { .. } => "watching a channel",
        LedgerCall::Unwatch { .. } => "unwatching a channel",
    }
}
