//! A provider that bids at the last moment: it hopes to learn what others bid, and, bids being sealed, learns nothing.

use std::collections::{BTreeMap, VecDeque};

use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::market::call::CallId;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::{Message, ToClient, VerifiedGossip};

use super::plan::{AttackPlan, WHOLE};

/// How long before it believes the window to close it bids: the way of the call to it, which it does not know, and of the
/// bid back.
const MARGIN: Span = Span::from_ms(200);
/// Calls whose windows are remembered.
const CALLS_MAX: usize = 1_024;

/// The machine.
pub(super) struct Sniper {
    plan: AttackPlan,
    honest: Box<dyn Machine + Send>,
    now: Time,
    /// When to bid for each call.
    windows: BTreeMap<CallId, Time>,
    order: VecDeque<CallId>,
    held: BTreeMap<(Time, u64), Output>,
    bids: u64,
}

impl Sniper {
    pub(super) fn new(plan: AttackPlan, honest: Box<dyn Machine + Send>) -> Self {
        Self {
            plan,
            honest,
            now: Time(0),
            windows: BTreeMap::new(),
            order: VecDeque::new(),
            held: BTreeMap::new(),
            bids: 0,
        }
    }

    fn note(&mut self, gossip: &VerifiedGossip) {
        let VerifiedGossip::Call(call) = gossip else { return };
        let window = Span::from_ms(u64::from(call.window_ms)).0;
        let wait = Span(match self.plan.window_ppm {
            Some(ppm) => window.saturating_mul(ppm) / WHOLE,
            None => window.saturating_sub(MARGIN.0),
        });
        if self.windows.insert(call.id, self.now + wait).is_none() {
            self.order.push_back(call.id);
        }
        if self.order.len() > CALLS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.windows.remove(&oldest);
        }
    }

    fn due(&mut self) -> Option<Output> {
        let first = self.held.first_entry().filter(|held| held.key().0 <= self.now)?;
        Some(first.remove())
    }
}

impl Machine for Sniper {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        if let Input::Gossip { gossip, .. } = &input {
            self.note(gossip);
        }
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        if let Some(bid) = self.due() {
            return bid;
        }
        loop {
            let output = self.honest.poll();
            match &output {
                Output::Send { message: Message::ToClient(ToClient::Bid(bid)), .. }
                    if self.plan.is_on(self.now) =>
                {
                    let at = self.windows.get(&bid.call).copied().unwrap_or(self.now);
                    self.bids += 1;
                    self.held.insert((at, self.bids), output);
                }
                Output::Wake(at) => {
                    let next = self.held.keys().next().map_or(*at, |(due, _)| *due);
                    return Output::Wake(next.min(*at));
                }
                Output::Send { .. }
                | Output::Broadcast { .. }
                | Output::Persist { .. }
                | Output::Count { .. }
                | Output::Run { .. }
                | Output::Allow { .. }
                | Output::Cancel { .. }
                | Output::Ledger(_)
                | Output::Watch(_)
                | Output::Event(_)
                | Output::Fault { .. } => return output,
            }
        }
    }
}
