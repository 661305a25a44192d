//! Keeps the load-bearing walls: who may know whom, which crate is named where, and that specification, code and tests
//! speak of the same rules in the same words. Reads the source tree; a complaint says what, where and what to do.
#![allow(clippy::unwrap_used)]

mod files;
mod rules;
mod source;
mod walls;
mod words;
