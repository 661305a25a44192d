//! Tensors for a peer-to-peer inference network: models, ONNX Runtime, embeddings and text generation.

pub mod cache;
pub mod digest;
pub mod engine;
pub mod fetch;
pub mod manifest;
pub mod onnx;
pub mod python;
pub mod runtime;
pub mod tokens;
