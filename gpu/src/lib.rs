//! Tensors for a peer-to-peer inference network: models, ONNX Runtime, embeddings and text generation.

pub mod engine;
pub mod onnx;
