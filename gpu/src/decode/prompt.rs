//! What a conversation becomes before a graph reads it. (`MO-3`, `MO-4`)

use crate::engine::{EngineError, Generate};
use crate::template::ChatTemplate;
use crate::tokens::Tokens;

/// A text model's template and tokenizer: they are shared with what counts the input of tasks beside the engine.
#[derive(Debug)]
pub struct PromptReader {
    pub(super) template: ChatTemplate,
    pub(super) tokens: Tokens,
    /// Prompt and answer together, in tokens.
    pub(super) context: usize,
    /// Token ids are below this, where the graph says so.
    pub(super) vocabulary: Option<usize>,
}

impl PromptReader {
    /// Counts the tokens that a request has to read: the prompt, and what another engine delivered.
    ///
    /// # Errors
    /// As [`Decoder::start`](super::Decoder::start).
    pub fn count(&self, request: &Generate) -> Result<u32, EngineError> {
        let tokens = self.prompt(request)?.len() + request.prefix.len();
        Ok(u32::try_from(tokens).expect("a context is at most 2^22 tokens"))
    }

    /// Returns the tokens of a request's prompt, if it can be answered. (`MO-4`)
    pub(super) fn prompt(&self, request: &Generate) -> Result<Vec<u32>, EngineError> {
        if request.max_tokens == 0 {
            return Err(EngineError::Empty("answer: max_tokens is zero"));
        }
        let prompt = self.tokens.encode(0, &self.template.render(&request.messages)?)?;
        if prompt.is_empty() {
            return Err(EngineError::Empty("prompt"));
        }
        let tokens = prompt.len() + request.prefix.len();
        // A prefix may fill the context to its last token: it is then the whole answer.
        if prompt.len() >= self.context || tokens > self.context {
            return Err(EngineError::TooLong { index: 0, tokens, limit: self.context });
        }
        let knows = |id: u32| self.vocabulary.is_none_or(|vocabulary| (id as usize) < vocabulary);
        match request.prefix.iter().find(|id| !knows(**id)) {
            Some(&id) => Err(EngineError::UnknownToken(id)),
            None => Ok(prompt),
        }
    }
}
