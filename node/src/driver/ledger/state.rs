//! The task of the service and all that it knows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::channel::pace::Pace;
use bombyx_protocol::time::{Span, Time};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::gauge::Gauge;
use super::looks::Looks;
use super::watched::{SeenState, Sights, WatchedChannel};
use crate::ledger::{Ledger, LedgerError, Priority};
use crate::role::Role;

/// What is told to the service.
pub(super) enum ServiceRequest {
    Call(Role, LedgerCall),
    /// A voucher over this total is there to be claimed.
    Voucher(ChannelId, Nano),
}

/// The service itself: one task.
pub(super) struct ServiceTask {
    pub(super) ledger: Arc<Ledger>,
    /// The same for looks while calls are made: beside them, not after them.
    pub(super) pressed: Arc<Ledger>,
    pub(super) started: Instant,
    pub(super) watched: BTreeMap<ChannelId, WatchedChannel>,
    pub(super) looks: Looks,
    pub(super) gauge: Gauge,
    /// Calls by account; the first of each is running, or ready to.
    pub(super) queues: BTreeMap<ChannelId, VecDeque<(Role, LedgerCall)>>,
    /// Accounts whose first call waits until others have ended.
    pub(super) ready: VecDeque<ChannelId>,
    pub(super) running: JoinSet<FinishedCall>,
    pub(super) looking: JoinSet<FinishedLook>,
    pub(super) last_look: Option<Instant>,
    /// When to ask for the next account; `None`: at the next news.
    pub(super) next_look: Option<Instant>,
    pub(super) pace: watch::Sender<Pace>,
    pub(super) pace_at: Instant,
    /// Whether the ledger does not answer, and the question that it is asked meanwhile.
    pub(super) silent: watch::Sender<bool>,
    pub(super) probing: JoinSet<(Instant, bool)>,
    /// When the first question began that nothing has answered since.
    pub(super) doubted_since: Option<Instant>,
    /// When it answered last.
    pub(super) answered_at: Instant,
    /// When it was heard again after its last silence.
    pub(super) heard_at: Option<Instant>,
    pub(super) sights: Sights,
    pub(super) outbox: VecDeque<(Role, LedgerEvent)>,
}

/// A call that came to its end, with the channel as it was then.
pub(super) struct FinishedCall {
    pub(super) account: ChannelId,
    pub(super) role: Role,
    /// Nothing where it broke, or took too long.
    pub(super) outcome: Option<Result<(), LedgerError>>,
    pub(super) seen: Option<Result<SeenState, LedgerError>>,
}

/// A look that has ended.
pub(super) struct FinishedLook {
    pub(super) account: ChannelId,
    pub(super) began: Instant,
    /// Nothing where it took too long, or broke.
    pub(super) seen: Option<Result<SeenState, LedgerError>>,
}

impl ServiceTask {
    pub(super) fn new(ledger: Arc<Ledger>, poll: Duration) -> (Self, watch::Receiver<Pace>) {
        let now = Instant::now();
        let gauge = Gauge::new(ledger.spacing());
        let (pace, receiver) = watch::channel(gauge.pace(now));
        let mut looks = Looks::new(Span(micros(poll)));
        looks.set_pace(gauge.pace(now));
        let pressed = Arc::new(ledger.with_priority(Priority::Act));
        let task = Self {
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
            silent: watch::Sender::new(false),
            probing: JoinSet::new(),
            doubted_since: None,
            answered_at: now,
            heard_at: None,
            sights: Sights::default(),
            outbox: VecDeque::new(),
        };
        (task, receiver)
    }

    pub(super) fn time(&self, now: Instant) -> Time {
        Time(micros(now.saturating_duration_since(self.started)))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
