//! An engine, driven by its own steps.

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
