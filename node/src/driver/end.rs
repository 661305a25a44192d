//! How a node comes to its end, and how its channels do: drain, finish, settle, stop; each within a limit.

use std::time::Duration;

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::time::{Span, Time};
use tokio::sync::oneshot;

use super::Driver;
use super::role::Role;
use crate::status::{ChannelPhase, ChannelStatus, Direction, SettleReport};

/// How long jobs and orders that are under way may take to end.
const DRAIN_MAX: Span = Span::from_s(30);
/// How long the closes of a provider's channels may take.
const CLOSE_MAX: Span = Span::from_s(30);
/// Between two reminders to close what is still open.
const REMIND_EVERY: Span = Span::from_s(5);

/// What is left to do before the end.
#[derive(Default)]
pub(super) struct Ending {
    phase: Phase,
    settling: Option<Settling>,
    remind_at: Option<Time>,
}

#[derive(Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Running,
    /// No new jobs; those there are may end until then.
    Draining(Time),
    /// The provider's channels are closing, until then.
    Closing(Time),
    Over,
}

/// A settlement that somebody waits for.
struct Settling {
    until: Time,
    /// The channels as they were at the beginning, with what became of them.
    channels: Vec<ChannelStatus>,
    report: oneshot::Sender<SettleReport>,
}

impl Ending {
    pub(super) fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    pub(super) fn is_ending(&self) -> bool {
        self.phase != Phase::Running
    }

    pub(super) fn shut_down(&mut self, now: Time) {
        if self.phase == Phase::Running {
            self.phase = Phase::Draining(now + DRAIN_MAX);
        }
    }

    pub(super) fn settle(&mut self, now: Time, within: Duration, report: oneshot::Sender<SettleReport>) {
        let within = Span(u64::try_from(within.as_micros()).unwrap_or(u64::MAX));
        self.settling = Some(Settling { until: now + within, channels: Vec::new(), report });
    }

    /// A channel is gone from the ledger.
    pub(super) fn closed(&mut self, account: [u8; 32], cumulative: Nano) {
        let account = hex::encode(account);
        let channels = self.settling.iter_mut().flat_map(|settling| &mut settling.channels);
        for channel in channels.filter(|channel| channel.account == account) {
            channel.state = ChannelPhase::Closed;
            channel.paid_nano = cumulative.0;
        }
    }

    pub(super) fn wake_at(&self) -> Option<Time> {
        let phase = match self.phase {
            Phase::Draining(until) | Phase::Closing(until) => Some(until),
            Phase::Running | Phase::Over => None,
        };
        let settling = self.settling.as_ref().map(|settling| settling.until);
        [phase, settling, self.remind_at].into_iter().flatten().min()
    }
}

impl Driver {
    /// Begins to close every channel, for the settlement that was just asked for.
    pub(super) fn settle_now(&mut self) {
        // A channel that a client proposed and the ledger never showed holds nothing to be closed.
        let proposed = |channel: &ChannelStatus| {
            channel.direction == Direction::Earning && channel.state == ChannelPhase::Opening
        };
        let channels = self.channels().into_iter().filter(|channel| !proposed(channel)).collect();
        if let Some(settling) = &mut self.ending.settling {
            settling.channels = channels;
        }
        self.remind(&[Role::Client, Role::Provider]);
    }

    fn remind(&mut self, roles: &[Role]) {
        for role in roles {
            self.pending.push_back((*role, Input::Command(Command::Settle)));
        }
        self.ending.remind_at = Some(self.now() + REMIND_EVERY);
    }

    /// Goes on to the next step of the end, or of a settlement, when it is time.
    pub(super) fn end_step(&mut self) {
        let now = self.now();
        match self.ending.phase {
            Phase::Running | Phase::Over => {}
            Phase::Draining(until) => {
                let serving = self.provider.as_ref().is_some_and(|provider| provider.jobs_in_flight() > 0);
                if now >= until || (!serving && self.orders.len() == 0) {
                    for command in self.orders.cancel_all() {
                        self.pending.push_back((Role::Client, Input::Command(command)));
                    }
                    self.ending.phase = Phase::Closing(now + CLOSE_MAX);
                    self.remind(&[Role::Provider]);
                }
            }
            Phase::Closing(until) => {
                if now >= until || !self.earns_on_open_channels() {
                    self.ending.phase = Phase::Over;
                }
            }
        }
        self.settle_step(now);
        if self.ending.remind_at.is_some_and(|at| now >= at) {
            self.ending.remind_at = None;
            if self.ending.settling.is_some() {
                self.remind(&[Role::Client, Role::Provider]);
            } else if matches!(self.ending.phase, Phase::Closing(_)) {
                self.remind(&[Role::Provider]);
            }
        }
    }

    fn settle_step(&mut self, now: Time) {
        let Some(settling) = &self.ending.settling else { return };
        let left = |channel: &&ChannelStatus| {
            channel.state != ChannelPhase::Closed && channel.state != ChannelPhase::Opening
        };
        let waits = settling.channels.iter().any(|channel| left(&channel));
        if (waits && now < settling.until && !settling.report.is_closed()) || !self.pending.is_empty() {
            return;
        }
        if let Some(Settling { channels, report, .. }) = self.ending.settling.take() {
            let (closed, left) =
                channels.into_iter().partition(|channel| channel.state == ChannelPhase::Closed);
            // Whoever asked may be gone.
            let _ = report.send(SettleReport { closed, left });
        }
    }

    fn earns_on_open_channels(&self) -> bool {
        self.channels()
            .iter()
            .any(|channel| channel.direction == Direction::Earning && channel.state != ChannelPhase::Opening)
    }
}
