//! Llama decoders from safetensors, in the two graph layouts that exported decoders have.
//!
//! The names of the weights and the fields of `config.json` are those of Hugging Face. Half-precision weights are
//! widened: the graph computes in single precision.

mod attention;
mod config;

use super::graph::{CONTRIB_DOMAIN, Dim, GraphBuilder, Node, Value};
use super::proto::ElementType;
use super::weights::Weights;
use attention::Attention;
use config::{Shape, int};

pub use config::{LlamaConfig, LlamaError};

/// How the graph keeps what it has read (keys and values, `f32 [batch, kv_heads, past, head_dim]`, as inputs
/// `past_key_values.N.{key,value}` and outputs `present.N.{key,value}`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Plain ONNX operators, as Optimum exports: keys and values are concatenated, rotation takes `position_ids`.
    Concat,
    /// ONNX Runtime's `GroupQueryAttention`, as its model builder exports: rotation and causal mask inside the operator,
    /// positions from the mask; the head size is a symbol in the signature.
    Grouped,
}

/// Reads `config.json` and the safetensors `weights`, and returns the bytes of the `.onnx` file. Equal input gives equal
/// bytes.
///
/// Inputs are `input_ids` and `attention_mask` (`i64 [batch, sequence]` and `[batch, past + sequence]`), `position_ids`
/// in [`Layout::Concat`], and the cache; outputs are `logits` (`f32 [batch, sequence, vocabulary]`) and the cache.
///
/// # Errors
/// [`LlamaError`], whenever the graph would not be the model's.
pub fn build(config: &[u8], weights: &[u8], layout: Layout) -> Result<Vec<u8>, LlamaError> {
    let config: LlamaConfig = serde_json::from_slice(config)?;
    let shape = Shape::of(&config)?;
    let weights = Weights::read(weights)?;
    Decoder { graph: GraphBuilder::new("llama"), weights, config, shape, layout }.build()
}

/// The graph under construction.
struct Decoder<'a> {
    graph: GraphBuilder,
    weights: Weights<'a>,
    config: LlamaConfig,
    shape: Shape,
    layout: Layout,
}

/// What every layer reads beside the output of the one before.
struct LayerInputs {
    attention: Attention,
    last_axis: Value,
    epsilon: Value,
    past: Vec<[Value; 2]>,
}

