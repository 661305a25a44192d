//! The ground: virtual time, the order of events, randomness, and what a digest knows of a run.

pub mod distribution;
pub mod queue;
pub mod rng;
pub(crate) mod trace;
