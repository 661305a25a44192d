//! The engine that the provider has, called directly.

use std::time::{Duration, Instant};

use bombyx_gpu::engine::{self as gpu, Engine, EngineEvent};
use bombyx_node::NodeConfig;
use bombyx_node::engine::models;

use super::load::{COUNTING, Load, SMALL};
use super::processes::CHAT;

pub(crate) struct BareEngine {
    engine: Box<dyn Engine>,
    model: gpu::ModelId,
}

impl BareEngine {
    pub(crate) fn load() -> Self {
        let mut provide = NodeConfig::default().provide;
        provide.models = vec![CHAT.into()];
        let engine = models::load(&provide, &mut |_| {}).unwrap().engine;
        Self { engine, model: gpu::ModelId(models::id_of(CHAT).unwrap().0) }
    }

    /// Returns the median time of so many answers of one token.
    pub(crate) fn median_of(&mut self, answers: u32) -> Duration {
        Load::of((0..answers).map(|_| self.run(SMALL, 1)).collect()).percentile(50)
    }

    /// Returns the time of one answer of the kind that is streamed.
    pub(crate) fn answer(&mut self) -> Duration {
        self.run(COUNTING, 64)
    }

    fn run(&mut self, question: &str, max_tokens: u32) -> Duration {
        let began = Instant::now();
        let task = gpu::Task::Generate(gpu::Generate {
            messages: vec![gpu::ChatMessage { role: "user".into(), content: question.into() }],
            max_tokens,
            sampling: gpu::Sampling::GREEDY,
            prefix: Vec::new(),
            stop: Vec::new(),
        });
        self.engine.submit(1, &self.model, task).unwrap();
        self.engine.allow(1, max_tokens);
        let mut events = Vec::new();
        loop {
            self.engine.step(&mut events);
            for (_, event) in events.drain(..) {
                match event {
                    EngineEvent::Finished { .. } => return began.elapsed(),
                    EngineEvent::Failed(error) => panic!("{error}"),
                    EngineEvent::Started { .. }
                    | EngineEvent::Read { .. }
                    | EngineEvent::Tokens { .. }
                    | EngineEvent::Vectors { .. } => {}
                }
            }
        }
    }
}
