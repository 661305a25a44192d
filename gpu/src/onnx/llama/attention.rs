//! Attention with a cache, once in plain operators and once as the operator of ONNX Runtime.

use super::config::{Shape, int};
use crate::onnx::graph::{CONTRIB_DOMAIN, GraphBuilder, Node, Value};
use crate::onnx::proto::ElementType;

/// Values that the attention of every layer uses, by [layout](super::Layout).
pub(super) enum Attention {
    Concat(ConcatAttention),
    Grouped(GroupedAttention),
}

/// Computed once for all layers of [`Layout::Concat`](super::Layout::Concat).
pub(super) struct ConcatAttention {
    /// `[batch, 1, sequence, head_dim / 2]`, as is `sin`.
    cos: Value,
    sin: Value,
    /// Which key a query may see: `bool [batch, 1, 1, sequence, total]`.
    seen: Value,
    scale: Value,
    least: Value,
    group_axis: Value,
    split_q: Value,
    split_kv: Value,
    grouped: Value,
    joined: Value,
}

/// Computed once for all layers of [`Layout::Grouped`](super::Layout::Grouped).
pub(super) struct GroupedAttention {
    shape: Shape,
    /// `[context, head_dim / 2]`, as is `sin`.
    cos: Value,
    sin: Value,
    /// Index of the last token of each row, `i32 [batch]`.
    last: Value,
    /// Length of the longest row, `i32`.
    total: Value,
}

impl Attention {
    /// Adds the values for plain operators. `ids`, `mask` and `positions` are the graph's inputs, `cos` and `sin` the tables
    /// of the rotation.
    pub(super) fn concat(
        graph: &mut GraphBuilder,
        shape: Shape,
        [cos, sin]: [Value; 2],
        [ids, mask, positions]: [&Value; 3],
    ) -> Self {
        let (heads, kv_heads, head_dim) = (int(shape.heads), int(shape.kv_heads), int(shape.head_dim));
        let head_axis = graph.i64s("head_axis", &[1]);
        let mut at_positions = |table: &Value| {
            let rows = graph.add(Node::new("Gather", [table, positions]));
            graph.add(Node::new("Unsqueeze", [&rows, &head_axis]))
        };
        let (cos, sin) = (at_positions(&cos), at_positions(&sin));
        // Query `s` stands at index `total - sequence + s` of the mask and sees the keys up to there that are not padding.
        let (zero, one) = (graph.i64_scalar("zero", 0), graph.i64_scalar("one", 1));
        let mut length = |of: &Value| {
            let lengths = graph.add(Node::new("Shape", [of]));
            graph.add(Node::new("Gather", [&lengths, &one]))
        };
        let (sequence, total) = (length(ids), length(mask));
        let first = graph.add(Node::new("Sub", [&total, &sequence]));
        let keys = graph.add(Node::new("Range", [&zero, &total, &one]));
        let queries = graph.add(Node::new("Range", [&first, &total, &one]));
        let column = graph.i64s("column", &[-1, 1]);
        let queries = graph.add(Node::new("Reshape", [&queries, &column]));
        let causal = graph.add(Node::new("LessOrEqual", [&keys, &queries]));
        let real = graph.add(Node::new("Cast", [mask]).int("to", ElementType::Bool as i64));
        let inner_axes = graph.i64s("inner_axes", &[1, 2, 3]);
        let real = graph.add(Node::new("Unsqueeze", [&real, &inner_axes]));
        let seen = graph.add(Node::new("And", [&real, &causal]));
        Self::Concat(ConcatAttention {
            cos,
            sin,
            seen,
            scale: graph.f32_scalar("scale", 1.0 / (shape.head_dim as f32).sqrt()),
            least: graph.f32_scalar("least", f32::MIN),
            group_axis: graph.i64s("group_axis", &[2]),
            split_q: graph.i64s("split_q", &[0, 0, heads, head_dim]),
            split_kv: graph.i64s("split_kv", &[0, 0, kv_heads, head_dim]),
            grouped: graph.i64s("grouped", &[0, kv_heads, heads / kv_heads, -1, head_dim]),
            joined: graph.i64s("joined", &[0, 0, heads * head_dim]),
        })
    }

    /// Adds the values for ONNX Runtime's operator. `mask` is the graph's input, `cos` and `sin` the tables of the rotation.
    pub(super) fn grouped(
        graph: &mut GraphBuilder,
        shape: Shape,
        [cos, sin]: [Value; 2],
        mask: &Value,
    ) -> Self {
        let (one, axis) = (graph.i64_scalar("one", 1), graph.i64s("length_axis", &[1]));
        let lengths = graph.add(Node::new("ReduceSum", [mask, &axis]).int("keepdims", 0));
        let last = graph.add(Node::new("Sub", [&lengths, &one]));
        let last = graph.add(Node::new("Cast", [&last]).int("to", ElementType::Int32 as i64));
        let mask_shape = graph.add(Node::new("Shape", [mask]));
        let total = graph.add(Node::new("Gather", [&mask_shape, &one]));
        let total = graph.add(Node::new("Cast", [&total]).int("to", ElementType::Int32 as i64));
        Self::Grouped(GroupedAttention { shape, cos, sin, last, total })
    }

