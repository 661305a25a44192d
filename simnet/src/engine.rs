//! The engine of one provider as service times: how long a GPU class takes to start, to read a prompt and to answer.
//!
//! Every job runs at its class's speed whatever else runs: batching is not modelled yet. Tokens are filler; how many
//! there are is drawn from the order, so that another provider after a failover continues the same answer.

use std::collections::BTreeMap;

use bombyx_protocol::io::EngineReport;
use bombyx_protocol::time::{Span, Time};
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::{Generate, JobId, Task};

use crate::rng::{Draws, Purpose};

/// Time to tokenise a task.
const TOKENISE: Span = Span(1_000);
/// Bytes of text in one token, about right for English.
const BYTES_PER_TOKEN: usize = 4;
/// Numbers in one vector of an embedding.
const DIMS: u32 = 8;

/// How fast a GPU class is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speed {
    /// Input tokens a second.
    pub prefill_per_s: u64,
    /// Output tokens a second of one job.
    pub decode_per_s: u64,
    /// From the task to the first token with an empty prompt.
    pub start: Span,
    /// Output tokens in one report at the most.
    pub chunk_tokens: u32,
}

/// How long answers are: lognormal, cut at what the order allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerLength {
    /// Median in tokens.
    pub median: f64,
    /// Spread of the logarithm.
    pub sigma: f64,
}

/// The next moment at which an engine has something to say about a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When.
    pub at: Time,
    /// The job.
    pub job: JobId,
    /// Numbers the steps of a job's engine: a step that was overtaken is void.
    pub number: u64,
}

/// The jobs on one host's engine.
#[derive(Debug)]
pub struct Engine {
    speed: Speed,
    jobs: BTreeMap<JobId, Running>,
    steps: u64,
}

#[derive(Debug)]
struct Running {
    input_tokens: u64,
    work: Work,
    phase: Phase,
    allowed: u64,
    made: u64,
    /// The step that counts, if one is pending.
    step: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Work {
    /// Vectors for this many inputs.
    Embed { inputs: u32 },
    /// This many tokens after those of the prefix.
    Generate { prefix: u64, tokens: u64, finish: Finish },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Tokenising,
    Prefilling,
    /// Making this many tokens, or none while nothing is allowed.
    Decoding(u64),
}

impl Engine {
    /// An idle engine.
    #[must_use]
    pub fn new(speed: Speed) -> Self {
        Self { speed, jobs: BTreeMap::new(), steps: 0 }
    }

    /// How many jobs are on it.
    #[must_use]
    pub fn running(&self) -> usize {
        self.jobs.len()
    }

    /// Output tokens in one report at the most.
    #[must_use]
    pub const fn report_tokens(&self) -> u32 {
        self.speed.chunk_tokens
    }

    /// From a task of this many input tokens to its first output token.
    #[must_use]
    pub fn first_token_after(&self, input_tokens: u64) -> Span {
        let reading = input_tokens * 1_000_000 / self.speed.prefill_per_s;
        Span(TOKENISE.0 + self.speed.start.0 + reading + 1_000_000 / self.speed.decode_per_s)
    }

    /// Starts a task. A job that runs already is left alone.
    #[must_use]
    pub fn run(
        &mut self,
        now: Time,
        job: JobId,
        task: &Task,
        length: AnswerLength,
        draws: &Draws,
    ) -> Option<Step> {
        if self.jobs.contains_key(&job) {
            return None;
        }
        let work = match task {
            Task::Embed { inputs } => Work::Embed { inputs: u32::try_from(inputs.len()).unwrap_or(u32::MAX) },
            Task::Generate(generate) => answer(generate, length, draws),
        };
        let input_tokens = (task.text_bytes() / BYTES_PER_TOKEN) as u64 + 8;
        let running =
            Running { input_tokens, work, phase: Phase::Tokenising, allowed: 0, made: 0, step: None };
        self.jobs.insert(job, running);
        self.plan(now, job, TOKENISE)
    }

