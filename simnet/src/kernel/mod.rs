//! The ground: virtual time, the order of events, randomness, and what a digest knows of a run.

mod distribution;
mod queue;
mod rng;
mod trace;

pub use distribution::{Distribution, Wave};
pub use queue::{Key, Queue};
pub use rng::{Draws, Purpose, Zipf, fold, unit};
pub(crate) use trace::Trace;
