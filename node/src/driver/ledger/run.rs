//! The loop of the service, and the looks that it begins and ends.

use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::channel::ledger::LedgerEvent;
use bombyx_protocol::channel::pace::fits;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::calls::unbroken;
use super::gauge::differ;
use super::limits::{LOOK_WAIT, LOOKS_AT_A_TIME, PACE_TOLD_EVERY};
use super::state::{FinishedLook, ServiceRequest, ServiceTask};
use crate::ledger::{ChainError, LedgerError};
use crate::role::Role;

impl ServiceTask {
    pub(super) async fn run(
        mut self,
        mut inbox: mpsc::Receiver<ServiceRequest>,
        events: mpsc::Sender<(Role, LedgerEvent)>,
    ) {
        loop {
            let may_look = self.next_look.filter(|_| self.looking.len() < LOOKS_AT_A_TIME);
            tokio::select! {
                request = inbox.recv() => match request {
                    Some(ServiceRequest::Call(role, call)) => self.on_call(role, call),
                    Some(ServiceRequest::Voucher(account, cumulative)) => {
                        self.looks.voucher(&account, cumulative);
                        self.look_soon();
                    }
                    None => return,
                },
                permit = events.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.outbox.pop_front() {
                            permit.send(event);
                        }
                    }
                    Err(_) => return,
                },
                Some(ran) = self.running.join_next() => match ran {
                    Ok(ran) => {
                        self.on_finished_call(ran);
                        self.look_soon();
                    }
                    Err(error) => tracing::error!(%error, "a ledger call was stopped"),
                },
                Some(looked) = self.looking.join_next() => match looked {
                    Ok(looked) => self.on_finished_look(looked),
                    Err(error) => tracing::error!(%error, "a look at the ledger was stopped"),
                },
                // One that was aborted was not waited for any more.
                Some(probed) = self.probing.join_next() => if let Ok((began, answered)) = probed {
                    self.on_probed(began, answered);
                },
                () = sleep_until(may_look.unwrap_or_else(Instant::now)), if may_look.is_some() => self.look(),
                () = sleep_until(self.pace_at + PACE_TOLD_EVERY) => self.tell_pace(),
            }
        }
    }

    /// Notes that a look may be due earlier than was known.
    pub(super) fn look_soon(&mut self) {
        let now = Instant::now();
        let earliest = self.last_look.map_or(now, |last| (last + self.gauge.apart(now)).max(now));
        self.next_look = Some(self.next_look.map_or(earliest, |at| at.min(earliest)));
    }

    /// Begins one look, if one is due.
    fn look(&mut self) {
        let now = Instant::now();
        let busy = !self.running.is_empty();
        match self.looks.next(self.time(now), busy) {
            Ok(account) => {
                self.last_look = Some(now);
                self.next_look = Some(now + self.gauge.apart(now));
                let ledger = Arc::clone(if busy { &self.pressed } else { &self.ledger });
                self.looking.spawn(async move {
                    let look = unbroken(ledger.channel(account.address()));
                    let seen = timeout(LOOK_WAIT, look).await.ok().flatten();
                    FinishedLook { account, began: now, seen }
                });
                if self.looking.len() >= LOOKS_AT_A_TIME {
                    self.gauge.saturated(now);
                }
            }
            Err(at) => {
                self.next_look = at
                    .map(|at| (self.started + Duration::from_micros(at.0)).max(now + self.gauge.apart(now)));
            }
        }
    }

    fn on_finished_look(&mut self, looked: FinishedLook) {
        let FinishedLook { account, began, seen } = looked;
        // Another contract than a channel is an answer as well.
        let answered = matches!(seen, Some(Ok(_) | Err(LedgerError::Chain(ChainError::Unreadable { .. }))));
        self.gauge.ended(began, Instant::now(), answered);
        if answered {
            self.heard();
        } else {
            self.doubt(began);
        }
        self.looks.ended(&account, matches!(seen, Some(Ok(_))));
        self.look_soon();
        let Some(watched) = self.watched.get_mut(&account) else { return };
        // A call on it has ended meanwhile, and showed more.
        if watched.settled_at.is_some_and(|settled| settled > began) {
            return;
        }
        match seen {
            Some(Ok(seen)) => {
                watched.absences = if seen.is_none() { watched.absences.saturating_add(1) } else { 0 };
                self.observe(account, seen);
            }
            // Nothing is known now; the machines have deadlines of their own.
            Some(Err(error)) => {
                tracing::debug!(%account, %error, "a channel could not be read from the ledger; it is read again later");
            }
            None => {
                let seconds = LOOK_WAIT.as_secs();
                tracing::debug!(
                    %account,
                    seconds,
                    "a look at a channel did not end in time"
                );
            }
        }
    }

    /// Tells how fast changes are seen, if that has changed; and what has been watched for long enough, is watched no more.
    pub(super) fn tell_pace(&mut self) {
        let now = Instant::now();
        self.pace_at = now;
        for account in self.looks.expire(self.time(now)) {
            self.dropped(account);
        }
        if self.watched.is_empty() {
            self.gauge.forget_silence();
        }
        self.beat();
        let pace = self.gauge.pace(now);
        let differs = differ(*self.pace.borrow(), pace);
        if differs {
            self.looks.set_pace(pace);
            self.pace.send_replace(pace);
            let (channels, taken) = self.looks.load();
            if pace.is_blind() {
                self.fall_silent("for a minute");
            } else if !fits(taken) {
                tracing::warn!(
                    channels,
                    look_every_ms = pace.every.as_ms(),
                    "the ledger answers too seldom for the channels that are watched: a close may be seen later than in a \
                     tenth of its challenge time; more requests per second, or endpoints, would help"
                );
            } else {
                tracing::debug!(
                    channels,
                    look_every_ms = pace.every.as_ms(),
                    answer_ms = pace.delay.as_ms(),
                    "the pace of looks at the ledger has changed"
                );
            }
        }
    }
}
