//! The service between the machines and the ledger: runs their calls and tells them how their channels change.
//!
//! ```text
//! LedgerDesk ── the driver's end: calls in, events and the pace out
//!   └─ Desk         one task, which waits for nothing but its own queues
//!        ├─ calls   what the machines want done: in order on one account, side by side on different ones
//!        ├─ looks   whose turn it is to be looked at
//!        ├─ gauge   how fast looks can follow each other
//!        └─ seen    what of it is news, and for whom
//! ```
//!
//! Each look is told when it ends, whatever becomes of the others. What the service has to say waits in an outbox that holds
//! one state per role and account, so that a slow driver never holds the service up.

mod calls;
mod gauge;
mod limits;
mod looks;
mod seen;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::pace::{Pace, fits};
use bombyx_protocol::channel::terms::Address;
use bombyx_protocol::time::{Span, Time};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use self::calls::Ran;
use self::gauge::{Gauge, differ};
use self::limits::{ABSENCES_NEEDED, LOOK_WAIT, LOOKS_AT_A_TIME, PACE_TOLD_EVERY, QUEUE_MAX};
use self::looks::Looks;
use self::seen::Watched;
pub(crate) use self::seen::{Sights, told};
use crate::ledger::chain::{ChainError, Priority};
use crate::ledger::contract;
use crate::ledger::{Ledger, LedgerError};
use crate::role::Role;

type Account = [u8; 32];

/// A channel as the ledger shows it, or its absence.
type Seen = Option<contract::ChannelState>;

/// What is told to the service.
enum Told {
    Call(Role, LedgerCall),
    /// A voucher over this total is there to be claimed.
    Voucher(Account, Nano),
}

/// The driver's end of the service. Dropping it stops the service.
pub(crate) struct LedgerDesk {
    told: mpsc::Sender<Told>,
    pub(crate) events: mpsc::Receiver<(Role, LedgerEvent)>,
    /// How fast changes on the ledger are seen.
    pub(crate) pace: watch::Receiver<Pace>,
    /// What the last look at each channel has shown, for whoever wants to show it.
    pub(crate) sights: Sights,
}

/// The service has stopped.
#[derive(Debug)]
pub(crate) struct Stopped;

impl LedgerDesk {
    /// Starts the service on `ledger`. A channel that nothing urges is looked at every `poll`, if there are turns to spare.
    pub(crate) fn start(ledger: Arc<Ledger>, poll: Duration) -> Self {
        let (told, inbox) = mpsc::channel(QUEUE_MAX);
        let (sender, events) = mpsc::channel(QUEUE_MAX);
        let (desk, pace) = Desk::new(ledger, poll);
        let sights = desk.sights.clone();
        tokio::spawn(desk.run(inbox, sender));
        Self { told, events, pace, sights }
    }

    /// Has a call done.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn call(&self, role: Role, call: LedgerCall) -> Result<(), Stopped> {
        self.told.send(Told::Call(role, call)).await.map_err(|_| Stopped)
    }

    /// Says what the newest voucher on an account comes to: the more, the more a close that is missed would cost.
    ///
    /// # Errors
    /// [`Stopped`].
    pub(crate) async fn voucher(&self, account: Account, cumulative: Nano) -> Result<(), Stopped> {
        self.told.send(Told::Voucher(account, cumulative)).await.map_err(|_| Stopped)
    }
}

struct Desk {
    ledger: Arc<Ledger>,
    /// The same for looks while calls are made: beside them, not after them.
    pressed: Arc<Ledger>,
    started: Instant,
    watched: BTreeMap<Account, Watched>,
    looks: Looks,
    gauge: Gauge,
    /// Calls by account; the first of each is running, or ready to.
    queues: BTreeMap<Account, VecDeque<(Role, LedgerCall)>>,
    /// Accounts whose first call waits until others have ended.
    ready: VecDeque<Account>,
    running: JoinSet<Ran>,
    looking: JoinSet<Looked>,
    last_look: Option<Instant>,
    /// When to ask for the next account; `None`: at the next news.
    next_look: Option<Instant>,
    pace: watch::Sender<Pace>,
    pace_at: Instant,
    sights: Sights,
    outbox: VecDeque<(Role, LedgerEvent)>,
}

