//! How long gossip takes to each host that hears it: measured only where two tiers are compared, as it keeps a number
//! for every copy.

use std::collections::BTreeMap;

use bombyx_protocol::time::{Span, Time};

use crate::shard::Shard;
use crate::world::World;

/// First copies of everything that was gossiped from some moment on.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    from: Time,
    /// When each message that another tier carries was published, by a hash of its bytes.
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

impl World {
    /// Measures all gossip that is published from this moment on.
    pub fn probe_gossip(&mut self, from: Time) {
        for shard in &mut self.shards {
            shard.probe = Some(Probe { from, ..Probe::default() });
        }
    }

    /// From publication to each host that heard it, and how many hosts should have.
    #[must_use]
    pub fn probed(&self) -> (Vec<Span>, u64) {
        let probes = || self.shards.iter().filter_map(|shard| shard.probe.as_ref());
        let delays = probes().flat_map(|probe| &probe.delays).copied().collect();
        (delays, probes().map(|probe| probe.expected).sum())
    }
}

impl Shard {
    /// A host publishes what was encoded last to `listeners` others.
    pub(crate) fn published(&mut self, listeners: usize) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| self.now >= probe.from) {
            probe.expected += listeners as u64;
            if self.parcels.is_some() {
                probe.published.insert(name(&self.encoded), self.now);
            }
        }
    }

    /// A host hears for the first time what was published then.
    pub(crate) fn heard(&mut self, published: Time) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| published >= probe.from) {
            probe.delays.push(self.now.since(published));
        }
    }

    /// A host hears for the first time what another tier has carried.
    pub(crate) fn recognise(&mut self, bytes: &[u8]) {
        let published = self.probe.as_ref().and_then(|probe| probe.published.get(&name(bytes)).copied());
        if let Some(published) = published {
            self.heard(published);
        }
    }
}
