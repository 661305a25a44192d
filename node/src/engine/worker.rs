//! The engine's own thread: takes what the driver wants, computes one step, reports what came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bombyx_gpu::engine::{self as gpu, Engine, EngineEvent, Progress};
use bombyx_protocol::work::order::{JobId, TaskKind};
use tokio::sync::mpsc;

use super::convert;
use super::inbox::{Run, Said, SharedInbox};
use super::pace::Pace;

/// How long an idle worker sleeps at the most before it looks at its inbox by itself.
const NAP: Duration = Duration::from_secs(60);

pub(super) struct Worker {
    engine: Box<dyn Engine>,
    shared: Arc<SharedInbox>,
    reports: mpsc::Sender<Said>,
    pace: Pace,
    /// The engine numbers its requests, the protocol names jobs.
    names: BTreeMap<gpu::RequestId, (JobId, TaskKind)>,
}

/// The worker's end: the driver is gone or wants it to stop.
struct Stop;

impl Worker {
    pub(super) fn new(
        engine: Box<dyn Engine>,
        shared: Arc<SharedInbox>,
        reports: mpsc::Sender<Said>,
        pace: u32,
    ) -> Self {
        let pace = Pace::new(pace, Instant::now());
        Self { engine, shared, reports, pace, names: BTreeMap::new() }
    }

    pub(super) fn run(mut self) {
        while self.round().is_ok() {}
    }

    /// Returns one turn: the inbox, then one step of the engine unless it rests.
    fn round(&mut self) -> Result<(), Stop> {
        self.take_inbox()?;
        if self.names.is_empty() {
            return self.sleep(NAP);
        }
        let rest = self.pace.rest(Instant::now());
        if !rest.is_zero() {
            return self.sleep(rest);
        }
        let mut events = Vec::new();
        let progress = self.engine.step(&mut events);
        for (number, event) in events {
            self.report(number, event)?;
        }
        if progress == Progress::Idle {
            return self.sleep(NAP);
        }
        Ok(())
    }

    /// Waits for the bell, unless something is in the inbox already.
    fn sleep(&self, at_most: Duration) -> Result<(), Stop> {
        let inbox = self.shared.lock();
        let quiet =
            inbox.runs.is_empty() && inbox.allowances.is_empty() && inbox.cancels.is_empty() && !inbox.stop;
        if quiet {
            // Woken early or late makes no difference: the next round looks at everything again.
            drop(self.shared.bell.wait_timeout(inbox, at_most));
        }
        if self.reports.is_closed() { Err(Stop) } else { Ok(()) }
    }

    fn take_inbox(&mut self) -> Result<(), Stop> {
        let (runs, allowances, cancels) = {
            let mut inbox = self.shared.lock();
            if inbox.stop {
                return Err(Stop);
            }
            (
                std::mem::take(&mut inbox.runs),
                std::mem::take(&mut inbox.allowances),
                std::mem::take(&mut inbox.cancels),
            )
        };
        for number in cancels {
            if self.names.remove(&number).is_some() {
                self.engine.cancel(number);
            }
        }
        for run in runs {
            self.submit(run)?;
        }
        for (number, tokens) in allowances {
            if self.names.contains_key(&number) {
                self.engine.allow(number, tokens);
            }
        }
        Ok(())
    }

    fn submit(&mut self, run: Run) -> Result<(), Stop> {
        let Run { number, job, model, task } = run;
        self.names.insert(number, (job, task.kind()));
        match self.engine.submit(number, &gpu::ModelId(model.0), convert::task(task)) {
            Ok(()) => Ok(()),
            Err(error) => self.report(number, EngineEvent::Failed(error)),
        }
    }

