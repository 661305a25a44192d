//! How far a node is on the way to its end.

use bombyx_protocol::time::{Span, Time};

/// How long jobs and orders that are under way may take to end.
const DRAIN_MAX: Span = Span::from_s(30);
/// How long the last message is given to leave before the swarm stops: a final voucher is worth the wait.
const FLUSH: Span = Span::from_ms(400);

/// What is left to do before the end.
#[derive(Default)]
pub(super) struct Ending {
    pub(super) phase: Phase,
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

impl Ending {
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(super) fn is_ending(&self) -> bool {
        self.phase != Phase::Running
    }

    /// Notes that a message went out.
    pub(super) fn sent(&mut self, now: Time) {
        self.flushed_at = now + FLUSH;
    }

    pub(super) fn shut_down(&mut self, now: Time) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining(now + DRAIN_MAX);
        }
    }

    pub(super) fn wake_at(&self, now: Time) -> Option<Time> {
        let phase = match self.phase {
            Phase::Draining(until) => Some(until),
            Phase::Closing(until) if self.flushed_at > now => Some(until.min(self.flushed_at)),
            Phase::Closing(until) => Some(until),
            Phase::Running | Phase::Over => None,
        };
        [phase, self.remind_at].into_iter().flatten().min()
    }
}
