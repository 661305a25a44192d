//! BERT sentence encoders of the MiniLM family, from safetensors.
//!
//! The nodes follow the order in which the usual exporter writes them, because that is the shape ONNX Runtime's fusions
//! (attention, GELU, layer norm with skip) are written for.

use super::graph::{Dim, GraphBuilder, Node, Value};
use super::proto::ElementType;
use super::weights::{Weights, WeightsError};

/// The operator set: the first with `LayerNormalization` as one node.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// What is added to the score of a padding token: its exponential is exactly zero in single precision.
const MASKED: f32 = -10_000.0;

/// The numbers of `config.json` that cannot be read off the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BertConfig {
    /// Attention heads; they divide the hidden size.
    pub heads: usize,
    /// Added to the variance in layer norms.
    pub layer_norm_eps: f32,
}

/// `config.json` of all-MiniLM-L6-v2.
pub const MINILM_L6: BertConfig = BertConfig { heads: 12, layer_norm_eps: 1e-12 };

/// Writes the encoder: `input_ids`, `attention_mask`, `token_type_ids` (i64 `[batch, sequence]`) to `last_hidden_state`
/// (f32 `[batch, sequence, hidden]`). The same weights give the same bytes.
///
/// # Errors
/// [`WeightsError`] if the weights are not those of a BERT encoder.
pub fn build(safetensors: &[u8], config: BertConfig) -> Result<Vec<u8>, WeightsError> {
    let weights = Weights::read(safetensors)?;
    let hidden = *weights.shape("embeddings.LayerNorm.weight")?.first().unwrap_or(&0);
    if config.heads == 0 || hidden == 0 || hidden % config.heads != 0 {
        return Err(WeightsError::Unexpected {
            name: "embeddings.LayerNorm.weight".to_owned(),
            expected: format!("a multiple of {} heads", config.heads),
            found: format!("hidden size {hidden}"),
        });
    }
    let mut encoder = Encoder { graph: GraphBuilder::new("bert"), weights, config, hidden };
    encoder.write()?;
    Ok(encoder.graph.finish(IR_VERSION, &[("", OPSET)]))
}

struct Encoder<'a> {
    graph: GraphBuilder,
    weights: Weights<'a>,
    config: BertConfig,
    hidden: usize,
}

