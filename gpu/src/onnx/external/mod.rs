//! Lists the files that an ONNX graph refers to, so that none is loaded that a manifest does not pin.
//!
//! A tensor may keep its numbers in another file (`data_location = EXTERNAL`). Tensors stand in many places of a model:
//! as initializers, dense or sparse, as attributes of nodes, in graphs within attributes, in functions and in training
//! graphs. The walk knows the message types on the way to them and skips everything else unread, so a graph of gigabytes
//! costs a few seeks. A part that it cannot follow is an error: a more lenient reader might find a file there.

mod error;
mod fields;

use std::io::{self, BufReader, Read, Seek};

pub use error::ExternalError;

use error::CONTEXT_OPERATOR;
use fields::{Fields, Wire};

/// Messages within messages; as deep as ONNX Runtime's own reader goes.
const DEPTH_MAX: usize = 100;
/// References in one graph: far more tensors than any model has.
const REFERENCES_MAX: usize = 1 << 20;

/// A part of a file that the graph's weights are read from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ExternalData {
    /// The file as the graph names it, relative to the graph's own directory.
    pub location: String,
    /// Where its bytes begin.
    pub offset: u64,
    /// How many; `None`: as many as the tensor's shape needs.
    pub length: Option<u64>,
}

/// Message types of `onnx.proto3` on the way to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Function,
    Training,
    Sparse,
    Tensor,
}

impl Kind {
    /// Returns the type of a field's message, where a tensor may be in it; field numbers are those
    /// of the ONNX project.
    const fn field(self, number: u64) -> Option<Self> {
        match (self, number) {
            (Self::Model, 7) | (Self::Training, 1 | 2) | (Self::Attribute, 6 | 11) => Some(Self::Graph),
            (Self::Model, 20) => Some(Self::Training),
            (Self::Model, 25) => Some(Self::Function),
            (Self::Graph, 1) | (Self::Function, 7) => Some(Self::Node),
            (Self::Graph, 5) | (Self::Attribute, 5 | 10) | (Self::Sparse, 1 | 2) => Some(Self::Tensor),
            (Self::Graph, 15) | (Self::Attribute, 22 | 23) => Some(Self::Sparse),
            (Self::Node, 5) | (Self::Function, 11) => Some(Self::Attribute),
            _ => None,
        }
    }
}

/// Returns every reference to another file in a graph, in its order.
///
/// # Errors
/// [`ExternalError`] for a file that is no graph, and for references that cannot be followed.
pub fn references(graph: impl Read + Seek) -> Result<Vec<ExternalData>, ExternalError> {
    let mut reader = BufReader::new(graph);
    let end = reader.seek(io::SeekFrom::End(0))?;
    reader.rewind()?;
    let mut walk = Walk { fields: Fields::new(reader), found: Vec::new() };
    walk.message(Kind::Model, end, 0)?;
    Ok(walk.found)
}

/// The walk through a graph.
struct Walk<R> {
    fields: Fields<R>,
    found: Vec<ExternalData>,
}

impl<R: Read + Seek> Walk<R> {
    fn message(&mut self, kind: Kind, end: u64, depth: usize) -> Result<(), ExternalError> {
        if depth > DEPTH_MAX {
            return Err(ExternalError::Malformed("its messages are nested too deeply"));
        }
        let mut tensor = Tensor::default();
        while self.fields.at() < end {
            let (number, wire) = self.fields.tag(end)?;
            let length = match wire {
                Wire::Number(value) => {
                    tensor.is_external |= kind == Kind::Tensor && number == 14 && value != 0;
                    continue;
                }
                Wire::Bytes(length) => length,
            };
            let inner_end = self.fields.at() + length;
            match kind.field(number) {
                Some(inner) => self.message(inner, inner_end, depth + 1)?,
                None if kind == Kind::Tensor && number == 13 => self.entry(inner_end, &mut tensor)?,
                None if kind == Kind::Node && number == 4 => {
                    if length == CONTEXT_OPERATOR.len() as u64
                        && self.fields.text(length)? == CONTEXT_OPERATOR
                    {
                        return Err(ExternalError::Context);
                    }
                    self.fields.skip_to(inner_end)?;
                }
                None => self.fields.skip_to(inner_end)?,
            }
        }
        if kind == Kind::Tensor { self.keep(tensor) } else { Ok(()) }
    }

