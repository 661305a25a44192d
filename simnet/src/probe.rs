//! How long gossip takes to each host that hears it: measured only where two tiers are compared, as it keeps a number
//! for every copy.

use std::collections::BTreeMap;

use bombyx_protocol::time::{Span, Time};

use crate::world::World;

/// First copies of everything that was gossiped from some moment on.
#[derive(Debug, Clone, Default)]
pub struct Probe {
    from: Time,
    /// When each message was published, by a hash of its bytes.
    published: BTreeMap<[u8; 8], Time>,
    /// From publication to each host that heard it.
    pub delays: Vec<Span>,
    /// How many hosts should have heard it: all listeners but the publisher.
    pub expected: u64,
}

fn name(bytes: &[u8]) -> [u8; 8] {
    let mut name = [0; 8];
    name.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    name
}

impl World {
    /// Measures all gossip that is published from this moment on.
    pub fn probe_gossip(&mut self, from: Time) {
        self.probe = Some(Probe { from, ..Probe::default() });
    }

    /// What was measured.
    #[must_use]
    pub fn probe(&self) -> Option<&Probe> {
        self.probe.as_ref()
    }

    /// A host publishes `bytes` to `listeners` others.
    pub(crate) fn published(&mut self, bytes: &[u8], listeners: usize) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| self.now >= probe.from) {
            probe.published.insert(name(bytes), self.now);
            probe.expected += listeners as u64;
        }
    }

    /// A host hears `bytes` for the first time.
    pub(crate) fn heard(&mut self, bytes: &[u8]) {
        let now = self.now;
        if let Some(probe) = &mut self.probe
            && let Some(at) = probe.published.get(&name(bytes))
        {
            probe.delays.push(now.since(*at));
        }
    }
}
