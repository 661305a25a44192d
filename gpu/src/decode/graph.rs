//! A decoder graph with a key-value cache, whatever exporter wrote it: inputs and outputs are matched by name.
//! (`MO-6`)
//!
//! Known inputs: `input_ids` and `attention_mask` (both `i64 [batch, length]`, required), `position_ids`,
//! `num_logits_to_keep`, `use_cache_branch`, and `past_key_values.N.{key,value}` (`[batch, kv_heads, past, head_dim]` in
//! single or half precision). Outputs: `logits` (`[batch, length, vocabulary]`) and `present.N.{key,value}`. The cache
//! moves from the outputs of one run to the inputs of the next without a copy.

use std::borrow::Cow;

use half::f16;
use ort::memory::Allocator;
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use crate::engine::EngineError;

/// Most layers of a graph.
pub const LAYERS_MAX: usize = 1024;

/// Why a graph cannot be run as a decoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// A part that every decoder has is missing.
    #[error("the graph has no {0}; export it as a text generation model with a key-value cache")]
    Missing(String),
    /// An input that nothing here can feed.
    #[error("the graph wants the input `{0}`, which is not known here; export it without")]
    Unknown(String),
    /// An input or output of another type or rank than decoders have.
    #[error("`{name}` of the graph is not {expected}")]
    Type {
        /// The input or output.
        name: String,
        /// What it should be.
        expected: &'static str,
    },
    /// The graph leaves the head size open and the manifest does not say it.
    #[error("the graph does not say its head size; give `head_dim` in the manifest")]
    HeadSize,
}

/// Number format of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Single,
    Half,
}

/// What the names and types of a graph say.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Signature {
    layers: usize,
    kv_heads: usize,
    head_dim: usize,
    precision: Precision,
    /// `None` if the graph leaves it open.
    vocabulary: Option<usize>,
    positions: bool,
    /// Rank of `num_logits_to_keep`.
    kept_logits: Option<usize>,
    cache_branch: bool,
}

/// Name, element type and shape (-1: open) of an input or output.
type Port<'a> = (&'a str, TensorElementType, Vec<i64>);

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

/// Lists layer and part of each value of a cache, in order.
fn parts(layers: usize) -> impl Iterator<Item = (usize, &'static str)> {
    (0..layers).flat_map(|layer| [(layer, "key"), (layer, "value")])
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

fn ports(outlets: &[Outlet]) -> Result<Vec<Port<'_>>, SignatureError> {
    outlets
        .iter()
        .map(|outlet| match outlet.dtype() {
            ValueType::Tensor { ty, shape, .. } => Ok((outlet.name(), *ty, shape.to_vec())),
            ValueType::Sequence(_) | ValueType::Map { .. } | ValueType::Optional(_) => {
                Err(SignatureError::Type { name: outlet.name().to_owned(), expected: "a tensor" })
            }
        })
        .collect()
}

impl Signature {
    fn of(inputs: &[Port<'_>], outputs: &[Port<'_>], head_dim: Option<u32>) -> Result<Self, SignatureError> {
        for required in ["input_ids", "attention_mask"] {
            expect_type(find(inputs, required)?, TensorElementType::Int64, 2, "i64 [batch, length]")?;
        }
        let optional = |name: &str| inputs.iter().find(|port| port.0 == name);
        if let Some(port) = optional("position_ids") {
            expect_type(port, TensorElementType::Int64, 2, "i64 [batch, length]")?;
        }
        let layers = (0..=LAYERS_MAX)
            .take_while(|layer| optional(&format!("past_key_values.{layer}.key")).is_some())
            .count();
        if layers == 0 || layers > LAYERS_MAX {
            return Err(SignatureError::Missing(
                "input `past_key_values.0.key`, or far too many of them".to_owned(),
            ));
        }
        let first = find(inputs, "past_key_values.0.key")?;
        let precision = cache_precision(first)?;
        for (layer, part) in parts(layers) {
            for (ports, name) in [(inputs, "past_key_values"), (outputs, "present")] {
                let port = find(ports, &format!("{name}.{layer}.{part}"))?;
                if cache_precision(port)? != precision
                    || (name == "past_key_values" && port.2[1] != first.2[1])
                {
                    return Err(SignatureError::Type {
                        name: port.0.to_owned(),
                        expected: "like `past_key_values.0.key`",
                    });
                }
            }
        }
        let known = ["input_ids", "attention_mask", "position_ids", "num_logits_to_keep", "use_cache_branch"];
        let is_cache =
            |name: &str| parts(layers).any(|(layer, part)| name == format!("past_key_values.{layer}.{part}"));
        if let Some(port) = inputs.iter().find(|port| !known.contains(&port.0) && !is_cache(port.0)) {
            return Err(SignatureError::Unknown(port.0.to_owned()));
        }
        let open_size = head_dim.map(|size| size as usize);
        let logits = find(outputs, "logits")?;
        if logits.2.len() != 3 {
            return Err(SignatureError::Type {
                name: "logits".to_owned(),
                expected: "[batch, length, vocabulary]",
            });
        }
        Ok(Self {
            layers,
            kv_heads: positive(first.2[1]).ok_or(SignatureError::Type {
                name: first.0.to_owned(),
                expected: "of a fixed number of heads",
            })?,
            head_dim: positive(first.2[3])
                .or(open_size)
                .filter(|&size| size > 0)
                .ok_or(SignatureError::HeadSize)?,
            precision,
            vocabulary: positive(logits.2[2]),
            positions: optional("position_ids").is_some(),
            kept_logits: optional("num_logits_to_keep").map(|port| port.2.len()),
            cache_branch: optional("use_cache_branch").is_some(),
        })
    }
}

