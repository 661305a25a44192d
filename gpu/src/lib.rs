//! Tensors for a peer-to-peer inference network: models, ONNX Runtime, embeddings and text generation.

pub mod decode;
pub mod cache;
pub mod catalog;
pub mod digest;
pub mod embed;
pub mod engine;
pub mod fetch;
pub mod load;
pub mod manifest;
pub mod measure;
pub mod onnx;
pub mod sample;
pub mod template;
pub mod onnx_engine;
pub mod python;
mod queue;
pub mod runtime;
pub mod tokens;
