//! The engine of one provider as service times: how long a GPU class takes to start, to read a prompt and to answer,
//! alone and beside other jobs.
//!
//! Prompts that are read at the same time share the card's reading speed evenly; every answer in the batch slows all
//! others by a fixed share. Work is counted in integers and never lost: whenever a job joins or leaves, what the others
//! have done so far is counted and the rest planned anew, so that no card ever does more than it can. Tokens are filler;
//! how many there are is the order's, so that another provider after a failover continues the same answer.

use bombyx_protocol::io::EngineReport;
use bombyx_protocol::table::Table;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::Finish;
use bombyx_protocol::work::order::{JobId, Task};

use crate::host::answer::{Work, end, filler, rest_of, vectors};
use crate::host::speed::{Speed, TOKENISE};

/// Bytes of one token of filler text, about right for English.
pub const BYTES_PER_TOKEN: usize = 4;
/// Tokens that a model's template adds to a prompt.
pub const TEMPLATE_TOKENS: u32 = 8;
/// Units of work in one token. A speed of one token a second is [`UNITS_PER_US`] units a microsecond.
const UNITS_PER_TOKEN: u64 = 1_000_000_000;
/// Units of work in a microsecond at one token a second.
const UNITS_PER_US: u64 = 1_000;

/// The next moment at which an engine has something to say about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// The job.
    pub job: JobId,
    /// Numbers the steps of an engine: a step that was overtaken is void.
    pub number: u64,
}

/// The jobs on one host's engine.
#[derive(Debug)]
pub struct Engine {
    speed: Speed,
    jobs: Table<JobId, Job>,
    /// Tasks whose input is being counted, beside the card: the step at whose end it is, and the count.
    counts: Table<JobId, (u64, u32)>,
    steps: u64,
}

#[derive(Debug)]
struct Job {
    work: Work,
    phase: Phase,
    input_tokens: u32,
    allowed: u64,
    made: u64,
    /// Units of work until the phase is over, as of `since`.
    left: u64,
    /// Units of work a microsecond.
    rate: u64,
    since: Time,
    /// The step that counts, if one is pending.
    step: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Prefilling,
    /// Making this many tokens, or none while nothing is allowed.
    Decoding(u64),
}

