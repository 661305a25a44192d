//! A node as its users hold it: how it starts, the handle to it, and what belongs to its home.

pub mod belongings;
pub(crate) mod connect;
pub mod handle;
pub(crate) mod pages;
pub mod recover;
mod start;
pub mod vectors;

pub use self::handle::NodeHandle;
pub use self::start::{RunningNode, start, start_showing};