    /// Reads one entry of `external_data`: a key with its value.
    fn entry(&mut self, end: u64, tensor: &mut Tensor) -> Result<(), ExternalError> {
        let (mut key, mut value) = (None, None);
        while self.fields.at() < end {
            let (number, wire) = self.fields.tag(end)?;
            let Wire::Bytes(length) = wire else { continue };
            let slot = match number {
                1 => &mut key,
                2 => &mut value,
                _ => {
                    self.fields.skip_to(self.fields.at() + length)?;
                    continue;
                }
            };
            // Readers differ in which of two counts, so there must not be two.
            if slot.replace(self.fields.text(length)?).is_some() {
                return Err(ExternalError::Reference("an entry has a key or value twice"));
            }
        }
        let (key, value) = (key.unwrap_or_default(), value.unwrap_or_default());
        let slot = match key.as_str() {
            "location" => &mut tensor.location,
            "offset" => &mut tensor.offset,
            "length" => &mut tensor.length,
            _ => return Ok(()),
        };
        if slot.replace(value).is_some() {
            return Err(ExternalError::Reference("`location`, `offset` or `length` stands twice"));
        }
        Ok(())
    }

    fn keep(&mut self, tensor: Tensor) -> Result<(), ExternalError> {
        let Tensor { is_external, location, offset, length } = tensor;
        let Some(location) = location.filter(|location| !location.is_empty()) else {
            return if is_external {
                Err(ExternalError::Reference("a tensor is external and names no file"))
            } else {
                Ok(())
            };
        };
        if self.found.len() >= REFERENCES_MAX {
            return Err(ExternalError::Reference("there are too many"));
        }
        let number = |text: Option<String>| {
            text.map(|text| {
                let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                text.parse::<u64>().ok().filter(|_| digits)
            })
            .map(|number| number.ok_or(ExternalError::Reference("an offset or length is no number")))
            .transpose()
        };
        let (offset, length) = (number(offset)?.unwrap_or(0), number(length)?);
        self.found.push(ExternalData { location, offset, length });
        Ok(())
    }
}

