//! Every bound of the protocol, with its unit and its reason.

use crate::time::Span;

/// Bytes of one direct message on the wire. Noise allows 65,535 bytes a message; this keeps a frame below it.
pub const FRAME_BYTES_MAX: usize = 65_000;
