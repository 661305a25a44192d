//! How far a node is on the way to its end, and a settlement on its own.

use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::time::{Span, Time};
use tokio::sync::oneshot;

use crate::status::{ChannelPhase, ChannelStatus, SettleReport};

/// How long jobs and orders that are under way may take to end.
const DRAIN_MAX: Span = Span::from_s(30);
/// How long a settlement waits for jobs and orders that are under way: a channel that is closed before the last voucher
/// came does not pay for it.
pub(super) const QUIET_MAX: Span = Span::from_s(15);
/// How long the last message is given to leave before the swarm stops: a final voucher is worth the wait.
const FLUSH: Span = Span::from_ms(400);

/// What is left to do before the end.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) phase: Phase,
    pub(super) settling: Option<Settlement>,
    pub(super) remind_at: Option<Time>,
    /// When everything that was sent so far has had its time to leave.
    pub(super) flushed_at: Time,
}

#[derive(Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Running,
    /// No new jobs; those there are may end until then.
    Draining(Time),
    /// The provider's channels are closing, until then.
    Closing(Time),
    Over,
}

/// A settlement that somebody waits for.
pub(super) struct Settlement {
    pub(super) since: Time,
    pub(super) until: Time,
    /// The channels as they were when the closes began, with what became of them.
    pub(super) channels: Option<Vec<ChannelStatus>>,
    pub(super) report: oneshot::Sender<SettleReport>,
}

impl Ending {
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(super) fn is_ending(&self) -> bool {
        self.phase != Phase::Running
    }

    /// A message went out.
    pub(super) fn sent(&mut self, now: Time) {
        self.flushed_at = now + FLUSH;
    }

    pub(super) fn shut_down(&mut self, now: Time) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining(now + DRAIN_MAX);
        }
    }

    pub(super) fn settle(&mut self, now: Time, within: Duration, report: oneshot::Sender<SettleReport>) {
        let within = Span(u64::try_from(within.as_micros()).unwrap_or(u64::MAX));
        self.settling = Some(Settlement { since: now, until: now + within, channels: None, report });
    }

    /// A channel is gone from the ledger.
    pub(super) fn closed(&mut self, account: [u8; 32], cumulative: Nano) {
        let account = hex::encode(account);
        let channels = self.settling.iter_mut().filter_map(|settling| settling.channels.as_mut());
        for channel in channels.flatten().filter(|channel| channel.account == account) {
            channel.state = ChannelPhase::Closed;
            channel.paid_nano = cumulative.0;
        }
    }

    pub(super) fn wake_at(&self, now: Time) -> Option<Time> {
        let phase = match self.phase {
            Phase::Draining(until) => Some(until),
            Phase::Closing(until) if self.flushed_at > now => Some(until.min(self.flushed_at)),
            Phase::Closing(until) => Some(until),
            Phase::Running | Phase::Over => None,
        };
        let settling = self.settling.as_ref().map(|settling| match settling.channels {
            None => settling.until.min(settling.since + QUIET_MAX),
            Some(_) => settling.until,
        });
        [phase, settling, self.remind_at].into_iter().flatten().min()
    }
}
