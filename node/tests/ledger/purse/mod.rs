//! The purse contract on a real TVM: every exit, refusal and attack, and random operations against a model.

mod attacks;
mod exits;
mod fees;
mod model;
mod page;
mod prices;
mod refusals;
mod setup;
pub(crate) mod storm;
mod vectors;
