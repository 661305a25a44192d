//! Writes ONNX graphs from raw weights, so that a model can be shipped as safetensors and needs no exporter.
//!
//! [`graph::GraphBuilder`] is the only way in; [`proto`] holds the few protobuf messages it fills. Each model family has
//! one file that says which nodes it is made of. The same weights always give the same bytes, which is what lets a
//! manifest pin the hash of a graph that every machine builds for itself. [`external`] lists the files that a graph from
//! elsewhere refers to.

pub mod external;
pub mod graph;
pub mod llama;
pub mod minilm;
pub mod proto;
pub mod weights;
