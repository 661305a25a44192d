//! What the names and types of a decoder graph's inputs and outputs say of it. (`MO-6`)
//!
//! Known inputs: `input_ids` and `attention_mask` (both `i64 [batch, length]`, required), `position_ids`,
//! `num_logits_to_keep`, `use_cache_branch`, and `past_key_values.N.{key,value}` (`[batch, kv_heads, past, head_dim]` in
//! single or half precision). Outputs: `logits` (`[batch, length, vocabulary]`) and `present.N.{key,value}`.

use ort::value::{Outlet, TensorElementType, ValueType};

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
pub(super) enum Precision {
    Single,
    Half,
}

/// What the names and types of a graph say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) layers: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    pub(super) precision: Precision,
    /// `None` if the graph leaves it open.
    pub(super) vocabulary: Option<usize>,
    pub(super) positions: bool,
    /// Rank of `num_logits_to_keep`.
    pub(super) kept_logits: Option<usize>,
    pub(super) cache_branch: bool,
}

/// Name, element type and shape (-1: open) of an input or output.
type Port<'a> = (&'a str, TensorElementType, Vec<i64>);

/// Reads the ports of a session; a decoder has none but tensors.
pub(super) fn ports(outlets: &[Outlet]) -> Result<Vec<Port<'_>>, SignatureError> {
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
    /// Reads the signature of a decoder off its ports; `head_dim` is used where the graph leaves it open.
    pub(super) fn of(
        inputs: &[Port<'_>],
        outputs: &[Port<'_>],
        head_dim: Option<u32>,
    ) -> Result<Self, SignatureError> {
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

/// Lists layer and part of each value of a cache, in order.
pub(super) fn parts(layers: usize) -> impl Iterator<Item = (usize, &'static str)> {
    (0..layers).flat_map(|layer| [(layer, "key"), (layer, "value")])
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