impl Encoder<'_> {
    fn write(&mut self) -> Result<(), WeightsError> {
        let shape = [Dim::Symbol("batch"), Dim::Symbol("sequence")];
        let ids = self.graph.input("input_ids", ElementType::Int64, &shape);
        let mask = self.graph.input("attention_mask", ElementType::Int64, &shape);
        let types = self.graph.input("token_type_ids", ElementType::Int64, &shape);
        let attention = Attention {
            mask: self.mask(&mask),
            to_heads: self.head_shape(),
            from_heads: self.graph.i64s("from_heads", &[0, 0, signed(self.hidden)]),
            scale: self.graph.f32_scalar("scale", ((self.hidden / self.config.heads) as f32).sqrt()),
        };
        let gelu = Gelu {
            sqrt2: self.graph.f32_scalar("sqrt2", std::f32::consts::SQRT_2),
            one: self.graph.f32_scalar("gelu_one", 1.0),
            half: self.graph.f32_scalar("half", 0.5),
        };
        let mut layers = 0;
        while self.weights.contains(&layer_name(layers, "output.dense.weight")) {
            layers += 1;
        }
        let mut x = self.embed(&ids, &types)?;
        for layer in 0..layers {
            let attended = self.attend(layer, &x, &attention)?;
            let residual = self.graph.add(Node::new("Add", [&attended, &x]));
            x = self.layer_norm(&layer_name(layer, "attention.output.LayerNorm"), &residual, None)?;
            let fed = self.feed_forward(layer, &x, &gelu)?;
            let residual = self.graph.add(Node::new("Add", [&fed, &x]));
            let output = (layer + 1 == layers).then_some("last_hidden_state");
            x = self.layer_norm(&layer_name(layer, "output.LayerNorm"), &residual, output)?;
        }
        if layers == 0 {
            return Err(WeightsError::Missing(layer_name(0, "output.dense.weight")));
        }
        let shape = [Dim::Symbol("batch"), Dim::Symbol("sequence"), Dim::Fixed(signed(self.hidden))];
        self.graph.output(&x, ElementType::Float, &shape);
        Ok(())
    }

    /// Turns a mask `[batch, sequence]` of ones and zeros into addends for the scores, `[batch, 1, 1, sequence]`.
    fn mask(&mut self, mask: &Value) -> Value {
        let graph = &mut self.graph;
        let (first, second) = (graph.i64s("axis1", &[1]), graph.i64s("axis2", &[2]));
        let (one, masked) = (graph.f32_scalar("one", 1.0), graph.f32_scalar("masked", MASKED));
        let mask = graph.add(Node::new("Unsqueeze", [mask, &first]));
        let mask = graph.add(Node::new("Unsqueeze", [&mask, &second]));
        let mask = graph.add(Node::new("Cast", [&mask]).int("to", ElementType::Float as i64));
        let mask = graph.add(Node::new("Sub", [&one, &mask]));
        graph.add(Node::new("Mul", [&mask, &masked]))
    }

    /// Returns the shape that splits the hidden size into heads.
    fn head_shape(&mut self) -> Value {
        let (heads, hidden) = (self.config.heads, self.hidden);
        self.graph.i64s("to_heads", &[0, 0, signed(heads), signed(hidden / heads)])
    }

    fn embed(&mut self, ids: &Value, types: &Value) -> Result<Value, WeightsError> {
        let words = self.table("embeddings.word_embeddings.weight")?;
        let positions = self.table("embeddings.position_embeddings.weight")?;
        let segments = self.table("embeddings.token_type_embeddings.weight")?;
        let graph = &mut self.graph;
        let words = graph.add(Node::new("Gather", [&words, ids]).int("axis", 0));
        let segments = graph.add(Node::new("Gather", [&segments, types]).int("axis", 0));
        // Positions 0, 1, 2, … are counted in a tensor shaped like the ids, because a slice of the table would have a
        // length of its own, and a residual whose operands are not known to have one shape is not fused.
        let (zero, one) = (graph.i64_scalar("position_zero", 0), graph.i64_scalar("position_one", 1));
        let (axis, ones) = (graph.i64_scalar("position_axis", 1), graph.add(Node::new("Mul", [ids, &zero])));
        let ones = graph.add(Node::new("Add", [&ones, &one]));
        let counted = graph.add(Node::new("CumSum", [&ones, &axis]));
        let counted = graph.add(Node::new("Sub", [&counted, &one]));
        let positions = graph.add(Node::new("Gather", [&positions, &counted]).int("axis", 0));
        let sum = graph.add(Node::new("Add", [&words, &segments]));
        let sum = graph.add(Node::new("Add", [&sum, &positions]));
        self.layer_norm("embeddings.LayerNorm", &sum, None)
    }

    fn attend(&mut self, layer: usize, x: &Value, attention: &Attention) -> Result<Value, WeightsError> {
        let query = self.heads(layer, "query", x, attention, &[0, 2, 1, 3])?;
        let key = self.heads(layer, "key", x, attention, &[0, 2, 3, 1])?;
        let value = self.heads(layer, "value", x, attention, &[0, 2, 1, 3])?;
        let graph = &mut self.graph;
        let scores = graph.add(Node::new("MatMul", [&query, &key]));
        let scores = graph.add(Node::new("Div", [&scores, &attention.scale]));
        let scores = graph.add(Node::new("Add", [&scores, &attention.mask]));
        let shares = graph.add(Node::new("Softmax", [&scores]).int("axis", -1));
        let mixed = graph.add(Node::new("MatMul", [&shares, &value]));
        let mixed = graph.add(Node::new("Transpose", [&mixed]).ints("perm", &[0, 2, 1, 3]));
        let mixed = graph.add(Node::new("Reshape", [&mixed, &attention.from_heads]));
        self.linear(&layer_name(layer, "attention.output.dense"), &mixed, self.hidden, self.hidden)
    }

    fn heads(
        &mut self,
        layer: usize,
        part: &str,
        x: &Value,
        attention: &Attention,
        perm: &[i64],
    ) -> Result<Value, WeightsError> {
        let name = layer_name(layer, &format!("attention.self.{part}"));
        let projected = self.linear(&name, x, self.hidden, self.hidden)?;
        let split = self.graph.add(Node::new("Reshape", [&projected, &attention.to_heads]));
        Ok(self.graph.add(Node::new("Transpose", [&split]).ints("perm", perm)))
    }

    fn feed_forward(&mut self, layer: usize, x: &Value, gelu: &Gelu) -> Result<Value, WeightsError> {
        let name = layer_name(layer, "intermediate.dense");
        let inner = *self.weights.shape(&format!("{name}.weight"))?.first().unwrap_or(&0);
        let x = self.linear(&name, x, self.hidden, inner)?;
        let graph = &mut self.graph;
        let erf = graph.add(Node::new("Div", [&x, &gelu.sqrt2]));
        let erf = graph.add(Node::new("Erf", [&erf]));
        let erf = graph.add(Node::new("Add", [&erf, &gelu.one]));
        let gated = graph.add(Node::new("Mul", [&x, &erf]));
        let gated = graph.add(Node::new("Mul", [&gated, &gelu.half]));
        self.linear(&layer_name(layer, "output.dense"), &gated, inner, self.hidden)
    }

    fn linear(
        &mut self,
        name: &str,
        x: &Value,
        inputs: usize,
        outputs: usize,
    ) -> Result<Value, WeightsError> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let bytes = self.weights.transposed_f32_bytes(&weight, outputs, inputs)?;
        let matrix = self.graph.raw(&weight, ElementType::Float, &[signed(inputs), signed(outputs)], bytes);
        let offset = self.vector(&bias, outputs)?;
        let product = self.graph.add(Node::new("MatMul", [x, &matrix]));
        Ok(self.graph.add(Node::new("Add", [&offset, &product])))
    }

    fn layer_norm(&mut self, name: &str, x: &Value, output: Option<&str>) -> Result<Value, WeightsError> {
        let weight = self.vector(&format!("{name}.weight"), self.hidden)?;
        let bias = self.vector(&format!("{name}.bias"), self.hidden)?;
        let node = Node::new("LayerNormalization", [x, &weight, &bias])
            .int("axis", -1)
            .float("epsilon", self.config.layer_norm_eps);
        Ok(match output {
            Some(output) => self.graph.add_named(node, output),
            None => self.graph.add(node),
        })
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Value, WeightsError> {
        let bytes = self.weights.f32_bytes(name, &[length])?.to_vec();
        Ok(self.graph.raw(name, ElementType::Float, &[signed(length)], bytes))
    }

    fn table(&mut self, name: &str) -> Result<Value, WeightsError> {
        let rows = *self.weights.shape(name)?.first().unwrap_or(&0);
        let bytes = self.weights.f32_bytes(name, &[rows, self.hidden])?.to_vec();
        Ok(self.graph.raw(name, ElementType::Float, &[signed(rows), signed(self.hidden)], bytes))
    }
}

/// Values every attention layer uses.
struct Attention {
    mask: Value,
    to_heads: Value,
    from_heads: Value,
    scale: Value,
}

/// Constants of `x · (1 + erf(x / √2)) / 2`.
struct Gelu {
    sqrt2: Value,
    one: Value,
    half: Value,
}

fn layer_name(layer: usize, part: &str) -> String {
    format!("encoder.layer.{layer}.{part}")
}

fn signed(length: usize) -> i64 {
    i64::try_from(length).expect("lengths come from tensors in memory")
}
