//! Telling the hash table what this node provides, again and again.

use std::collections::{BTreeMap, VecDeque};

use libp2p::Swarm;
use libp2p::kad::RecordKey;
use web_time::Instant;

use super::backoff::jittered;
use super::behaviour::Behaviour;
use super::limits;

/// The keys that this node provides.
#[derive(Default)]
pub(super) struct Announcements {
    /// When each key is to be announced again.
    provided: BTreeMap<[u8; 32], Instant>,
    due: VecDeque<[u8; 32]>,
    /// Size of the routing table when everything was last announced.
    announced_to: usize,
}

impl Announcements {
    pub(super) fn provide(&mut self, key: [u8; 32], now: Instant) {
        if self.provided.len() < limits::PROVIDED_MAX {
            self.provided.insert(key, now + jittered(limits::ANNOUNCE_EVERY));
            self.due.push_back(key);
        } else {
            tracing::warn!(max = limits::PROVIDED_MAX, "too many provided keys; one more is not announced");
        }
    }

    pub(super) fn withdraw(&mut self, swarm: &mut Swarm<Behaviour>, key: &[u8; 32]) {
        self.provided.remove(key);
        self.due.retain(|waiting| waiting != key);
        swarm.behaviour_mut().kad.stop_providing(&RecordKey::new(key));
    }

    /// Announces what is due. A record told to a young routing table reaches the wrong nodes, so everything is told
    /// again whenever the table has doubled.
    pub(super) fn on_tick(&mut self, swarm: &mut Swarm<Behaviour>, routes: usize, now: Instant) {
        if routes == 0 {
            return;
        }
        if routes >= self.announced_to.saturating_mul(2).max(1) {
            self.announced_to = routes;
            self.due = self.provided.keys().copied().collect();
        }
        for (key, next) in &mut self.provided {
            if *next <= now {
                *next = now + jittered(limits::ANNOUNCE_EVERY);
                self.due.push_back(*key);
            }
        }
        for _ in 0..limits::ANNOUNCED_PER_TICK {
            let Some(key) = self.due.pop_front() else { return };
            if let Err(why) = swarm.behaviour_mut().kad.start_providing(RecordKey::new(&key)) {
                tracing::warn!(%why, "a provided key is not announced");
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.provided.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_within_their_bounds() {
        let (mut announcements, now) = (Announcements::default(), Instant::now());
        for number in 0..limits::PROVIDED_MAX + 10 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            announcements.provide(key, now);
        }
        assert_eq!(announcements.provided.len(), limits::PROVIDED_MAX);
    }
}
