//! Counts the tokens of a task before it is given to anyone: a tokenizer and a manifest are enough, without graph or runtime.
//! (`MO-2`)

use crate::engine::{EngineError, Task};
use crate::load::LoadError;
use crate::manifest::{Kind, Manifest};
use crate::template::ChatTemplate;
use crate::tokens::Tokens;

/// Tokenizer and template of one model.
#[derive(Debug)]
pub struct TokenCounter {
    model: String,
    tokens: Tokens,
    /// Of a text model.
    template: Option<ChatTemplate>,
    context: usize,
}

impl TokenCounter {
    /// Reads the content of a model's tokenizer file and the template of its manifest.
    ///
    /// # Errors
    /// [`LoadError`]: one of the two cannot be read.
    pub fn new(manifest: &Manifest, tokenizer: &[u8]) -> Result<Self, LoadError> {
        let model = manifest.name.clone();
        let template = match &manifest.kind {
            Kind::Embed(_) => None,
            Kind::Generate(facts) => {
                let parsed = ChatTemplate::parse(&facts.chat_template);
                let error = |error: crate::template::TemplateError| LoadError::Facts {
                    model: model.clone(),
                    why: error.to_string(),
                };
                Some(parsed.map_err(error)?)
            }
        };
        let tokens = Tokens::from_bytes(manifest, tokenizer)?;
        Ok(Self { model, tokens, template, context: manifest.context_tokens as usize })
    }

    /// Returns the tokens of each text that is to be embedded, or of a conversation as a whole. A prefix is not counted.
    ///
    /// # Errors
    /// [`EngineError::TooLong`] for what every engine refuses: a text over the context, or a conversation that leaves no room
    /// for an answer; [`EngineError::WrongTask`] for a task of the other kind; and what the template or the tokenizer says of it.
    pub fn count(&self, task: &Task) -> Result<Vec<usize>, EngineError> {
        let wrong = |task| EngineError::WrongTask { model: self.model.clone(), task };
        match (task, &self.template) {
            (Task::Embed { inputs }, None) => {
                let count = |(index, text): (usize, &String)| Ok(self.tokens.encode(index, text)?.len());
                inputs.iter().enumerate().map(count).collect()
            }
            (Task::Generate(generate), Some(template)) => {
                let tokens = self.tokens.encode(0, &template.render(&generate.messages)?)?.len();
                if tokens >= self.context {
                    return Err(EngineError::TooLong { index: 0, tokens, limit: self.context });
                }
                Ok(vec![tokens])
            }
            (Task::Embed { .. }, Some(_)) => Err(wrong("embed")),
            (Task::Generate(_), None) => Err(wrong("generate")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::catalog::find;
    use crate::engine::{ChatMessage, Generate, Sampling};

    fn chat(content: &str) -> Task {
        let message = |content: &str| ChatMessage { role: "user".into(), content: content.into() };
        Task::Generate(Generate {
            messages: vec![message("not read by this model"), message(content)],
            max_tokens: 1,
            sampling: Sampling::GREEDY,
            prefix: Vec::new(),
            stop: Vec::new(),
        })
    }

    /// (MO-2, MO-4)
    #[test]
    fn a_conversation_may_fill_the_context_but_for_one_token() {
        let counter = find("bombyx-chat-tiny").unwrap().counter();
        // This model reads bytes, and three tokens that its template adds.
        assert_eq!(counter.count(&chat("hello")).unwrap(), [8]);
        assert_eq!(counter.count(&chat(&"x".repeat(2_044))).unwrap(), [2_047]);
        for (bytes, tokens) in [(2_045, 2_048), (30_000, 30_003)] {
            let refused = counter.count(&chat(&"x".repeat(bytes))).unwrap_err();
            assert_eq!(refused, EngineError::TooLong { index: 0, tokens, limit: 2_048 });
        }
    }

    #[test]
    fn each_text_to_embed_is_counted_and_the_long_one_is_named() {
        let counter = find("all-minilm-l6-v2").unwrap().counter();
        let embed = |texts: &[&str]| Task::Embed { inputs: texts.iter().map(|&text| text.into()).collect() };
        // Two tokens stand around each text.
        assert_eq!(counter.count(&embed(&["a thread of silk", "silk"])).unwrap(), [6, 3]);
        let words = |count: usize| "silk ".repeat(count);
        assert_eq!(counter.count(&embed(&[&words(254)])).unwrap(), [256]);
        let refused = counter.count(&embed(&["short", &words(255)])).unwrap_err();
        assert_eq!(refused, EngineError::TooLong { index: 1, tokens: 257, limit: 256 });
    }

    #[test]
    fn a_task_of_the_other_kind_is_no_task() {
        let refused = |name: &str, task: Task| find(name).unwrap().counter().count(&task).unwrap_err();
        assert!(matches!(refused("all-minilm-l6-v2", chat("x")), EngineError::WrongTask { .. }));
        let embed = Task::Embed { inputs: vec!["x".into()] };
        assert!(matches!(refused("bombyx-chat-tiny", embed), EngineError::WrongTask { .. }));
    }
}
