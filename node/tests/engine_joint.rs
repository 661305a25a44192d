//! Failover through the node's own joint to its engine: wherever an answer is cut, what the next provider makes of the
//! task that is left joins on without a seam.
#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bombyx_gpu::engine::{
    self as gpu, Engine, EngineError, EngineEvent, InputCounter, ModelInfo, ModelKind, Progress,
};
use bombyx_node::engine::{EngineHandle, Reports, models};
use bombyx_node::home::config::ProvideConfig;
use bombyx_protocol::io::EngineReport;
use bombyx_protocol::wire::message::{Content, Finish};
use bombyx_protocol::work::order::{ChatMessage, Generate, JobId, ModelId, Role, Sampling, Task};

const CHAT: &str = "bombyx-chat-tiny";

/// An engine behind its joint, as a provider has it.
struct Joint {
    engine: EngineHandle,
    reports: Reports,
    model: ModelId,
    jobs: u128,
}

/// Tokens with the text that came with each, and why it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    parts: Vec<(u32, String)>,
    /// Text that came without a token.
    rest: String,
    finish: Finish,
}

impl Answer {
    fn ids(&self) -> Vec<u32> {
        self.parts.iter().map(|(id, _)| *id).collect()
    }

    fn text(&self) -> String {
        self.parts.iter().map(|(_, text)| text.as_str()).chain([self.rest.as_str()]).collect()
    }
}

impl Joint {
    fn new(engine: Box<dyn Engine>, model: ModelId) -> Self {
        let (engine, reports) = EngineHandle::start(engine, 0).unwrap();
        Self { engine, reports, model, jobs: 0 }
    }

    fn run(&mut self, task: Task) -> Answer {
        self.jobs += 1;
        let job = JobId(self.jobs.to_le_bytes());
        self.engine.run(job, self.model, task).unwrap();
        // Payment lets a few tokens through at a time.
        self.engine.allow(job, 3);
        let (mut parts, mut rest) = (Vec::new(), String::new());
        loop {
            let (from, report) = self.reports.blocking_recv().unwrap();
            assert_eq!(from, job);
            match report {
                EngineReport::Counted { .. } | EngineReport::Read { .. } => {}
                EngineReport::Content(Content::Tokens { ids, text }) => {
                    match ids.as_slice() {
                        [id] => parts.push((*id, text)),
                        [] => rest.push_str(&text),
                        more => panic!("{} tokens at once", more.len()),
                    }
                    self.engine.allow(job, 1);
                }
                EngineReport::Content(Content::End { finish }) => return Answer { parts, rest, finish },
                other => panic!("{other:?}"),
            }
        }
    }

    /// The answer when the provider dies after each of `cuts` tokens, counted from the beginning.
    fn run_cut(&mut self, task: &Task, cuts: &[usize]) -> Answer {
        let mut delivered: Vec<(u32, String)> = Vec::new();
        for end in cuts.iter().copied().map(Some).chain([None]) {
            let ids: Vec<u32> = delivered.iter().map(|(id, _)| *id).collect();
            let left = task.rest_after(&ids, 0);
            if left.output_tokens_max() == 0 {
                // The client knows that nothing is left and asks nobody.
                return Answer { parts: delivered, rest: String::new(), finish: Finish::Length };
            }
            assert_eq!(left.check(), Ok(()));
            let piece = self.run(left);
            match end {
                // What a dead provider made beyond the cut has reached nobody.
                Some(cut) => {
                    let more = cut - delivered.len();
                    delivered.extend(piece.parts.into_iter().take(more));
                }
                None => {
                    delivered.extend(piece.parts);
                    return Answer { parts: delivered, rest: piece.rest, finish: piece.finish };
                }
            }
        }
        unreachable!("the last piece has no cut")
    }
}

fn chat(question: &str, max_tokens: u32, sampling: Sampling, stop: &[&str]) -> Task {
    Task::Generate(Generate {
        messages: vec![ChatMessage { role: Role::User, content: question.into() }],
        max_tokens,
        sampling,
        prefix: Vec::new(),
        stop: stop.iter().map(|&stop| stop.into()).collect(),
    })
}

const GREEDY: Sampling = Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 };

const fn drawn(temperature_milli: u32, seed: u64) -> Sampling {
    Sampling { temperature_milli, top_p_milli: 980, top_k: 60, seed }
}