    /// Adds the attention of one layer over `[batch, sequence, heads · head_dim]` queries, keys and values, and `past` keys
    /// and values. Returns the mix, of the queries' shape, and the grown cache.
    pub(super) fn attend(
        &self,
        graph: &mut GraphBuilder,
        layer: usize,
        [q, k, v]: [&Value; 3],
        [past_key, past_value]: &[Value; 2],
    ) -> (Value, [Value; 2]) {
        let present = [format!("present.{layer}.key"), format!("present.{layer}.value")];
        match self {
            Self::Grouped(GroupedAttention { shape, cos, sin, last, total }) => {
                let operands = [q, k, v, past_key, past_value, last, total, cos, sin];
                let node = Node::of_domain(CONTRIB_DOMAIN, "GroupQueryAttention", operands)
                    .int("num_heads", int(shape.heads))
                    .int("kv_num_heads", int(shape.kv_heads))
                    .int("do_rotary", 1)
                    .int("rotary_interleaved", 0);
                let mixed = format!("attention.{layer}");
                let [mixed, key, value] = graph.add_many(node, [&mixed, &present[0], &present[1]]);
                (mixed, [key, value])
            }
            Self::Concat(shared) => {
                let q = split_heads(graph, q, &shared.split_q);
                let q = rotate(graph, &q, shared, &format!("query.{layer}"));
                let q = graph.add(Node::new("Reshape", [&q, &shared.grouped]));
                let k = split_heads(graph, k, &shared.split_kv);
                let k = rotate(graph, &k, shared, &format!("key.{layer}"));
                let v = split_heads(graph, v, &shared.split_kv);
                let mut append = |past: &Value, new: &Value, name: &str| {
                    graph.add_named(Node::new("Concat", [past, new]).int("axis", 2), name)
                };
                let (key, value) = (append(past_key, &k, &present[0]), append(past_value, &v, &present[1]));
                (softmax_mix(graph, [&q, &key, &value], shared), [key, value])
            }
        }
    }
}

/// Reshapes `[batch, sequence, heads · head_dim]` to `[batch, heads, sequence, head_dim]`.
fn split_heads(graph: &mut GraphBuilder, x: &Value, split: &Value) -> Value {
    let x = graph.add(Node::new("Reshape", [x, split]));
    graph.add(Node::new("Transpose", [&x]).ints("perm", &[0, 2, 1, 3]))
}

/// Turns the pairs `(i, i + head_dim / 2)` of each head by the angle of its position.
fn rotate(graph: &mut GraphBuilder, x: &Value, shared: &ConcatAttention, name: &str) -> Value {
    let halves = [format!("{name}.first"), format!("{name}.second")];
    let split = Node::new("Split", [x]).int("axis", -1).int("num_outputs", 2);
    let [first, second] = graph.add_many(split, [&halves[0], &halves[1]]);
    let mut mul = |a: &Value, b: &Value| graph.add(Node::new("Mul", [a, b]));
    let (first_cos, second_sin) = (mul(&first, &shared.cos), mul(&second, &shared.sin));
    let (second_cos, first_sin) = (mul(&second, &shared.cos), mul(&first, &shared.sin));
    let left = graph.add(Node::new("Sub", [&first_cos, &second_sin]));
    let right = graph.add(Node::new("Add", [&second_cos, &first_sin]));
    graph.add(Node::new("Concat", [&left, &right]).int("axis", -1))
}

/// Adds `softmax(q · keyᵀ / √head_dim) · value` over the keys that are seen.
///
/// Queries are `[batch, kv_heads, group, sequence, head_dim]`, because the query heads of a group share a key-value head.
/// The result is `[batch, sequence, heads · head_dim]`.
fn softmax_mix(graph: &mut GraphBuilder, [q, key, value]: [&Value; 3], shared: &ConcatAttention) -> Value {
    let key = graph.add(Node::new("Transpose", [key]).ints("perm", &[0, 1, 3, 2]));
    let key = graph.add(Node::new("Unsqueeze", [&key, &shared.group_axis]));
    let value = graph.add(Node::new("Unsqueeze", [value, &shared.group_axis]));
    let score = graph.add(Node::new("MatMul", [q, &key]));
    let score = graph.add(Node::new("Mul", [&score, &shared.scale]));
    let score = graph.add(Node::new("Where", [&shared.seen, &score, &shared.least]));
    let share = graph.add(Node::new("Softmax", [&score]).int("axis", -1));
    let mixed = graph.add(Node::new("MatMul", [&share, &value]));
    let mixed = graph.add(Node::new("Transpose", [&mixed]).ints("perm", &[0, 3, 1, 2, 4]));
    graph.add(Node::new("Reshape", [&mixed, &shared.joined]))
}
