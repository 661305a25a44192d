//! What is remembered of one provider: how it served, how it failed, and until when it is left alone for that. (`MK-31`)

use crate::channel::record::{Record, Reputation};
use crate::limits;
use crate::market::history::Timing;
use crate::outbox::Outbox;
use crate::time::{Span, Time};
use crate::work::order::ModelId;

use super::second_chance::SecondChance;

/// A job that was too late.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delay {
    /// When it began.
    pub(super) began: Time,
    pub(super) model: ModelId,
    /// What it took, where its provider said that it waits: it counts as what reading takes.
    pub(super) timing: Option<Timing>,
}

/// How often in a row it was too late with something, and when last. Each good job that takes a failure off takes one off here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lateness {
    pub(super) times: u8,
    at: Option<Time>,
}

impl Lateness {
    /// Returns whether a job that began then waited at the same time as the last one: they waited in one line.
    pub(super) fn is_same(&self, began: Time) -> bool {
        self.at.is_some_and(|at| began <= at)
    }

    /// Notes another time.
    pub(super) fn again(&mut self, now: Time) {
        (self.times, self.at) = (self.times.saturating_add(1), Some(now));
    }

    /// Takes one off.
    pub(super) fn made_up(&mut self) {
        self.times = self.times.saturating_sub(1);
    }
}

/// One that is remembered.
#[derive(Debug)]
pub(super) struct KnownProvider {
    pub(super) reputation: Reputation,
    /// Awards in a row that it refused, or answered with nothing, before it ever served or failed.
    pub(super) refusals: u8,
    pub(super) chance: SecondChance,
    /// How often it was too slow at an order's deadline.
    pub(super) slow: Lateness,
    /// How often it refused what it had held for longer than it promised.
    pub(super) refused_late: Lateness,
    /// When anything of use last came from it, for any order.
    pub(super) gave_at: Option<Time>,
}

impl KnownProvider {
    pub(super) fn new(reputation: Reputation) -> Self {
        Self {
            reputation,
            refusals: 0,
            chance: SecondChance::default(),
            slow: Lateness::default(),
            refused_late: Lateness::default(),
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

    /// Returns whether it is asked after others for what it refused too late: for as long as others are left alone after as many
    /// failures.
    pub(super) fn yields(&self, now: Time) -> bool {
        let Lateness { times, at } = self.refused_late;
        times > 0 && at.is_some_and(|at| now < at + Span::from_s(rest_s(times)))
    }

    /// Notes that a job was too late, unless it waited in the same line as the last such.
    pub(super) fn delayed(
        &mut self,
        now: Time,
        kind: impl FnOnce(&mut Self) -> &mut Lateness,
        delay: Delay,
        outbox: &mut Outbox,
    ) {
        let lateness = kind(self);
        if lateness.is_same(delay.began) {
            return;
        }
        lateness.again(now);
        if let Some(timing) = delay.timing {
            self.reputation = timed(self.reputation, delay.model, timing);
            outbox.persist(Record::Reputation(self.reputation));
        }
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
