//! A role machine on a bench: time, a disk, a ledger that says anything, and bytes that decide what happens next.

use std::collections::BTreeMap;

use bombyx_protocol::ChannelId;
use bombyx_protocol::amount::Nano;
use bombyx_protocol::channel::ledger::{ChannelState, LedgerCall, LedgerEvent, LedgerFault};
use bombyx_protocol::channel::record::Record;
use bombyx_protocol::io::{Input, Machine, Output, PersistId};
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::Message;

/// Steps taken of one input.
pub const STEPS_MAX: usize = 64;
/// Outputs of one step: far more than any input can cause with the limits of the protocol.
const DRAIN_MAX: usize = 20_000;
/// Ticks after which a machine that still has work will never end it.
const TICKS_MAX: usize = 5_000;

/// What is left of the input.
pub struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A byte, zero behind the end.
    pub fn small(&mut self) -> u8 {
        self.byte().unwrap_or(0)
    }

    /// A number of two bytes that is mostly small and sometimes extreme.
    pub fn number(&mut self) -> u64 {
        match (self.small(), self.small()) {
            (255, shift) => u64::MAX.wrapping_shr(u32::from(shift % 64)),
            (high, low) => u64::from(high) * 1_000 + u64::from(low),
        }
    }

    /// As many bytes as the next two say, at most what is left.
    pub fn slice(&mut self) -> &'a [u8] {
        let length = (usize::from(self.small()) + 256 * usize::from(self.small())).min(self.0.len());
        let (slice, rest) = self.0.split_at(length);
        self.0 = rest;
        slice
    }
}

/// A machine with its surroundings.
pub struct Bench<M> {
    pub machine: M,
    pub now: Time,
    pub wake: Time,
    /// The account that the machine last asked the ledger about.
    pub account: Option<ChannelId>,
    /// The top-up that it last asked for.
    top_up: Option<Nano>,
    written: PersistId,
    durable: PersistId,
    /// The highest promise in the records of a channel, by the record's number.
    promises: BTreeMap<PersistId, (ChannelId, Nano)>,
}

impl<M: Machine> Bench<M> {
    pub fn new(machine: M) -> Self {
        Self {
            machine,
            now: Time(1),
            wake: Time(1),
            account: None,
            top_up: None,
            written: PersistId(0),
            durable: PersistId(0),
            promises: BTreeMap::new(),
        }
    }

    /// Gives the machine an input and drains it; returns what it says to peers and everything else it wants.
    pub fn give(&mut self, input: Input) -> Vec<Output> {
        self.machine.handle(self.now, input);
        let mut outputs = Vec::new();
        for _ in 0..DRAIN_MAX {
            match self.machine.poll() {
                Output::Wake(at) => {
                    assert!(
                        at > self.now,
                        "woken at {at:?}, which is not after {:?}: the shell would spin",
                        self.now
                    );
                    self.wake = at;
                    return outputs;
                }
                Output::Persist { id, record } => self.write(id, &record),
                Output::Ledger(call) => {
                    if !matches!(*call, LedgerCall::Unwatch { .. }) {
                        self.account = Some(call.account());
                        self.top_up = call.top_up().or(self.top_up);
                    }
                    outputs.push(Output::Ledger(call));
                }
                output => outputs.push(output),
            }
        }
        panic!("{DRAIN_MAX} outputs and no rest");
    }

    fn write(&mut self, id: PersistId, record: &Record) {
        assert!(id > self.written, "records count up");
        self.written = id;
        if let Record::Payer(kept) = record {
            self.promises.insert(id, (kept.terms.id(), kept.cumulative));
        }
    }

    /// Whether a voucher of this amount stands in a record that is on disk.
    pub fn is_written(&self, account: &ChannelId, amount: Nano) -> bool {
        self.promises.range(..=self.durable).any(|(_, (of, promise))| of == account && *promise >= amount)
    }

    /// The disk has caught up.
    pub fn persisted(&mut self) -> Vec<Output> {
        self.durable = self.written;
        self.give(Input::Persisted(self.written))
    }

    pub fn wait(&mut self, span: Span) -> Vec<Output> {
        self.now = self.now + span;
        self.give(Input::Tick)
    }

    /// Sleeps until the machine wants to be woken, an hour at the most.
    pub fn sleep(&mut self) -> Vec<Output> {
        self.now = self.wake.min(self.now + Span::from_s(3_600)).max(self.now);
        self.give(Input::Tick)
    }

    /// The ledger says something about the last account, true or not.
    pub fn ledger(&mut self, bytes: &mut Bytes<'_>) -> Vec<Output> {
        let account = self.account.unwrap_or(ChannelId([7; 32]));
        let failed = |top_up, fault| LedgerEvent::Failed { account, top_up, fault };
        let event = match bytes.small() {
            0 => LedgerEvent::Channel { account, state: None },
            1 => failed(self.top_up.take(), LedgerFault::Funds { missing: Nano(1) }),
            2 => failed(self.top_up.take(), LedgerFault::Unknown),
            3 => failed(self.top_up.take(), LedgerFault::Refused { exit_code: 103 }),
            4 => {
                let state =
                    ChannelState { epoch: 1, deposit: Nano(u64::MAX), settled: Nano::ZERO, closing: None };
                LedgerEvent::Channel { account, state: Some(state) }
            }
            kind => {
                let state = ChannelState {
                    epoch: bytes.number() % 4,
                    deposit: Nano(bytes.number().saturating_mul(1_000_000)),
                    settled: Nano(bytes.number()),
                    closing: (kind % 3 == 0).then(|| Span::from_ms(bytes.number())),
                };
                LedgerEvent::Channel { account, state: Some(state) }
            }
        };
        self.give(Input::Ledger(event))
    }

    /// Lets time run until `ended`, with a working disk and nobody answering.
    pub fn run_out(&mut self, ended: impl Fn(&mut Self) -> bool) {
        for _ in 0..TICKS_MAX {
            self.persisted();
            if ended(self) {
                return;
            }
            self.sleep();
        }
        panic!("{TICKS_MAX} ticks and no end");
    }
}

/// The messages among outputs.
pub fn messages(outputs: Vec<Output>) -> impl Iterator<Item = Message> {
    outputs.into_iter().filter_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    })
}
