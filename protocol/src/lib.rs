//! Every rule of the Bombyx network, deterministic.
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::float_arithmetic)]
#![cfg_attr(test, allow(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

pub mod amount;
pub mod channel;
pub mod entropy;
pub mod ident;
pub mod limits;
pub mod session;
pub mod time;
