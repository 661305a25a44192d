//! What is remembered of one provider: how it served, how it failed, and until when it is left alone for that. (`MK-31`)

use crate::channel::record::Reputation;
use crate::limits;
use crate::market::history::Timing;
use crate::time::Time;
use crate::work::order::ModelId;

use super::second_chance::SecondChance;

/// One that is remembered.
#[derive(Debug)]
pub(super) struct KnownProvider {
    pub(super) reputation: Reputation,
    /// Awards in a row that it refused, or answered with nothing, before it ever served or failed.
    pub(super) refusals: u8,
    pub(super) chance: SecondChance,
    /// How often it was too slow in a row: each good job that takes a failure off takes one off here.
    pub(super) slow: u8,
    /// When that was last.
    pub(super) slow_at: Option<Time>,
    /// When anything of use last came from it, for any order.
    pub(super) gave_at: Option<Time>,
}

impl KnownProvider {
    pub(super) fn new(reputation: Reputation) -> Self {
        Self {
            reputation,
            refusals: 0,
            chance: SecondChance::default(),
            slow: 0,
            slow_at: None,
            gave_at: None,
        }
    }

    /// Returns how many failures still count: each whole day without another takes one off.
    pub(super) fn failures(&self, now_s: u64) -> u8 {
        let days = now_s.saturating_sub(self.reputation.failed_at_s).checked_div(86_400).unwrap_or(0);
        self.reputation.failures.saturating_sub(u8::try_from(days).unwrap_or(u8::MAX))
    }

    /// Returns whether it is being left alone.
    pub(super) fn is_resting(&self, now_s: u64) -> bool {
        let failures = self.failures(now_s);
        failures > 0 && now_s < self.rests_until_s(failures)
    }

    /// Returns until which second of the day it is left alone after so many failures.
    pub(super) fn rests_until_s(&self, failures: u8) -> u64 {
        self.reputation.failed_at_s.saturating_add(rest_s(failures))
    }
}

/// Returns for how many seconds a provider is left alone after so many failures: two minutes, and four
/// times as long for each further one.
pub(super) fn rest_s(failures: u8) -> u64 {
    let doublings = u32::from(failures.saturating_sub(1)).saturating_mul(2).min(32);
    limits::FAILURE_REST_S.saturating_mul(1 << doublings).min(limits::FAILURE_REST_S_MAX)
}

/// Adds a job to the measure of a provider's speed, which begins anew with another model.
pub(super) fn timed(reputation: Reputation, model: ModelId, timing: Timing) -> Reputation {
    let is_same = reputation.model == model;
    let before = if is_same { reputation.timing } else { Timing::default() };
    let jobs = if is_same { reputation.timed } else { 0 };
    let is_full = u64::from(jobs) >= limits::TIMED_JOBS;
    let kept = if is_full { before.faded(limits::TIMED_JOBS) } else { before };
    let timed = if is_full { jobs } else { jobs.saturating_add(1) };
    Reputation { model, timed, timing: kept.plus(timing), ..reputation }
}
