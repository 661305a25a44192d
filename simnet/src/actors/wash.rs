//! A client that trades with its own provider: it is deaf to every other bid.

use std::collections::VecDeque;

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::market::call::{Call, CallId};
use bombyx_protocol::market::topic::Topic;
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::codec;
use bombyx_protocol::wire::message::{Gossip, Message, ToClient};
use bombyx_protocol::work::order::ModelId;

use super::plan::AttackPlan;

/// Calls whose bids are still told apart.
const CALLS_MAX: usize = 1_024;

/// The provider that a client trades with instead of the market.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partner {
    /// The provider.
    pub node: NodeId,
    /// What it offers; for other models the client is a client like any other.
    pub model: ModelId,
}

/// The machine.
pub(super) struct Washer {
    plan: AttackPlan,
    honest: Box<dyn Machine + Send>,
    partner: Partner,
    now: Time,
    /// Calls that only the partner may win.
    calls: VecDeque<CallId>,
}

impl Washer {
    pub(super) fn new(plan: AttackPlan, partner: Partner, honest: Box<dyn Machine + Send>) -> Self {
        Self { plan, honest, partner, now: Time(0), calls: VecDeque::new() }
    }

    fn is_deaf_to(&self, input: &Input) -> bool {
        match input {
            Input::Received { from, message: Message::ToClient(ToClient::Bid(bid)), .. } => {
                *from != self.partner.node && self.calls.contains(&bid.call)
            }
            Input::Received { .. }
            | Input::Command(_)
            | Input::Gossip { .. }
            | Input::Undelivered { .. }
            | Input::Persisted(_)
            | Input::Engine { .. }
            | Input::Ledger(_)
            | Input::Tick => false,
        }
    }
}

impl Machine for Washer {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        let input = if self.is_deaf_to(&input) { Input::Tick } else { input };
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        let output = self.honest.poll();
        if let Output::Broadcast { topic, gossip: Gossip::Call(signed) } = &output
            && *topic == Topic::Model(self.partner.model)
            && self.plan.is_on(self.now)
            && let Ok(call) = codec::decode_gossip::<Call>(&signed.body)
        {
            self.calls.push_back(call.id);
            if self.calls.len() > CALLS_MAX {
                self.calls.pop_front();
            }
        }
        output
    }
}
