//! Between the words of the protocol and those of the tensors.

use bombyx_gpu::engine as gpu;
use bombyx_protocol::io::EngineReport;
use bombyx_protocol::limits::VECTOR_BYTES_MAX;
use bombyx_protocol::wire::message::{Content, Finish, Refusal};
use bombyx_protocol::work::order::{Role, Task};

const BYTES_PER_NUMBER: usize = size_of::<f32>();

pub(super) fn task(task: Task) -> gpu::Task {
    match task {
        Task::Embed { inputs } => gpu::Task::Embed { inputs },
        Task::Generate(generate) => {
            let delivered = u32::try_from(generate.prefix.len()).unwrap_or(u32::MAX);
            let message = |message: bombyx_protocol::work::order::ChatMessage| gpu::ChatMessage {
                role: role(message.role).into(),
                content: message.content,
            };
            gpu::Task::Generate(gpu::Generate {
                messages: generate.messages.into_iter().map(message).collect(),
                // The wire counts the tokens that are still to come, the engine those of the whole answer. (`WR-13`)
                max_tokens: generate.max_tokens.saturating_add(delivered),
                sampling: gpu::Sampling {
                    temperature_milli: generate.sampling.temperature_milli,
                    top_p_milli: generate.sampling.top_p_milli,
                    top_k: generate.sampling.top_k,
                    seed: generate.sampling.seed,
                },
                prefix: generate.prefix,
                stop: generate.stop,
            })
        }
    }
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// Returns the reports that an event becomes: vectors are cut into pieces that fit a message.
pub(super) fn reports(event: gpu::EngineEvent) -> Vec<EngineReport> {
    match event {
        gpu::EngineEvent::Started { input_tokens } => vec![counted(Ok(input_tokens))],
        gpu::EngineEvent::Read { tokens } => vec![EngineReport::Read { tokens }],
        gpu::EngineEvent::Vectors { first, dims, data } => vectors(first, dims, &data),
        gpu::EngineEvent::Tokens { ids, text } => vec![EngineReport::Content(Content::Tokens { ids, text })],
        gpu::EngineEvent::Finished { reason } => {
            let finish = match reason {
                gpu::Finish::Stop => Finish::Stop,
                gpu::Finish::Length => Finish::Length,
            };
            vec![EngineReport::Content(Content::End { finish })]
        }
        gpu::EngineEvent::Failed(error) => vec![EngineReport::Failed(refusal(&error))],
    }
}

/// Returns what a count becomes. No engine here keeps what it has read for the next task.
pub(super) fn counted(counted: Result<u32, gpu::EngineError>) -> EngineReport {
    match counted {
        Ok(input_tokens) => EngineReport::Counted { input_tokens, cached_tokens: 0 },
        Err(error) => EngineReport::Failed(refusal(&error)),
    }
}

/// Returns what a stranger may know of an engine's error: what is wrong with its own task, and nothing of the engine.
pub(super) fn refusal(error: &gpu::EngineError) -> Refusal {
    use gpu::EngineError as Engine;
    match *error {
        Engine::TooLong { limit, .. } => Refusal::OverContext(limit as u64),
        Engine::TooLarge { limit, .. } => Refusal::TaskTooLong(limit as u64),
        Engine::TooMany { what: "inputs", limit, .. } => Refusal::TooManyInputs(limit as u64),
        Engine::TooMany { what: "messages", limit, .. } => Refusal::TooManyMessages(limit as u64),
        Engine::TooMany { limit, .. } => Refusal::TooManyStops(limit as u64),
        Engine::BadStop { limit } => Refusal::BadStop(limit as u64),
        Engine::NoTokens { index } => Refusal::BadInput(index as u64),
        Engine::UnknownToken(id) => Refusal::BadToken(u64::from(id)),
        Engine::BeyondEnd => Refusal::BadPrefix,
        Engine::Template(_) => Refusal::BadConversation,
        Engine::Empty(_) => Refusal::EmptyTask,
        Engine::WrongTask { .. } => Refusal::WrongKind,
        Engine::UnknownModel(_) | Engine::DuplicateRequest(_) | Engine::Busy { .. } | Engine::Runtime(_) => {
            Refusal::Engine
        }
    }
}

fn vectors(first: u32, dims: u32, data: &[f32]) -> Vec<EngineReport> {
    let row = (dims as usize).max(1);
    let rows_per_piece = (VECTOR_BYTES_MAX / (row * BYTES_PER_NUMBER)).max(1);
    let piece = |(index, numbers): (usize, &[f32])| {
        let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        let skipped = u32::try_from(index * rows_per_piece).unwrap_or(u32::MAX);
        EngineReport::Content(Content::Vectors { first: first.saturating_add(skipped), dims, bytes })
    };
    data.chunks(row * rows_per_piece).enumerate().map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_cut_into_pieces_that_fit_and_lose_nothing() {
        let (dims, rows) = (384u32, 50usize);
        let data: Vec<f32> = (0..rows * dims as usize).map(|number| number as f32).collect();
        let mut next = 7;
        let mut joined = Vec::new();
        for report in vectors(7, dims, &data) {
            let EngineReport::Content(Content::Vectors { first, dims: 384, bytes }) = report else {
                panic!()
            };
            assert!(bytes.len() <= VECTOR_BYTES_MAX);
            assert_eq!(first, next);
            next += u32::try_from(bytes.len() / (384 * BYTES_PER_NUMBER)).expect("small");
            joined.extend(bytes);
        }
        let whole: Vec<u8> = data.iter().flat_map(|number| number.to_le_bytes()).collect();
        assert!(joined == whole);
    }
}
