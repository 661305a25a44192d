//! A builder for ONNX graphs: values are handles, names are given by the builder, bytes are deterministic.
//!
//! ```
//! use bombyx_gpu::onnx::graph::{Dim, GraphBuilder, Node};
//! use bombyx_gpu::onnx::proto::ElementType;
//!
//! let mut graph = GraphBuilder::new("double");
//! let x = graph.input("x", ElementType::Float, &[Dim::Symbol("rows"), Dim::Fixed(3)]);
//! let two = graph.f32_scalar("two", 2.0);
//! let y = graph.add_named(Node::new("Mul", [&x, &two]), "y");
//! graph.output(&y, ElementType::Float, &[Dim::Symbol("rows"), Dim::Fixed(3)]);
//! let bytes = graph.finish(10, &[("", 18)]);
//! assert!(!bytes.is_empty());
//! ```

use prost::Message;

use super::proto::{
    AttributeProto, AttributeType, DimensionProto, DimensionValue, ElementType, GraphProto, ModelProto,
    NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The operator domain of ONNX Runtime's own operators, such as `GroupQueryAttention`.
pub const CONTRIB_DOMAIN: &str = "com.microsoft";

/// A value of the graph: an input, a weight or the output of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(String);

impl Value {
    /// Returns an optional operand that is left out.
    #[must_use]
    pub fn absent() -> Self {
        Self(String::new())
    }

    /// Returns the name the value has in the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One dimension of an input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'a> {
    /// Known when the graph is written.
    Fixed(i64),
    /// Known at run time; equal names are equal lengths.
    Symbol(&'a str),
}

/// An operator with its operands and attributes, ready to be added to a graph.
#[derive(Clone, Debug)]
pub struct Node(NodeProto);

impl Node {
    /// Creates an operator of the ONNX domain.
    #[must_use]
    pub fn new<'a>(op_type: &str, inputs: impl IntoIterator<Item = &'a Value>) -> Self {
        Self::of_domain("", op_type, inputs)
    }

    /// Returns an operator of another domain, such as [`CONTRIB_DOMAIN`]; import its version in
    /// [`GraphBuilder::finish`].
    #[must_use]
    pub fn of_domain<'a>(domain: &str, op_type: &str, inputs: impl IntoIterator<Item = &'a Value>) -> Self {
        Self(NodeProto {
            op_type: op_type.to_owned(),
            domain: domain.to_owned(),
            input: inputs.into_iter().map(|value| value.0.clone()).collect(),
            ..NodeProto::default()
        })
    }

    /// Sets an integer attribute.
    #[must_use]
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute(name, AttributeType::Int, |attribute| attribute.i = Some(value))
    }

    /// Sets an attribute that is a list of integers.
    #[must_use]
    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(name, AttributeType::Ints, |attribute| attribute.ints = values.to_vec())
    }

    /// Sets a float attribute.
    #[must_use]
    pub fn float(self, name: &str, value: f32) -> Self {
        self.attribute(name, AttributeType::Float, |attribute| attribute.f = Some(value))
    }

    /// Sets a string attribute.
    #[must_use]
    pub fn string(self, name: &str, value: &str) -> Self {
        self.attribute(name, AttributeType::String, |attribute| attribute.s = Some(value.as_bytes().to_vec()))
    }

    fn attribute(mut self, name: &str, kind: AttributeType, fill: impl FnOnce(&mut AttributeProto)) -> Self {
        let mut attribute =
            AttributeProto { name: name.to_owned(), r#type: kind as i32, ..AttributeProto::default() };
        fill(&mut attribute);
        self.0.attribute.push(attribute);
        self
    }
}

/// Collects inputs, weights, nodes and outputs in the order in which they are added.
#[derive(Debug)]
pub struct GraphBuilder {
    graph: GraphProto,
}

