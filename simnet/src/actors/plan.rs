//! What a host does instead of following the protocol, and when.

use bombyx_protocol::time::{Span, Time};

use crate::scenario::{self, AttackKind, AttackSpec};

/// One, in millionths.
pub const WHOLE: u64 = 1_000_000;

/// What one host does instead of following the protocol, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttackPlan {
    /// Which of the scenario's attacks it takes part in.
    pub attack: usize,
    /// What it does.
    pub kind: AttackKind,
    /// From when; never in an honest twin.
    pub from: Time,
    /// Until when.
    pub until: Time,
    /// When it is there at all.
    pub arrives: Time,
    /// What it asks over what it would ask alone, in millionths.
    pub bid_ppm: u64,
    /// Whether it asks the same for all calls.
    pub one_price: bool,
    /// The times that it promises over the true ones, in millionths.
    pub promise_ppm: u64,
    /// The slots that it offers over those of its card, in millionths.
    pub slots_ppm: u64,
    /// The input tokens that it counts over those that there are, in millionths.
    pub input_ppm: u64,
    /// The length of its answers over that of others, in millionths.
    pub answer_ppm: u64,
    /// Jobs that it serves whole before it steals.
    pub honest_jobs: u32,
    /// Tokens of a stolen job that it delivers all the same.
    pub cut_tokens: u32,
    /// At which share of the window it bids, in millionths, where it bids late.
    pub window_ppm: Option<u64>,
    /// Time between two calls of a spammer.
    pub call_every: Span,
}

impl AttackPlan {
    /// Creates the part of a host in the attack with this number.
    #[must_use]
    pub fn new(attack: usize, spec: &AttackSpec) -> Self {
        let start = scenario::at(spec.start_s);
        let factor = |factor: Option<f64>| factor.map_or(WHOLE, ppm);
        let is_late = spec.kind == AttackKind::Newcomer;
        Self {
            attack,
            kind: spec.kind,
            from: if spec.honest { Time::NEVER } else { start },
            until: spec.stop_s.map_or(Time::NEVER, scenario::at),
            arrives: if is_late { start } else { Time(0) },
            bid_ppm: ppm(spec.asks()),
            one_price: spec.one_price,
            promise_ppm: factor(spec.promise_factor),
            slots_ppm: factor(spec.slots_factor),
            input_ppm: factor(spec.input_factor),
            answer_ppm: factor(spec.answer_factor),
            honest_jobs: spec.honest_jobs.unwrap_or(0),
            cut_tokens: spec.cut_tokens.unwrap_or(0),
            window_ppm: spec.window_share.map(ppm),
            call_every: scenario::span(1.0 / spec.rate_per_s.unwrap_or(CALLS_PER_S)),
        }
    }

    /// Returns whether it misbehaves now.
    #[must_use]
    pub fn is_on(&self, now: Time) -> bool {
        self.from <= now && now < self.until
    }

    /// Returns whether it ever misbehaves: the hosts of an honest twin do not.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.from < Time::NEVER
    }

    /// Returns when it next changes what it does.
    #[must_use]
    pub fn next_change(&self, now: Time) -> Time {
        let changes = [self.arrives, self.from, self.until];
        changes.into_iter().filter(|at| *at > now).min().unwrap_or(Time::NEVER)
    }
}

/// Calls a second of a spammer, unless the scenario says otherwise.
const CALLS_PER_S: f64 = 5.0;

/// Returns a factor in millionths.
fn ppm(factor: f64) -> u64 {
    (factor * WHOLE as f64) as u64
}