    fn report(&mut self, number: gpu::RequestId, event: EngineEvent) -> Result<(), Stop> {
        let Some((job, kind)) = self.names.get(&number).copied() else { return Ok(()) };
        let ends = matches!(event, EngineEvent::Finished { .. } | EngineEvent::Failed(_));
        match &event {
            EngineEvent::Failed(error) => tracing::warn!(?job, %error, "the engine gave a job up"),
            EngineEvent::Tokens { ids, .. } => self.pace.made(Instant::now(), ids.len() as u64),
            // The work of vectors is to read their input.
            EngineEvent::Started { input_tokens } if kind == TaskKind::Embed => {
                self.pace.made(Instant::now(), u64::from(*input_tokens));
            }
            EngineEvent::Started { .. }
            | EngineEvent::Read { .. }
            | EngineEvent::Vectors { .. }
            | EngineEvent::Finished { .. } => {}
        }
        if ends {
            self.names.remove(&number);
            self.shared.lock().allowances.remove(&number);
        }
        for report in convert::reports(event) {
            self.reports.blocking_send((Some(number), job, report)).map_err(|_| Stop)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_gpu::engine::{EngineError, Finish, InputCounter, ModelId, ModelInfo, ModelKind, Task};
    use bombyx_protocol::io::EngineReport;
    use bombyx_protocol::wire::message::{Content, Refusal};
    use bombyx_protocol::work::order as work;

    use super::super::EngineHandle;
    use super::*;

    /// Counts each input as seven tokens.
    struct Sevens {
        /// It says so here when it has counted.
        counted: Option<std::sync::mpsc::Sender<()>>,
    }

    impl InputCounter for Sevens {
        fn count(&self, _: &ModelId, task: &Task) -> Result<u32, EngineError> {
            let counted = match task {
                Task::Generate(generate) if generate.max_tokens == 0 => panic!("a tokenizer may do that"),
                Task::Generate(_) => Ok(7),
                Task::Embed { .. } => Err(EngineError::WrongTask { model: "counter".into(), task: "embed" }),
            };
            self.counted.iter().for_each(|told| told.send(()).unwrap());
            counted
        }
    }

    /// Counts up: a token for each allowance, up to the task's limit. Small enough to see that it keeps the contract.
    #[derive(Default)]
    struct Counter {
        jobs: BTreeMap<u64, (u32, u32, u32)>,
        /// Tokens of each prompt that it has still to read, one in a step.
        unread: u32,
        /// Its first step waits until an input is counted.
        waits: Option<std::sync::mpsc::Receiver<()>>,
        told: Option<std::sync::mpsc::Sender<()>>,
    }

    impl Engine for Counter {
        fn models(&self) -> Vec<ModelInfo> {
            vec![ModelInfo {
                id: ModelId([1; 32]),
                name: "counter".into(),
                kind: ModelKind::Generate,
                context_tokens: 64,
                precision: "fp32".into(),
                weights: None,
            }]
        }

        fn input_counter(&self) -> Arc<dyn InputCounter> {
            Arc::new(Sevens { counted: self.told.clone() })
        }

        fn submit(&mut self, job: u64, model: &ModelId, task: Task) -> Result<(), EngineError> {
            let Task::Generate(generate) = task else {
                return Err(EngineError::WrongTask { model: "counter".into(), task: "embed" });
            };
            if model.0 != [1; 32] {
                return Err(EngineError::UnknownModel(*model));
            }
            self.jobs.insert(job, (0, 0, generate.max_tokens));
            Ok(())
        }

        fn allow(&mut self, job: u64, tokens: u32) {
            self.jobs.get_mut(&job).unwrap().1 += tokens;
        }

        fn cancel(&mut self, job: u64) {
            self.jobs.remove(&job);
        }

        fn step(&mut self, out: &mut Vec<(u64, EngineEvent)>) -> Progress {
            if let Some(counted) = self.waits.take() {
                counted.recv_timeout(Duration::from_secs(60)).unwrap();
            }
            let before = out.len();
            if self.unread > 0 && self.jobs.values().any(|(_, allowed, _)| *allowed > 0) {
                self.unread -= 1;
                out.extend(self.jobs.keys().map(|job| (*job, EngineEvent::Read { tokens: 7 - self.unread })));
                return Progress::Worked;
            }
            self.jobs.retain(|job, (made, allowed, max)| {
                if made == max {
                    out.push((*job, EngineEvent::Finished { reason: Finish::Length }));
                    return false;
                }
                if made < allowed {
                    *made += 1;
                    out.push((*job, EngineEvent::Tokens { ids: vec![*made], text: String::new() }));
                }
                true
            });
            if out.len() > before { Progress::Worked } else { Progress::Idle }
        }
    }

    fn chat(max_tokens: u32) -> work::Task {
        work::Task::Generate(work::Generate {
            messages: vec![],
            max_tokens,
            sampling: work::Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
            prefix: vec![],
            stop: vec![],
        })
    }

    const MODEL: work::ModelId = work::ModelId([1; 32]);

    #[test]
    fn a_job_makes_what_it_is_allowed_and_then_waits() {
        let (engine, mut reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
        let job = JobId([1; 16]);
        engine.run(job, MODEL, chat(3)).unwrap();
        engine.allow(job, 1);
        engine.allow(job, 1);
        for expected in 1..=2 {
            let (_, report) = reports.blocking_recv().unwrap();
            let EngineReport::Content(Content::Tokens { ids, .. }) = report else { panic!("{report:?}") };
            assert_eq!(ids, [expected]);
        }
        assert!(reports.try_recv().is_none(), "it waits for its allowance");
        engine.allow(job, 5);
        assert!(matches!(reports.blocking_recv().unwrap().1, EngineReport::Content(Content::Tokens { .. })));
        assert!(matches!(reports.blocking_recv().unwrap().1, EngineReport::Content(Content::End { .. })));
    }

    /// (`WR-23`)
    #[test]
    fn what_is_read_of_a_prompt_is_told_as_it_is_read() {
        let engine = Box::new(Counter { unread: 3, ..Counter::default() });
        let (engine, mut reports) = EngineHandle::start(engine, 0).unwrap();
        engine.run(JobId([1; 16]), MODEL, chat(1)).unwrap();
        engine.allow(JobId([1; 16]), 1);
        let mut next = || reports.blocking_recv().unwrap().1;
        assert_eq!([next(), next(), next()], [5, 6, 7].map(|tokens| EngineReport::Read { tokens }));
        assert!(matches!(next(), EngineReport::Content(Content::Tokens { .. })));
    }

    #[test]
    fn a_task_is_counted_without_being_begun() {
        let (engine, mut reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
        let job = JobId([1; 16]);
        engine.count(job, MODEL, chat(3)).unwrap();
        let counted = EngineReport::Counted { input_tokens: 7, cached_tokens: 0 };
        assert_eq!(reports.blocking_recv().unwrap(), (job, counted));
        engine.allow(job, 1);
        engine.count(job, MODEL, work::Task::Embed { inputs: vec![] }).unwrap();
        let refused = EngineReport::Failed(Refusal::WrongKind);
        assert_eq!(reports.blocking_recv().unwrap(), (job, refused), "nothing was made");
    }

    /// The engine's step lasts until the input is counted, and so for ever if its own thread were to count. (`WR-25`)
    #[test]
    fn an_input_is_counted_while_the_engine_works() {
        let (told, waits) = std::sync::mpsc::channel();
        let engine = Counter { waits: Some(waits), told: Some(told), ..Counter::default() };
        let (engine, mut reports) = EngineHandle::start(Box::new(engine), 0).unwrap();
        let [running, coming] = [1, 2].map(|number| JobId([number; 16]));
        engine.run(running, MODEL, chat(1)).unwrap();
        engine.allow(running, 1);
        engine.count(coming, MODEL, chat(3)).unwrap();
        let counted = EngineReport::Counted { input_tokens: 7, cached_tokens: 0 };
        // A token and the end come of the other meanwhile, before or after it.
        let said: Vec<_> = (0..3).map(|_| reports.blocking_recv().unwrap()).collect();
        let of_running = said.iter().filter(|(job, _)| *job == running).count();
        assert!(said.contains(&(coming, counted)) && of_running == 2, "{said:?}");
    }

    /// (`WR-25`)
    #[test]
    fn an_input_on_which_the_tokenizer_gives_up_fails_alone() {
        let (engine, mut reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
        let [bad, good] = [1, 2].map(|number| JobId([number; 16]));
        engine.count(bad, MODEL, chat(0)).unwrap();
        engine.count(good, MODEL, chat(3)).unwrap();
        assert_eq!(reports.blocking_recv().unwrap(), (bad, EngineReport::Failed(Refusal::Engine)));
        let counted = EngineReport::Counted { input_tokens: 7, cached_tokens: 0 };
        assert_eq!(reports.blocking_recv().unwrap(), (good, counted));
    }

    #[test]
    fn a_task_that_the_engine_refuses_fails_and_ends() {
        let (engine, mut reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
        engine.run(JobId([1; 16]), work::ModelId([2; 32]), chat(1)).unwrap();
        let (job, report) = reports.blocking_recv().unwrap();
        assert_eq!((job, report), (JobId([1; 16]), EngineReport::Failed(Refusal::Engine)));
        engine.run(JobId([2; 16]), MODEL, work::Task::Embed { inputs: vec![] }).unwrap();
        let (_, report) = reports.blocking_recv().unwrap();
        assert_eq!(report, EngineReport::Failed(Refusal::WrongKind));
    }

    #[test]
    fn a_cancelled_job_is_silent_and_makes_room() {
        let (engine, mut reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
        for number in 0..bombyx_protocol::limits::JOBS_MAX {
            let mut job = [0; 16];
            job[..8].copy_from_slice(&number.to_le_bytes());
            engine.run(JobId(job), MODEL, chat(1)).unwrap();
        }
        let late = JobId([255; 16]);
        assert!(engine.run(late, MODEL, chat(1)).is_err(), "full");
        engine.cancel(JobId([0; 16]));
        engine.run(late, MODEL, chat(1)).unwrap();
        engine.allow(JobId([0; 16]), 1);
        engine.allow(late, 1);
        let (job, _) = reports.blocking_recv().unwrap();
        assert_eq!(job, late);
    }

    /// An engine that is done before it hears of the cancel says things of the first run that nobody may take for the second's.
    #[test]
    fn a_job_that_is_cancelled_and_given_again_is_heard_of_by_its_second_run_alone() {
        for pause in [Duration::ZERO, Duration::from_millis(20)] {
            let (engine, mut reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
            let job = JobId([1; 16]);
            engine.run(job, MODEL, chat(1)).unwrap();
            engine.allow(job, 5);
            // The first run may be over by then, and its reports wait.
            std::thread::sleep(pause);
            engine.cancel(job);
            engine.run(job, MODEL, chat(2)).unwrap();
            engine.allow(job, 5);
            let mut next = || match reports.blocking_recv() {
                Some((_, EngineReport::Content(Content::Tokens { ids, .. }))) => ids[0],
                Some((_, EngineReport::Content(Content::End { .. }))) => 0,
                other => panic!("{other:?}"),
            };
            assert_eq!([next(), next(), next()], [1, 2, 0], "{pause:?}");
            assert!(reports.try_recv().is_none());
        }
    }

    #[test]
    fn the_thread_ends_when_its_reports_are_not_wanted() {
        let (engine, reports) = EngineHandle::start(Box::<Counter>::default(), 0).unwrap();
        drop(reports);
        let job = JobId([1; 16]);
        engine.run(job, MODEL, chat(1)).unwrap();
        engine.allow(job, 1);
        let mut engine = engine;
        engine.thread.take().unwrap().join().unwrap();
    }
}