fn positive(length: i64) -> Option<usize> {
    usize::try_from(length).ok().filter(|&length| length > 0)
}

fn find<'a, 'b>(ports: &'a [Port<'b>], name: &str) -> Result<&'a Port<'b>, SignatureError> {
    ports.iter().find(|port| port.0 == name).ok_or_else(|| SignatureError::Missing(format!("`{name}`")))
}

fn expect_type(
    port: &Port<'_>,
    element: TensorElementType,
    rank: usize,
    expected: &'static str,
) -> Result<(), SignatureError> {
    if port.1 == element && port.2.len() == rank {
        Ok(())
    } else {
        Err(SignatureError::Type { name: port.0.to_owned(), expected })
    }
}

fn cache_precision(port: &Port<'_>) -> Result<Precision, SignatureError> {
    let expected = "f32 or f16 [batch, kv_heads, length, head_dim]";
    let wrong = || SignatureError::Type { name: port.0.to_owned(), expected };
    if port.2.len() != 4 {
        return Err(wrong());
    }
    if port.1 == TensorElementType::Float32 {
        Ok(Precision::Single)
    } else if port.1 == TensorElementType::Float16 {
        Ok(Precision::Half)
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use TensorElementType::{Float16, Float32, Int64};

    fn inputs(element: TensorElementType, head_dim: i64) -> Vec<Port<'static>> {
        vec![
            ("past_key_values.0.value", element, vec![-1, 2, -1, head_dim]),
            ("attention_mask", Int64, vec![-1, -1]),
            ("past_key_values.0.key", element, vec![-1, 2, -1, head_dim]),
            ("input_ids", Int64, vec![-1, -1]),
        ]
    }

    fn outputs(element: TensorElementType) -> Vec<Port<'static>> {
        vec![
            ("present.0.key", element, vec![-1, 2, -1, -1]),
            ("present.0.value", element, vec![-1, 2, -1, -1]),
            ("logits", Float32, vec![-1, -1, 260]),
        ]
    }

    /// (MO-6)
    #[test]
    fn order_does_not_matter_and_options_are_seen() {
        let mut inputs = inputs(Float16, 32);
        inputs.push(("num_logits_to_keep", Int64, vec![]));
        inputs.push(("position_ids", Int64, vec![-1, -1]));
        let signature = Signature::of(&inputs, &outputs(Float16), None).unwrap();
        assert_eq!((signature.layers, signature.kv_heads, signature.head_dim), (1, 2, 32));
        assert_eq!((signature.precision, signature.vocabulary), (Precision::Half, Some(260)));
        assert!(signature.positions && signature.kept_logits == Some(0) && !signature.cache_branch);
    }

    #[test]
    fn an_open_head_size_comes_from_the_manifest() {
        let of = |head_dim| Signature::of(&inputs(Float32, -1), &outputs(Float32), head_dim);
        assert_eq!(of(Some(32)).unwrap().head_dim, 32);
        assert_eq!(of(None), Err(SignatureError::HeadSize));
        assert_eq!(of(Some(0)), Err(SignatureError::HeadSize));
    }

    #[test]
    fn graphs_that_are_no_decoders_are_refused() {
        for missing in 0..4 {
            let mut inputs = inputs(Float32, 32);
            inputs.remove(missing);
            assert!(Signature::of(&inputs, &outputs(Float32), None).is_err(), "input {missing}");
        }
        for missing in 0..3 {
            let mut outputs = outputs(Float32);
            outputs.remove(missing);
            let error = Signature::of(&inputs(Float32, 32), &outputs, None).unwrap_err();
            assert!(matches!(error, SignatureError::Missing(_)), "output {missing}");
        }
        let mut inputs = inputs(Float32, 32);
        assert!(Signature::of(&inputs, &outputs(Float16), None).is_err(), "two precisions");
        inputs.push(("pixel_values", Float32, vec![-1]));
        let error = Signature::of(&inputs, &outputs(Float32), None).unwrap_err();
        assert_eq!(error, SignatureError::Unknown("pixel_values".to_owned()));
    }
}
