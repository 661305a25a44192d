//! Bytes on the wire: the one room that imports the codec.
//!
//! Layout: fixed-width little-endian integers, `u64` lengths, `u32` enum tags (`WI-1` to `WI-3`). Every message decodes within
//! a limit that is checked before memory is taken, and all bytes must be consumed.

pub mod codec;
pub mod extension;
pub mod gossip;
pub mod message;
pub mod refusal;
pub mod release;
pub mod signed;
