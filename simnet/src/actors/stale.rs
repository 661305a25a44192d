//! A client that closes with an old state: it keeps back the voucher that an honest one brings for a provider that is
//! away, and takes everything as soon as the challenge time is over.

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::ledger::{LedgerCall, LedgerEvent};
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::time::{Span, Time};

use super::plan::AttackPlan;

/// How long after the end of the challenge time it asks for the rest, so that the block's clock has passed it.
const SOON: Span = Span::from_s(1);

/// The machine.
pub(super) struct StaleCloser {
    plan: AttackPlan,
    honest: Box<dyn Machine + Send>,
    now: Time,
    /// The time from which the rest of each closing channel can be claimed.
    closing: BTreeMap<ChannelId, Time>,
}

impl StaleCloser {
    pub(super) fn new(plan: AttackPlan, honest: Box<dyn Machine + Send>) -> Self {
        Self { plan, honest, now: Time(0), closing: BTreeMap::new() }
    }

    fn due(&mut self) -> Option<LedgerCall> {
        let (account, _) = self.closing.iter().find(|(_, at)| **at <= self.now)?;
        let account = *account;
        self.closing.remove(&account);
        Some(LedgerCall::Finalize { account })
    }
}

impl Machine for StaleCloser {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        if let Input::Ledger(LedgerEvent::Channel { account, state }) = &input {
            match state.and_then(|state| state.closing) {
                Some(left) if self.plan.is_on(now) => {
                    self.closing.insert(*account, now + left + SOON);
                }
                Some(_) | None => {
                    self.closing.remove(account);
                }
            }
        }
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        if let Some(call) = self.due() {
            return Output::Ledger(Box::new(call));
        }
        loop {
            let output = self.honest.poll();
            if let Output::Wake(at) = output {
                let next = self.closing.values().copied().min().unwrap_or(at);
                return Output::Wake(next.min(at));
            }
            let claims =
                matches!(&output, Output::Ledger(call) if matches!(**call, LedgerCall::Claim { .. }));
            if !(claims && self.plan.is_on(self.now)) {
                return output;
            }
        }
    }
}
