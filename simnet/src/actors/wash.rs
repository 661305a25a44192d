//! A client that trades with its own provider: it is deaf to every other bid.

use bombyx_protocol::ident::NodeId;
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::{Message, ToClient};

use super::Plan;

/// The machine.
pub(super) struct Washer {
    plan: Plan,
    honest: Box<dyn Machine>,
    partner: NodeId,
}

impl Washer {
    pub(super) fn new(plan: Plan, partner: NodeId, honest: Box<dyn Machine>) -> Self {
        Self { plan, honest, partner }
    }
}

impl Machine for Washer {
    fn handle(&mut self, now: Time, input: Input) {
        let is_strangers_bid = matches!(
            &input,
            Input::Received { from, message: Message::ToClient(ToClient::Bid(_)) } if *from != self.partner
        );
        let input = if is_strangers_bid && self.plan.is_on(now) { Input::Tick } else { input };
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        self.honest.poll()
    }
}
