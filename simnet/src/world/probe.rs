//! How long gossip takes to each host that hears it: measured only where two fidelities are compared, as it keeps a number
//! for every copy.

use std::collections::BTreeMap;

use bombyx_protocol::time::{Span, Time};

/// First copies of everything that was gossiped from some moment on.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    from: Time,
    /// When each message that another fidelity carries was published, by a hash of its bytes.
    published: BTreeMap<[u8; 8], Time>,
    /// From publication to each host that heard it.
    delays: Vec<Span>,
    /// How many hosts should have heard it: all listeners but the publisher.
    expected: u64,
}

fn name(bytes: &[u8]) -> [u8; 8] {
    let mut name = [0; 8];
    name.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    name
}

impl Probe {
    /// Creates a probe of everything that is published from this moment on.
    pub(crate) fn new(from: Time) -> Self {
        Self { from, ..Self::default() }
    }

    /// Expects that `listeners` others should hear what is published now; of what another fidelity carries there are the bytes.
    pub(crate) fn published(&mut self, now: Time, listeners: usize, carried: Option<&[u8]>) {
        if now < self.from {
            return;
        }
        self.expected += listeners as u64;
        if let Some(bytes) = carried {
            self.published.insert(name(bytes), now);
        }
    }

    /// Records that a host hears for the first time what was published then.
    pub(crate) fn heard(&mut self, now: Time, published: Time) {
        if published >= self.from {
            self.delays.push(now.since(published));
        }
    }

    /// Records that a host hears for the first time what another fidelity has carried.
    pub(crate) fn recognise(&mut self, now: Time, bytes: &[u8]) {
        if let Some(published) = self.published.get(&name(bytes)).copied() {
            self.heard(now, published);
        }
    }

    /// Returns the times from publication to each host that heard it.
    pub(crate) fn delays(&self) -> &[Span] {
        &self.delays
    }

    /// Returns how many hosts should have heard it.
    pub(crate) const fn expected(&self) -> u64 {
        self.expected
    }
}
