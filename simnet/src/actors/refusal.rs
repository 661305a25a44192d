//! Hosts that leave one thing unsaid: a client that never opens a channel, a provider that never takes an award.

use bombyx_protocol::channel::ledger::LedgerCall;
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::{Message, ToClient};

use super::plan::AttackPlan;

/// The machine.
pub(super) struct Refuser {
    plan: AttackPlan,
    honest: Box<dyn Machine + Send>,
    now: Time,
}

impl Refuser {
    pub(super) fn new(plan: AttackPlan, honest: Box<dyn Machine + Send>) -> Self {
        Self { plan, honest, now: Time(0) }
    }
}

/// Returns what an attacker keeps back: opening a channel on the one side, taking an award on the
/// other.
fn is_kept_back(output: &Output) -> bool {
    let opens = matches!(output, Output::Ledger(call) if matches!(**call, LedgerCall::Open { .. }));
    opens || matches!(output, Output::Send { message: Message::ToClient(ToClient::Accept(_)), .. })
}

impl Machine for Refuser {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        loop {
            let output = self.honest.poll();
            if !(self.plan.is_on(self.now) && is_kept_back(&output)) {
                return output;
            }
        }
    }
}