impl Decoder<'_> {
    fn build(mut self) -> Result<Vec<u8>, LlamaError> {
        let input = [Dim::Symbol("batch_size"), Dim::Symbol("sequence_length")];
        let ids = self.graph.input("input_ids", ElementType::Int64, &input);
        let total = Dim::Symbol("total_sequence_length");
        let mask = self.graph.input("attention_mask", ElementType::Int64, &[input[0], total]);
        let tables = self.rotary_tables();
        let attention = match self.layout {
            Layout::Concat => {
                let positions = self.graph.input("position_ids", ElementType::Int64, &input);
                Attention::concat(&mut self.graph, self.shape, tables, [&ids, &mask, &positions])
            }
            Layout::Grouped => Attention::grouped(&mut self.graph, self.shape, tables, &mask),
        };
        let last_axis = self.graph.i64s("last_axis", &[-1]);
        let epsilon = self.graph.f32_scalar("epsilon", self.config.rms_norm_eps);
        let past = self.past_inputs();
        let shared = LayerInputs { attention, last_axis, epsilon, past };

        let embedding_shape = [self.config.vocab_size, self.config.hidden_size];
        let embedding = self.tensor("model.embed_tokens.weight", &embedding_shape)?;
        let mut x = self.graph.add(Node::new("Gather", [&embedding, &ids]));
        let mut present = Vec::new();
        for layer in 0..self.config.num_hidden_layers {
            let (out, cache) = self.layer(layer, &x, &shared)?;
            x = out;
            present.push(cache);
        }
        let x = self.rms_norm("model.norm.weight", &x, &shared)?;
        let head = if self.config.tie_word_embeddings {
            self.graph.add(Node::new("Transpose", [&embedding]).ints("perm", &[1, 0]))
        } else {
            self.transposed("lm_head.weight", embedding_shape)?
        };
        let logits = self.graph.add_named(Node::new("MatMul", [&x, &head]), "logits");
        let vocabulary = Dim::Fixed(int(self.config.vocab_size));
        self.graph.output(&logits, ElementType::Float, &[input[0], input[1], vocabulary]);
        let cache = self.cache_shape("total_sequence_length");
        for value in present.iter().flatten() {
            self.graph.output(value, ElementType::Float, &cache);
        }
        let opsets: &[_] = match self.layout {
            Layout::Concat => &[("", 18)],
            Layout::Grouped => &[("", 18), (CONTRIB_DOMAIN, 1)],
        };
        Ok(self.graph.finish(8, opsets))
    }

    fn cache_shape(&self, length: &'static str) -> [Dim<'static>; 4] {
        let head_dim = match self.layout {
            Layout::Concat => Dim::Fixed(int(self.shape.head_dim)),
            Layout::Grouped => Dim::Symbol("kv_cache_dim"),
        };
        [Dim::Symbol("batch_size"), Dim::Fixed(int(self.shape.kv_heads)), Dim::Symbol(length), head_dim]
    }

    /// Declares keys and values of each layer, in the order of the layout: pairs, or all keys first.
    fn past_inputs(&mut self) -> Vec<[Value; 2]> {
        let shape = self.cache_shape("past_sequence_length");
        let layers = self.config.num_hidden_layers;
        let mut input = |layer: usize, part: &str| {
            self.graph.input(&format!("past_key_values.{layer}.{part}"), ElementType::Float, &shape)
        };
        match self.layout {
            Layout::Concat => (0..layers).map(|layer| [input(layer, "key"), input(layer, "value")]).collect(),
            Layout::Grouped => {
                let keys: Vec<_> = (0..layers).map(|layer| input(layer, "key")).collect();
                let values: Vec<_> = (0..layers).map(|layer| input(layer, "value")).collect();
                keys.into_iter().zip(values).map(|(key, value)| [key, value]).collect()
            }
        }
    }

    /// Adds cosine and sine of `position · theta^(-2i / head_dim)`, `[context, head_dim / 2]`. The angle is a product in
    /// single precision, as in the model's training.
    fn rotary_tables(&mut self) -> [Value; 2] {
        let half = self.shape.head_dim / 2;
        let frequencies: Vec<f32> = (0..half)
            .map(|i| libm::pow(self.config.rope_theta, -((2 * i) as f64) / self.shape.head_dim as f64) as f32)
            .collect();
        let shape = [int(self.config.max_position_embeddings), int(half)];
        let mut table = |name: &str, function: fn(f64) -> f64| {
            let data: Vec<f32> = (0..self.config.max_position_embeddings)
                .flat_map(|position| {
                    frequencies.iter().map(move |f| function(f64::from(position as f32 * f)) as f32)
                })
                .collect();
            self.graph.f32s(name, &shape, &data)
        };
        [table("rotary_cos", libm::cos), table("rotary_sin", libm::sin)]
    }

    /// Adds one layer. Returns its output and its grown cache.
    fn layer(
        &mut self,
        layer: usize,
        x: &Value,
        shared: &LayerInputs,
    ) -> Result<(Value, [Value; 2]), LlamaError> {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let Shape { heads, kv_heads, head_dim } = self.shape;
        let (hidden, inner) = (self.config.hidden_size, self.config.intermediate_size);

        let h = self.rms_norm(&name("input_layernorm"), x, shared)?;
        let q = self.linear(&name("self_attn.q_proj"), &h, [heads * head_dim, hidden])?;
        let k = self.linear(&name("self_attn.k_proj"), &h, [kv_heads * head_dim, hidden])?;
        let v = self.linear(&name("self_attn.v_proj"), &h, [kv_heads * head_dim, hidden])?;
        let attention = &shared.attention;
        let (mixed, cache) = attention.attend(&mut self.graph, layer, [&q, &k, &v], &shared.past[layer]);
        let mixed = self.linear(&name("self_attn.o_proj"), &mixed, [hidden, heads * head_dim])?;
        let x = self.graph.add(Node::new("Add", [x, &mixed]));

        let h = self.rms_norm(&name("post_attention_layernorm"), &x, shared)?;
        let gate = self.linear(&name("mlp.gate_proj"), &h, [inner, hidden])?;
        let up = self.linear(&name("mlp.up_proj"), &h, [inner, hidden])?;
        let sigmoid = self.graph.add(Node::new("Sigmoid", [&gate]));
        let silu = self.graph.add(Node::new("Mul", [&gate, &sigmoid]));
        let product = self.graph.add(Node::new("Mul", [&silu, &up]));
        let down = self.linear(&name("mlp.down_proj"), &product, [hidden, inner])?;
        Ok((self.graph.add(Node::new("Add", [&x, &down])), cache))
    }

    /// Adds `x / sqrt(mean(x²) + epsilon) · weight` over the last axis.
    fn rms_norm(&mut self, name: &str, x: &Value, shared: &LayerInputs) -> Result<Value, LlamaError> {
        let weight = self.tensor(name, &[self.config.hidden_size])?;
        let graph = &mut self.graph;
        let square = graph.add(Node::new("Mul", [x, x]));
        let mean = graph.add(Node::new("ReduceMean", [&square, &shared.last_axis]).int("keepdims", 1));
        let sum = graph.add(Node::new("Add", [&mean, &shared.epsilon]));
        let root = graph.add(Node::new("Sqrt", [&sum]));
        let normal = graph.add(Node::new("Div", [x, &root]));
        Ok(graph.add(Node::new("Mul", [&normal, &weight])))
    }

    /// Adds `x · weightᵀ` for a weight stored as `[out, in]`.
    fn linear(&mut self, name: &str, x: &Value, shape: [usize; 2]) -> Result<Value, LlamaError> {
        let weight = self.transposed(name, shape)?;
        Ok(self.graph.add(Node::new("MatMul", [x, &weight])))
    }

    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Value, LlamaError> {
        let data = self.weights.widened(name, shape)?;
        let shape: Vec<i64> = shape.iter().map(|&length| int(length)).collect();
        Ok(self.graph.f32s(name, &shape, &data))
    }

    /// Transposes a weight `[out, in]` to `[in, out]`, which is what `MatMul` multiplies with.
    fn transposed(&mut self, name: &str, [rows, columns]: [usize; 2]) -> Result<Value, LlamaError> {
        let data = self.weights.widened(name, &[rows, columns])?;
        let turned: Vec<f32> =
            (0..columns).flat_map(|column| data.iter().skip(column).step_by(columns).copied()).collect();
        Ok(self.graph.f32s(name, &[int(columns), int(rows)], &turned))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};
    use serde_json::json;

    fn config() -> serde_json::Value {
        json!({
            "model_type": "llama", "vocab_size": 5, "hidden_size": 4, "intermediate_size": 6, "num_hidden_layers": 1,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 2, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 8, "tie_word_embeddings": true, "hidden_act": "silu",
        })
    }

    fn weights(gate: [usize; 2]) -> Vec<u8> {
        let shapes = [
            ("model.embed_tokens.weight", vec![5, 4]),
            ("model.norm.weight", vec![4]),
            ("model.layers.0.input_layernorm.weight", vec![4]),
            ("model.layers.0.post_attention_layernorm.weight", vec![4]),
            ("model.layers.0.self_attn.q_proj.weight", vec![4, 4]),
            ("model.layers.0.self_attn.k_proj.weight", vec![2, 4]),
            ("model.layers.0.self_attn.v_proj.weight", vec![2, 4]),
            ("model.layers.0.self_attn.o_proj.weight", vec![4, 4]),
            ("model.layers.0.mlp.gate_proj.weight", gate.to_vec()),
            ("model.layers.0.mlp.up_proj.weight", vec![6, 4]),
            ("model.layers.0.mlp.down_proj.weight", vec![4, 6]),
        ];
        let data = [0x3c; 96];
        let views = shapes.map(|(name, shape)| {
            let bytes = &data[..2 * shape.iter().product::<usize>()];
            (name, TensorView::new(Dtype::F16, shape, bytes).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }

    fn built(config: &serde_json::Value, weights: &[u8], layout: Layout) -> Result<Vec<u8>, LlamaError> {
        build(config.to_string().as_bytes(), weights, layout)
    }

    #[test]
    fn the_same_weights_give_the_same_bytes() {
        let weights = weights([6, 4]);
        for layout in [Layout::Concat, Layout::Grouped] {
            assert_eq!(
                built(&config(), &weights, layout).unwrap(),
                built(&config(), &weights, layout).unwrap()
            );
        }
    }

    #[test]
    fn weights_that_contradict_the_configuration_are_refused() {
        let error = built(&config(), &weights([4, 6]), Layout::Concat).unwrap_err();
        assert!(error.to_string().contains("model.layers.0.mlp.gate_proj.weight"), "{error}");
        let mut deeper = config();
        deeper["num_hidden_layers"] = json!(2);
        assert!(matches!(built(&deeper, &weights([6, 4]), Layout::Concat), Err(LlamaError::Weights(_))));
        assert!(matches!(built(&config(), b"no tensors", Layout::Concat), Err(LlamaError::Weights(_))));
    }

    #[test]
    fn configurations_that_would_be_computed_wrongly_are_refused() {
        let changes = [
            ("rope_scaling", json!({"factor": 2.0})),
            ("attention_bias", json!(true)),
            ("hidden_act", json!("gelu")),
            ("num_key_value_heads", json!(0)),
            ("num_attention_heads", json!(0)),
            ("head_dim", json!(3)),
            ("vocab_size", json!(u64::MAX)),
            ("model_type", json!("mamba")),
        ];
        for (field, value) in changes {
            let mut changed = config();
            changed[field] = value;
            let result = built(&changed, &weights([6, 4]), Layout::Concat);
            assert!(matches!(result, Err(LlamaError::Unsupported(_))), "{field}: {result:?}");
        }
        assert!(matches!(built(&json!({}), &[], Layout::Grouped), Err(LlamaError::Config(_))));
    }
}
