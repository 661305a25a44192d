//! A bug that tests plant, to see that the search for broken invariants finds it: a provider that writes the voucher
//! before the newest one.

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::io::{Input, Machine, Output};
use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::Payment;

/// Every so many vouchers of a channel, the one before it is written again.
const EVERY: u32 = 5;

/// The machine.
pub(crate) struct Forgetful {
    honest: Box<dyn Machine + Send>,
    seen: BTreeMap<ChannelId, (u32, [Option<Payment>; 2])>,
}

impl Forgetful {
    pub(crate) fn new(honest: Box<dyn Machine + Send>) -> Self {
        Self { honest, seen: BTreeMap::new() }
    }
}

impl Machine for Forgetful {
    fn handle(&mut self, now: Time, input: Input) {
        self.honest.handle(now, input);
    }

    fn poll(&mut self) -> Output {
        let mut output = self.honest.poll();
        if let Output::Persist { record, .. } = &mut output
            && let Record::Earner(earning) = &mut **record
        {
            let (count, last) = self.seen.entry(earning.terms.id()).or_default();
            *count += 1;
            let newest = earning.payment;
            if count.is_multiple_of(EVERY) {
                earning.payment = last[0];
            }
            *last = [last[1], newest];
        }
        output
    }
}
