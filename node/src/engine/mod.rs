//! The joint to the tensors: a thread owns the [`Engine`](bombyx_gpu::engine::Engine); the driver gives it jobs and reads its reports.
//! Another one counts the input of tasks, so that what comes keeps nothing waiting that runs.
//!
//! What the driver wants is kept per job and merged (allowances add up, a cancel replaces all else), so that the inbox
//! is never longer than the jobs there are. Reports go through a bounded queue: a slow driver slows the engine.

mod convert;
mod counter;
pub(crate) mod fit;
mod handle;
mod inbox;
pub(crate) mod manifests;
pub mod models;
mod pace;
mod worker;

pub use self::handle::{EngineFull, EngineHandle, REPORTS_MAX, Reports};
