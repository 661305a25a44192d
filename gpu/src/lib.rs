//! Tensors for a peer-to-peer inference network: models, ONNX Runtime, embeddings and text generation.

pub mod decode;
pub mod digest;
pub mod engine;
pub mod manifest;
pub mod onnx;
pub mod sample;
pub mod template;
pub mod tokens;