/// (WR-13, WR-15)
#[test]
fn an_answer_that_is_cut_anywhere_is_the_answer_of_an_unbroken_run() {
    let config = ProvideConfig { models: vec![CHAT.into()], ..ProvideConfig::default() };
    let loaded = models::load(&config, &mut |_| {}).unwrap();
    let model = loaded.offers[0].model;
    let mut joint = Joint::new(loaded.engine, model);
    let (mut stopped, mut at_length, mut held_back) = (0, 0, 0);
    for task in [
        chat("Count from 17 to 25.", 100, GREEDY, &[]),
        chat("Count from 17 to 25.", 100, drawn(1_500, 11), &[]),
        chat("Spell moth.", 40, drawn(3_000, 5), &[]),
        // Wild draws make characters that are split over tokens.
        chat("What?", 24, drawn(20_000, 9), &[]),
        // The limit is what ends it, in the middle of a number.
        chat("Count from 3 to 9.", 8, GREEDY, &[]),
        chat("Count from 3 to 9.", 1, GREEDY, &[]),
        // A stop text over several tokens, one that nearly comes, and one that is the whole answer.
        chat("Count from 3 to 9.", 100, GREEDY, &[", 6"]),
        chat("Count from 3 to 9.", 100, GREEDY, &["5, 7", ", 8, 9"]),
        chat("What is 17 plus 25?", 100, GREEDY, &["42"]),
        // The limit falls into what is held back for a stop text.
        chat("Count from 3 to 9.", 5, GREEDY, &[", 5, 6"]),
    ] {
        let whole = joint.run(task.clone());
        let last = whole.parts.len();
        assert!(last > 0 && whole == joint.run(task.clone()), "a model repeats itself");
        for cut in 0..=last {
            check(
                &task,
                &whole,
                &joint.run_cut(&task, &[cut]),
                &format!("{task:?} cut after {cut} of {last}"),
            );
        }
        for (first, second) in [(0, last / 2), (1, last), (last / 3, 2 * last / 3), (last / 2, last / 2)] {
            let cuts = [first.min(second), second];
            check(&task, &whole, &joint.run_cut(&task, &cuts), &format!("{task:?} cut after {cuts:?}"));
        }
        stopped += usize::from(whole.finish == Finish::Stop);
        at_length += usize::from(whole.finish == Finish::Length);
        held_back += whole.parts.iter().filter(|(_, text)| text.is_empty()).count();
    }
    assert!(stopped >= 3 && at_length >= 3 && held_back >= 3, "{stopped} {at_length} {held_back}");
}

fn check(task: &Task, whole: &Answer, cut: &Answer, how: &str) {
    assert_eq!(cut.ids(), whole.ids(), "{how}");
    assert_eq!(cut.text(), whole.text(), "{how}");
    // Where all tokens have come, the client cannot know that the last one was also an end.
    let all = whole.parts.len() as u64 == task.output_tokens_max();
    assert!(cut.finish == whole.finish || all && cut.finish == Finish::Length, "{how}");
}

/// Says the position of each token, for ever; small, and by the letter of [`gpu::Generate`].
#[derive(Default)]
struct Scripted {
    jobs: BTreeMap<u64, (u32, u32, u32)>,
}

/// Nobody has its input counted.
struct Uncounted;

impl InputCounter for Uncounted {
    fn count(&self, model: &gpu::ModelId, _: &gpu::Task) -> Result<u32, EngineError> {
        Err(EngineError::UnknownModel(*model))
    }
}

impl Engine for Scripted {
    fn models(&self) -> Vec<ModelInfo> {
        vec![ModelInfo {
            id: gpu::ModelId([1; 32]),
            name: "scripted".into(),
            kind: ModelKind::Generate,
            context_tokens: 1 << 20,
            precision: "none".into(),
            weights: None,
        }]
    }

    fn input_counter(&self) -> Arc<dyn InputCounter> {
        Arc::new(Uncounted)
    }

    fn submit(&mut self, job: u64, _: &gpu::ModelId, task: gpu::Task) -> Result<(), EngineError> {
        let gpu::Task::Generate(generate) = task else { panic!("it writes text") };
        let at = u32::try_from(generate.prefix.len()).unwrap();
        assert!(generate.prefix.iter().copied().eq(0..at), "the prefix is what was said");
        assert!(at < generate.max_tokens, "nothing is left to say");
        self.jobs.insert(job, (at, at, generate.max_tokens));
        Ok(())
    }

    fn allow(&mut self, job: u64, tokens: u32) {
        if let Some((_, allowed, _)) = self.jobs.get_mut(&job) {
            *allowed += tokens;
        }
    }

    fn cancel(&mut self, job: u64) {
        self.jobs.remove(&job);
    }

    fn step(&mut self, out: &mut Vec<(u64, EngineEvent)>) -> Progress {
        let before = out.len();
        self.jobs.retain(|job, (at, allowed, max)| {
            if at == max {
                out.push((*job, EngineEvent::Finished { reason: gpu::Finish::Length }));
                return false;
            }
            if at < allowed {
                out.push((*job, EngineEvent::Tokens { ids: vec![*at], text: format!("{at} ") }));
                *at += 1;
            }
            true
        });
        if out.len() > before { Progress::Worked } else { Progress::Idle }
    }
}

/// (WR-1, WR-13)
#[test]
fn thousands_of_delivered_tokens_are_gone_on_from() {
    let mut joint = Joint::new(Box::<Scripted>::default(), ModelId([1; 32]));
    let task = chat("Think aloud.", 3_500, GREEDY, &[]);
    let whole = joint.run(task.clone());
    assert_eq!(whole.ids(), (0..3_500).collect::<Vec<_>>());
    for cuts in [&[31][..], &[70, 1_790], &[2_047, 2_048, 2_049], &[2_349], &[3_499], &[3_500]] {
        assert_eq!(joint.run_cut(&task, cuts), whole, "cut after {cuts:?}");
    }
}