    /// Lets a job make more tokens.
    #[must_use]
    pub fn allow(&mut self, now: Time, job: JobId, tokens: u32) -> Option<Step> {
        let running = self.jobs.get_mut(&job)?;
        running.allowed += u64::from(tokens);
        if running.phase == Phase::Decoding(0) { self.decode(now, job) } else { None }
    }

    /// Stops a job.
    pub fn cancel(&mut self, job: JobId) {
        self.jobs.remove(&job);
    }

    /// Stops everything.
    pub fn crash(&mut self) {
        self.jobs.clear();
    }

    /// A step has come: what the engine says, and its next step.
    #[must_use]
    pub fn step(&mut self, now: Time, job: JobId, number: u64) -> (Vec<EngineReport>, Option<Step>) {
        let Some(running) = self.jobs.get_mut(&job).filter(|running| running.step == Some(number)) else {
            return (Vec::new(), None);
        };
        running.step = None;
        match running.phase {
            Phase::Tokenising => {
                running.phase = Phase::Prefilling;
                let report = EngineReport::Started { input_tokens: running.input_tokens };
                let reading = Span(running.input_tokens * 1_000_000 / self.speed.prefill_per_s);
                let wait = Span(self.speed.start.0 + reading.0);
                (vec![report], self.plan(now, job, wait))
            }
            Phase::Prefilling => match running.work {
                Work::Embed { inputs } => {
                    self.jobs.remove(&job);
                    (vec![vectors(inputs), end(Finish::Stop)], None)
                }
                Work::Generate { tokens: 0, finish, .. } => {
                    self.jobs.remove(&job);
                    (vec![end(finish)], None)
                }
                Work::Generate { .. } => (Vec::new(), self.decode(now, job)),
            },
            Phase::Decoding(count) => {
                let Work::Generate { prefix, tokens, finish } = running.work else {
                    return (Vec::new(), None);
                };
                let mut reports = vec![filler(prefix + running.made, count)];
                running.made += count;
                if running.made >= tokens {
                    self.jobs.remove(&job);
                    reports.push(end(finish));
                    return (reports, None);
                }
                (reports, self.decode(now, job))
            }
        }
    }

    /// Makes as many tokens as are allowed and fit one report; the first report holds one token, as an engine that
    /// streams would send it.
    fn decode(&mut self, now: Time, job: JobId) -> Option<Step> {
        let running = self.jobs.get_mut(&job)?;
        let Work::Generate { tokens, .. } = running.work else { return None };
        let chunk = if running.made == 0 { 1 } else { u64::from(self.speed.chunk_tokens) };
        let count = (tokens - running.made).min(chunk).min(running.allowed.saturating_sub(running.made));
        running.phase = Phase::Decoding(count);
        if count == 0 { None } else { self.plan(now, job, Span(count * 1_000_000 / self.speed.decode_per_s)) }
    }

    fn plan(&mut self, now: Time, job: JobId, wait: Span) -> Option<Step> {
        self.steps += 1;
        self.jobs.get_mut(&job)?.step = Some(self.steps);
        Some(Step { at: now + wait, job, number: self.steps })
    }
}

/// The length of an order's whole answer hangs on its sampling seed alone; what a prefix holds is done already.
fn answer(generate: &Generate, length: AnswerLength, draws: &Draws) -> Work {
    let drawn =
        draws.lognormal(length.median, length.sigma, Purpose::AnswerLength, &[generate.sampling.seed]);
    let whole = (drawn as u64).max(1);
    let prefix = generate.prefix.len() as u64;
    let left = whole.saturating_sub(prefix);
    let most = u64::from(generate.max_tokens);
    let finish = if left > most { Finish::Length } else { Finish::Stop };
    Work::Generate { prefix, tokens: left.min(most), finish }
}

fn filler(first: u64, count: u64) -> EngineReport {
    let ids: Vec<u32> = (first..first + count).map(|place| (place % 32_000) as u32).collect();
    let text = "word ".repeat(ids.len());
    EngineReport::Content(Content::Tokens { ids, text })
}

fn vectors(inputs: u32) -> EngineReport {
    let bytes = vec![0; inputs as usize * DIMS as usize * 4];
    EngineReport::Content(Content::Vectors { first: 0, dims: DIMS, bytes })
}

fn end(finish: Finish) -> EngineReport {
    EngineReport::Content(Content::End { finish })
}

#[cfg(test)]
mod tests {
    use bombyx_protocol::work::order::{ChatMessage, Role, Sampling};

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
        Engine::new(Speed { prefill_per_s: 1_000, decode_per_s: 50, start, chunk_tokens: 16 })
    }

