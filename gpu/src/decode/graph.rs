//! A decoder graph with a key-value cache, whatever exporter wrote it: inputs and outputs are matched by name, as its
//! [signature](super::signature) says. (`MO-6`) The cache moves from the outputs of one run to the inputs of the next
//! without a copy.

use std::borrow::Cow;

use half::f16;
use ort::memory::Allocator;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Tensor};

use super::signature::{Precision, Signature, SignatureError, parts, ports};
use crate::engine::EngineError;

/// A session with the signature of a decoder.
#[derive(Debug)]
pub struct DecoderGraph {
    session: Session,
    signature: Signature,
}

/// Keys and values of the tokens a sequence has read.
#[derive(Debug)]
pub struct Cache {
    /// Key and value of each layer in turn; empty after a failed run.
    values: Vec<DynValue>,
    tokens: usize,
}

impl Cache {
    /// Tokens read so far.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.tokens
    }
}

/// The rows of logits that a run returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogitRows {
    /// Those after the last token.
    Last,
    /// Those after every token.
    All,
}

impl DecoderGraph {
    /// Reads the signature of a session; `head_dim` is used where the graph leaves it open.
    ///
    /// # Errors
    /// If it is not that of a decoder.
    pub fn new(session: Session, head_dim: Option<u32>) -> Result<Self, SignatureError> {
        let signature = Signature::of(&ports(session.inputs())?, &ports(session.outputs())?, head_dim)?;
        Ok(Self { session, signature })
    }

    /// Returns the number of tokens that there are, where the graph says so.
    #[must_use]
    pub fn vocabulary(&self) -> Option<usize> {
        self.signature.vocabulary
    }

    /// Returns the cache of a sequence that has read nothing.
    ///
    /// # Errors
    /// [`EngineError::Runtime`] if the runtime cannot allocate it.
    pub fn empty_cache(&self) -> Result<Cache, EngineError> {
        let Signature { layers, kv_heads, head_dim, precision, .. } = self.signature;
        let (allocator, shape) = (Allocator::default(), [1, kv_heads, 0, head_dim]);
        let empty = || match precision {
            Precision::Single => Tensor::<f32>::new(&allocator, shape).map(Tensor::into_dyn),
            Precision::Half => Tensor::<f16>::new(&allocator, shape).map(Tensor::into_dyn),
        };
        let values = (0..2 * layers).map(|_| empty()).collect::<Result<_, _>>().map_err(runtime)?;
        Ok(Cache { values, tokens: 0 })
    }

    /// Reads `ids` after what the cache holds, and returns the logits after the last or after each of them.
    ///
    /// # Errors
    /// [`EngineError::Runtime`] if the graph fails; the cache is then lost.
    pub fn feed(
        &mut self,
        cache: &mut Cache,
        ids: &[u32],
        wanted: LogitRows,
    ) -> Result<Vec<f32>, EngineError> {
        if cache.values.len() != 2 * self.signature.layers {
            return Err(EngineError::Runtime("the sequence has failed before".to_owned()));
        }
        let inputs = self.inputs(cache, ids, wanted).map_err(runtime)?;
        let mut outputs = self.session.run(inputs).map_err(runtime)?;
        for (layer, part) in parts(self.signature.layers) {
            let name = format!("present.{layer}.{part}");
            let value = outputs
                .remove(&name)
                .ok_or_else(|| EngineError::Runtime(format!("`{name}` was not computed")))?;
            cache.values.push(value);
        }
        cache.tokens += ids.len();
        let logits = outputs
            .get("logits")
            .ok_or_else(|| EngineError::Runtime("no logits were computed".to_owned()))?;
        let rows = match wanted {
            LogitRows::Last => 1,
            LogitRows::All => ids.len(),
        };
        last_rows(logits, rows)
    }

    fn inputs(
        &self,
        cache: &mut Cache,
        ids: &[u32],
        wanted: LogitRows,
    ) -> ort::Result<Vec<(Cow<'static, str>, SessionInputValue<'static>)>> {
        let integers =
            |data: Vec<i64>| Tensor::from_array(([1, data.len()], data)).map(SessionInputValue::from);
        let first = cache.tokens as i64;
        let end = first + ids.len() as i64;
        let mut inputs = vec![
            (Cow::from("input_ids"), integers(ids.iter().map(|&id| i64::from(id)).collect())?),
            (Cow::from("attention_mask"), integers(vec![1; cache.tokens + ids.len()])?),
        ];
        if self.signature.positions {
            inputs.push((Cow::from("position_ids"), integers((first..end).collect())?));
        }
        if let Some(rank) = self.signature.kept_logits {
            // Zero asks for all of them.
            let kept = i64::from(wanted == LogitRows::Last);
            let tensor = Tensor::from_array((vec![1usize; rank], vec![kept]))?;
            inputs.push((Cow::from("num_logits_to_keep"), tensor.into()));
        }
        if self.signature.cache_branch {
            inputs.push((
                Cow::from("use_cache_branch"),
                Tensor::from_array(([1usize], vec![first > 0]))?.into(),
            ));
        }
        let names =
            parts(self.signature.layers).map(|(layer, part)| format!("past_key_values.{layer}.{part}"));
        inputs.extend(names.zip(cache.values.drain(..)).map(|(name, value)| (Cow::from(name), value.into())));
        Ok(inputs)
    }
}

/// Describes a failure without the runtime's message, which may quote token ids.
fn runtime(error: ort::Error) -> EngineError {
    crate::runtime::run_failure(error)
}

/// Returns the last `rows` rows of logits `[1, length, vocabulary]`.
fn last_rows(logits: &DynValue, rows: usize) -> Result<Vec<f32>, EngineError> {
    let tail = |length: usize, shape: &[i64]| {
        let vocabulary = shape.last().and_then(|&length| usize::try_from(length).ok()).unwrap_or(0);
        rows.checked_mul(vocabulary)
            .and_then(|wanted| length.checked_sub(wanted))
            .filter(|_| vocabulary > 0)
            .ok_or_else(|| {
                EngineError::Runtime("the logits have fewer rows than tokens were read".to_owned())
            })
    };
    if let Ok((shape, data)) = logits.try_extract_tensor::<f32>() {
        return Ok(data[tail(data.len(), shape)?..].to_vec());
    }
    let (shape, data) = logits.try_extract_tensor::<f16>().map_err(runtime)?;
    Ok(data[tail(data.len(), shape)?..].iter().map(|x| x.to_f32()).collect())
}