impl Engine {
    /// Creates an idle engine.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self { speed, jobs: Table::default(), counts: Table::default(), steps: 0 }
    }

    /// Returns how many jobs are on it.
    #[must_use]
    pub fn running(&self) -> usize {
        self.jobs.len()
    }

    /// Returns how fast it is.
    #[must_use]
    pub const fn speed(&self) -> Speed {
        self.speed
    }

    /// Counts the input of a task. Returns the step at whose end it is counted.
    #[must_use]
    pub fn count(&mut self, now: Time, job: JobId, task: &Task) -> Step {
        self.steps += 1;
        self.counts.insert(job, (self.steps, input_tokens(task)));
        Step { at: now + TOKENISE, job, number: self.steps }
    }

    /// Starts a task whose whole answer has `answer` tokens. A job that runs already is left alone. Returns every step
    /// that is new.
    #[must_use]
    pub fn run(&mut self, now: Time, job: JobId, task: &Task, answer: u64) -> Vec<Step> {
        if self.jobs.contains_key(&job) {
            return Vec::new();
        }
        let work = match task {
            Task::Embed { inputs } => Work::Embed { inputs: u32::try_from(inputs.len()).unwrap_or(u32::MAX) },
            Task::Generate(generate) => rest_of(generate, answer),
        };
        let full_rate = self.speed.prefill_per_s * UNITS_PER_US;
        let running = Job {
            work,
            phase: Phase::Prefilling,
            input_tokens: input_tokens(task),
            allowed: 0,
            made: 0,
            left: u64::from(input_tokens(task)) * UNITS_PER_TOKEN + self.speed.start.0 * full_rate,
            rate: 0,
            since: now,
            step: None,
        };
        self.advance(now);
        self.jobs.insert(job, running);
        self.plan(now)
    }

    /// Lets a job make more tokens.
    #[must_use]
    pub fn allow(&mut self, now: Time, job: JobId, tokens: u32) -> Vec<Step> {
        let chunk_tokens = self.speed.chunk_tokens;
        let Some(running) = self.jobs.get_mut(&job) else { return Vec::new() };
        running.allowed += u64::from(tokens);
        if running.phase != Phase::Decoding(0) {
            return Vec::new();
        }
        self.advance(now);
        if let Some(running) = self.jobs.get_mut(&job) {
            running.decode(chunk_tokens);
        }
        self.plan(now)
    }

    /// Stops a job.
    #[must_use]
    pub fn cancel(&mut self, now: Time, job: JobId) -> Vec<Step> {
        self.advance(now);
        self.jobs.remove(&job);
        self.plan(now)
    }

    /// Stops everything.
    pub fn crash(&mut self) {
        self.jobs = Table::default();
        self.counts = Table::default();
    }

    /// Takes a step. Returns what the engine reports, and every step that is new.
    #[must_use]
    pub fn step(&mut self, now: Time, job: JobId, number: u64) -> (Vec<EngineReport>, Vec<Step>) {
        if let Some((_, input_tokens)) = self.counts.get(&job).copied().filter(|(step, _)| *step == number) {
            self.counts.remove(&job);
            return (vec![EngineReport::Counted { input_tokens, cached_tokens: 0 }], Vec::new());
        }
        if self.jobs.get(&job).is_none_or(|running| running.step != Some(number)) {
            return (Vec::new(), Vec::new());
        }
        self.advance(now);
        let speed = self.speed;
        let Some(running) = self.jobs.get_mut(&job) else { return (Vec::new(), Vec::new()) };
        running.step = None;
        let mut reports = Vec::new();
        if running.phase == Phase::Prefilling {
            let input_tokens = running.input_tokens;
            reports.push(EngineReport::Counted { input_tokens, cached_tokens: 0 });
        }
        let mut is_over = false;
        match (running.phase, running.work) {
            (Phase::Prefilling, Work::Embed { inputs }) => {
                reports.extend([vectors(inputs), end(Finish::Stop)]);
                is_over = true;
            }
            (Phase::Prefilling, Work::Generate { tokens: 0, finish, .. }) => {
                reports.push(end(finish));
                is_over = true;
            }
            (Phase::Prefilling, Work::Generate { .. }) => running.decode(speed.chunk_tokens),
            (Phase::Decoding(_), Work::Embed { .. }) => is_over = true,
            (Phase::Decoding(count), Work::Generate { prefix, tokens, finish }) => {
                reports.push(filler(prefix + running.made, count));
                running.made += count;
                if running.made >= tokens {
                    reports.push(end(finish));
                    is_over = true;
                } else {
                    running.decode(speed.chunk_tokens);
                }
            }
        }
        if is_over {
            self.jobs.remove(&job);
        }
        (reports, self.plan(now))
    }

    /// Advances every job to `now`: what it has done since the last time is taken off what is left.
    fn advance(&mut self, now: Time) {
        for running in self.jobs.values_mut() {
            let done = running.rate.saturating_mul(now.since(running.since).0);
            running.left = running.left.saturating_sub(done);
            running.since = now;
        }
    }

    /// Plans the end of every phase whose speed has changed, or that is new.
    fn plan(&mut self, now: Time) -> Vec<Step> {
        let reading = self.jobs.values().filter(|job| job.phase == Phase::Prefilling).count() as u64;
        let writing = self.jobs.values().filter(|job| job.is_writing()).count() as u64;
        let mut steps = Vec::new();
        for (id, running) in self.jobs.iter_mut() {
            let rate = match running.phase {
                Phase::Prefilling => self.speed.prefill_per_s * UNITS_PER_US / reading,
                Phase::Decoding(0) => 0,
                Phase::Decoding(_) => {
                    let slower = 1_000 + self.speed.slowdown_milli * (writing - 1);
                    let full = self.speed.decode_per_s * UNITS_PER_US * 1_000 / slower;
                    full * self.speed.answers.min(writing) / writing
                }
            };
            let is_planned = running.step.is_some() && running.rate == rate;
            running.rate = rate;
            if is_planned || rate == 0 {
                continue;
            }
            self.steps += 1;
            running.step = Some(self.steps);
            steps.push(Step { at: now + Span(running.left.div_ceil(rate)), job: *id, number: self.steps });
        }
        steps
    }
}

/// Returns how many tokens the input of a task has: its text, the template, and what was delivered before.
pub(crate) fn input_tokens(task: &Task) -> u32 {
    let delivered = match task {
        Task::Embed { .. } => 0,
        Task::Generate(generate) => generate.prefix.len(),
    };
    u32::try_from(task.text_bytes() / BYTES_PER_TOKEN + delivered).unwrap_or(u32::MAX) + TEMPLATE_TOKENS
}

impl Job {
    /// Makes as many tokens as are allowed and fit one report; the first report holds one token, as an engine that
    /// streams would send it.
    fn decode(&mut self, chunk_tokens: u32) {
        let Work::Generate { tokens, .. } = self.work else { return };
        let chunk = if self.made == 0 { 1 } else { u64::from(chunk_tokens) };
        let count = (tokens - self.made).min(chunk).min(self.allowed.saturating_sub(self.made));
        self.phase = Phase::Decoding(count);
        self.left = count * UNITS_PER_TOKEN;
    }

    const fn is_writing(&self) -> bool {
        matches!(self.phase, Phase::Decoding(1..))
    }
}

#[cfg(test)]
mod tests;
