//! A node as its users hold it: how it starts, the handle to it, and what belongs to its home.

pub(crate) mod belongings;
pub(crate) mod connect;
pub(crate) mod handle;
pub(crate) mod holdings;
pub(crate) mod models;
pub(crate) mod pages;
mod peers;
pub(crate) mod question;
pub(crate) mod quote;
pub(crate) mod recover;
mod start;
pub(crate) mod vectors;

pub use self::handle::NodeHandle;
pub use self::start::{RunningNode, start, start_showing};
