//! Peers of other networks: they are told of this one, and sent away.

use std::collections::HashMap;

use libp2p::{PeerId, Swarm, identify};
use web_time::Instant;

use super::behaviour::Behaviour;
use super::limits;

/// Peers that turned out to be of another network.
pub(super) struct Foreigners {
    /// What the peers of this network say they speak.
    version: String,
    /// When each was found out.
    since: HashMap<PeerId, Instant>,
}

impl Foreigners {
    /// Takes for foreigners all that speak another version than this.
    pub(super) fn new(version: String) -> Self {
        Self { version, since: HashMap::new() }
    }

    /// Returns what a peer says it speaks, in printable characters, if that is not this network's version.
    pub(super) fn recognise(&mut self, peer: PeerId, info: &identify::Info, now: Instant) -> Option<String> {
        if info.protocol_version == self.version {
            return None;
        }
        self.since.entry(peer).or_insert(now);
        Some(info.protocol_version.chars().filter(|c| !c.is_control()).take(64).collect())
    }

    /// Disconnects them a moment after they were found out, so that they learn of it too.
    pub(super) fn send_away(&mut self, swarm: &mut Swarm<Behaviour>, now: Instant) {
        self.since.retain(|peer, since| {
            let waits = now.saturating_duration_since(*since) < limits::FOREIGNER_GRACE;
            if !waits {
                // It may have closed by itself meanwhile.
                let _ = swarm.disconnect_peer_id(*peer);
            }
            waits
        });
    }
}
