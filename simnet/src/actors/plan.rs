//! What a host does instead of following the protocol, and when.

use bombyx_protocol::time::Time;

use crate::scenario::{self, AttackKind, AttackSpec};

/// What one host does instead of following the protocol, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttackPlan {
    /// Which of the scenario's attacks it takes part in.
    pub attack: usize,
    /// What it does.
    pub kind: AttackKind,
    /// From when.
    pub from: Time,
    /// Until when.
    pub until: Time,
}

impl AttackPlan {
    /// Creates the part of a host in the attack with this number.
    #[must_use]
    pub fn new(attack: usize, spec: &AttackSpec) -> Self {
        Self {
            attack,
            kind: spec.kind,
            from: scenario::at(spec.start_s),
            until: spec.stop_s.map_or(Time::NEVER, scenario::at),
        }
    }

    /// Returns whether it misbehaves now.
    #[must_use]
    pub fn is_on(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}
