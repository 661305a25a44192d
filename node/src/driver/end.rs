//! How a node comes to its end, and how its channels do: drain, finish, settle, stop; each within a limit.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::time::{Span, Time};

use super::ending::{Phase, QUIET_MAX, Settlement};
use super::state::Driver;
use crate::role::Role;
use crate::status::channels::{earning, paying};
use crate::status::{ChannelPhase, ChannelStatus, Direction, SettleReport};

/// How long the closes of a provider's channels may take.
const CLOSE_MAX: Span = Span::from_s(30);
/// Between two reminders to close what is still open.
const REMIND_EVERY: Span = Span::from_s(5);

impl Driver {
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
                if now >= until || self.is_quiet() {
                    for command in self.orders.cancel_all() {
                        self.pending.push_back((Role::Client, Input::Command(command)));
                    }
                    self.ending.phase = Phase::Closing(now + CLOSE_MAX);
                    self.remind(&[Role::Provider]);
                }
            }
            Phase::Closing(until) => {
                let said = now >= self.ending.flushed_at && self.written == *self.durable.borrow();
                if now >= until || (said && !self.earns_on_open_channels()) {
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

    /// Nothing is being served or ordered, so that no further voucher will come or go.
    fn is_quiet(&self) -> bool {
        self.served.open.is_empty() && self.orders.len() == 0
    }

    fn settle_step(&mut self, now: Time) {
        let quiet = self.is_quiet();
        // A channel that a client proposed and the ledger never showed holds nothing to be closed.
        let proposed = |channel: &ChannelStatus| {
            channel.direction == Direction::Earning && channel.state == ChannelPhase::Opening
        };
        let channels = || self.channels().into_iter().filter(|channel| !proposed(channel)).collect();
        let Some(settling) = &self.ending.settling else { return };
        let Some(closing) = &settling.channels else {
            if quiet || now >= settling.until.min(settling.since + QUIET_MAX) {
                let channels = Some(channels());
                if let Some(settling) = &mut self.ending.settling {
                    settling.channels = channels;
                }
                self.remind(&[Role::Client, Role::Provider]);
            }
            return;
        };
        let waits = |channel: &ChannelStatus| match channel.state {
            ChannelPhase::Closed | ChannelPhase::Opening => false,
            ChannelPhase::Open | ChannelPhase::Closing => !self.is_dust(&channel.account),
        };
        let waits = closing.iter().any(waits) && now < settling.until && !settling.report.is_closed();
        if waits || !self.pending.is_empty() {
            return;
        }
        if let Some(Settlement { channels, report, .. }) = self.ending.settling.take() {
            let (closed, left) = channels
                .into_iter()
                .flatten()
                .partition(|channel: &ChannelStatus| channel.state == ChannelPhase::Closed);
            // Whoever asked may be gone.
            let _ = report.send(SettleReport { closed, left });
        }
    }

    /// Says which channels outlive this node, and why: nothing on them is lost, and nothing of it comes by itself.
    pub(super) fn tell_open_channels(&self) {
        for earner in self.provider.iter().flat_map(|provider| provider.channels()) {
            let ChannelStatus { account, peer, state, .. } = earning(earner);
            let settled = earner.seen().map_or(Nano::ZERO, |seen| seen.settled);
            let due = earner.paid().saturating_minus(settled);
            match state {
                ChannelPhase::Opening | ChannelPhase::Closed => {}
                ChannelPhase::Open | ChannelPhase::Closing if earner.is_dust() => tracing::info!(
                    account,
                    peer,
                    %due,
                    "a channel stays open: too little is due on it for a close to pay anything out; `bombyx channels close` \
                     closes it all the same"
                ),
                ChannelPhase::Open | ChannelPhase::Closing => tracing::warn!(
                    account,
                    peer,
                    %due,
                    "a channel is not closed yet: its close goes on when this node runs again, and `bombyx channels watch` \
                     guards it until then"
                ),
            }
        }
        let paid_on = self.client.channels().map(paying);
        let open = paid_on.filter(|channel| channel.state != ChannelPhase::Closed).count();
        if open > 0 {
            tracing::info!(channels = open, "deposits of this node stay in channels that it pays on");
        }
    }

    fn earns_on_open_channels(&self) -> bool {
        let earners = self.provider.iter().flat_map(|provider| provider.channels());
        earners
            .filter(|earner| !earner.is_dust())
            .any(|earner| earning(earner).state != ChannelPhase::Opening)
    }

    /// Whether a settlement leaves the channel to its client. (`CH-26`)
    fn is_dust(&self, account: &str) -> bool {
        let mut earners = self.provider.iter().flat_map(|provider| provider.channels());
        earners.any(|earner| earner.is_dust() && earner.is_open() && hex::encode(earner.account()) == account)
    }
}