/// A look that has ended.
struct Looked {
    account: Account,
    began: Instant,
    /// Nothing where it took too long, or broke.
    seen: Option<Result<Seen, LedgerError>>,
}

impl Desk {
    fn new(ledger: Arc<Ledger>, poll: Duration) -> (Self, watch::Receiver<Pace>) {
        let now = Instant::now();
        let gauge = Gauge::new(ledger.spacing());
        let (pace, receiver) = watch::channel(gauge.pace(now));
        let mut looks = Looks::new(Span(micros(poll)));
        looks.set_pace(gauge.pace(now));
        let pressed = Arc::new(ledger.with_priority(Priority::Act));
        let desk = Self {
            ledger,
            pressed,
            started: now,
            watched: BTreeMap::new(),
            looks,
            gauge,
            queues: BTreeMap::new(),
            ready: VecDeque::new(),
            running: JoinSet::new(),
            looking: JoinSet::new(),
            last_look: None,
            next_look: None,
            pace,
            pace_at: now,
            sights: Sights::default(),
            outbox: VecDeque::new(),
        };
        (desk, receiver)
    }

    async fn run(mut self, mut inbox: mpsc::Receiver<Told>, events: mpsc::Sender<(Role, LedgerEvent)>) {
        loop {
            let may_look = self.next_look.filter(|_| self.looking.len() < LOOKS_AT_A_TIME);
            tokio::select! {
                told = inbox.recv() => match told {
                    Some(Told::Call(role, call)) => self.take(role, call),
                    Some(Told::Voucher(account, cumulative)) => {
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
                        self.ran(ran);
                        self.look_soon();
                    }
                    Err(error) => tracing::error!(%error, "a ledger call was stopped"),
                },
                Some(looked) = self.looking.join_next() => match looked {
                    Ok(looked) => self.looked(looked),
                    Err(error) => tracing::error!(%error, "a look at the ledger was stopped"),
                },
                () = sleep_until(may_look.unwrap_or_else(Instant::now)), if may_look.is_some() => self.look(),
                () = sleep_until(self.pace_at + PACE_TOLD_EVERY) => self.tell_pace(),
            }
        }
    }

    /// A look may be due earlier than was known.
    fn look_soon(&mut self) {
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
                    let look = calls::unbroken(ledger.channel(Address::basechain(account)));
                    let seen = timeout(LOOK_WAIT, look).await.ok().flatten();
                    Looked { account, began: now, seen }
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

    fn looked(&mut self, looked: Looked) {
        let Looked { account, began, seen } = looked;
        // Another contract than a channel is an answer as well.
        let answered = matches!(seen, Some(Ok(_) | Err(LedgerError::Chain(ChainError::Unreadable { .. }))));
        self.gauge.ended(began, Instant::now(), answered);
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
                tracing::debug!(account = hex::encode(account), %error, "a channel could not be looked at");
            }
            None => {
                let seconds = LOOK_WAIT.as_secs();
                tracing::debug!(
                    account = hex::encode(account),
                    seconds,
                    "a look at a channel did not end in time"
                );
            }
        }
    }

    /// Tells how fast changes are seen, if that has changed; and what has been watched for long enough, is watched no more.
    fn tell_pace(&mut self) {
        let now = Instant::now();
        self.pace_at = now;
        for account in self.looks.expire(self.time(now)) {
            self.dropped(account);
        }
        if self.watched.is_empty() {
            self.gauge.idle();
        }
        let pace = self.gauge.pace(now);
        let differs = differ(*self.pace.borrow(), pace);
        if differs {
            self.looks.set_pace(pace);
            self.pace.send_replace(pace);
            let (channels, taken) = self.looks.load();
            if pace.is_blind() {
                tracing::warn!(
                    "the ledger has not answered for a minute: no close is seen, and no new channel is accepted"
                );
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

    fn time(&self, now: Instant) -> Time {
        Time(micros(now.saturating_duration_since(self.started)))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
