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
mod tests {
    use bombyx_protocol::wire::message::Content;
    use bombyx_protocol::work::order::{ChatMessage, Generate, Role, Sampling};

    use super::*;

    const JOB: JobId = JobId([1; 16]);

    fn task(prefix: u32, max_tokens: u32) -> Task {
        Task::Generate(Generate {
            messages: vec![ChatMessage { role: Role::User, content: "x".repeat(400) }],
            max_tokens,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1_000, top_k: 0, seed: 5 },
            prefix: (0..prefix).collect(),
            stop: vec![],
        })
    }

    fn engine() -> Engine {
        let start = Span::from_ms(20);
        let speed = Speed {
            prefill_per_s: 1_000,
            decode_per_s: 50,
            slowdown_milli: 100,
            start,
            answers: 8,
            chunk_tokens: 16,
        };
        Engine::new(speed)
    }

    /// Drives jobs, each from its own moment, to their ends with everything allowed: (job, report, when) in order.
    fn serve_all(engine: &mut Engine, jobs: &[(u8, u64, Task, u64)]) -> Vec<(u8, EngineReport, u64)> {
        let mut said = Vec::new();
        let mut due: std::collections::BTreeSet<(Time, u64, JobId)> = std::collections::BTreeSet::new();
        let mut coming = jobs.iter().peekable();
        loop {
            let next = due.first().copied();
            let start = coming.peek().map(|(_, at, ..)| Time(*at));
            let steps = match (next, start) {
                (None, None) => return said,
                (Some((at, number, job)), start) if start.is_none_or(|start| at < start) => {
                    due.remove(&(at, number, job));
                    let (reports, steps) = engine.step(at, job, number);
                    said.extend(reports.into_iter().map(|report| (job.0[0], report, at.0)));
                    steps
                }
                (_, _) => {
                    let (name, at, task, answer) = coming.next().expect("one is coming");
                    let job = JobId([*name; 16]);
                    let counted = engine.count(Time(*at), job, task);
                    let (reports, _) = engine.step(counted.at, job, counted.number);
                    said.extend(reports.into_iter().map(|report| (*name, report, counted.at.0)));
                    let mut steps = engine.run(counted.at, job, task, *answer);
                    steps.extend(engine.allow(counted.at, job, 10_000));
                    steps
                }
            };
            due.extend(steps.into_iter().map(|step| (step.at, step.number, step.job)));
        }
    }

    fn serve(engine: &mut Engine, task: &Task, answer: u64) -> Vec<(EngineReport, Time)> {
        let said = serve_all(engine, &[(1, 0, task.clone(), answer)]);
        said.into_iter().map(|(_, report, at)| (report, Time(at))).collect()
    }

    fn tokens(said: &[(EngineReport, Time)]) -> usize {
        said.iter()
            .map(|(report, _)| match report {
                EngineReport::Content(Content::Tokens { ids, .. }) => ids.len(),
                EngineReport::Content(_)
                | EngineReport::Counted { .. }
                | EngineReport::Read { .. }
                | EngineReport::Failed(_) => 0,
            })
            .sum()
    }

    #[test]
    fn an_answer_takes_start_prefill_and_decode_time() {
        let said = serve(&mut engine(), &task(0, 100), 40);
        assert_eq!(said[0].0, EngineReport::Counted { input_tokens: 108, cached_tokens: 0 });
        // 1 ms to tokenise, 20 to start, 108 to read, 20 for each token.
        assert_eq!(said[1], (said[0].0.clone(), Time((1 + 20 + 108) * 1_000)), "again as it begins");
        assert_eq!(said[2].1, Time((1 + 20 + 108 + 20) * 1_000));
        assert_eq!(engine().speed().first_token_after(108), Span::from_ms(1 + 20 + 108 + 20));
        assert_eq!(engine().speed().whole_after(108, 40), Span::from_ms(1 + 20 + 108 + 40 * 20));
        assert_eq!(tokens(&said), 40);
        assert_eq!(said.last(), Some(&(end(Finish::Stop), Time((1 + 20 + 108 + 40 * 20) * 1_000))));
    }

    #[test]
    fn a_failover_continues_the_same_answer_and_a_limit_cuts_it() {
        assert_eq!(tokens(&serve(&mut engine(), &task(15, 100), 40)), 25);
        let cut = serve(&mut engine(), &task(0, 10), 40);
        assert_eq!((tokens(&cut), &cut[cut.len() - 1].0), (10, &end(Finish::Length)));
        let done = serve(&mut engine(), &task(40, 100), 40);
        assert_eq!((tokens(&done), &done[done.len() - 1].0), (0, &end(Finish::Stop)));
    }

    #[test]
    fn prompts_that_are_read_together_share_the_card_and_answers_slow_each_other() {
        // Two equal prompts at once: each is read at half speed, start included; then both write at 50 / 1.1 tokens.
        let pair = [(1, 0, task(0, 100), 40), (2, 0, task(0, 100), 40)];
        let said = serve_all(&mut engine(), &pair);
        let last = |job: u8| said.iter().rev().find(|(name, ..)| *name == job).expect("it ends").2;
        let reading = (1 + 2 * (20 + 108)) * 1_000;
        for job in [1, 2] {
            let off = last(job).abs_diff(reading + 40 * 22_000);
            assert!(off < 100, "job {job} ends at {}", last(job));
        }
        // A job that comes when another is half done delays it, and no more than by what it takes away.
        let late = [(1, 0, task(0, 100), 40), (2, 500_000, task(0, 100), 5)];
        let said = serve_all(&mut engine(), &late);
        let end = said.iter().rev().find(|(name, ..)| *name == 1).expect("it ends").2;
        let alone = (1 + 20 + 108 + 40 * 20) * 1_000;
        assert!(end > alone && end < alone + 5 * 22_000, "{end} against {alone}");
    }

    /// However many jobs there are, a card never reads or writes more than it can.
    #[test]
    fn no_card_does_more_than_it_can() {
        let jobs: Vec<(u8, u64, Task, u64)> =
            (0..8).map(|job| (job, u64::from(job) * 37_000, task(0, 100), 30 + u64::from(job))).collect();
        let said = serve_all(&mut engine(), &jobs);
        let made: usize = said
            .iter()
            .map(|(_, report, _)| match report {
                EngineReport::Content(Content::Tokens { ids, .. }) => ids.len(),
                EngineReport::Content(_)
                | EngineReport::Counted { .. }
                | EngineReport::Read { .. }
                | EngineReport::Failed(_) => 0,
            })
            .sum();
        assert_eq!(made, (0..8).map(|job| 30 + job).sum::<usize>());
        let whole_s = said.last().expect("it ends").2 as f64 / 1e6;
        // Eight answers at once make 8 · 50 / 1.7 tokens a second at the most; eight prompts are read at 1,000 a second.
        assert!(whole_s > made as f64 / (8.0 * 50.0 / 1.7), "{whole_s}");
        assert!(whole_s > 8.0 * 0.108, "{whole_s}");
    }

    /// Who takes more jobs than its card has room for makes none of them any sooner.
    #[test]
    fn answers_beyond_the_cards_room_share_what_it_can_do() {
        let mut small = Engine::new(Speed { answers: 2, slowdown_milli: 0, ..engine().speed() });
        let jobs: Vec<(u8, u64, Task, u64)> = (0..6).map(|job| (job, 0, task(0, 100), 40)).collect();
        let said = serve_all(&mut small, &jobs);
        let whole = said.last().expect("it ends").2;
        let (reading, writing) = (6 * (20 + 108) * 1_000, 6 * 40 * 20_000 / 2);
        assert!(whole.abs_diff(reading + writing + 1_000) < 1_000, "{whole}");
    }

    #[test]
    fn nothing_is_made_beyond_the_allowance() {
        let mut engine = engine();
        let mut due = engine.run(Time(0), JOB, &task(0, 100), 40);
        assert_eq!(engine.allow(Time(0), JOB, 5), [], "before the prompt is read nothing can begin");
        let mut made = 0;
        while let Some(step) = due.pop() {
            let (reports, after) = engine.step(step.at, step.job, step.number);
            made += tokens(&reports.into_iter().map(|report| (report, step.at)).collect::<Vec<_>>());
            due.extend(after);
        }
        assert_eq!(made, 5);
        let resumed = engine.allow(Time(9_000_000), JOB, 3);
        assert_eq!(resumed.iter().map(|step| step.at).collect::<Vec<_>>(), [Time(9_060_000)]);
        assert_eq!(engine.cancel(Time(9_000_001), JOB), []);
        assert_eq!(engine.running(), 0);
    }
}
