//! Why a part of the node failed, and what each failure means outside: exit code, HTTP status, advice.

mod advice;
pub(crate) mod exit;
pub(crate) mod failure;
mod node;

pub use self::node::NodeError;