    /// Drives a job to its end with everything allowed: (report, when) in order.
    fn serve(engine: &mut Engine, task: &Task, length: AnswerLength) -> Vec<(EngineReport, Time)> {
        let mut said = Vec::new();
        let mut next = engine.run(Time(0), JOB, task, length, &Draws::new(1));
        assert_eq!(engine.allow(Time(0), JOB, 10_000), None);
        while let Some(step) = next {
            let (reports, after) = engine.step(step.at, step.job, step.number);
            said.extend(reports.into_iter().map(|report| (report, step.at)));
            next = after;
        }
        said
    }

    fn tokens(said: &[(EngineReport, Time)]) -> usize {
        said.iter()
            .map(|(report, _)| match report {
                EngineReport::Content(Content::Tokens { ids, .. }) => ids.len(),
                EngineReport::Content(_) | EngineReport::Started { .. } | EngineReport::Failed(_) => 0,
            })
            .sum()
    }

    #[test]
    fn an_answer_takes_start_prefill_and_decode_time() {
        let length = AnswerLength { median: 40.0, sigma: 0.0 };
        let said = serve(&mut engine(), &task(0, 100), length);
        assert_eq!(said[0].0, EngineReport::Started { input_tokens: 108 });
        // 1 ms to tokenise, 20 to start, 108 to read, 20 for each token.
        assert_eq!(said[1].1, Time((1 + 20 + 108 + 20) * 1_000));
        assert_eq!(tokens(&said), 40);
        assert_eq!(said.last(), Some(&(end(Finish::Stop), Time((1 + 20 + 108 + 40 * 20) * 1_000))));
    }

    #[test]
    fn a_failover_continues_the_same_answer_and_a_limit_cuts_it() {
        let length = AnswerLength { median: 40.0, sigma: 0.0 };
        assert_eq!(tokens(&serve(&mut engine(), &task(15, 100), length)), 25);
        let cut = serve(&mut engine(), &task(0, 10), length);
        assert_eq!((tokens(&cut), &cut[cut.len() - 1].0), (10, &end(Finish::Length)));
        let done = serve(&mut engine(), &task(40, 100), length);
        assert_eq!((tokens(&done), &done[done.len() - 1].0), (0, &end(Finish::Stop)));
    }

    #[test]
    fn nothing_is_made_beyond_the_allowance() {
        let mut engine = engine();
        let length = AnswerLength { median: 40.0, sigma: 0.0 };
        let mut next = engine.run(Time(0), JOB, &task(0, 100), length, &Draws::new(1));
        assert_eq!(engine.allow(Time(0), JOB, 5), None, "before the prompt is read nothing can begin");
        let mut made = 0;
        while let Some(step) = next {
            let (reports, after) = engine.step(step.at, step.job, step.number);
            made += tokens(&reports.into_iter().map(|report| (report, step.at)).collect::<Vec<_>>());
            next = after;
        }
        assert_eq!(made, 5);
        let resumed = engine.allow(Time(9_000_000), JOB, 3).map(|step| step.at);
        assert_eq!(resumed, Some(Time(9_060_000)));
        engine.cancel(JOB);
        assert_eq!(engine.running(), 0);
    }
}
