//! Sentence embeddings: token ids of several texts in, one vector of length 1 per text out. (`MO-8`)

use std::sync::Arc;

use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::engine::EngineError;
use crate::load::LoadError;
use crate::manifest::{Kind, Pooling};
use crate::model::Model;
use crate::runtime::{Runtime, run_failure};
use crate::tokens::Tokens;

/// Inputs this module can feed.
const INPUTS: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];
/// The output that is pooled; a graph with a single output may name it otherwise.
const OUTPUT: &str = "last_hidden_state";
/// Smallest length a vector is divided by, as in the reference implementations.
const NORM_MIN: f32 = 1e-12;

/// An embedding model, loaded.
pub struct Embedder {
    session: Session,
    tokens: Arc<Tokens>,
    inputs: Vec<&'static str>,
    output: String,
    dims: u32,
    pooling: Pooling,
}

impl Embedder {
    /// Loads tokenizer and graph of a model.
    ///
    /// # Errors
    /// [`LoadError`]: the model is of the other kind, its graph is not an encoder, or a file cannot be used.
    pub fn load(runtime: &Runtime, model: &Model) -> Result<Self, LoadError> {
        let name = || model.manifest().name.clone();
        let Kind::Embed(facts) = &model.manifest().kind else {
            return Err(LoadError::WrongKind { model: name(), expected: "embed" });
        };
        let session = runtime.session_of(model)?;
        let mut inputs = Vec::new();
        for input in session.inputs() {
            match INPUTS.into_iter().find(|known| *known == input.name()) {
                Some(known) => inputs.push(known),
                None => {
                    let why =
                        format!("it wants an input `{}`; known are {}", input.name(), INPUTS.join(", "));
                    return Err(LoadError::Graph { model: name(), why });
                }
            }
        }
        let outputs = session.outputs();
        let output = match outputs.iter().find(|output| output.name() == OUTPUT) {
            Some(output) => output.name().to_owned(),
            None if outputs.len() == 1 => outputs[0].name().to_owned(),
            None => {
                return Err(LoadError::Graph { model: name(), why: format!("it has no output `{OUTPUT}`") });
            }
        };
        let tokens = Arc::new(Tokens::load(model)?);
        Ok(Self { session, tokens, inputs, output, dims: facts.dims, pooling: facts.pooling })
    }

    /// Returns the numbers per vector.
    #[must_use]
    pub fn dims(&self) -> u32 {
        self.dims
    }

    /// Returns its tokenizer.
    #[must_use]
    pub fn tokens(&self) -> Arc<Tokens> {
        Arc::clone(&self.tokens)
    }

    /// Turns texts into rows of token ids.
    ///
    /// # Errors
    /// [`EngineError::TooLong`] or [`EngineError::NoTokens`] with the index of the text.
    pub fn encode(&self, texts: &[String]) -> Result<Vec<Vec<u32>>, EngineError> {
        self.tokens.encode_all(texts)
    }

    /// Computes the vectors of some rows of token ids as one batch: `rows × dims` numbers, row-major.
    ///
    /// # Errors
    /// [`EngineError::Runtime`].
    pub fn embed(&mut self, rows: &[&[u32]]) -> Result<Vec<f32>, EngineError> {
        let length = rows.iter().map(|row| row.len()).max().unwrap_or(0);
        let shape = [rows.len(), length];
        let (ids, mask) = pad(rows, length);
        let types = vec![0i64; ids.len()];
        let mut feed: Vec<(&str, SessionInputValue<'_>)> = Vec::with_capacity(self.inputs.len());
        for &name in &self.inputs {
            let data = match name {
                "input_ids" => &ids,
                "attention_mask" => &mask,
                _ => &types,
            };
            feed.push((
                name,
                TensorRef::from_array_view((shape, data.as_slice())).map_err(run_failure)?.into(),
            ));
        }
        let outputs = self.session.run(feed).map_err(run_failure)?;
        let (found, states) =
            outputs[self.output.as_str()].try_extract_tensor::<f32>().map_err(run_failure)?;
        let expected = [rows.len() as i64, length as i64, i64::from(self.dims)];
        if **found != expected {
            return Err(EngineError::Runtime(format!(
                "the graph returned shape {found:?}, expected {expected:?}"
            )));
        }
        let dims = self.dims as usize;
        let mut vectors = Vec::with_capacity(rows.len() * dims);
        for (row, states) in rows.iter().zip(states.chunks_exact(length * dims)) {
            vectors.extend(pool(&states[..row.len() * dims], dims, self.pooling)?);
        }
        Ok(vectors)
    }
}

/// Returns ids and mask of equally long rows; the padding id does not matter, because it is masked.
fn pad(rows: &[&[u32]], length: usize) -> (Vec<i64>, Vec<i64>) {
    let mut ids = vec![0; rows.len() * length];
    let mut mask = ids.clone();
    for (index, row) in rows.iter().enumerate() {
        for (position, &id) in row.iter().enumerate() {
            ids[index * length + position] = i64::from(id);
            mask[index * length + position] = 1;
        }
    }
    (ids, mask)
}

/// Returns one vector of length 1 from one vector per token, `dims` numbers each.
fn pool(states: &[f32], dims: usize, pooling: Pooling) -> Result<Vec<f32>, EngineError> {
    let count = match pooling {
        Pooling::Mean => states.len() / dims,
        Pooling::First => 1,
    };
    let mut vector = vec![0.0; dims];
    for state in states.chunks_exact(dims).take(count) {
        for (sum, x) in vector.iter_mut().zip(state) {
            *sum += x;
        }
    }
    for x in &mut vector {
        *x /= count as f32;
    }
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if !norm.is_finite() {
        return Err(EngineError::Runtime("the graph returned a number that is not finite".to_owned()));
    }
    for x in &mut vector {
        *x /= norm.max(NORM_MIN);
    }
    Ok(vector)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// (MO-8)
    #[test]
    fn pooled_vectors_have_length_one() {
        assert_eq!(pool(&[3., 0., 0., 4.], 2, Pooling::Mean).unwrap(), [0.6, 0.8]);
        assert_eq!(pool(&[3., 0., 0., 4.], 2, Pooling::First).unwrap(), [1., 0.]);
        assert_eq!(pool(&[0., 0.], 2, Pooling::Mean).unwrap(), [0., 0.]);
        assert!(pool(&[f32::NAN, 0.], 2, Pooling::Mean).is_err());
    }

    #[test]
    fn rows_are_padded_on_the_right() {
        let (ids, mask) = pad(&[&[5, 6, 7], &[8]], 3);
        assert_eq!(ids, [5, 6, 7, 8, 0, 0]);
        assert_eq!(mask, [1, 1, 1, 1, 0, 0]);
    }
}