impl GraphBuilder {
    /// Creates an empty graph.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: name.to_owned(), ..GraphProto::default() } }
    }

    /// Declares an input that the caller feeds by this name.
    pub fn input(&mut self, name: &str, element: ElementType, shape: &[Dim<'_>]) -> Value {
        self.graph.input.push(value_info(name, element, shape));
        Value(name.to_owned())
    }

    /// Declares a value as an output; its name is the one it was added with.
    pub fn output(&mut self, value: &Value, element: ElementType, shape: &[Dim<'_>]) {
        self.graph.output.push(value_info(&value.0, element, shape));
    }

    /// Adds a weight whose little-endian bytes are at hand.
    pub fn raw(&mut self, name: &str, element: ElementType, shape: &[i64], bytes: Vec<u8>) -> Value {
        self.graph.initializer.push(TensorProto {
            dims: shape.to_vec(),
            data_type: element as i32,
            name: name.to_owned(),
            raw_data: Some(bytes),
        });
        Value(name.to_owned())
    }

    /// Adds a single-precision weight of the given shape.
    pub fn f32s(&mut self, name: &str, shape: &[i64], data: &[f32]) -> Value {
        self.raw(name, ElementType::Float, shape, data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a single-precision number of rank 0.
    pub fn f32_scalar(&mut self, name: &str, value: f32) -> Value {
        self.f32s(name, &[], &[value])
    }

    /// Adds a vector of 64-bit integers, such as a shape or a list of axes.
    pub fn i64s(&mut self, name: &str, data: &[i64]) -> Value {
        let length = i64::try_from(data.len()).expect("a slice is never longer than isize::MAX");
        self.raw(name, ElementType::Int64, &[length], data.iter().flat_map(|x| x.to_le_bytes()).collect())
    }

    /// Adds a 64-bit integer of rank 0, such as an index for `Gather`.
    pub fn i64_scalar(&mut self, name: &str, value: i64) -> Value {
        self.raw(name, ElementType::Int64, &[], value.to_le_bytes().to_vec())
    }

    /// Adds a node with one output, named after its operator and position.
    pub fn add(&mut self, node: Node) -> Value {
        let output = format!("{}_{}", node.0.op_type, self.graph.node.len());
        self.add_named(node, &output)
    }

    /// Adds a node with one output of a given name; use it for what becomes a graph output.
    pub fn add_named(&mut self, node: Node, output: &str) -> Value {
        let [value] = self.add_many(node, [output]);
        value
    }

    /// Adds a node with several outputs of given names; an empty name is an output that is not wanted.
    pub fn add_many<const N: usize>(&mut self, node: Node, outputs: [&str; N]) -> [Value; N] {
        let mut proto = node.0;
        proto.name = format!("node_{}_{}", self.graph.node.len(), proto.op_type);
        proto.output = outputs.iter().map(|&name| name.to_owned()).collect();
        self.graph.node.push(proto);
        outputs.map(|name| Value(name.to_owned()))
    }

    /// Returns the bytes of the `.onnx` file, for an intermediate-representation version and
    /// `(domain, version)` imports.
    #[must_use]
    pub fn finish(self, ir_version: i64, opsets: &[(&str, i64)]) -> Vec<u8> {
        ModelProto {
            ir_version,
            opset_import: opsets
                .iter()
                .map(|&(domain, version)| OperatorSetIdProto { domain: domain.to_owned(), version })
                .collect(),
            producer_name: "bombyx".to_owned(),
            graph: Some(self.graph),
        }
        .encode_to_vec()
    }
}

fn value_info(name: &str, element: ElementType, shape: &[Dim<'_>]) -> ValueInfoProto {
    let dim = shape
        .iter()
        .map(|dim| DimensionProto {
            value: Some(match *dim {
                Dim::Fixed(length) => DimensionValue::Value(length),
                Dim::Symbol(symbol) => DimensionValue::Param(symbol.to_owned()),
            }),
        })
        .collect();
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type: element as i32,
                shape: Some(TensorShapeProto { dim }),
            }),
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn small() -> Vec<u8> {
        let mut graph = GraphBuilder::new("small");
        let x = graph.input("x", ElementType::Float, &[Dim::Symbol("rows"), Dim::Fixed(2)]);
        let axis = graph.i64s("axis", &[-1]);
        let sum = graph.add(Node::new("ReduceSum", [&x, &axis]).int("keepdims", 0));
        let [y, _] = graph.add_many(
            Node::of_domain(CONTRIB_DOMAIN, "Two", [&sum, &Value::absent()])
                .float("eps", 0.0)
                .string("mode", "a"),
            ["y", ""],
        );
        graph.output(&y, ElementType::Float, &[Dim::Symbol("rows")]);
        graph.finish(10, &[("", 18), (CONTRIB_DOMAIN, 1)])
    }

    #[test]
    fn a_graph_reads_back_as_it_was_written() {
        let model = ModelProto::decode(small().as_slice()).unwrap();
        assert_eq!(model.ir_version, 10);
        assert_eq!(model.opset_import[1].domain, CONTRIB_DOMAIN);
        let graph = model.graph.unwrap();
        assert_eq!(graph.node[0].input, ["x", "axis"]);
        assert_eq!(graph.node[1].input, ["ReduceSum_0", ""]);
        assert_eq!(graph.node[1].output, ["y", ""]);
        assert_eq!(graph.initializer[0].raw_data.as_deref(), Some((-1i64).to_le_bytes().as_slice()));
        assert_eq!(graph.output[0].name, "y");
    }

    #[test]
    fn zero_attributes_are_written_out() {
        let graph = ModelProto::decode(small().as_slice()).unwrap().graph.unwrap();
        assert_eq!(graph.node[0].attribute[0].i, Some(0));
        assert_eq!(graph.node[1].attribute[0].f, Some(0.0));
        assert_eq!(graph.node[1].attribute[1].s.as_deref(), Some(b"a".as_slice()));
    }

    #[test]
    fn the_same_graph_gives_the_same_bytes() {
        assert_eq!(small(), small());
    }
}
