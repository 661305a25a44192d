//! An engine that counts: its text follows from the position alone, so that a continued answer can be checked.

use std::collections::BTreeMap;

use bombyx_protocol::io::EngineReport;
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::{InputCount, JobId, Task};

#[derive(Default)]
pub struct Engine {
    pub token_us: u64,
    /// Its jobs share it: a token of each of several takes that many times as long.
    pub is_shared: bool,
    /// It tells no count by itself.
    pub stalls: bool,
    /// The counts that it was asked for so far.
    pub counts: usize,
    /// It hangs: counts tasks and takes them, and never says a word of an answer.
    pub hung: bool,
    /// It keeps so many tokens of what it has read.
    pub keeps: u32,
    /// It counts so many tokens for one.
    pub inflates: u32,
    /// It reads so many tokens of its input in a step, and says so; 0: all of them at once.
    pub reads: u32,
    /// It falls silent when it has read as many.
    pub silent_at: Option<u32>,
    /// Its answers are over after so many tokens, whatever a task allows.
    pub stops_at: Option<u32>,
    jobs: BTreeMap<JobId, Running>,
    /// Counts that it has not told.
    pub uncounted: Vec<(JobId, u32)>,
    /// The same of tasks that it begins with.
    started: Vec<(JobId, u32)>,
}

struct Running {
    task: Task,
    allowed: u32,
    made: u32,
    after: u32,
    unread: u32,
}

/// The token at a position, and its text.
pub fn token(position: u32) -> (u32, String) {
    (position, format!("{position} "))
}

/// The whole answer of `count` tokens.
pub fn answer(count: u32) -> String {
    (0..count).map(|position| token(position).1).collect()
}

/// How many tokens an input has: a token is a byte of text, or a token that was delivered.
pub fn input_tokens(task: &Task) -> u32 {
    let forced = match task {
        Task::Embed { .. } => 0,
        Task::Generate(generate) => generate.prefix.len(),
    };
    (task.text_bytes() + forced) as u32
}

/// The same as a client that has the tokenizer states it.
pub fn counted(task: &Task) -> InputCount {
    InputCount::Counted(match task {
        Task::Embed { inputs } => inputs.iter().map(|text| text.len() as u32).collect(),
        Task::Generate(_) => vec![input_tokens(task)],
    })
}

impl Engine {
    pub fn clear(&mut self) {
        self.jobs.clear();
        self.uncounted.clear();
        self.started.clear();
    }

    pub fn count(&mut self, job: JobId, task: &Task) {
        self.counts += 1;
        self.uncounted.push((job, input_tokens(task) * self.inflates.max(1)));
    }

    pub fn run(&mut self, job: JobId, task: Task) {
        let after = match &task {
            Task::Generate(generate) => generate.prefix.len() as u32,
            Task::Embed { .. } => 0,
        };
        self.started.push((job, input_tokens(&task) * self.inflates.max(1)));
        let unread = if self.reads > 0 { input_tokens(&task) } else { 0 };
        self.jobs.insert(job, Running { task, allowed: 0, made: 0, after, unread });
    }

    pub fn allow(&mut self, job: JobId, tokens: u32) {
        if let Some(running) = self.jobs.get_mut(&job) {
            running.allowed += tokens;
        }
    }

    pub fn cancel(&mut self, job: JobId) {
        self.jobs.remove(&job);
        self.started.retain(|(other, _)| *other != job);
    }

    /// How long its next step takes.
    pub fn step_us(&self) -> u64 {
        let jobs = if self.is_shared { self.jobs.len().max(1) } else { 1 };
        self.token_us * jobs as u64
    }

    /// One token for every job that may make one. Returns the reports, and whether more can be done.
    pub fn step(&mut self) -> (Vec<(JobId, EngineReport)>, bool) {
        let cached_tokens = self.keeps;
        let counted = |(job, input_tokens)| (job, EngineReport::Counted { input_tokens, cached_tokens });
        let told = if self.stalls { 0 } else { self.uncounted.len() };
        let mut reports: Vec<_> =
            self.uncounted.drain(..told).chain(self.started.drain(..)).map(counted).collect();
        if self.hung {
            return (reports, false);
        }
        let mut over = Vec::new();
        for (job, running) in &mut self.jobs {
            if running.unread > 0 {
                let tokens = input_tokens(&running.task) - running.unread;
                if self.silent_at.is_none_or(|silent| tokens < silent) {
                    running.unread -= running.unread.min(self.reads);
                    let tokens = input_tokens(&running.task) - running.unread;
                    reports.push((*job, EngineReport::Read { tokens }));
                }
                continue;
            }
            match &running.task {
                Task::Embed { inputs } => {
                    for first in (0..inputs.len()).step_by(4) {
                        let rows = (inputs.len() - first).min(4);
                        let content =
                            Content::Vectors { first: first as u32, dims: 2, bytes: vec![1; rows * 8] };
                        reports.push((*job, EngineReport::Content(content)));
                    }
                    let end = Content::End { finish: Finish::Stop };
                    reports.push((*job, EngineReport::Content(end)));
                    over.push(*job);
                }
                Task::Generate(generate) => {
                    if running.made < running.allowed && running.made < generate.max_tokens {
                        let (id, text) = token(running.after + running.made);
                        running.made += 1;
                        let content = Content::Tokens { ids: vec![id], text };
                        reports.push((*job, EngineReport::Content(content)));
                    }
                    let stops = self.stops_at.is_some_and(|most| running.made >= most);
                    if stops || running.made == generate.max_tokens {
                        let finish = if stops { Finish::Stop } else { Finish::Length };
                        let end = Content::End { finish };
                        reports.push((*job, EngineReport::Content(end)));
                        over.push(*job);
                    }
                }
            }
        }
        for job in over {
            self.jobs.remove(&job);
        }
        let busy = self.jobs.values().any(|running| {
            let makes_vectors = matches!(running.task, Task::Embed { .. }) && self.silent_at.is_none();
            makes_vectors || running.made < running.allowed
        });
        (reports, busy)
    }
}
