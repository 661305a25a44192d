//! How a node comes to its end: drain, finish, close what it earned on, stop; each within a limit.

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, Input};
use bombyx_protocol::time::Span;

use super::ending::Phase;
use super::state::Driver;
use super::view::dues;
use crate::role::Role;
use crate::status::channels::{earning, paying};
use crate::status::{ChannelPhase, ChannelStatus, DueStatus};

/// How long the closes of a provider's channels may take.
const CLOSE_MAX: Span = Span::from_s(30);
/// Between two reminders to close what is still open.
const REMIND_EVERY: Span = Span::from_s(5);

impl Driver {
    fn remind(&mut self) {
        self.pending.push_back((Role::Provider, Input::Command(Command::Settle)));
        self.ending.remind_at = Some(self.now() + REMIND_EVERY);
    }

    /// Goes on to the next step of the end when it is time.
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
                    self.remind();
                }
            }
            Phase::Closing(until) => {
                let said = now >= self.ending.flushed_at && self.written == *self.durable.borrow();
                if now >= until || (said && !self.earns_on_open_channels()) {
                    self.ending.phase = Phase::Over;
                }
            }
        }
        if self.ending.remind_at.is_some_and(|at| now >= at) {
            self.ending.remind_at = None;
            if matches!(self.ending.phase, Phase::Closing(_)) {
                self.remind();
            }
        }
    }

    /// Says whether nothing is being served or ordered, so that no further voucher will come or go.
    fn is_quiet(&self) -> bool {
        self.served.open.is_empty() && self.orders.len() == 0
    }

    /// Says which channels outlive this node, and why: nothing on them is lost, and nothing of it comes by itself. (`CH-26`)
    pub(super) fn tell_open_channels(&self) {
        for earner in self.provider.iter().flat_map(|provider| provider.channels()) {
            let ChannelStatus { account, peer, state, .. } = earning(earner);
            let due = earner.due();
            match state {
                ChannelPhase::Opening if due > Nano::ZERO => tracing::warn!(
                    account,
                    peer,
                    %due,
                    "the ledger has not shown a channel since this node started: what is due on it is claimed when this node runs \
                     again"
                ),
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
        if let Some(provider) = &self.provider {
            let (covered, unpaid): (Vec<DueStatus>, Vec<DueStatus>) =
                provider.channels().flat_map(dues).partition(|due| due.why.is_covered());
            let sum = |dues: Vec<DueStatus>| dues.into_iter().map(|due| Nano(due.due_nano)).sum::<Nano>();
            let lent: Nano = provider.loans(self.now()).map(|loan| loan.amount).sum();
            tracing::info!(
                earned = %self.sold(),
                still_due = %sum(covered),
                unpaid = %sum(unpaid).saturating_plus(lent),
                lost = %provider.lost(self.now()),
                "earned since the start, due on channels, and served without being paid: still owed, or lost"
            );
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
}
