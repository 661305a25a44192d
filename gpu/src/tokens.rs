//! Text to token ids and back, by the `tokenizers` library.

use std::path::Path;

use tokenizers::{Tokenizer, TruncationParams};

use crate::engine::EngineError;
use crate::model::Model;

/// A model's tokenizer, with the padding and truncation of its own file replaced by the manifest's rule.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    special_tokens: bool,
    context: usize,
}

/// Why a tokenizer cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the tokenizer {path} cannot be read: {why}")]
pub struct TokenizerError {
    path: String,
    why: String,
}

impl Tokens {
    /// Reads the tokenizer of a model.
    ///
    /// # Errors
    /// If the file is not a tokenizer this library reads.
    pub fn load(model: &Model) -> Result<Self, TokenizerError> {
        let manifest = model.manifest();
        Self::read(
            &model.tokenizer(),
            manifest.tokenizer.special_tokens,
            manifest.tokenizer.truncate,
            manifest.context_tokens as usize,
        )
    }

    fn read(
        path: &Path,
        special_tokens: bool,
        truncate: bool,
        context: usize,
    ) -> Result<Self, TokenizerError> {
        let error = |why: tokenizers::Error| TokenizerError {
            path: path.display().to_string(),
            why: why.to_string(),
        };
        let mut tokenizer = Tokenizer::from_file(path).map_err(error)?;
        // Its cache of words would keep parts of strangers' prompts for the life of the process.
        let mut model = tokenizer.get_model().clone();
        model.resize_cache(0);
        tokenizer.with_model(model);
        // Files often carry the padding and truncation of the training; both would apply here in silence.
        tokenizer.with_padding(None);
        let truncation =
            truncate.then(|| TruncationParams { max_length: context, ..TruncationParams::default() });
        tokenizer.with_truncation(truncation).map_err(error)?;
        Ok(Self { tokenizer, special_tokens, context })
    }

    /// Returns the ids of one text, special tokens included where the model wants them.
    ///
    /// # Errors
    /// [`EngineError::TooLong`] with `index` for a text longer than the context, unless the manifest says to cut it.
    pub fn encode(&self, index: usize, text: &str) -> Result<Vec<u32>, EngineError> {
        let nothing = EngineError::NoTokens { index };
        // The library's own message is dropped, because it may quote the text.
        let encoding = self.tokenizer.encode_fast(text, self.special_tokens).map_err(|_| nothing.clone())?;
        let ids = encoding.get_ids();
        if ids.is_empty() {
            return Err(nothing);
        }
        if ids.len() > self.context {
            return Err(EngineError::TooLong { index, tokens: ids.len(), limit: self.context });
        }
        Ok(ids.to_vec())
    }

    /// Returns the tokenizer itself, for what needs its vocabulary.
    #[must_use]
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }
}
