//! What every provider of a model has to refuse is refused here, before a call, a channel or a coin; and an answer's limit
//! is lowered to what the model has room for.

use bombyx_gpu::catalog::{self, CatalogEntry};
use bombyx_gpu::engine::{self as gpu, EngineError};
use bombyx_protocol::work::order::{InputCount, ModelId, OrderFault, Task};

use super::convert;

/// Text that is counted in some microseconds, with [`PART_BYTES`] for each of its parts.
const SHORT_BYTES: usize = 2_048;
/// What a part of a task costs beside its text, in bytes of text.
const PART_BYTES: usize = 64;

/// A task that fits its model.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fitted {
    pub(crate) task: Task,
    /// How long its input is.
    pub(crate) input: InputCount,
}

/// Checks a task for a model, counts its tokens, and lowers its `max_tokens` to what its context leaves. A model whose tokenizer is not part of
/// the program is checked by its providers.
///
/// # Errors
/// [`OrderFault`] says what every provider would refuse.
pub(crate) async fn fit(model: ModelId, task: Task) -> Result<Fitted, OrderFault> {
    // Counting takes as long as the text is, and the first time a tokenizer is read: what takes less than the way to another thread
    // and back is done here.
    let is_read = catalog::with_id(&gpu::ModelId(model.0)).is_none_or(CatalogEntry::is_counter_read);
    if is_read && is_short(&task) {
        return fit_now(&model, task);
    }
    let fitted = tokio::task::spawn_blocking(move || fit_now(&model, task)).await;
    fitted.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

fn is_short(task: &Task) -> bool {
    let parts = match task {
        Task::Embed { inputs } => inputs.len(),
        Task::Generate(generate) => generate.messages.len().saturating_add(generate.stop.len()),
    };
    task.text_bytes().saturating_add(parts.saturating_mul(PART_BYTES)) <= SHORT_BYTES
}

fn fit_now(model: &ModelId, mut task: Task) -> Result<Fitted, OrderFault> {
    if is_empty(&task) {
        return Err(OrderFault::Empty);
    }
    // Before the protocol's own limits: a text beyond both is told what the model reads.
    let input = match catalog::with_id(&gpu::ModelId(model.0)) {
        Some(entry) => fit_context(entry, &mut task)?,
        None => InputCount::Estimated,
    };
    task.check()?;
    Ok(Fitted { task, input })
}

/// Returns whether a task says nothing: an answer to that would be served, and billed.
fn is_empty(task: &Task) -> bool {
    match task {
        Task::Embed { inputs } => inputs.iter().all(|text| text.trim().is_empty()),
        Task::Generate(generate) => generate.messages.iter().all(|message| message.content.trim().is_empty()),
    }
}

fn fit_context(entry: &CatalogEntry, task: &mut Task) -> Result<InputCount, OrderFault> {
    let context = entry.manifest().context_tokens;
    let tokens = match entry.counter().count(&convert::task(task.clone())) {
        Ok(tokens) => tokens,
        Err(EngineError::TooLong { index, tokens, .. }) => {
            return Err(match task {
                Task::Embed { .. } => OrderFault::InputOverContext { index, tokens, context },
                Task::Generate(_) => OrderFault::OverContext { tokens, context },
            });
        }
        // Whatever else is wrong with it, its provider has the better words.
        Err(_) => return Ok(InputCount::Estimated),
    };
    let counts: Vec<u32> =
        tokens.into_iter().map(|tokens| u32::try_from(tokens).unwrap_or(u32::MAX)).collect();
    if let (Task::Generate(generate), [tokens]) = (task, counts.as_slice()) {
        generate.max_tokens = generate.max_tokens.min(context.saturating_sub(*tokens));
    }
    Ok(InputCount::Counted(counts))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bombyx_protocol::limits::STOP_BYTES_MAX;
    use bombyx_protocol::work::order::{ChatMessage, Generate, Role, Sampling};

    use super::*;
    use crate::engine::models::id_of;

    fn chat(content: &str, max_tokens: u32, stop: &[&str]) -> Task {
        Task::Generate(Generate {
            messages: vec![ChatMessage { role: Role::User, content: content.into() }],
            max_tokens,
            sampling: Sampling { temperature_milli: 0, top_p_milli: 1000, top_k: 0, seed: 0 },
            prefix: Vec::new(),
            stop: stop.iter().map(|&stop| stop.into()).collect(),
        })
    }

    fn fitted(name: &str, task: Task) -> Result<Fitted, OrderFault> {
        fit_now(&id_of(name).unwrap(), task)
    }

    #[test]
    fn what_is_long_in_text_or_in_parts_is_counted_on_a_thread_of_its_own() {
        assert!(is_short(&chat("hello", 256, &["a"])));
        assert!(!is_short(&chat(&"x".repeat(SHORT_BYTES), 1, &[])));
        assert!(!is_short(&Task::Embed { inputs: vec![String::new(); SHORT_BYTES] }));
    }

    #[test]
    fn an_answers_limit_is_what_the_context_leaves() {
        for (content, asked, given) in [
            ("hello", 256, 256),
            ("hello", 2_040, 2_040),
            ("hello", 2_041, 2_040),
            ("hello", u32::MAX, 2_040),
            ("hello", 1, 1),
            (&"x".repeat(2_044), 4_097, 1),
        ] {
            let fitted = fitted("bombyx-chat-tiny", chat(content, asked, &[])).unwrap();
            assert_eq!(fitted.task.output_tokens_max(), given, "{asked}");
            // This model reads bytes, and three tokens that its template adds.
            assert_eq!(fitted.input, InputCount::Counted(vec![u32::try_from(content.len() + 3).unwrap()]));
        }
    }

    #[test]
    fn what_every_provider_must_refuse_is_refused_here() {
        let long = fitted("bombyx-chat-tiny", chat(&"x".repeat(30_000), 1, &[])).unwrap_err();
        assert_eq!(long, OrderFault::OverContext { tokens: 30_003, context: 2_048 });
        let texts = Task::Embed { inputs: vec!["silk".into(), "silk ".repeat(255)] };
        let long = fitted("all-minilm-l6-v2", texts).unwrap_err();
        assert_eq!(long, OrderFault::InputOverContext { index: 1, tokens: 257, context: 256 });
        for nothing in ["", " \n\t"] {
            assert_eq!(fitted("bombyx-chat-tiny", chat(nothing, 1, &[])).unwrap_err(), OrderFault::Empty);
        }
        let long = "x".repeat(STOP_BYTES_MAX + 1);
        for stop in ["", long.as_str()] {
            let refused = fitted("bombyx-chat-tiny", chat("hello", 1, &["a", stop])).unwrap_err();
            assert_eq!(refused, OrderFault::BadStop { index: 1 });
        }
        assert!(fitted("bombyx-chat-tiny", chat("hello", 1, &[&"x".repeat(STOP_BYTES_MAX)])).is_ok());
        assert!(matches!(
            fitted("bombyx-chat-tiny", chat("hello", 1, &["a"; 5])).unwrap_err(),
            OrderFault::TooMany { .. }
        ));
    }

    #[test]
    fn a_model_that_is_not_known_here_is_checked_by_the_protocols_limits_alone() {
        let strange = ModelId([0xab; 32]);
        let task = chat(&"x".repeat(3_000), 9_999, &[]);
        let input = InputCount::Estimated;
        assert_eq!(fit_now(&strange, task.clone()), Ok(Fitted { task, input }));
        assert!(matches!(
            fit_now(&strange, chat(&"x".repeat(30_000), 1, &[])),
            Err(OrderFault::TooLarge { bytes: 30_000 })
        ));
    }
}
