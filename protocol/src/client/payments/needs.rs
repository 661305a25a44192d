//! What a job that is about to begin needs of a channel, and the deposit that it is worth.

use crate::amount::Nano;
use crate::client::config::ClientConfig;
use crate::limits;

/// What is known of the provider of a job that is about to begin.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Acquaintance {
    /// Good jobs since it last failed. (`CH-31`)
    pub(in crate::client) level: u8,
    /// What may still be locked with it.
    pub(in crate::client) room: Nano,
}

/// What a job that is about to begin needs of a channel.
#[derive(Debug, Clone, Copy)]
pub(in crate::client) struct Needs {
    /// The most that it can cost.
    pub(in crate::client) cost_max: Nano,
    /// A random number, which picks the salt of a new channel.
    pub(in crate::client) draw: u64,
    /// What is known of its provider.
    pub(in crate::client) acquaintance: Acquaintance,
}

impl Acquaintance {
    /// Returns the deposit for a job of this ceiling: two ceilings for a stranger, twice as many after
    /// each of the first good jobs, up to what the user gives a channel, and never less than the job can cost.
    pub(super) fn deposit(self, config: &ClientConfig, cost_max: Nano) -> Nano {
        let ceilings =
            1u64.checked_shl(u32::from(self.level.min(limits::DEPOSIT_LEVEL_MAX))).unwrap_or(u64::MAX);
        let grown = cost_max.0.saturating_mul(limits::STRANGER_CEILINGS.saturating_mul(ceilings));
        let usual = config.deposit.min(config.policy.deposit_max);
        usual.min(Nano(grown)).min(self.room).max(cost_max)
    }
}