/// Where a tensor says that its numbers are.
#[derive(Debug, Default)]
struct Tensor {
    is_external: bool,
    location: Option<String>,
    offset: Option<String>,
    length: Option<String>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    /// Returns a field of bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        prost::encoding::bytes::encode(number, &bytes.to_vec(), &mut field);
        field
    }

    fn varint(value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        prost::encoding::encode_varint(value, &mut bytes);
        bytes
    }

    fn entry(key: &str, value: &str) -> Vec<u8> {
        field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
    }

    const EXTERNAL: [u8; 2] = [14 << 3, 1];

    fn tensor(location: &str) -> Vec<u8> {
        [field(8, b"weight"), entry("location", location), EXTERNAL.to_vec()].concat()
    }

    fn locations(model: &[u8]) -> Result<Vec<String>, ExternalError> {
        references(Cursor::new(model)).map(|found| found.into_iter().map(|data| data.location).collect())
    }

    /// Returns a tensor wherever ONNX lets one be.
    fn everywhere(tensor: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
        let attribute = |number, bytes: &[u8]| field(5, &field(number, bytes));
        let in_node = |attribute: Vec<u8>| field(7, &field(1, &attribute));
        let graph = field(5, tensor);
        let sparse = |number| field(number, tensor);
        vec![
            ("initializer", field(7, &graph)),
            ("sparse values", field(7, &field(15, &sparse(1)))),
            ("sparse indices", field(7, &field(15, &sparse(2)))),
            ("attribute", in_node(attribute(5, tensor))),
            ("attribute of tensors", in_node(attribute(10, tensor))),
            ("sparse attribute", in_node(attribute(22, &sparse(1)))),
            ("sparse attributes", in_node(attribute(23, &sparse(2)))),
            ("subgraph", in_node(attribute(6, &graph))),
            ("subgraphs", in_node(attribute(11, &graph))),
            ("subgraph of a subgraph", in_node(attribute(6, &field(1, &attribute(11, &graph))))),
            ("function", field(25, &field(7, &attribute(5, tensor)))),
            ("default of a function", field(25, &field(11, &field(5, tensor)))),
            ("training, first steps", field(20, &field(1, &graph))),
            ("training", field(20, &field(2, &graph))),
            ("second graph", [field(7, b""), field(7, &graph)].concat()),
        ]
    }

    #[test]
    fn a_file_is_found_wherever_a_tensor_may_stand() {
        for (place, model) in everywhere(&tensor("weights.bin")) {
            assert_eq!(locations(&model).unwrap(), ["weights.bin"], "{place}");
        }
        for (place, model) in everywhere(&field(9, &[0; 40])) {
            assert!(locations(&model).unwrap().is_empty(), "{place}");
        }
    }

    #[test]
    fn parts_of_a_file_are_numbers() {
        let model = |entries: &[(&str, &str)]| {
            let entries: Vec<u8> = entries.iter().flat_map(|(key, value)| entry(key, value)).collect();
            field(7, &field(5, &[entries, EXTERNAL.to_vec()].concat()))
        };
        let part = model(&[("length", "40"), ("checksum", "x"), ("location", "w"), ("offset", "4096")]);
        let data = ExternalData { location: "w".into(), offset: 4_096, length: Some(40) };
        assert_eq!(references(Cursor::new(part)).unwrap(), [data]);
        for entries in [
            &[("location", "w"), ("offset", "-1")][..],
            &[("location", "w"), ("offset", "+1")],
            &[("location", "w"), ("length", "0x10")],
            &[("location", "w"), ("length", "")],
            &[("location", "w"), ("length", "99999999999999999999")],
            &[("location", "w"), ("location", "v")],
            &[("location", "w"), ("offset", "1"), ("offset", "2")],
            &[("location", "")],
            &[("offset", "1")],
            &[],
        ] {
            let error = references(Cursor::new(model(entries))).unwrap_err();
            assert!(matches!(error, ExternalError::Reference(_)), "{entries:?}: {error}");
        }
        // Named, though not marked as external: a reader may follow it all the same.
        let unmarked = field(7, &field(5, &entry("location", "w")));
        assert_eq!(locations(&unmarked).unwrap(), ["w"]);
    }

    #[test]
    fn operators_that_load_files_are_refused() {
        let node = |operator: &str| field(7, &field(1, &field(4, operator.as_bytes())));
        assert!(matches!(locations(&node("EPContext")), Err(ExternalError::Context)));
        assert!(locations(&node("MatMul")).unwrap().is_empty());
        let hidden = field(25, &field(7, &field(4, b"EPContext")));
        assert!(matches!(locations(&hidden), Err(ExternalError::Context)));
    }

    #[test]
    fn what_cannot_be_followed_is_an_error() {
        let mut deep = field(5, &tensor("w"));
        for _ in 0..DEPTH_MAX {
            deep = field(1, &field(5, &field(6, &deep)));
        }
        for (what, model) in [
            ("text", b"not a graph".to_vec()),
            ("deep", field(7, &deep)),
            ("torn", field(7, &tensor("w"))[..9].to_vec()),
            ("group", vec![7 << 3 | 3, 7 << 3 | 4]),
            ("endless number", vec![0xff; 20]),
            ("field zero", vec![2, 0]),
            ("longer than the file", [varint(7 << 3 | 2), varint(u64::MAX)].concat()),
            ("longer than its parent", field(7, &[varint(5 << 3 | 2), varint(5), vec![0; 2]].concat())),
        ] {
            assert!(locations(&model).is_err(), "{what}");
        }
        assert!(locations(b"").unwrap().is_empty());
    }

    proptest! {
        /// The walk ends on any bytes.
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = locations(&bytes);
        }

        #[test]
        fn no_change_of_a_model_makes_it_panic(place in 0usize..15, at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let (_, mut model) = everywhere(&tensor("weights.bin")).swap_remove(place);
            let at = at.index(model.len());
            model[at] = byte;
            let _ = locations(&model);
        }
    }
}
