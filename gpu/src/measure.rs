//! Measures from outside how fast an engine is: what its owner may claim, and a bench prints.

use std::time::{Duration, Instant};

use crate::engine::{Engine, EngineError, EngineEvent, ModelId, Progress, RequestId, Task};

/// Work done in a span of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Texts embedded.
    pub rows: usize,
    /// Tokens read, special tokens included.
    pub tokens: u32,
    /// Wall time from submission to the last vector.
    pub elapsed: Duration,
}

impl Rate {
    /// Returns the texts per second.
    #[must_use]
    pub fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.elapsed.as_secs_f64()
    }

    /// Returns the tokens per second.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        f64::from(self.tokens) / self.elapsed.as_secs_f64()
    }
}

/// Embeds some texts as one request of an idle engine, and returns how long it took.
///
/// # Errors
/// The engine's own, if it refuses the request or fails.
pub fn embeddings(
    engine: &mut dyn Engine,
    request: RequestId,
    model: &ModelId,
    inputs: Vec<String>,
) -> Result<Rate, EngineError> {
    let start = Instant::now();
    let mut rate = Rate { rows: inputs.len(), tokens: 0, elapsed: Duration::ZERO };
    engine.submit(request, model, Task::Embed { inputs })?;
    let mut events = Vec::new();
    loop {
        let progress = engine.step(&mut events);
        for (_, event) in events.drain(..).filter(|(of, _)| *of == request) {
            match event {
                EngineEvent::Started { input_tokens } => rate.tokens = input_tokens,
                EngineEvent::Read { .. } | EngineEvent::Vectors { .. } | EngineEvent::Tokens { .. } => {}
                EngineEvent::Finished { .. } => return Ok(Rate { elapsed: start.elapsed(), ..rate }),
                EngineEvent::Failed(error) => return Err(error),
            }
        }
        if progress == Progress::Idle {
            return Err(EngineError::Runtime("the engine stopped before the request's end".to_owned()));
        }
    }
}
