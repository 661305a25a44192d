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
    /// each of the first good jobs, then as much as was promised on the channel if that is more, up to what the user gives a
    /// channel, and never less than the job can cost. (`CH-31`)
    pub(super) fn deposit(self, config: &ClientConfig, cost_max: Nano, promised: Nano) -> Nano {
        let ceilings =
            1u64.checked_shl(u32::from(self.level.min(limits::DEPOSIT_LEVEL_MAX))).unwrap_or(u64::MAX);
        let by_level = Nano(cost_max.0.saturating_mul(limits::STRANGER_CEILINGS.saturating_mul(ceilings)));
        let grown = if self.has_grown() { by_level.max(promised) } else { by_level };
        let usual = config.deposit.min(config.policy.deposit_max);
        usual.min(grown).min(self.room).max(cost_max)
    }

    /// Returns the rest below which a channel is topped up before a job needs it: half a deposit, or until deposits have grown, what
    /// one more such job takes. With a stranger nothing is locked early. (`CH-20`)
    pub(super) fn early_mark(self, deposit: Nano, cost_max: Nano) -> Nano {
        match self.level {
            0 => Nano::ZERO,
            _ if self.has_grown() => Nano(deposit.0 / 2).max(cost_max),
            _ => cost_max,
        }
    }

    /// Returns the longest challenge time that its provider may ask for. (`CH-31`)
    pub(super) fn challenge_s_max(self, config: &ClientConfig) -> u32 {
        let most = config.policy.challenge_s_max.max(config.challenge_s);
        if self.level >= limits::CHALLENGE_LEVEL {
            most
        } else {
            most.min(limits::CHALLENGE_STRANGER_S.max(config.challenge_s))
        }
    }

    const fn has_grown(self) -> bool {
        self.level >= limits::DEPOSIT_LEVEL_MAX
    }
}
