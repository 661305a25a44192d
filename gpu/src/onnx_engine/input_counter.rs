//! Counts the input of tasks beside the engine: what it needs is shared, so that the engine's own thread need not.

use std::sync::Arc;

use crate::decode::PromptReader;
use crate::engine::{EngineError, InputCounter, ModelId, Task};
use crate::tokens::Tokens;

/// Most inputs of one embedding request.
pub const INPUTS_MAX: usize = 2048;
/// Most text of one request, in bytes, over all inputs or messages.
pub const REQUEST_BYTES_MAX: usize = 4 << 20;

/// What reads the input of a model's tasks.
pub(super) enum InputReader {
    Embed(Arc<Tokens>),
    Generate(Arc<PromptReader>),
}

/// That of one loaded model.
pub(super) struct HostReader {
    pub(super) model: ModelId,
    pub(super) name: String,
    pub(super) reader: InputReader,
}

/// The counter of an [`OnnxEngine`](super::OnnxEngine).
pub(super) struct OnnxInputCounter {
    pub(super) hosts: Vec<HostReader>,
}

impl InputCounter for OnnxInputCounter {
    fn count(&self, model: &ModelId, task: &Task) -> Result<u32, EngineError> {
        let found = self.hosts.iter().find(|host| host.model == *model);
        let HostReader { name, reader, .. } = found.ok_or(EngineError::UnknownModel(*model))?;
        check_size(task)?;
        let wrong = |task| EngineError::WrongTask { model: name.clone(), task };
        match (reader, task) {
            (InputReader::Embed(tokens), Task::Embed { inputs }) => {
                let tokens: usize = tokens.encode_all(inputs)?.iter().map(Vec::len).sum();
                Ok(u32::try_from(tokens).unwrap_or(u32::MAX))
            }
            (InputReader::Generate(prompts), Task::Generate(generate)) => prompts.count(generate),
            (InputReader::Embed(_), Task::Generate(_)) => Err(wrong("generate")),
            (InputReader::Generate(_), Task::Embed { .. }) => Err(wrong("embed")),
        }
    }
}

/// Refuses a task that is too large, before any time is spent on reading it.
pub(super) fn check_size(task: &Task) -> Result<(), EngineError> {
    let (what, count, bytes) = match task {
        Task::Embed { inputs } => ("inputs", inputs.len(), inputs.iter().map(String::len).sum::<usize>()),
        Task::Generate(generate) => {
            let texts = generate.messages.iter().flat_map(|message| [&message.role, &message.content]);
            ("messages", generate.messages.len(), texts.map(String::len).sum())
        }
    };
    if count == 0 {
        return Err(EngineError::Empty(what));
    }
    if count > INPUTS_MAX {
        return Err(EngineError::TooMany { what, count, limit: INPUTS_MAX });
    }
    if bytes > REQUEST_BYTES_MAX {
        return Err(EngineError::TooLarge { bytes, limit: REQUEST_BYTES_MAX });
    }
    Ok(())
}
