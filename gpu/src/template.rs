//! Chat templates: the Jinja text of a manifest that turns a conversation into the prompt of its model. (`MO-3`)
//!
//! A template sees `messages` (each with `role` and `content`) and `add_generation_prompt = true`. It may use Python's
//! string methods and `raise_exception`, as published templates do. A variable that a template prints must exist.
//! Otherwise a template that expects `bos_token` or the date would give a prompt that looks right and is wrong.

use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, context};

use crate::engine::{ChatMessage, EngineError};

/// Instructions one rendering may take: thousands of messages, but no endless loop.
const FUEL: u64 = 10_000_000;

const NAME: &str = "chat";

/// A parsed chat template.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
}

/// A template that is not valid Jinja.
#[derive(Debug, thiserror::Error)]
#[error("the chat template cannot be read: {0}")]
pub struct TemplateError(#[from] Error);

impl ChatTemplate {
    /// Parses the text of a template.
    ///
    /// # Errors
    /// If it is not valid Jinja.
    pub fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.add_function("raise_exception", |why: String| -> Result<(), Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        environment.add_template_owned(NAME, source.to_owned())?;
        Ok(Self { environment })
    }

    /// Returns the prompt for a conversation, special tokens written out.
    ///
    /// # Errors
    /// [`EngineError::Template`] if the template refuses the conversation; the error never quotes it.
    pub fn render(&self, messages: &[ChatMessage]) -> Result<String, EngineError> {
        // Only the kind of the failure is passed on, because its text may quote the conversation.
        let refused = |error: Error| EngineError::Template(error.kind().to_string());
        let template = self.environment.get_template(NAME).map_err(refused)?;
        template.render(context! { messages, add_generation_prompt => true }).map_err(refused)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn conversation() -> Vec<ChatMessage> {
        [("system", "be brief"), ("user", " hello ")]
            .map(|(role, content)| ChatMessage { role: role.to_owned(), content: content.to_owned() })
            .to_vec()
    }

    #[test]
    fn a_template_of_the_usual_form_renders() {
        let source = "{% for message in messages %}\n    {% if message['role'] == 'user' %}\n<u>{{ message.content.strip() }}\n    {% endif %}\n{% endfor %}\n{% if add_generation_prompt %}<a>{% endif %}";
        assert_eq!(ChatTemplate::parse(source).unwrap().render(&conversation()).unwrap(), "<u>hello\n<a>");
    }

    /// What Jinja itself makes of them. (MO-3)
    #[test]
    fn templates_give_the_prompts_of_the_specification() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../spec/vectors/models/templates.json")).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert!(cases.len() >= 14);
        for case in cases {
            let messages: Vec<ChatMessage> = serde_json::from_value(case["messages"].clone()).unwrap();
            let template = ChatTemplate::parse(case["template"].as_str().unwrap()).unwrap();
            let prompt = template.render(&messages).ok();
            assert_eq!(prompt.as_deref(), case["prompt"].as_str(), "{}", case["name"]);
        }
    }

    #[test]
    fn what_a_template_refuses_is_an_error_without_words_of_the_conversation() {
        for source in [
            "{{ raise_exception('no ' + messages[0].content) }}",
            "{{ bos_token }}",
            "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
            "{{ messages[0].content.nonsense() }}",
        ] {
            let error = ChatTemplate::parse(source).unwrap().render(&conversation()).unwrap_err();
            assert!(matches!(error, EngineError::Template(_)), "{source}");
            assert!(!error.to_string().contains("brief"), "{error}");
        }
        assert!(ChatTemplate::parse("{% for %}").is_err());
    }
}
