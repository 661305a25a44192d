//! A provider that asks, promises or counts something else than the truth, that steals, that comes late, or that has many names
//! of which it uses a few at a time.
//!
//! Its machine is the production one: what it offers changes at the moments at which it begins and ends to misbehave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bombyx_protocol::amount::Nano;
use bombyx_protocol::io::{Command, EngineReport, Input, Machine, Offer, Output};
use bombyx_protocol::time::Time;
use bombyx_protocol::work::cost::CostSheet;
use bombyx_protocol::work::order::JobId;
use bombyx_protocol::work::price::{InputTokens, Weights};

use super::plan::{AttackPlan, WHOLE};
use crate::scenario::AttackKind;

/// Input and output tokens of the job for which one that asks the same for all calls asks what it costs.
const TYPICAL: (u32, u64) = (128, 100);

/// One name among those of one owner.
#[derive(Debug, Clone)]
pub struct Name {
    /// Its place among them.
    pub place: u32,
    /// How many are in use at a time.
    pub at_a_time: u32,
    /// After how many jobs it is left.
    pub jobs: u32,
    /// How many were left.
    pub left: Arc<AtomicU32>,
}

impl Name {
    fn is_in_use(&self) -> bool {
        self.place < self.at_a_time.saturating_add(self.left.load(Ordering::Relaxed))
    }
}

/// What is offered at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    Nothing,
    Truth,
    Deviation,
}

/// The machine.
pub(super) struct Deviant {
    plan: AttackPlan,
    name: Option<Name>,
    honest: Box<dyn Machine + Send>,
    now: Time,
    /// What an honest host in its place offers.
    offer: Option<Offer>,
    shown: Option<Face>,
    jobs: u32,
    is_left: bool,
    /// Jobs that are not served to their end, and the tokens of each that still are.
    stolen: BTreeMap<JobId, u32>,
}

impl Deviant {
    pub(super) fn new(plan: AttackPlan, name: Option<Name>, honest: Box<dyn Machine + Send>) -> Self {
        Self {
            plan,
            name,
            honest,
            now: Time(0),
            offer: None,
            shown: None,
            jobs: 0,
            is_left: false,
            stolen: BTreeMap::new(),
        }
    }

    fn face(&self) -> Face {
        let is_silent = self.is_left || self.name.as_ref().is_some_and(|name| !name.is_in_use());
        match self.plan.is_on(self.now) {
            _ if is_silent || self.now < self.plan.arrives => Face::Nothing,
            true => Face::Deviation,
            false => Face::Truth,
        }
    }

    /// Offers what it shows from now on, where that has changed.
    fn show(&mut self) {
        let Some(offer) = &self.offer else { return };
        let face = self.face();
        if self.shown == Some(face) {
            return;
        }
        self.shown = Some(face);
        let shown = match face {
            Face::Nothing => Offer { slots: 0, ..offer.clone() },
            Face::Truth => offer.clone(),
            Face::Deviation => deviate(&self.plan, offer),
        };
        self.honest.handle(self.now, Input::Command(Command::Offer(shown)));
    }

    /// Counts a job that begins.
    fn count(&mut self) {
        self.jobs += 1;
        if let Some(name) =
            self.name.as_ref().filter(|name| self.plan.is_on(self.now) && self.jobs == name.jobs)
        {
            self.is_left = true;
            name.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn scaled(value: u64, ppm: u64) -> u64 {
    u64::try_from(u128::from(value) * u128::from(ppm) / u128::from(WHOLE)).unwrap_or(u64::MAX)
}

/// Returns what is offered instead of this.
fn deviate(plan: &AttackPlan, offer: &Offer) -> Offer {
    let promised =
        |value: u32, ppm: u64| u32::try_from(scaled(u64::from(value), ppm)).unwrap_or(u32::MAX).max(1);
    // Half of the time is twice the speed.
    let inverse = WHOLE * WHOLE / plan.promise_ppm.max(1);
    let cost = if plan.one_price { of_units(&offer.cost, offer.weights) } else { offer.cost };
    Offer {
        cost: cost.scaled(plan.bid_ppm),
        slots: u16::try_from(scaled(u64::from(offer.slots), plan.slots_ppm)).unwrap_or(u16::MAX),
        start_ms: promised(offer.start_ms, plan.promise_ppm),
        read_tps: promised(offer.read_tps, inverse),
        write_tps: promised(offer.write_tps, inverse),
        ..offer.clone()
    }
}

/// Returns the costs of one whose every unit costs the same, as much as these for a typical job.
fn of_units(cost: &CostSheet, weights: Weights) -> CostSheet {
    let (input, output) = TYPICAL;
    let price = cost.quote(&weights, InputTokens::fresh(input), output).0;
    // Nano for 1,000 units times units for one token is nano for 1,000 tokens.
    let of = |weight: u32| Nano(price.saturating_mul(u64::from(weight)));
    CostSheet {
        per_job: Nano(of(Weights::JOB).0 / 1_000),
        input_per_k: of(weights.input),
        output_per_k: of(weights.output),
    }
}

impl Machine for Deviant {
    fn handle(&mut self, now: Time, input: Input) {
        self.now = now;
        match input {
            Input::Command(Command::Offer(offer)) => {
                self.offer = Some(offer);
                self.shown = None;
                self.show();
            }
            Input::Engine { job, report: EngineReport::Counted { input_tokens, cached_tokens } }
                if self.plan.is_on(now) =>
            {
                let input_tokens = u32::try_from(scaled(u64::from(input_tokens), self.plan.input_ppm));
                let input_tokens = input_tokens.unwrap_or(u32::MAX);
                let report = EngineReport::Counted { input_tokens, cached_tokens };
                self.honest.handle(now, Input::Engine { job, report });
            }
            input @ (Input::Command(_)
            | Input::Gossip { .. }
            | Input::Received { .. }
            | Input::Undelivered { .. }
            | Input::Persisted(_)
            | Input::Engine { .. }
            | Input::Ledger(_)
            | Input::Tick) => {
                self.show();
                self.honest.handle(now, input);
            }
        }
    }

    fn poll(&mut self) -> Output {
        loop {
            let output = self.honest.poll();
            match output {
                Output::Run { job, .. } => {
                    self.count();
                    let steals = self.plan.kind == AttackKind::Thief
                        && self.plan.is_on(self.now)
                        && self.jobs > self.plan.honest_jobs;
                    if steals {
                        self.stolen.insert(job, self.plan.cut_tokens);
                    }
                    if !steals || self.plan.cut_tokens > 0 {
                        return output;
                    }
                }
                Output::Allow { job, tokens } => {
                    let left = self.stolen.get_mut(&job);
                    let tokens = left.map_or(tokens, |left| {
                        let some = tokens.min(*left);
                        *left -= some;
                        some
                    });
                    if tokens > 0 {
                        return Output::Allow { job, tokens };
                    }
                }
                Output::Cancel { job } => {
                    self.stolen.remove(&job);
                    return output;
                }
                Output::Wake(at) => return Output::Wake(at.min(self.plan.next_change(self.now))),
                Output::Send { .. }
                | Output::Broadcast { .. }
                | Output::Persist { .. }
                | Output::Count { .. }
                | Output::Ledger(_)
                | Output::Watch(_)
                | Output::Event(_)
                | Output::Fault { .. } => return output,
            }
        }
    }
}
