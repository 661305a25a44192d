//! A gossip message under way through its topic. Its copies share it across shards, and the last one to arrive
//! drops it.

use std::sync::atomic::{AtomicU64, Ordering};

use bombyx_protocol::time::Time;
use bombyx_protocol::wire::message::VerifiedGossip;

use crate::network::kind::Kind;

/// A message under way.
#[derive(Debug)]
pub struct Flood {
    /// The host that published it.
    pub publisher: u32,
    /// When.
    pub published: Time,
    /// Names it in every draw about it: the same in every fidelity.
    pub key: u64,
    /// Its topic.
    pub topic: u32,
    /// The kind that its traffic is counted under.
    pub kind: Kind,
    /// The verified message.
    pub gossip: VerifiedGossip,
    /// Encoded length.
    pub bytes: u32,
    /// One bit for each member that has it; empty where its way is solved, so that what arrives is to be heard.
    seen: Vec<AtomicU64>,
}

impl Flood {
    /// Returns a flood whose way is solved.
    #[must_use]
    pub fn solved(
        (publisher, published): (u32, Time),
        (topic, key): (u32, u64),
        (kind, gossip): (Kind, VerifiedGossip),
        bytes: u32,
    ) -> Self {
        Self { publisher, published, key, topic, kind, gossip, bytes, seen: Vec::new() }
    }

    /// Returns the same flood, carried hop by hop among so many members.
    #[must_use]
    pub fn among(self, members: usize) -> Self {
        Self { seen: (0..members.div_ceil(64)).map(|_| AtomicU64::new(0)).collect(), ..self }
    }

    /// Returns whether its paths are solved.
    #[must_use]
    pub fn is_solved(&self) -> bool {
        self.seen.is_empty()
    }

    /// Marks that a member has the message. Returns whether it was new to it.
    ///
    /// A member's bit is looked at and set by the shard of its host alone; neighbours in its word may be another's.
    pub fn mark(&self, member: u32) -> bool {
        let (word, bit) = (&self.seen[member as usize / 64], 1u64 << (member % 64));
        if word.load(Ordering::Relaxed) & bit != 0 {
            return false;
        }
        word.fetch_or(bit, Ordering::Relaxed);
        true
    }
}
