//! Hosts that do not follow the protocol: each wraps the production machine of its role and changes what it says.

mod deviant;
mod plan;
#[cfg(test)]
pub(crate) mod planted;
mod refusal;
mod snipe;
mod spam;
mod stale;
mod sybil;
mod wash;

use bombyx_protocol::client::ClientConfig;
use bombyx_protocol::io::Machine;

use crate::scenario::{AttackKind, RoleName};

pub use deviant::Name;
pub use plan::{AttackPlan, WHOLE};
pub use sybil::Card;
pub use wash::Partner;

/// The accomplices of a host that attacks.
#[derive(Debug, Clone, Default)]
pub struct Accomplices {
    /// The provider that a client buys from although it is its own.
    pub partner: Option<Partner>,
    /// The card behind many names.
    pub card: Option<Card>,
    /// Which of its owner's names a provider is.
    pub name: Option<Name>,
}

/// Wraps a machine in what acts by a plan; of a client `buyer` has its configuration and the models that it orders from.
#[must_use]
pub fn wrap(
    plan: AttackPlan,
    buyer: Option<(&ClientConfig, &[u32])>,
    accomplices: Option<&Accomplices>,
    honest: Box<dyn Machine + Send>,
) -> Box<dyn Machine + Send> {
    let name = accomplices.and_then(|accomplices| accomplices.name.clone());
    let honest: Box<dyn Machine + Send> = match plan.kind.role() {
        RoleName::Provider => Box::new(deviant::Deviant::new(plan, name, honest)),
        RoleName::Client => honest,
    };
    match plan.kind {
        AttackKind::NonPaying | AttackKind::FalseBidder => Box::new(refusal::Refuser::new(plan, honest)),
        AttackKind::Spammer => match buyer {
            Some((config, models)) => Box::new(spam::Spammer::new(plan, config, models, honest)),
            None => honest,
        },
        // These speak as everybody does; what they ask, make, order or forward differs.
        AttackKind::Garbage
        | AttackKind::Cartel
        | AttackKind::FreeRider
        | AttackKind::Eclipse
        | AttackKind::Substitution
        | AttackKind::Deviant
        | AttackKind::Thief
        | AttackKind::Ring
        | AttackKind::Newcomer
        | AttackKind::OddClient => honest,
        AttackKind::StaleState => Box::new(stale::StaleCloser::new(plan, honest)),
        AttackKind::Sniper => Box::new(snipe::Sniper::new(plan, honest)),
        AttackKind::Sybil | AttackKind::Shill => {
            match accomplices.and_then(|accomplices| accomplices.card.as_ref()) {
                Some(card) => Box::new(sybil::Sybil::new(card.clone(), honest)),
                None => honest,
            }
        }
        AttackKind::WashTrader => match (buyer, accomplices.and_then(|accomplices| accomplices.partner)) {
            (Some(_), Some(partner)) => Box::new(wash::Washer::new(plan, partner, honest)),
            _ => honest,
        },
    }
}
