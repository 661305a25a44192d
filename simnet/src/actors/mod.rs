//! Hosts that do not follow the protocol: each wraps the production machine of its role and changes what it says.

#[cfg(test)]
pub(crate) mod planted;
mod refusal;
mod snipe;
mod spam;
mod stale;
mod sybil;
mod wash;

use bombyx_protocol::io::Machine;
use bombyx_protocol::time::Time;

use crate::host::Profile;
use crate::scenario::{self, AttackKind, AttackSpec};

pub use sybil::Card;
pub use wash::Partner;

/// What one host does instead of following the protocol, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Which of the scenario's attacks it takes part in.
    pub attack: usize,
    /// What it does.
    pub kind: AttackKind,
    /// From when.
    pub from: Time,
    /// Until when.
    pub until: Time,
}

impl Plan {
    /// The part of a host in the attack with this number.
    #[must_use]
    pub fn new(attack: usize, spec: &AttackSpec) -> Self {
        Self {
            attack,
            kind: spec.kind,
            from: scenario::at(spec.start_s),
            until: spec.stop_s.map_or(Time(u64::MAX), scenario::at),
        }
    }

    /// Whether it misbehaves now.
    #[must_use]
    pub fn is_on(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }
}

/// With whom a host attacks.
#[derive(Debug, Clone, Default)]
pub struct Company {
    /// The provider that a client buys from although it is its own.
    pub partner: Option<Partner>,
    /// The card behind many names.
    pub card: Option<Card>,
}

/// A machine that acts by a plan.
#[must_use]
pub fn act(
    plan: Plan,
    profile: &Profile,
    company: Option<&Company>,
    honest: Box<dyn Machine + Send>,
) -> Box<dyn Machine + Send> {
    match plan.kind {
        AttackKind::NonPaying | AttackKind::FalseBidder => Box::new(refusal::Refusing::new(plan, honest)),
        AttackKind::Spammer => match profile {
            Profile::Client { config, models } => Box::new(spam::Spammer::new(plan, config, models, honest)),
            Profile::Provider { .. } | Profile::Watcher { .. } => honest,
        },
        // These speak as everybody does; what they ask, make or forward differs.
        AttackKind::Garbage
        | AttackKind::Cartel
        | AttackKind::FreeRider
        | AttackKind::Eclipse
        | AttackKind::Substitution => honest,
        AttackKind::StaleState => Box::new(stale::Stale::new(plan, honest)),
        AttackKind::Sniper => Box::new(snipe::Sniper::new(plan, honest)),
        AttackKind::Sybil => match company.and_then(|company| company.card.as_ref()) {
            Some(card) => Box::new(sybil::Sybil::new(card.clone(), honest)),
            None => honest,
        },
        AttackKind::WashTrader => match (profile, company.and_then(|company| company.partner)) {
            (Profile::Client { .. }, Some(partner)) => Box::new(wash::Washer::new(plan, partner, honest)),
            (Profile::Client { .. } | Profile::Provider { .. } | Profile::Watcher { .. }, _) => honest,
        },
    }
}
