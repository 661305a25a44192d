//! Text to token ids and back, by the `tokenizers` library. (`MO-1`)

use std::path::Path;
use std::{fs, io};

use tokenizers::{Tokenizer, TruncationParams};

use crate::engine::EngineError;
use crate::manifest::{Manifest, TokenizerFacts};
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
        let path = model.tokenizer();
        let error =
            |why: io::Error| TokenizerError { path: path.display().to_string(), why: why.to_string() };
        let bytes = fs::read(&path).map_err(error)?;
        Self::read(&path, &bytes, model.manifest())
    }

    /// Reads a tokenizer that is not on disk.
    ///
    /// # Errors
    /// If the bytes are not a tokenizer this library reads.
    pub fn from_bytes(manifest: &Manifest, bytes: &[u8]) -> Result<Self, TokenizerError> {
        Self::read(Path::new(&manifest.name), bytes, manifest)
    }

    fn read(path: &Path, bytes: &[u8], manifest: &Manifest) -> Result<Self, TokenizerError> {
        let TokenizerFacts { special_tokens, truncate } = manifest.tokenizer;
        let context = manifest.context_tokens as usize;
        let error = |why: tokenizers::Error| TokenizerError {
            path: path.display().to_string(),
            why: why.to_string(),
        };
        let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(error)?;
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

    /// Returns the ids of each of several texts.
    ///
    /// # Errors
    /// As [`Self::encode`], with the index of the text.
    pub fn encode_all(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, EngineError> {
        texts.iter().enumerate().map(|(index, text)| self.encode(index, text)).collect()
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
